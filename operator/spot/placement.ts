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
  /** US dollars per node-hour; spot null = not quoted. */
  readonly price: { readonly spot: number | null; readonly onDemand: number };
  /** Workers that fit on nodes that are there now. */
  readonly freeSlots: number;
  /** Workers for which an autoscaler may still add nodes. */
  readonly growableSlots: number;
  /** Nothing new is placed before this time (ms since epoch). */
  readonly blockedUntil: number | null;
  /** Hours that a node is expected to last from now; null = unknown. */
  readonly remainingLifeHours: number | null;
}

export interface PlacementRequest {
  readonly min: number;
  readonly max: number;
  /** 0 = CPU only. */
  readonly gpusPerWorker: number;
  readonly accelerator: string | null;
  readonly capacity: 'spot' | 'onDemand' | 'auto';
  /** What the deadline asks for now; null = no preference. */
  readonly wanted: 'spot' | 'onDemand' | null;
  /** With time to spare before a deadline, on-demand waits until then (ms since epoch) for spot to come; null = it does not wait. */
  readonly onDemandAt: number | null;
  /** For all workers together, US dollars per hour. */
  readonly maxPricePerHour: number | null;
  readonly currentPool: string | null;
  readonly avoid: ReadonlySet<string>;
  /** What a change-over costs in training time, seconds. */
  readonly restartSeconds: number;
}

export type Placement =
  | { readonly pool: PoolView; readonly workers: number; readonly message: string }
  | {
      readonly pool: null;
      readonly reason: 'NoMatchingPool' | 'NoCapacity' | 'TooExpensive';
      readonly message: string;
      readonly retryAt: number | null;
    };

/** Of a spot node of which nothing is known. */
const ASSUMED_LIFE_HOURS = 12;

interface Candidate {
  readonly request: PlacementRequest;
  readonly pool: PoolView;
  readonly now: number;
  /** Whether there is a spot pool that could hold the gang if it had room: only then does waiting make sense. */
  readonly spotMayCome: boolean;
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
  worthwhileNow, // with time to spare before its deadline, a training waits for spot
  notAvoided, // failed in this very decision
  notBlocked, // found dry a short while ago
  hasRoom, // at least the smallest world fits, now or after growing
];

/** Refusals that no waiting changes. */
const LASTING: readonly Policy[] = [rightAccelerator, rightCapacity, trulySpot, affordable];

/** Where to run: the pool that gives most useful time for the money, or why there is none, each pool's refusal by name. */
export function place(request: PlacementRequest, pools: readonly PoolView[], now: number): Placement {
  const refusals: { pool: PoolView; refusal: Refusal }[] = [];
  const candidates: PoolView[] = [];
  const fits = (pool: PoolView) => LASTING.every((policy) => policy({ request, pool, now, spotMayCome: false }) === null);
  const spotMayCome = pools.some((pool) => pool.capacity === 'spot' && fits(pool));
  for (const pool of pools) {
    const refusal = POLICIES.map((policy) => policy({ request, pool, now, spotMayCome })).find((r) => r !== null);
    if (refusal) refusals.push({ pool, refusal });
    else candidates.push(pool);
  }
  const best = candidates
    .map((pool) => {
      const workers = workersIn(request, pool);
      return { pool, workers, score: costPerUsefulHour(request, pool, workers) };
    })
    .toSorted(
      (a, b) =>
        preference(request, a.pool) - preference(request, b.pool) ||
        b.workers - a.workers ||
        a.score - b.score ||
        (a.pool.name < b.pool.name ? -1 : 1),
    )[0];
  if (best) return { pool: best.pool, workers: best.workers, message: reasonFor(request, best.pool, best.workers) };
  return refused(request, pools, refusals);
}

function refused(
  request: PlacementRequest,
  pools: readonly PoolView[],
  refusals: readonly { pool: PoolView; refusal: Refusal }[],
): Placement {
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

function worthwhileNow({ request, pool, now, spotMayCome }: Candidate): Refusal | null {
  const { onDemandAt } = request;
  if (pool.capacity !== 'onDemand' || onDemandAt === null || onDemandAt <= now || !spotMayCome) return null;
  const message = `starts by itself at ${timeOfDay(onDemandAt)} to meet the deadline if no spot comes`;
  return { reason: 'NoCapacity', message, retryAt: onDemandAt };
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

/** 0 for the capacity type that the deadline wants, or, with capacity auto, for spot. */
function preference(request: PlacementRequest, pool: PoolView): number {
  return pool.capacity === (request.wanted ?? 'spot') ? 0 : 1;
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

/** A move must save at least so much, or two pools of about the same price would pass a training back and forth. */
const MOVE_PENALTY = 1.02;

/**
 * Price per worker of an hour in which training goes forward. Each loss of a node stops the whole gang for a restart, and the first
 * of n nodes is lost n times as soon as one: of every life/n + restart hours that are paid for, life/n are of use.
 */
function costPerUsefulHour(request: PlacementRequest, pool: PoolView, workers: number): number {
  const moving = request.currentPool !== null && request.currentPool !== pool.name ? MOVE_PENALTY : 1;
  const price = pricePerHour(pool, 1, request.gpusPerWorker) * moving;
  if (pool.capacity === 'onDemand') return price;
  const gangLife = Math.max(1e-6, pool.remainingLifeHours ?? ASSUMED_LIFE_HOURS) / workers;
  return price * (1 + request.restartSeconds / 3_600 / gangLife);
}

function reasonFor(request: PlacementRequest, pool: PoolView, workers: number): string {
  const price = pricePerHour(pool, workers, request.gpusPerWorker);
  const kind = pool.capacity === 'spot' ? 'spot' : 'on-demand';
  const life =
    pool.remainingLifeHours === null || pool.capacity === 'onDemand' ? '' : `, expected to last ${pool.remainingLifeHours.toFixed(1)} h`;
  return `${workers} ${workers === 1 ? 'worker' : 'workers'} on ${kind} at $${price.toFixed(2)}/h${life}`;
}
