import { cheapestMix, STARTS_AHEAD, type ZoneOutlook } from './fleet-mix.ts';
import { onDemandPerHour, type PoolView, pricePerHour } from './pool-view.ts';

/** A replica that lives, or is on its way, in a pool. Those whose nodes are being taken away are not among them. */
export interface FleetReplica {
  readonly pool: string;
  readonly ready: boolean;
  /** It has a node: it will be ready unless that is lost. */
  readonly placed: boolean;
}

export interface FleetRequest {
  /** Replicas that the load needs. */
  readonly needed: number;
  /** Of these, always on-demand. */
  readonly onDemandBase: number;
  /** Spot replicas beyond the needed ones; auto = by the estimated joint loss. */
  readonly spare: number | 'auto';
  readonly spread: 'zone' | 'pool' | 'none';
  readonly capacity: 'spot' | 'onDemand' | 'auto';
  readonly accelerator: string | null;
  readonly gpusPerReplica: number;
  /** US dollars per hour for one replica. */
  readonly maxPricePerHour: number | null;
  /** Seconds from a replica's creation until it answers. */
  readonly startSeconds: number;
}

export interface Fleet {
  /** Replicas aimed at, by pool. */
  readonly targets: ReadonlyMap<string, number>;
  /** Spot replicas beyond the needed ones. */
  readonly spare: number;
  /** Needed replicas for which no pool has room. */
  readonly missing: number;
  readonly reason: 'Placed' | 'NoMatchingPool' | 'NoCapacity';
  readonly message: string;
  /** When a pool that is blocked may be tried again (ms since epoch), or null. */
  readonly retryAt: number | null;
}

/** Of a spot node of which nothing is known. */
const ASSUMED_LIFE_HOURS = 12;

/**
 * How many replicas to keep in which pool. Replicas stay where they are; spot comes first, spread over zones; on-demand stands in for as
 * long as spot replicas are missing, and goes when they answer.
 */
export function planFleet(request: FleetRequest, replicas: readonly FleetReplica[], pools: readonly PoolView[], now: number): Fleet {
  const usable = pools.filter((pool) => fits(request, pool));
  const spotPools = request.capacity === 'onDemand' ? [] : usable.filter((p) => p.capacity === 'spot');
  const onDemandPools = request.capacity === 'spot' ? [] : usable.filter((p) => p.capacity === 'onDemand');
  const given = spotPools.length === 0 ? request.needed : Math.min(request.needed, onDemandPools.length === 0 ? 0 : request.onDemandBase);
  const mix = request.spare === 'auto' ? mixFor(request, request.needed - given, spotPools, onDemandPools, replicas) : null;
  const base = given + (mix?.onDemand ?? 0);
  const neededSpot = request.needed - base;
  const spare = neededSpot === 0 ? 0 : mix ? mix.spot - neededSpot : Number(request.spare);
  const allotment = new Allotment(request, replicas, now);
  allotment.fill(spotPools, neededSpot + spare);
  const coming = countIn(spotPools, replicas, (r) => r.placed, allotment.targets) + allotment.onNodesThatAreThere(spotPools);
  const answering = countIn(spotPools, replicas, (r) => r.ready, allotment.targets);
  const standIns = countIn(onDemandPools, replicas, () => true) - base;
  // A new stand-in only for a replica that has no node: one that starts already will be there as soon. It leaves when spot answers.
  const wantedStandIns = Math.max(neededSpot - coming, Math.min(standIns, neededSpot - answering), 0);
  allotment.fill(onDemandPools, base + (onDemandPools.length === 0 ? 0 : wantedStandIns));
  const total = [...allotment.targets.values()].reduce((a, b) => a + b, 0);
  const missing = Math.max(0, request.needed - total);
  const retries = usable.flatMap((p) => (p.blockedUntil !== null && p.blockedUntil > now ? [p.blockedUntil] : []));
  return {
    targets: allotment.targets,
    spare,
    missing,
    reason: missing === 0 ? 'Placed' : usable.length === 0 ? 'NoMatchingPool' : 'NoCapacity',
    message: missing === 0 ? describe(request, allotment.targets, usable, spare, mix) : refusal(request, pools, missing, now),
    retryAt: retries.length === 0 ? null : Math.min(...retries),
  };
}

/** Hardware, capacity type and price: what no waiting changes. A spot price at the on-demand price saves nothing. */
function fits(request: FleetRequest, pool: PoolView): boolean {
  return unfit(request, pool) === null;
}

function unfit(request: FleetRequest, pool: PoolView): string | null {
  if (request.gpusPerReplica > pool.gpusPerNode) return `has ${pool.gpusPerNode} GPUs in a node`;
  if (request.accelerator !== null && request.accelerator !== pool.accelerator) return `has ${pool.accelerator}`;
  if (request.capacity !== 'auto' && request.capacity !== pool.capacity) return `is ${pool.capacity === 'spot' ? 'spot' : 'on-demand'}`;
  if (pool.capacity === 'spot' && pool.price.spot !== null && pool.price.spot >= pool.price.onDemand)
    return 'quotes spot at the on-demand price';
  const price = pricePerHour(pool, 1, request.gpusPerReplica);
  if (request.maxPricePerHour !== null && price > request.maxPricePerHour) return `quotes $${price.toFixed(2)}/h for one replica`;
  return null;
}

/** Gives out replicas pool by pool. */
class Allotment {
  readonly targets = new Map<string, number>();
  readonly #request: FleetRequest;
  readonly #existing = new Map<string, number>();
  readonly #now: number;

  constructor(request: FleetRequest, replicas: readonly FleetReplica[], now: number) {
    this.#request = request;
    this.#now = now;
    for (const { pool } of replicas) this.#existing.set(pool, (this.#existing.get(pool) ?? 0) + 1);
  }

  /** Aims at `wanted` replicas in these pools: those there are first, then new ones where there is room. */
  fill(pools: readonly PoolView[], wanted: number): void {
    for (const pool of pools) {
      const existing = this.#existing.get(pool.name) ?? 0;
      if (existing > 0) this.targets.set(pool.name, existing);
    }
    const total = () => pools.reduce((sum, p) => sum + this.#in(p), 0);
    while (total() > wanted) {
      const crowded = this.#ranked(pools.filter((p) => this.#in(p) > 0)).at(-1);
      if (!crowded) break;
      this.targets.set(crowded.name, this.#in(crowded) - 1);
    }
    while (total() < wanted) {
      const best = this.#ranked(pools.filter((p) => this.#hasRoom(p)))[0];
      if (!best) break;
      this.targets.set(best.name, this.#in(best) + 1);
    }
  }

  /** New replicas that need no node to be added. */
  onNodesThatAreThere(pools: readonly PoolView[]): number {
    return pools.reduce((sum, p) => sum + Math.min(p.freeSlots, Math.max(0, this.#in(p) - (this.#existing.get(p.name) ?? 0))), 0);
  }

  #in(pool: PoolView): number {
    return this.targets.get(pool.name) ?? 0;
  }

  #hasRoom(pool: PoolView): boolean {
    if (pool.blockedUntil !== null && pool.blockedUntil > this.#now) return false;
    const added = this.#in(pool) - (this.#existing.get(pool.name) ?? 0);
    return added < pool.freeSlots + pool.growableSlots;
  }

  /** Best place for one more first: the emptiest zone or pool, then nodes that are there, then the price of useful time. */
  #ranked(pools: readonly PoolView[]): PoolView[] {
    const { spread } = this.#request;
    const crowd = (pool: PoolView) => {
      if (spread === 'none') return 0;
      if (spread === 'pool') return this.#in(pool);
      return pools.filter((p) => zoneOf(p) === zoneOf(pool)).reduce((sum, p) => sum + this.#in(p), 0);
    };
    const grows = (pool: PoolView) => (this.#in(pool) - (this.#existing.get(pool.name) ?? 0) < pool.freeSlots ? 0 : 1);
    return pools
      .map((pool) => ({ pool, crowd: crowd(pool), grows: grows(pool), price: costPerUsefulHour(this.#request, pool) }))
      .sort((a, b) => a.crowd - b.crowd || a.grows - b.grows || a.price - b.price || (a.pool.name < b.pool.name ? -1 : 1))
      .map(({ pool }) => pool);
  }
}

/** Price of an hour in which the replica answers: after each loss its successor is paid for while it starts. */
function costPerUsefulHour(request: FleetRequest, pool: PoolView): number {
  const price = pricePerHour(pool, 1, request.gpusPerReplica);
  return pool.capacity === 'onDemand' ? price : price * (1 + request.startSeconds / 3_600 / lifeHours(pool));
}

function lifeHours(pool: PoolView): number {
  return Math.max(1e-3, pool.remainingLifeHours ?? ASSUMED_LIFE_HOURS);
}

/** Pools without a zone are zones of their own. */
function zoneOf(pool: PoolView): string {
  return pool.zone === undefined ? `pool ${pool.name}` : `${pool.cloud} ${pool.zone}`;
}

function countIn(
  pools: readonly PoolView[],
  replicas: readonly FleetReplica[],
  counts: (replica: FleetReplica) => boolean,
  atMost?: ReadonlyMap<string, number>,
): number {
  return pools.reduce((sum, pool) => {
    const found = replicas.filter((r) => r.pool === pool.name && counts(r)).length;
    return sum + (atMost ? Math.min(found, atMost.get(pool.name) ?? 0) : found);
  }, 0);
}

/** How many of the needed replicas are spot, with spares, and how many on-demand, by the cheapest mix over the zones there are. */
export function mixFor(
  request: Pick<FleetRequest, 'startSeconds' | 'gpusPerReplica'>,
  needed: number,
  spotPools: readonly PoolView[],
  onDemandPools: readonly PoolView[],
  replicas: readonly FleetReplica[],
): { readonly spot: number; readonly onDemand: number; readonly loss: number } {
  if (needed === 0) return { spot: 0, onDemand: 0, loss: 0 };
  const price = (pools: readonly PoolView[]) => Math.min(...pools.map((p) => pricePerHour(p, 1, request.gpusPerReplica)));
  const zones = new Map<string, ZoneOutlook>();
  for (const pool of spotPools) {
    const running = replicas.filter((r) => r.pool === pool.name).length;
    const loss = 1 - Math.exp((-STARTS_AHEAD * request.startSeconds) / 3_600 / lifeHours(pool));
    const known = zones.get(zoneOf(pool));
    // Whether there is room shows when nodes are asked for; what finds none is stood in for by on-demand.
    zones.set(zoneOf(pool), {
      loss: Math.min(known?.loss ?? 1, loss),
      running: (known?.running ?? 0) + running,
      room: Number.POSITIVE_INFINITY,
    });
  }
  const { spot, onDemand } = cheapestMix(
    {
      needed,
      spotPrice: price(spotPools),
      ...(onDemandPools.length === 0
        ? { onDemandPrice: 0, onDemandRoom: 0 }
        : { onDemandPrice: price(onDemandPools), onDemandRoom: needed }),
    },
    [...zones.values()],
  );
  const used = [...zones.values()].filter((_, i) => (spot[i] ?? 0) > 0 || onDemand === needed);
  return { spot: spot.reduce((a, b) => a + b, 0), onDemand, loss: Math.max(0, ...used.map((zone) => zone.loss)) };
}

/** Where, what it costs against on-demand alone, and why there are spares or on-demand among them: in one sentence. */
function describe(
  request: FleetRequest,
  targets: ReadonlyMap<string, number>,
  pools: readonly PoolView[],
  spare: number,
  mix: ReturnType<typeof mixFor> | null,
): string {
  const places = [...targets].filter(([, n]) => n > 0);
  if (places.length === 0) return 'no replicas are wanted';
  const where = places.map(([pool, n]) => `${n} in ${pool}`).join(', ');
  const priceOf = (name: string, price: (pool: PoolView) => number) => {
    const pool = pools.find((p) => p.name === name);
    return pool === undefined ? 0 : price(pool);
  };
  const cost = places.reduce((sum, [name, n]) => sum + n * priceOf(name, (p) => pricePerHour(p, 1, request.gpusPerReplica)), 0);
  const firm = Math.min(...pools.map((p) => onDemandPerHour(p, 1, request.gpusPerReplica))) * request.needed;
  // The chance in one digit: with more the sentence would be a new one all the time.
  const chance = mix === null || mix.loss === 0 ? null : Number((100 * mix.loss).toPrecision(1));
  const lost = chance === null ? '' : `a zone is lost with ${chance} % before a successor answers`;
  const words = [
    `${where}${spare === 0 ? '' : `, ${spare} of them spare`}`,
    `$${cost.toFixed(2)}/h where on-demand alone costs $${firm.toFixed(2)}/h`,
  ];
  if (lost !== '' && spare > 0) words.push(`spare, because ${lost}`);
  else if (lost !== '' && mix !== null && mix.onDemand > 0) words.push(`on-demand, because ${lost}`);
  return words.join('; ');
}

function refusal(request: FleetRequest, pools: readonly PoolView[], missing: number, now: number): string {
  const why = pools.map((pool) => {
    const lasting = unfit(request, pool);
    if (lasting !== null) return `${pool.name} ${lasting}`;
    if (pool.blockedUntil !== null && pool.blockedUntil > now)
      return `${pool.name} refused launches lately (next try ${new Date(pool.blockedUntil).toISOString().slice(11, 16)} UTC)`;
    return `${pool.name} is full`;
  });
  const reasons = pools.length === 0 ? 'there is none that spec.placement.pools selects' : why.join(', ');
  return `No pool has room for ${missing} more ${missing === 1 ? 'replica' : 'replicas'}: ${reasons}. Add a pool or nodes, or wait: they start by themselves when there is room`;
}

/** US dollars per hour that a replica in the pool costs, and would cost on demand. */
export function replicaPrices(pool: PoolView, gpus: number): { readonly pricePerHour: number; readonly onDemandPerHour: number } {
  return { pricePerHour: pricePerHour(pool, 1, gpus), onDemandPerHour: onDemandPerHour(pool, 1, gpus) };
}
