import { GPU_POOL, type GpuPool, poolWithDefaults } from '../api/gpu-pool.ts';
import { type Clusters, clusterOfPool } from '../clusters/clusters.ts';
import { isConflict, isNotFound, type KubeClient } from '../kube/client.ts';
import type { Informer } from '../kube/informer.ts';
import type { WorkQueue } from '../kube/work-queue.ts';
import type { OperatorMetrics } from '../server/metrics.ts';
import { remainingLifeHours } from '../spot/capacity-memory.ts';
import type { PoolBook } from './book.ts';
import { dueAt, livePriceOf, type PriceReading, priceOf, queryOf } from './prices/price.ts';
import type { PriceReader } from './prices/quote.ts';
import { poolStatus } from './status.ts';

/** Pods come and go in bursts; a pool's status follows them this much later, in one write. */
const SETTLE_MS = 5_000;

export interface PoolControllerOptions {
  readonly client: KubeClient;
  readonly pools: Informer<GpuPool>;
  readonly queue: WorkQueue;
  readonly book: PoolBook;
  readonly clusters: Clusters;
  readonly metrics: OperatorMetrics;
  readonly readPrices: PriceReader;
  readonly clock: () => number;
}

/** Keeps GpuPools' status: nodes, free GPUs, and the memory of launches and interruptions that outlives the operator. */
export class PoolController {
  readonly #o: PoolControllerOptions;

  constructor(options: PoolControllerOptions) {
    this.#o = options;
    const { pools, queue, book, metrics, clusters } = options;
    pools.onChange(({ type, object }) => {
      const name = object.metadata.name ?? '';
      if (type === 'deleted') {
        book.removePool(name);
        this.#readings.delete(name);
        metrics.forgetPool(name);
        clusters.follow(pools.list());
        return;
      }
      clusters.follow(pools.list());
      book.setPool(poolWithDefaults(object));
      queue.addAfter(name, SETTLE_MS);
    });
    clusters.onHealth((cluster) => {
      for (const pool of pools.list()) if (clusterOfPool(pool) === cluster) queue.add(pool.metadata.name ?? '');
    });
    book.onMemory((pool) => queue.addAfter(pool, SETTLE_MS));
    book.onRoom(() => {
      for (const name of book.names()) queue.addAfter(name, SETTLE_MS);
    });
  }

  async reconcile(name: string): Promise<void> {
    const { client, pools, queue, book, metrics, clusters, clock } = this.#o;
    const pool = pools.get(undefined, name);
    if (!pool) return;
    const memory = book.memory(name);
    const room = book.room(name);
    const now = clock();
    const blocked = memory.blockedUntil !== null && memory.blockedUntil > now;
    const life = remainingLifeHours(memory);
    const { capacity } = pool.spec;
    const { spot, onDemand } = priceOf(pool, now);
    const status = poolStatus(pool, room, memory, clusters.health(clusterOfPool(pool)), now, this.#readings.get(name));
    metrics.setPool(name, {
      nodes: room.nodes,
      // Notifiers of other clusters are for those to watch.
      spotNodes: capacity === 'spot' && clusterOfPool(pool) === null ? book.usableNodes(name) : [],
      gpusUsed: room.gpusTotal - room.gpusFree,
      gpusFree: room.gpusFree,
      pricePerHour: capacity === 'spot' ? (spot ?? onDemand) : onDemand,
      livePrice: livePriceOf(poolWithDefaults(pool).spec, status),
      blocked,
      remainingLifeSeconds: life * 3_600,
      interruptions: memory.interruptions,
      placed: memory.launched,
      noCapacity: memory.noCapacity,
    });
    this.#readWhenDue(name, pool, now);
    if (blocked) queue.addAfter(name, (memory.blockedUntil ?? now) - now + 1);
    if (JSON.stringify(status) === JSON.stringify(this.#written.get(name))) return;
    try {
      pools.upsert(await client.replaceStatus(GPU_POOL, { ...pool, status }));
      this.#written.set(name, status);
    } catch (error) {
      if (!isConflict(error) && !isNotFound(error)) throw error;
      queue.addAfter(name, SETTLE_MS);
    }
  }

  /** Starts reading the pool's prices when it is time; what comes of it is in the status of the next round. */
  #readWhenDue(name: string, pool: GpuPool, now: number): void {
    const { queue, clock, readPrices } = this.#o;
    const { source } = pool.spec.price;
    const query = queryOf(poolWithDefaults(pool).spec);
    if (source === undefined || query === null || this.#reading.has(name)) return;
    const due = dueAt(source, this.#readings.get(name), pool.status);
    if (due > now) {
      queue.addAfter(name, due - now + 1);
      return;
    }
    this.#reading.add(name);
    // One after the other: each is a process.
    this.#turn = this.#turn
      .then(() => readPrices(query))
      .then(
        (quote) => this.#readings.set(name, { at: clock(), quote }),
        (error: Error) => this.#readings.set(name, { at: clock(), error: error.message }),
      )
      .finally(() => {
        this.#reading.delete(name);
        queue.addAfter(name, 0);
      });
  }

  readonly #readings = new Map<string, PriceReading>();
  readonly #reading = new Set<string>();
  #turn: Promise<unknown> = Promise.resolve();

  /** What was last written, to spare the API server writes that change nothing. */
  readonly #written = new Map<string, GpuPool['status']>();
}
