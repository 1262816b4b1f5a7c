import { durationSeconds } from '../api/duration.ts';
import type { Interruption } from '../signals/interruption.ts';
import { type Fleet, type FleetReplica, planFleet } from '../spot/fleet.ts';
import type { PoolView } from '../spot/pool-view.ts';
import { type Promised, ServingDraft, type ServingPlan } from './draft.ts';
import { GRACE_SECONDS } from './engines.ts';
import type { Track } from './names.ts';
import { type Replica, type ServedUnit, type ServingState, unitsOf } from './state.ts';
import { settleStatus } from './status.ts';

/** Money is counted so often while replicas run. */
const ACCRUAL_MS = 30_000;
/** Of a replica of which nothing is known yet. */
export const ASSUMED_START_SECONDS = 120;
/** A pod on a dying node is told to end so long before the node's end, at the latest. */
const MARGIN_MS = 2_000;

/** Decides what happens to one serving now. Pure: same state and time, same plan. */
export function planServing(state: ServingState, now: number): ServingPlan {
  const d = new ServingDraft(state, now);
  stopRouting(d);
  moveGateways(d);
  countStarts(d);
  for (const unit of unitsOf(state)) arrangeUnit(d, unit);
  const status = settleStatus(d);
  if (state.replicas.some((r) => r.node !== null)) d.wake(now + ACCRUAL_MS);
  return {
    gates: d.gates,
    deployments: d.deployments,
    coming: comingReplicas(d),
    removals: strayDeployments(d),
    deletionCosts: d.deletionCosts,
    evictions: d.evictions,
    status,
    events: d.events,
    observations: d.observations,
    counted: d.counted,
    wakeAt: d.wakeAt,
  };
}

/** Routing stops at the notice: what is under way has the whole notice to be finished, or goes on at another worker. */
function stopRouting(d: ServingDraft): void {
  for (const replica of d.state.replicas) {
    if (replica.ending) continue;
    const { interruption } = replica;
    if (interruption === null) {
      if (!replica.routable) d.gates.push({ pod: replica.name, routable: true });
      continue;
    }
    if (replica.routable || !replica.gateKnown) {
      d.gates.push({ pod: replica.name, routable: false });
      d.struck.push(replica);
      d.observations.push({ pool: replica.pool, kind: 'interrupted', livedSeconds: Math.max(0, (d.now - replica.createdAt) / 1000) });
      d.event(
        'Normal',
        'Interrupted',
        `${replica.model}: ${interruption.message}; nothing new is sent to ${replica.name}, a replacement starts`,
      );
    }
    d.evictions.push({ pod: replica.name, uid: replica.uid, graceSeconds: secondsLeft(interruption, d.now) });
  }
}

/** A copy of the gateway on a node that is going ends what it has begun; its Deployment starts another elsewhere at once. */
function moveGateways(d: ServingDraft): void {
  for (const { name, uid, ending, interruption } of d.state.gateways)
    if (!ending && interruption !== null) d.evictions.push({ pod: name, uid, graceSeconds: secondsLeft(interruption, d.now) });
}

function secondsLeft({ source, deadline }: Interruption, now: number): number {
  if (source === 'node-absent') return 0;
  const left = deadline === null ? GRACE_SECONDS : (deadline - MARGIN_MS - now) / 1000;
  return Math.max(1, Math.min(GRACE_SECONDS, Math.floor(left)));
}

/** The first time that a replica answers tells its pool that launches work, and the model how long a start takes. */
function countStarts(d: ServingDraft): void {
  for (const replica of d.state.replicas) {
    if (replica.counted || replica.readyAt === null) continue;
    d.counted.push(replica.uid);
    d.observations.push({ pool: replica.pool, kind: 'launched' });
    const seconds = (replica.readyAt - replica.createdAt) / 1000;
    for (const model of replica.models) d.starts.set(model, [...(d.starts.get(model) ?? []), Math.max(0, seconds)]);
  }
}

function arrangeUnit(d: ServingDraft, model: ServedUnit): void {
  const needed = d.state.serving.spec.suspend ? 0 : (d.state.scale.get(model.name)?.replicas ?? 0);
  const percent = model.canaryPercent;
  const canaries = needed === 0 || percent === 0 ? 0 : Math.max(1, Math.ceil((needed * percent) / 100));
  const stables = percent === 100 ? 0 : needed === 0 ? 0 : Math.max(1, needed - canaries);
  const stable = arrangeTrack(d, model, 'stable', stables, new Map());
  const taken = new Map([...stable.targets].map(([pool, n]) => [pool, n - living(d, model, 'stable', pool)]));
  const canary = arrangeTrack(d, model, 'canary', canaries, taken);
  d.fleets.set(model.name, [stable, canary]);
}

/** Places a track's replicas; `taken` = slots that the other track will take. */
function arrangeTrack(d: ServingDraft, model: ServedUnit, track: Track, needed: number, taken: ReadonlyMap<string, number>): Fleet {
  const { placement } = d.state.serving.spec;
  const pools = d.state.poolsFor(model.gpus).map((p) => less(p, taken.get(p.name) ?? 0));
  const fleet = planFleet(
    {
      needed,
      onDemandBase: track === 'stable' ? placement.onDemandBase : 0,
      // A canary is a trial: it may be away for the time of a start.
      spare: track === 'stable' ? placement.spare : 0,
      spread: placement.spread,
      capacity: placement.capacity,
      accelerator: placement.accelerator ?? null,
      gpusPerReplica: model.gpus,
      maxPricePerHour: placement.maxPricePerHour === undefined ? null : Number(placement.maxPricePerHour),
      startSeconds: startSecondsOf(d, model),
    },
    fleetReplicas(d, model, track),
    pools,
    d.now,
  );
  const existing = d.state.deployments.filter((e) => e.model === model.name && e.track === track);
  for (const pool of new Set([...fleet.targets.keys(), ...existing.map((e) => e.pool)])) {
    const view = pools.find((p) => p.name === pool);
    if (!view) continue;
    const replicas = fleet.targets.get(pool) ?? 0;
    if (replicas === 0 && !existing.some((e) => e.pool === pool)) continue;
    chooseVictims(d, inPool(d, model, track, pool), replicas);
    d.deployments.push({
      model: model.name,
      track,
      pool,
      replicas,
      roomToSurge: view.freeSlots > replicas - living(d, model, track, pool),
    });
  }
  if (fleet.retryAt !== null) d.wake(fleet.retryAt);
  return fleet;
}

/** Seconds that a replica needs: as the spec says, as measured, or as assumed. */
function startSecondsOf(d: ServingDraft, unit: ServedUnit): number {
  const measured = (d.state.serving.status?.models ?? []).flatMap((m) => (unit.models.includes(m.name) ? (m.startSeconds ?? []) : []));
  return unit.startSeconds ?? (measured.length > 0 ? Math.max(...measured) : ASSUMED_START_SECONDS);
}

/** Replicas to be counted on. One that found no node by the deadline tells its pool, and is sought for elsewhere. */
function fleetReplicas(d: ServingDraft, model: ServedUnit, track: Track): FleetReplica[] {
  const deadline = durationSeconds(d.state.serving.spec.placement.readyDeadline) * 1000;
  const blamed = new Set<string>();
  return d.state.replicas.flatMap((r) => {
    if (r.model !== model.name || r.track !== track || r.ending || r.interruption !== null) return [];
    if (r.node === null) {
      if (d.now >= r.createdAt + deadline) {
        if (!blamed.has(r.pool)) {
          d.observations.push({ pool: r.pool, kind: 'noCapacity' });
          d.event(
            'Warning',
            'NoCapacity',
            `${r.pool} had no node for ${r.name} within ${d.state.serving.spec.placement.readyDeadline}; trying elsewhere`,
          );
        }
        blamed.add(r.pool);
        return [];
      }
      d.wake(r.createdAt + deadline);
    }
    // Until the scheduler has said no, it is on its way to a node.
    return [{ pool: r.pool, ready: r.readyAt !== null, placed: r.node !== null || r.unschedulable === null }];
  });
}

function living(d: ServingDraft, model: ServedUnit, track: Track, pool: string): number {
  return inPool(d, model, track, pool).filter((r) => r.interruption === null).length;
}

/** The Deployment's pods that are not told to end. */
function inPool(d: ServingDraft, model: Pick<ServedUnit, 'name'>, track: Track, pool: string): Replica[] {
  return d.state.replicas.filter((r) => r.model === model.name && r.track === track && r.pool === pool && !r.ending);
}

/**
 * Who goes when a Deployment shrinks to so many: first those whose node goes anyway, then those whose node is said to be at risk, then
 * those alone on their node, which its autoscaler can then give back, and of equals the youngest, whose caches are the coldest.
 */
function chooseVictims(d: ServingDraft, own: readonly Replica[], replicas: number): void {
  if (own.length <= replicas) return;
  const keep = (r: Replica) => (r.interruption !== null ? 0 : r.advised ? 1 : r.node === null ? 2 : 3 + r.neighbours);
  const ordered = own.toSorted((a, b) => keep(a) - keep(b) || b.createdAt - a.createdAt || a.name.localeCompare(b.name));
  for (const [cost, { name, deletionCost }] of ordered.entries()) if (deletionCost !== cost) d.deletionCosts.push({ pod: name, cost });
}

function less(pool: PoolView, slots: number): PoolView {
  return slots <= 0 ? pool : { ...pool, freeSlots: Math.max(0, pool.freeSlots - slots) };
}

function comingReplicas(d: ServingDraft): Promised[] {
  return d.deployments.flatMap(({ model: name, track, pool, replicas }) => {
    const model = unitsOf(d.state).find((u) => u.name === name);
    const pods = model ? replicas - living(d, model, track, pool) : 0;
    return model && pods > 0 ? [{ pool, gpus: pods * model.gpus }] : [];
  });
}

/** Pods that wait so long for a node while others keep theirs for a model's sake will not get one otherwise. */
const STANDSTILL_MS = 60_000;

/**
 * Of models that the spec no longer has, of pools that may no longer be used, of groups that are no longer wanted. One that answers for
 * a model which is still wanted stays until others answer in its place.
 */
function strayDeployments(d: ServingDraft): string[] {
  const wanted = d.deployments.filter((p) => p.replicas > 0);
  const isOf = (p: { model: string; track: Track; pool: string }) => (r: Replica) =>
    r.model === p.model && r.track === p.track && r.pool === p.pool;
  const strays = d.state.deployments.filter(
    (e) => !d.deployments.some((p) => p.model === e.model && p.track === e.track && p.pool === e.pool),
  );
  const living = d.state.replicas.filter((r) => !r.ending);
  const answers = (r: Replica) => r.readyAt !== null && r.interruption === null;
  const unitModels = new Map(unitsOf(d.state).map((u) => [u.name, u.models]));
  const isReplaced = (model: string) => {
    const units = wanted.filter((p) => unitModels.get(p.model)?.includes(model));
    const ready = units.map((p) => living.filter(isOf(p)).filter(answers).length);
    return d.state.serving.spec.suspend || (units.length > 0 && units.every((p, i) => (ready[i] as number) >= p.replicas));
  };
  const isWanted = (model: string) => wanted.some((p) => unitModels.get(p.model)?.includes(model));
  const free = strays.filter((e) => {
    const own = living.filter(isOf(e)).filter(answers);
    return own.flatMap((r) => r.models).every((model) => !isWanted(model) || isReplaced(model));
  });
  const since = living.flatMap((r) => (r.unschedulable !== null && wanted.some((p) => isOf(p)(r)) ? [r.createdAt] : []));
  const kept = strays.filter((e) => !free.includes(e));
  const standstill = since.length > 0 && kept.length > 0 && free.length === 0 ? Math.min(...since) + STANDSTILL_MS : null;
  if (standstill !== null && d.now < standstill) d.wake(standstill);
  const victim = standstill !== null && d.now >= standstill ? kept.slice(0, 1) : [];
  return [...free, ...victim].map((e) => e.name);
}
