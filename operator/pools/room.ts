import type { V1Node, V1Pod } from '@kubernetes/client-node';
import type { GpuPool } from '../api/gpu-pool.ts';
import { clusterOfPool } from '../clusters/clusters.ts';
import { clusterOf } from '../clusters/located.ts';
import { interruptionOfNode } from '../signals/interruption.ts';

/** Workers without GPUs share a node; how many fit is the scheduler's business, so each node offers this many places. */
const CPU_SLOTS_PER_NODE = 16;

interface NodeRoom {
  readonly node: V1Node;
  /** Ready, schedulable and not about to go. */
  readonly usable: boolean;
}

export interface PoolRoom {
  readonly nodes: number;
  readonly gpusTotal: number;
  readonly gpusFree: number;
}

/**
 * How many GPUs each pool has free now. Kept up to date event by event, so that asking costs one pass over the pool's nodes.
 * GPUs count as taken from the moment a worker pod is decided on: before it is in the cache, before it is scheduled.
 */
export class GpuRoom {
  readonly #clock: () => number;
  readonly #nodes = new Map<string, NodeRoom>();
  readonly #pools = new Map<string, { pool: GpuPool; nodes: Set<string> }>();
  /** GPUs in use by node and resource name. */
  readonly #used = new Map<string, Map<string, number>>();
  readonly #pods = new Map<string, Claim>();
  /** GPUs claimed in a pool by pods without a node yet. */
  readonly #unscheduled = new Map<string, number>();

  constructor(clock: () => number = Date.now) {
    this.#clock = clock;
  }

  setPool(pool: GpuPool): void {
    const nodes = new Set<string>();
    for (const { node } of this.#nodes.values()) if (belongsTo(node, pool)) nodes.add(node.metadata?.name ?? '');
    this.#pools.set(pool.metadata.name ?? '', { pool, nodes });
  }

  removePool(name: string): void {
    this.#pools.delete(name);
  }

  /** Takes the node's news in; the pools to which it has become usable by them. */
  setNode(node: V1Node): string[] {
    const name = node.metadata?.name ?? '';
    const usable = isUsable(node, this.#clock());
    const wasUsable = this.#nodes.get(name)?.usable ?? false;
    this.#nodes.set(name, { node, usable });
    const joined: string[] = [];
    for (const [poolName, entry] of this.#pools) {
      if (belongsTo(node, entry.pool)) {
        entry.nodes.add(name);
        if (usable && !wasUsable) joined.push(poolName);
      } else entry.nodes.delete(name);
    }
    return joined;
  }

  removeNode(name: string): void {
    this.#nodes.delete(name);
    for (const entry of this.#pools.values()) entry.nodes.delete(name);
  }

  /** Notes what a pod holds, scheduled or not. Call it for every pod event, and with a planned pod before it is created. */
  setPod(key: string, claim: Claim | null): void {
    const before = this.#pods.get(key);
    if (before) this.#count(before, -1);
    if (claim === null || claim.gpus === 0) {
      this.#pods.delete(key);
      return;
    }
    this.#pods.set(key, claim);
    this.#count(claim, 1);
  }

  #count(claim: Claim, sign: 1 | -1): void {
    if (claim.node !== null) {
      const byResource = this.#used.get(claim.node) ?? new Map<string, number>();
      byResource.set(claim.resource, (byResource.get(claim.resource) ?? 0) + sign * claim.gpus);
      this.#used.set(claim.node, byResource);
    } else if (claim.pool !== null) {
      this.#unscheduled.set(claim.pool, (this.#unscheduled.get(claim.pool) ?? 0) + sign * claim.gpus);
    }
  }

  /** Workers of `gpus` GPUs each that would find a place in the pool now. */
  slots(poolName: string, gpus: number): number {
    const entry = this.#pools.get(poolName);
    if (!entry) return 0;
    const resource = resourceName(entry.pool);
    let slots = 0;
    for (const name of entry.nodes) {
      const room = this.#nodes.get(name);
      if (!room?.usable) continue;
      slots += gpus === 0 ? CPU_SLOTS_PER_NODE : Math.floor(this.#freeOn(name, room.node, resource) / gpus);
    }
    const waiting = gpus === 0 ? 0 : Math.ceil((this.#unscheduled.get(poolName) ?? 0) / gpus);
    return Math.max(0, slots - waiting);
  }

  /** Workers for which the pool's autoscaler may still add nodes. */
  growableSlots(poolName: string, gpus: number): number {
    const entry = this.#pools.get(poolName);
    const maxNodes = entry?.pool.spec.maxNodes;
    if (!entry || maxNodes === undefined) return 0;
    const perNode = gpus === 0 ? CPU_SLOTS_PER_NODE : Math.floor(entry.pool.spec.accelerator.count / gpus);
    return Math.max(0, maxNodes - entry.nodes.size) * perNode;
  }

  total(poolName: string): PoolRoom {
    const entry = this.#pools.get(poolName);
    if (!entry) return { nodes: 0, gpusTotal: 0, gpusFree: 0 };
    const resource = resourceName(entry.pool);
    let gpusTotal = 0;
    let gpusFree = 0;
    for (const name of entry.nodes) {
      const room = this.#nodes.get(name);
      if (!room) continue;
      gpusTotal += allocatable(room.node, resource);
      if (room.usable) gpusFree += Math.max(0, this.#freeOn(name, room.node, resource));
    }
    return { nodes: entry.nodes.size, gpusTotal, gpusFree };
  }

  /** Nodes of the pool on which workers may be put now. */
  usableNodes(poolName: string): string[] {
    return [...(this.#pools.get(poolName)?.nodes ?? [])].filter((name) => this.#nodes.get(name)?.usable);
  }

  #freeOn(name: string, node: V1Node, resource: string): number {
    return allocatable(node, resource) - (this.#used.get(name)?.get(resource) ?? 0);
  }
}

/** What one pod takes: GPUs on its node, or in its pool while it has none. */
export interface Claim {
  readonly node: string | null;
  readonly pool: string | null;
  readonly resource: string;
  readonly gpus: number;
}

export function resourceName(pool: GpuPool): string {
  return pool.spec.accelerator.resourceName ?? 'nvidia.com/gpu';
}

/** GPUs of `resource` that the pod's containers ask for; nothing once it has ended. */
export function gpusOf(pod: V1Pod, resource: string): number {
  if (pod.status?.phase === 'Succeeded' || pod.status?.phase === 'Failed') return 0;
  let gpus = 0;
  for (const container of pod.spec?.containers ?? []) {
    gpus += Number(container.resources?.limits?.[resource] ?? container.resources?.requests?.[resource] ?? 0);
  }
  return gpus;
}

function belongsTo(node: V1Node, pool: GpuPool): boolean {
  if (clusterOf(node) !== clusterOfPool(pool)) return false;
  const labels = node.metadata?.labels ?? {};
  return Object.entries(pool.spec.nodeSelector).every(([key, value]) => labels[key] === value);
}

function allocatable(node: V1Node, resource: string): number {
  return Number(node.status?.allocatable?.[resource] ?? 0);
}

function isUsable(node: V1Node, now: number): boolean {
  if (node.spec?.unschedulable === true || node.metadata?.deletionTimestamp !== undefined) return false;
  const ready = node.status?.conditions?.find((c) => c.type === 'Ready');
  if (ready !== undefined && ready.status !== 'True') return false;
  const interruption = interruptionOfNode(node, now);
  return interruption === null || interruption.advisory;
}
