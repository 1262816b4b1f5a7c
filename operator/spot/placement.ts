import type { Availability } from './availability.ts';
import { type DeadlinePlan, type DeadlineTerms, planDeadline } from './deadline-placement.ts';
import { type PoolView, pricePerHour } from './pool-view.ts';

export interface PlacementRequest {
  readonly min: number;
  readonly max: number;
  /** 0 = CPU only. */
  readonly gpusPerWorker: number;
  readonly accelerator: string | null;
  readonly capacity: 'spot' | 'onDemand' | 'auto';
  /** null = none, or none that can be planned for yet. */
  readonly deadline: DeadlineTerms | null;
  /** For all workers together, US dollars per hour. */
  readonly maxPricePerHour: number | null;
  readonly currentPool: string | null;
  readonly avoid: ReadonlySet<string>;
  /** What a change-over costs in training time, seconds. */
  readonly restartSeconds: number;
}

/** A pool that was weighed. Prices of the smallest world, US dollars per hour. */
export interface Alternative {
  readonly pool: PoolView;
  readonly pricePerHour: number;
  /** With the change-overs that its losses are expected to cost; null = it cannot be used at all. */
  readonly effectivePricePerHour: number | null;
  /** Hours that spot is expected to last there; null = on-demand, or unknown. */
  readonly lastsHours: number | null;
  readonly verdict: string;
}

interface Weighed {
  /** The chosen pool first, then by how good the others are. */
  readonly alternatives: readonly Alternative[];
  /** To be kept for the next decision. */
  readonly spotSeen: Availability | null;
}

export type Placement = Weighed &
  (
    | { readonly pool: PoolView; readonly workers: number; readonly message: string }
    | {
        readonly pool: null;
        readonly reason: 'NoMatchingPool' | 'NoCapacity' | 'TooExpensive';
        readonly message: string;
        readonly retryAt: number | null;
      }
  );

/** When to look again at what time alone makes worth it. */
const LATER_MS = 60_000;
/** Of a spot node of which nothing is known. */
const ASSUMED_LIFE_HOURS = 12;

interface Candidate {
  readonly request: PlacementRequest;
  readonly pool: PoolView;
  readonly now: number;
  readonly plan: DeadlinePlan | null;
}

interface Refusal {
  readonly reason: 'Mismatch' | 'NoCapacity' | 'TooExpensive';
  readonly message: string;
  readonly retryAt?: number;
}

type Policy = (candidate: Candidate) => Refusal | null;

/** Each may refuse a pool. What can never work comes first, so that the reason given is the one that matters most. */
const POLICIES: readonly Policy[] = [
  rightAccelerator, // hardware first: nothing below matters on the wrong GPUs
  rightCapacity, // spot or on-demand, as the spec says
  trulySpot, // a spot price at the on-demand price saves nothing and is still taken away
  affordable, // the price limit of the spec
  worthwhileNow, // what the deadline's plan does not want now
  reachable, // its cluster answers
  notAvoided, // failed in this very decision
  notBlocked, // found dry a short while ago
  hasRoom, // at least the smallest world fits, now or after growing
];

/** Refusals that no waiting changes. */
const LASTING: readonly Policy[] = [rightAccelerator, rightCapacity, trulySpot, affordable];

/** Refusals that pass. */
const PASSING: readonly Policy[] = [reachable, notAvoided, notBlocked, hasRoom];

/** Where to run: the pool that gives most useful time for the money, or why there is none, each pool's refusal by name. */
export function place(request: PlacementRequest, offered: readonly PoolView[], now: number): Placement {
  const pools = offered.toSorted((a, b) => (a.name < b.name ? -1 : 1));
  const accepts = (policies: readonly Policy[], pool: PoolView) =>
    policies.every((policy) => policy({ request, pool, now, plan: null }) === null);
  const { min: workers, gpusPerWorker, deadline } = request;
  const fitting = pools.filter((pool) => accepts(LASTING, pool));
  const roomy = (pool: PoolView) => accepts(PASSING, pool);
  const plan = deadline === null ? null : planDeadline({ workers, gpusPerWorker, hasRoom: roomy }, deadline, fitting, now / 1_000);
  const refusals: { pool: PoolView; refusal: Refusal }[] = [];
  const candidates: Candidate[] = [];
  for (const pool of pools) {
    const candidate = { request, pool, now, plan };
    const refusal = POLICIES.map((policy) => policy(candidate)).find((r) => r !== null);
    if (refusal) refusals.push({ pool, refusal });
    else candidates.push(candidate);
  }
  const ranked = candidates.toSorted(byPreference);
  const best = ranked[0];
  const spotSeen = plan?.spotSeen ?? deadline?.spotSeen ?? null;
  const others = refusals.map(({ pool, refusal }) => alternative(request, pool, plan, refusal.message));
  if (best === undefined) return { ...refused(request, pools, refusals), alternatives: others, spotSeen };
  const message = reasonFor(best, pools, refusals);
  const alternatives = [...ranked.map((candidate) => alternative(request, candidate.pool, plan, verdict(candidate, best))), ...others];
  return { pool: best.pool, workers: workersIn(request, best.pool), message, alternatives, spotSeen };
}

/** The deadline's order; without one spot before on-demand, then the larger world, then the cheaper hour of use. */
function byPreference(a: Candidate, b: Candidate): number {
  const { request, plan } = a;
  const rank = ({ pool }: Candidate) => plan?.order.indexOf(pool.name) ?? (pool.capacity === 'spot' ? 0 : 1);
  return (
    rank(a) - rank(b) ||
    workersIn(request, b.pool) - workersIn(request, a.pool) ||
    costPerUsefulHour(request, a.pool) - costPerUsefulHour(request, b.pool) ||
    (a.pool.name < b.pool.name ? -1 : 1)
  );
}

function alternative(request: PlacementRequest, pool: PoolView, plan: DeadlinePlan | null, words: string): Alternative {
  return {
    pool,
    pricePerHour: pricePerHour(pool, request.min, request.gpusPerWorker),
    effectivePricePerHour: effectivePrice(request, pool, plan),
    lastsHours: pool.capacity === 'onDemand' ? null : (plan?.weighed.get(pool.name)?.lastsHours ?? pool.remainingLifeHours),
    verdict: words,
  };
}

function effectivePrice(request: PlacementRequest, pool: PoolView, plan: DeadlinePlan | null): number | null {
  if (LASTING.some((policy) => policy({ request, pool, now: 0, plan: null }) !== null)) return null;
  return plan?.weighed.get(pool.name)?.dollarsPerHour ?? costPerUsefulHour(request, pool) * request.min;
}

function verdict(candidate: Candidate, best: Candidate): string {
  if (candidate === best) return 'chosen';
  const { request, plan } = best;
  const dearer = (effectivePrice(request, candidate.pool, plan) ?? 0) - (effectivePrice(request, best.pool, plan) ?? 0);
  if (dearer > 0) return `would cost $${dearer.toFixed(2)}/h more, change-overs included`;
  const room = workersIn(request, candidate.pool);
  return room < workersIn(request, best.pool) ? `has room for ${room} only` : `comes after ${best.pool.name}`;
}

function refused(
  request: PlacementRequest,
  pools: readonly PoolView[],
  refusals: readonly { pool: PoolView; refusal: Refusal }[],
): Omit<Extract<Placement, { pool: null }>, keyof Weighed> {
  const serious = refusals.filter((r) => r.refusal.reason !== 'Mismatch');
  const need = `${request.min} ${request.min === 1 ? 'worker' : 'workers'}${request.gpusPerWorker > 0 ? ` of ${request.gpusPerWorker} ${request.accelerator ?? 'GPU'}${request.gpusPerWorker === 1 ? '' : 's'}` : ''}`;
  if (serious.length === 0) {
    const why =
      pools.length === 0
        ? 'there is none that spec.placement.pools selects'
        : refusals.map((r) => `${r.pool.name} ${r.refusal.message}`).join(', ');
    return {
      pool: null,
      reason: 'NoMatchingPool',
      message: `No GpuPool can hold ${need}: ${why}. Add a pool or change spec.placement`,
      retryAt: null,
    };
  }
  const reason = serious.some((r) => r.refusal.reason === 'NoCapacity') ? 'NoCapacity' : 'TooExpensive';
  const retries = serious.flatMap((r) => r.refusal.retryAt ?? []);
  const ways = [...(request.maxPricePerHour === null ? [] : ['raise maxPricePerHour']), 'add a pool'];
  const hint = reason === 'TooExpensive' ? ways.join(' or ') : `${ways.join(', ')}, or wait: it starts by itself when there is room`;
  return {
    pool: null,
    reason,
    message: `No pool has room for ${need}: ${serious.map((r) => `${r.pool.name} ${r.refusal.message}`).join(', ')}. ${hint[0]?.toUpperCase()}${hint.slice(1)}`,
    retryAt: retries.length === 0 ? null : Math.min(...retries),
  };
}

function rightAccelerator({ request, pool }: Candidate): Refusal | null {
  if (request.gpusPerWorker > pool.gpusPerNode) return { reason: 'Mismatch', message: `has ${pool.gpusPerNode} GPUs in a node` };
  if (request.accelerator !== null && request.accelerator !== pool.accelerator)
    return { reason: 'Mismatch', message: `has ${pool.accelerator}` };
  return null;
}

function rightCapacity({ request, pool }: Candidate): Refusal | null {
  if (request.capacity === 'auto' || request.capacity === pool.capacity) return null;
  return { reason: 'Mismatch', message: `is ${pool.capacity === 'spot' ? 'spot' : 'on-demand'}` };
}

function trulySpot({ pool }: Candidate): Refusal | null {
  if (pool.capacity !== 'spot' || pool.price.spot === null || pool.price.spot < pool.price.onDemand) return null;
  return { reason: 'Mismatch', message: 'quotes spot at the on-demand price' };
}

function affordable({ request, pool }: Candidate): Refusal | null {
  if (request.maxPricePerHour === null) return null;
  const price = pricePerHour(pool, request.min, request.gpusPerWorker);
  return price <= request.maxPricePerHour ? null : { reason: 'TooExpensive', message: `quotes $${price.toFixed(2)}/h for ${request.min}` };
}

function worthwhileNow({ pool, now, plan }: Candidate): Refusal | null {
  if (plan === null || plan.order.includes(pool.name)) return null;
  if (pool.name === plan.stayIn) return { reason: 'NoCapacity', message: 'is where it runs' };
  const spot = plan.weighed.get(pool.name);
  if (spot !== undefined) {
    const message = `is not worth $${spot.dollarsPerHour.toFixed(2)}/h, change-overs included`;
    return { reason: 'NoCapacity', message, retryAt: now + LATER_MS };
  }
  if (plan.onDemandAt === null) return { reason: 'NoCapacity', message: 'is not needed to meet the deadline' };
  const retryAt = plan.onDemandAt * 1_000;
  return { reason: 'NoCapacity', message: `starts by itself at ${timeOfDay(retryAt)} to meet the deadline if no spot comes`, retryAt };
}

function reachable({ pool, now }: Candidate): Refusal | null {
  return pool.outOfReach === undefined ? null : { reason: 'NoCapacity', message: pool.outOfReach, retryAt: now + 30_000 };
}

function notAvoided({ request, pool, now }: Candidate): Refusal | null {
  return request.avoid.has(pool.name) ? { reason: 'NoCapacity', message: 'has just refused a launch', retryAt: now + 30_000 } : null;
}

function notBlocked({ pool, now }: Candidate): Refusal | null {
  if (pool.blockedUntil === null || pool.blockedUntil <= now) return null;
  return {
    reason: 'NoCapacity',
    message: `refused launches lately (next try ${timeOfDay(pool.blockedUntil)})`,
    retryAt: pool.blockedUntil,
  };
}

function timeOfDay(ms: number): string {
  return `${new Date(ms).toISOString().slice(11, 16)} UTC`;
}

function hasRoom({ request, pool }: Candidate): Refusal | null {
  if (pool.freeSlots + pool.growableSlots >= request.min) return null;
  return { reason: 'NoCapacity', message: pool.freeSlots === 0 ? 'is full' : `has room for ${pool.freeSlots} only` };
}

/** As many workers as are wanted, have room and can be paid. */
function workersIn(request: PlacementRequest, pool: PoolView): number {
  // Nodes that are there beat nodes that may come: an autoscaler is asked only for the smallest world.
  const room = Math.max(pool.freeSlots, Math.min(request.min, pool.freeSlots + pool.growableSlots));
  const affordableWorkers =
    request.maxPricePerHour === null
      ? request.max
      : Math.floor(request.maxPricePerHour / Math.max(1e-9, pricePerHour(pool, 1, request.gpusPerWorker)) + 1e-9);
  return Math.max(request.min, Math.min(request.max, room, affordableWorkers));
}

/** A move must save at least so much, or two pools of about the same price would pass a training back and forth. */
const MOVE_PENALTY = 1.02;

/**
 * Price per worker of an hour in which training goes forward. Each loss of a node stops the whole gang for a restart, and the first
 * of n nodes is lost n times as soon as one: of every life/n + restart hours that are paid for, life/n are of use.
 */
function costPerUsefulHour(request: PlacementRequest, pool: PoolView): number {
  const moving = request.currentPool !== null && request.currentPool !== pool.name ? MOVE_PENALTY : 1;
  const price = pricePerHour(pool, 1, request.gpusPerWorker) * moving;
  if (pool.capacity === 'onDemand') return price;
  const gangLife = Math.max(1e-6, pool.remainingLifeHours ?? ASSUMED_LIFE_HOURS) / workersIn(request, pool);
  return price * (1 + request.restartSeconds / 3_600 / gangLife);
}

/** Why there: what it costs and lasts, and what was wrong with the place before. */
function reasonFor(
  { request, pool, plan }: Candidate,
  pools: readonly PoolView[],
  refusals: readonly { pool: PoolView; refusal: Refusal }[],
): string {
  const workers = workersIn(request, pool);
  const price = pricePerHour(pool, workers, request.gpusPerWorker);
  const kind = pool.capacity === 'spot' ? 'spot' : 'on-demand';
  const lasts = ({ name, capacity, remainingLifeHours }: PoolView) =>
    capacity === 'onDemand' ? null : (plan?.weighed.get(name)?.lastsHours ?? remainingLifeHours);
  const life = lasts(pool);
  const words = [
    `${workers} ${workers === 1 ? 'worker' : 'workers'} on ${kind} at $${price.toFixed(2)}/h${life === null ? '' : `, expected to last ${life.toFixed(1)} h`}`,
  ];
  if (plan !== null && pool.capacity === 'onDemand')
    words.push(`${(Math.max(0, plan.slackSeconds) / 3_600).toFixed(1)} h to spare before the deadline are too few to wait for spot`);
  const before = pools.find((p) => p.name === request.currentPool && p !== pool);
  if (before !== undefined) {
    const refusal = refusals.find((r) => r.pool === before)?.refusal;
    const saves = pricePerHour(before, workers, request.gpusPerWorker) - price;
    const there = lasts(before);
    if (saves > 0.005) words.push(`saves $${saves.toFixed(2)}/h against ${before.name}`);
    if (there !== null && life !== null && there < life) words.push(`spot in ${before.name} is expected to last ${there.toFixed(1)} h`);
    if (refusal !== undefined && before.name !== plan?.stayIn) words.push(`${before.name} ${refusal.message}`);
  }
  return words.join('; ');
}
