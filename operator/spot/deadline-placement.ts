import { type Availability, firstSight, look } from './availability.ts';
import {
  choosePools,
  type MultiPoolInput,
  type PoolTerms,
  poolsWorthWaitingFor,
  type SpotWeighed,
  seenTogether,
  weighSpot,
} from './multi-pool-policy.ts';
import { type PoolView, pricePerHour } from './pool-view.ts';
import { planSlack } from './slack-plan.ts';
import { type Horizon, keepPlans } from './slack-policy.ts';

/** A deadline, and what is left of the work. Times in seconds since the epoch, and seconds. */
export interface DeadlineTerms {
  readonly deadline: number;
  readonly remainingSeconds: number;
  /** Training time that a change of place costs, the work that it is expected to lose included. */
  readonly changeoverSeconds: number;
  readonly checkpointGiB: number;
  /** Name of the pool in which it trains and could go on; null = nowhere. */
  readonly runningIn: string | null;
  /** How spot came and went in the pools worth waiting for, as the last decision left it. */
  readonly spotSeen: Availability | null;
}

export interface DeadlinePlan {
  /** Pools to try, by name, best first. None of them having room, it stays where it runs, or waits. */
  readonly order: readonly string[];
  /** Where to stay, if it runs and nothing better is to be had. */
  readonly stayIn: string | null;
  /** When on-demand starts by itself if no spot comes, seconds since the epoch; null = it does not wait for spot. */
  readonly onDemandAt: number | null;
  readonly slackSeconds: number;
  /** Spot pools by name. */
  readonly weighed: ReadonlyMap<string, SpotWeighed>;
  readonly spotSeen: Availability | null;
}

/** One for the whole operator: plans depend on their input alone and are shared by all trainings. */
const planner = keepPlans(planSlack, 256);
/** Decisions to a run: finer ones cost more than they save. */
const STEPS = 250;
/** Times are rounded up to powers of these, so that few plans serve many trainings. */
const HORIZON_BASE = 2;
const CHANGEOVER_BASE = 1.25;
/** No step is shorter: a loss takes so long to be noticed and answered. */
const SHORTEST_STEP_SECONDS = 5;

/**
 * Which of the pools, all of which suit the training, to use now so that it ends by its deadline for the least money; null where the
 * deadline decides nothing, because there is no spot to save with or no on-demand to be sure of.
 */
export function planDeadline(
  { workers, gpusPerWorker, hasRoom }: { workers: number; gpusPerWorker: number; hasRoom: (pool: PoolView) => boolean },
  terms: DeadlineTerms,
  pools: readonly PoolView[],
  now: number,
): DeadlinePlan | null {
  if (!pools.some((p) => p.capacity === 'spot') || !pools.some((p) => p.capacity === 'onDemand')) return null;
  const horizon = horizonOf(terms, now);
  const stepSeconds = horizon.horizonSeconds / STEPS;
  const running = pools.findIndex((p) => p.name === terms.runningIn);
  const listed = pools.map((pool): PoolTerms => {
    const price = pricePerHour(pool, workers, gpusPerWorker);
    return {
      region: [pool.cloud, pool.region ?? pool.zone ?? pool.name].join('/'),
      spotPrice: pool.capacity === 'spot' ? price : Number.POSITIVE_INFINITY,
      onDemandPrice: pool.capacity === 'onDemand' ? price : Number.POSITIVE_INFINITY,
      moveCost: terms.checkpointGiB * pool.egressPerGiB,
      seen: pool.seen,
    };
  });
  const spotSeen = seenNow(pools, listed, running, terms.spotSeen, hasRoom, now);
  const input: MultiPoolInput = {
    now,
    deadline: terms.deadline,
    remainingSeconds: Math.max(1, terms.remainingSeconds),
    changeoverSeconds: rounded(terms.changeoverSeconds, CHANGEOVER_BASE),
    stepSeconds,
    running: running < 0 ? null : { pool: running, capacity: (pools[running] as PoolView).capacity },
    pools: listed,
    together: spotSeen,
    movesAreFree: false,
  };
  const { attempts, otherwise } = choosePools(input, planner, horizon);
  const name = (index: number) => (pools[index] as PoolView).name;
  const goesOn = otherwise !== 'idle' && otherwise.pool === running;
  const firm = otherwise !== 'idle' && !goesOn ? [otherwise.pool, ...lastResorts(input, otherwise.pool, attempts)] : [];
  return {
    order: [...attempts, ...firm].map(name),
    stayIn: goesOn ? name(running) : null,
    onDemandAt: otherwise === 'idle' ? onDemandDueAt(input, horizon) : null,
    slackSeconds: input.deadline - now - input.remainingSeconds,
    weighed: new Map(pools.flatMap((p, i) => (p.capacity === 'spot' ? [[p.name, weighSpot(input, i, 0)] as const] : []))),
    spotSeen,
  };
}

/** What is left once on-demand is due and its first choice is full: other on-demand by price, where it runs, any spot rather than nothing. */
function lastResorts({ pools, running }: MultiPoolInput, first: number, tried: readonly number[]): number[] {
  const rest = [...pools.keys()].filter((i) => i !== first && !tried.includes(i));
  const price = (i: number) => Math.min((pools[i] as PoolTerms).onDemandPrice, (pools[i] as PoolTerms).spotPrice);
  const rank = (i: number) => (Number.isFinite((pools[i] as PoolTerms).onDemandPrice) ? 0 : i === running?.pool ? 1 : 2);
  return rest.sort((a, b) => rank(a) - rank(b) || price(a) - price(b) || a - b);
}

/** Spot is there where the training runs on it or nodes are free; it is not while no pool that is worth it has room. */
function seenNow(
  pools: readonly PoolView[],
  listed: readonly PoolTerms[],
  running: number,
  before: Availability | null,
  hasRoom: (pool: PoolView) => boolean,
  now: number,
): Availability | null {
  const good = poolsWorthWaitingFor(listed);
  const known = before ?? seenTogether(good.map((i) => listed[i]?.seen ?? null));
  const views = good.map((i) => pools[i] as PoolView);
  if (good.includes(running) || views.some((p) => p.freeSlots > 0 && hasRoom(p))) return look(known, true, now);
  return views.some(hasRoom) ? known : look(known, false, now);
}

/** When the plan would buy on-demand if spot stayed away. */
function onDemandDueAt(input: MultiPoolInput, horizon: Horizon): number {
  const drought = look(input.together, false, input.now) ?? firstSight(false, input.now);
  let now = input.now + input.stepSeconds;
  while (now < input.deadline && choosePools({ ...input, now, running: null, together: drought }, planner, horizon).otherwise === 'idle')
    now += input.stepSeconds;
  return now;
}

/** As far as the plan must see: the time and the slack that are left. */
function horizonOf({ deadline, remainingSeconds }: DeadlineTerms, now: number): Horizon {
  const least = (seconds: number) => rounded(Math.max(STEPS * SHORTEST_STEP_SECONDS, seconds), HORIZON_BASE);
  const horizonSeconds = least(deadline - now);
  return { horizonSeconds, maxSlackSeconds: Math.min(horizonSeconds, least(deadline - now - remainingSeconds)) };
}

function rounded(seconds: number, base: number): number {
  return base ** Math.ceil(Math.log(seconds) / Math.log(base) - 1e-9);
}
