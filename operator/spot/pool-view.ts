import type { Availability } from './availability.ts';

/** A pool as placement sees it: plain data, the room in it counted for workers of the asking training's size. */
export interface PoolView {
  readonly name: string;
  readonly cloud: string;
  readonly region?: string;
  readonly zone?: string;
  readonly capacity: 'spot' | 'onDemand';
  readonly accelerator: string;
  /** GPUs in one node; 0 = a CPU pool. */
  readonly gpusPerNode: number;
  /** Of one accelerator; null = its pool does not say. */
  readonly gpuMemoryGiB: number | null;
  /** US dollars per node-hour; spot null = not quoted. */
  readonly price: { readonly spot: number | null; readonly onDemand: number };
  /** Workers that fit on nodes that are there now. */
  readonly freeSlots: number;
  /** Workers for which an autoscaler may still add nodes. */
  readonly growableSlots: number;
  /** Why its cluster takes nothing now; absent = it does. */
  readonly outOfReach?: string;
  /** Nothing new is placed before this time (ms since epoch). */
  readonly blockedUntil: number | null;
  /** Hours that a node is expected to last from now; null = unknown. */
  readonly remainingLifeHours: number | null;
  /** How its spot came and went; null = never looked at. */
  readonly seen: Availability | null;
  /** Between the notice of a loss and the loss, seconds. */
  readonly noticeSeconds: number;
  /** US dollars that reading a checkpoint here costs. */
  readonly egressPerGiB: number;
}

/** US dollars per hour for so many workers: they pay for their share of a node's GPUs, a CPU worker for the node. */
export function pricePerHour(pool: PoolView, workers: number, gpusPerWorker: number): number {
  const perNode = pool.capacity === 'spot' ? (pool.price.spot ?? pool.price.onDemand) : pool.price.onDemand;
  return workers * perNode * share(pool, gpusPerWorker);
}

/** What on-demand would cost for the same workers, US dollars per hour. */
export function onDemandPerHour(pool: PoolView, workers: number, gpusPerWorker: number): number {
  return workers * pool.price.onDemand * share(pool, gpusPerWorker);
}

function share(pool: PoolView, gpusPerWorker: number): number {
  return pool.gpusPerNode === 0 || gpusPerWorker === 0 ? 1 : gpusPerWorker / pool.gpusPerNode;
}
