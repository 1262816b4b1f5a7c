import { servingWithDefaults, type VicunaServing } from '../api/vicuna-serving.ts';
import type { Interruption } from '../signals/interruption.ts';
import type { PoolView } from '../spot/pool-view.ts';
import type { ServingPlan } from './draft.ts';
import { planServing } from './plan.ts';
import type { ExistingDeployment, GatewayCopy, GroupsState, MetricsState, Replica, ScaleDecision, ServingState } from './state.ts';

export const START = Date.parse('2026-01-01T00:00:00Z');

/**
 * A cluster in miniature for tests of the plan: Deployments make pods, and pods that are told to end go. `step()` plans and carries
 * the plan out.
 */
export class Fleet {
  now = START;
  serving: VicunaServing;
  pools: PoolView[];
  readonly replicas = new Map<string, Replica>();
  readonly deployments = new Map<string, ExistingDeployment>();
  readonly events: string[] = [];
  readonly scale = new Map<string, ScaleDecision>();
  metrics: MetricsState = { status: 'False', reason: 'NotUsed', message: 'spec.autoscaling is not set' };
  gateways: GatewayCopy[] = [gatewayCopy('gateway-1')];
  groups: GroupsState | null = null;
  missing: string | null = null;
  firstTokenP99: ReadonlyMap<string, number> = new Map();
  #made = 0;

  constructor(spec: Record<string, unknown> = {}, pools: PoolView[] = [pool('aws-a'), pool('gcp-a')]) {
    this.pools = pools;
    this.serving = servingWithDefaults({
      metadata: { name: 'chat', namespace: 'default', uid: 'u1', generation: 1 },
      spec: { models: [{ name: 'tiny', weights: 's3://models/tiny', engine: 'transformers' }], placement: { spare: 0 }, ...spec },
    } as unknown as VicunaServing);
    this.need(2);
  }

  /** What the load needs from now on. */
  need(replicas: number, model = 'tiny'): void {
    this.scale.set(model, { replicas, reason: `the test needs ${replicas}`, limitedBy: null, queue: null });
  }

  get status() {
    return this.serving.status ?? {};
  }

  condition(type: string) {
    return this.status.conditions?.find((c) => c.type === type);
  }

  model(name = 'tiny') {
    return this.status.models?.find((m) => m.name === name);
  }

  /** Replicas that are not told to end, by pool. */
  living(): Record<string, number> {
    const found: Record<string, number> = {};
    for (const r of this.replicas.values()) if (!r.ending) found[r.pool] = (found[r.pool] ?? 0) + 1;
    return found;
  }

  state(): ServingState {
    return {
      serving: this.serving,
      replicas: [...this.replicas.values()],
      deployments: [...this.deployments.values()],
      poolsFor: () => this.pools.map((p) => ({ ...p, freeSlots: p.freeSlots - (this.living()[p.name] ?? 0) })),
      scale: this.scale,
      groups: this.groups,
      metrics: this.metrics,
      firstTokenP99: this.firstTokenP99,
      gateways: this.gateways,
      missing: this.missing,
      refusal: null,
    };
  }

  /** Plans once and does what the plan says. */
  step(): ServingPlan {
    const plan = planServing(this.state(), this.now);
    this.serving = { ...this.serving, status: structuredClone(plan.status) };
    for (const e of plan.events) this.events.push(e.reason);
    for (const { pod, routable } of plan.gates) this.set(pod, { routable, gateKnown: true });
    for (const uid of plan.counted) for (const r of this.replicas.values()) if (r.uid === uid) this.set(r.name, { counted: true });
    for (const { model, track, pool: name, replicas } of plan.deployments) {
      const deployment = `${model} ${track} ${name}`;
      this.deployments.set(deployment, { name: deployment, model, track, pool: name, replicas });
    }
    for (const { pod, cost } of plan.deletionCosts) this.set(pod, { deletionCost: cost });
    for (const name of plan.removals) this.deployments.delete(name);
    for (const { pod } of plan.evictions) if (this.replicas.has(pod)) this.set(pod, { ending: true, readyAt: null });
    this.#runDeployments();
    return plan;
  }

  /** As a ReplicaSet does: pods that are told to end do not count; those that are not ready go first, then the cheapest. */
  #runDeployments(): void {
    for (const d of this.deployments.values()) {
      const own = [...this.replicas.values()].filter((r) => r.model === d.model && r.track === d.track && r.pool === d.pool && !r.ending);
      const surplus = own
        .toSorted((a, b) => Number(a.readyAt !== null) - Number(b.readyAt !== null) || a.deletionCost - b.deletionCost)
        .slice(0, Math.max(0, own.length - d.replicas));
      for (const r of surplus) this.set(r.name, { ending: true, readyAt: null });
      for (let i = own.length; i < d.replicas; i++) this.#make(d);
    }
  }

  #make({ model, track, pool: name }: ExistingDeployment): void {
    const pod = `${model}-${++this.#made}`;
    this.replicas.set(pod, {
      name: pod,
      uid: `uid-${pod}`,
      model,
      models: this.groups?.groups.find((g) => g.name === model)?.models ?? [model],
      gpus: 1,
      track,
      pool: name,
      node: null,
      createdAt: this.now,
      readyAt: null,
      routable: false,
      gateKnown: false,
      ending: false,
      interruption: null,
      advised: false,
      neighbours: 0,
      deletionCost: 0,
      unschedulable: null,
      startProblem: null,
      counted: false,
    });
  }

  set(name: string, change: Partial<Replica>): void {
    const replica = this.replicas.get(name);
    if (!replica) throw new Error(`no replica ${name}`);
    this.replicas.set(name, { ...replica, ...change });
  }

  /** Everything that was made starts and answers after `seconds`. */
  settle(seconds = 20): void {
    for (let turn = 0; turn < 6; turn++) {
      this.step();
      for (const r of this.replicas.values()) {
        if (r.ending) this.replicas.delete(r.name);
        else if (r.readyAt === null && r.unschedulable === null)
          this.set(r.name, { node: `node-of-${r.name}`, routable: true, gateKnown: true, readyAt: r.createdAt + seconds * 1000 });
      }
      this.now += 1_000;
    }
  }

  /** The node of a replica in the pool is about to go. */
  interrupt(name: string, seconds: number | null = 30): Replica {
    const victim = [...this.replicas.values()].find((r) => r.pool === name && !r.ending && r.interruption === null);
    if (!victim) throw new Error(`no replica in ${name}`);
    this.set(victim.name, { interruption: interruption(`node-of-${victim.name}`, this.now, seconds) });
    return victim;
  }
}

/** A notice of so many seconds; null = the node is gone. */
export function interruption(node: string, now: number, seconds: number | null): Interruption {
  return {
    cause: 'spotPreemption',
    source: seconds === null ? 'node-absent' : 'test',
    noticedAt: now,
    deadline: seconds === null ? null : now + seconds * 1000,
    lost: seconds === null,
    advisory: false,
    message: `${node} is taken back`,
  };
}

export function gatewayCopy(name: string, changes: Partial<GatewayCopy> = {}): GatewayCopy {
  return { name, uid: `uid-${name}`, ready: true, startProblem: null, ending: false, interruption: null, ...changes };
}

export function pool(name: string, changes: Partial<PoolView> = {}): PoolView {
  return {
    name,
    cloud: 'aws',
    zone: name,
    capacity: 'spot',
    accelerator: 'A100',
    gpusPerNode: 1,
    gpuMemoryGiB: 80,
    price: { spot: 1, onDemand: 3 },
    freeSlots: 8,
    growableSlots: 0,
    blockedUntil: null,
    remainingLifeHours: null,
    seen: null,
    noticeSeconds: 30,
    egressPerGiB: 0,
    ...changes,
  };
}
