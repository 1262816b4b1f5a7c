import type { V1Node, V1Pod } from '@kubernetes/client-node';
import { durationSeconds } from '../api/duration.ts';
import { gibOf } from '../api/forms.ts';
import type { GpuPool } from '../api/gpu-pool.ts';
import type { VicunaTraining } from '../api/vicuna-training.ts';
import { clusterOfPool } from '../clusters/clusters.ts';
import { clusterOf, nodeIn } from '../clusters/located.ts';
import { POOL_LABEL } from '../pods/labels.ts';
import { look } from '../spot/availability.ts';
import { BLANK_MEMORY, type CapacityMemory, type CapacityObservation, remainingLifeHours, remember } from '../spot/capacity-memory.ts';
import type { PoolView } from '../spot/pool-view.ts';
import type { PlannedPod, PoolObservation } from '../training/draft.ts';
import { priceOf } from './prices/price.ts';
import { type Claim, GpuRoom, gpusOf, type PoolRoom, resourceName } from './room.ts';

/** What the operator knows of all pools: their specs, the room in them, and what trainings have met there. */
export class PoolBook {
  readonly #clock: () => number;
  readonly #outOfReach: (cluster: string | null) => string | null;
  readonly #room: GpuRoom;
  readonly #pools = new Map<string, GpuPool>();
  readonly #memory = new Map<string, CapacityMemory>();
  /** Pods decided on, by training, until they are in the cache. */
  readonly #reserved = new Map<string, Set<string>>();
  readonly #promised = new Map<string, readonly string[]>();
  readonly #roomHandlers: (() => void)[] = [];
  readonly #memoryHandlers: ((pool: string) => void)[] = [];

  /** `outOfReach` says why a cluster (null = the own one) takes nothing now, or null when it does. */
  constructor(clock: () => number, outOfReach: (cluster: string | null) => string | null = () => null) {
    this.#clock = clock;
    this.#outOfReach = outOfReach;
    this.#room = new GpuRoom(clock);
  }

  /** Called when GPUs may have come free. */
  onRoom(handler: () => void): void {
    this.#roomHandlers.push(handler);
  }

  /** Called with a pool's name when something was learnt of it. */
  onMemory(handler: (pool: string) => void): void {
    this.#memoryHandlers.push(handler);
  }

  pool(name: string): GpuPool | undefined {
    return this.#pools.get(name);
  }

  setPool(pool: GpuPool): void {
    const name = pool.metadata.name ?? '';
    this.#pools.set(name, pool);
    // After a restart the memory is the one that the status kept.
    if (!this.#memory.has(name))
      this.#memory.set(name, { ...BLANK_MEMORY, ...(pool.status?.memory as Partial<CapacityMemory> | undefined) });
    this.#room.setPool(pool);
    this.#announceRoom();
  }

  removePool(name: string): void {
    this.#pools.delete(name);
    this.#memory.delete(name);
    this.#room.removePool(name);
  }

  setNode(node: V1Node): void {
    for (const pool of this.#room.setNode(node)) this.#remember(pool, { kind: 'nodeJoined' }, this.#clock());
    this.#announceRoom();
  }

  removeNode(name: string): void {
    this.#room.removeNode(name);
  }

  setPod(pod: V1Pod, deleted: boolean): void {
    const key = nodeIn(clusterOf(pod), `${pod.metadata?.namespace}/${pod.metadata?.name}`);
    const claim = deleted ? null : this.#claimOf(pod);
    this.#room.setPod(key, claim);
    if (claim === null || claim.gpus === 0) this.#announceRoom();
  }

  #claimOf(pod: V1Pod): Claim {
    const pool = pod.metadata?.labels?.[POOL_LABEL] ?? null;
    const known = pool === null ? undefined : this.#pools.get(pool);
    const resource = known ? resourceName(known) : 'nvidia.com/gpu';
    return { node: pod.spec?.nodeName ?? null, pool, resource, gpus: gpusOf(pod, resource) };
  }

  /** Counts planned pods as taken before they exist, so that two trainings planned at the same time do not get the same GPUs. */
  reserve(training: string, planned: readonly PlannedPod[], spec: VicunaTraining, existing: ReadonlyMap<string, unknown>): void {
    const namespace = spec.metadata.namespace ?? 'default';
    const gpus = spec.spec.workers.gpusPerWorker;
    const reserved = this.#reserved.get(training) ?? new Set<string>();
    for (const name of reserved) if (existing.has(name.slice(name.lastIndexOf('/') + 1))) reserved.delete(name);
    for (const pod of planned) {
      const pool = this.#pools.get(pod.pool);
      if (!pool) continue;
      const key = nodeIn(clusterOfPool(pool), `${namespace}/${pod.name}`);
      this.#room.setPod(key, { node: null, pool: pod.pool, resource: resourceName(pool), gpus });
      reserved.add(key);
    }
    if (reserved.size > 0) this.#reserved.set(training, reserved);
    else this.#reserved.delete(training);
  }

  /** Gives back what was reserved for pods that were not made. */
  release(training: string): void {
    for (const key of this.#reserved.get(training) ?? []) this.#room.setPod(key, null);
    this.#reserved.delete(training);
  }

  /** Counts GPUs as taken for pods that somebody else will make for `owner`, a serving's Deployments; replaces the owner's promises. */
  promise(owner: string, gpus: readonly { readonly pool: string; readonly gpus: number }[]): void {
    for (const key of this.#promised.get(owner) ?? []) this.#room.setPod(key, null);
    const keys = gpus.flatMap(({ pool: name, gpus: count }, i) => {
      const pool = this.#pools.get(name);
      if (!pool || count === 0) return [];
      const key = `promised to ${owner}/${i}`;
      this.#room.setPod(key, { node: null, pool: name, resource: resourceName(pool), gpus: count });
      return [key];
    });
    if (keys.length > 0) this.#promised.set(owner, keys);
    else this.#promised.delete(owner);
  }

  observe(observation: PoolObservation, now: number): void {
    this.#remember(observation.pool, observation, now);
  }

  #remember(pool: string, observation: CapacityObservation, now: number): void {
    const before = this.#memory.get(pool);
    if (!before) return;
    const after = remember(before, observation, now);
    if (after === before) return;
    this.#memory.set(pool, after);
    for (const handler of this.#memoryHandlers) handler(pool);
  }

  memory(pool: string): CapacityMemory {
    return this.#memory.get(pool) ?? BLANK_MEMORY;
  }

  room(pool: string): PoolRoom {
    return this.#room.total(pool);
  }

  /** Nodes of the pool on which workers may be put now. */
  usableNodes(pool: string): string[] {
    return this.#room.usableNodes(pool);
  }

  names(): string[] {
    return [...this.#pools.keys()];
  }

  /** The pools that a training selects, with the room for workers of its size. */
  viewsFor(training: VicunaTraining): PoolView[] {
    return this.views(training.spec.placement.pools?.matchLabels ?? {}, training.spec.workers.gpusPerWorker);
  }

  /** The pools with these labels, with the room for pods of so many GPUs. */
  views(matchLabels: Readonly<Record<string, string>>, gpusPerPod: number): PoolView[] {
    return [...this.#pools.values()]
      .filter((pool) => Object.entries(matchLabels).every(([key, value]) => pool.metadata.labels?.[key] === value))
      .map((pool) => this.#view(pool, gpusPerPod));
  }

  /** Those of the operator's own cluster among them. */
  viewsAtHome(matchLabels: Readonly<Record<string, string>>, gpusPerPod: number): PoolView[] {
    return this.views(matchLabels, gpusPerPod).filter((view) => clusterOfPool(this.#pools.get(view.name)) === null);
  }

  #view(pool: GpuPool, gpusPerWorker: number): PoolView {
    const name = pool.metadata.name ?? '';
    const memory = this.memory(name);
    const { spec } = pool;
    const freeSlots = this.#room.slots(name, gpusPerWorker);
    const outOfReach = this.#outOfReach(clusterOfPool(pool));
    return {
      name,
      cloud: spec.cloud,
      ...(spec.region ? { region: spec.region } : {}),
      ...(spec.zone ? { zone: spec.zone } : {}),
      capacity: spec.capacity,
      accelerator: spec.accelerator.type,
      gpusPerNode: spec.accelerator.count,
      gpuMemoryGiB: spec.accelerator.memory === undefined ? null : gibOf(spec.accelerator.memory),
      price: priceOf(pool, this.#clock()),
      freeSlots: outOfReach === null ? freeSlots : 0,
      growableSlots: outOfReach === null ? this.#room.growableSlots(name, gpusPerWorker) : 0,
      ...(outOfReach === null ? {} : { outOfReach }),
      blockedUntil: memory.blockedUntil !== null && memory.blockedUntil > this.#clock() ? memory.blockedUntil : null,
      remainingLifeHours: remainingLifeHours(memory),
      seen: freeSlots > 0 ? look(memory.availability, true, this.#clock() / 1_000) : memory.availability,
      noticeSeconds: durationSeconds(spec.notice),
      egressPerGiB: Number(spec.egress?.pricePerGiB ?? 0),
    };
  }

  #announceRoom(): void {
    for (const handler of this.#roomHandlers) handler();
  }
}
