import { type Availability, ageHours, endsFactor, expectedShare, firstSight, type SpotProcess, USUAL_PROCESS } from './availability.ts';
import { expectedStayHours } from './hazard.ts';
import { chooseBySlack, type Horizon, leastSlack, type SlackPlanner } from './slack-policy.ts';

export interface PoolPlace {
  readonly pool: number;
  readonly capacity: 'spot' | 'onDemand';
}

/** One pool as a training with a deadline sees it. Prices in US dollars per hour. */
export interface PoolTerms {
  readonly region: string;
  readonly spotPrice: number;
  readonly onDemandPrice: number;
  /** To start there now: the egress of its checkpoint, US dollars. */
  readonly moveCost: number;
  /** What earlier launches, refusals and losses have taught; null = never tried. */
  readonly seen: Availability | null;
}

/** Times in seconds. */
export interface MultiPoolInput {
  readonly now: number;
  readonly deadline: number;
  /** Work left, and of the last change-over what is still to be waited for. */
  readonly remainingSeconds: number;
  readonly changeoverSeconds: number;
  readonly stepSeconds: number;
  /** null, too, when spot has just been taken away. */
  readonly running: PoolPlace | null;
  readonly pools: readonly PoolTerms[];
  /** Whether any of the pools worth waiting for had spot, over time. */
  readonly together: Availability | null;
  /** Spot moves to another pool without a change-over. */
  readonly movesAreFree: boolean;
}

/** Spot launches to try, in this order; if none finds spot, what to do instead. */
export interface PoolsChoice {
  readonly attempts: readonly number[];
  readonly otherwise: PoolPlace | 'idle';
}

/** Price shares are rounded to so many steps, so that few plans serve prices that change all the time. */
const PRICE_SHARES = 20;

/**
 * The pools worth waiting for: those whose spot is nearer, in ratio, to the cheapest spot than to on-demand. The others are a lesser
 * on-demand: used when waiting costs too much, given up when one of these comes back.
 */
export function poolsWorthWaitingFor(pools: readonly PoolTerms[]): number[] {
  const limit = Math.sqrt(Math.min(...pools.map((p) => p.spotPrice)) * Math.min(...pools.map((p) => p.onDemandPrice)));
  return pools.flatMap((p, i) => (p.spotPrice <= limit ? [i] : []));
}

/**
 * Where a training with a deadline runs until the next decision.
 *
 * What it may know: prices, which are public; whether its own spot still runs; and the outcome of every launch it tries. A launch that
 * finds no spot costs nothing, so that it learns about other pools by trying those that it would move to. It never pays for a probe.
 *
 * When: the pools worth waiting for are together one source of spot, and the plan of slack says whether to wait for it or to buy.
 * Where: each pool's price and the cost of a change-over, spread over the time that spot is expected to last there.
 */
export function choosePools(
  input: MultiPoolInput,
  planner: SlackPlanner,
  horizon: Horizon,
  process: SpotProcess = USUAL_PROCESS,
): PoolsChoice {
  const { pools, running, now } = input;
  const good = poolsWorthWaitingFor(pools);
  const cheapest = Math.min(...pools.map((p) => p.spotPrice));
  const common = processTogether(pools, process);
  const stay = running ?? 'idle';
  const slack = input.deadline - now - input.remainingSeconds;
  const firm = cheapestOnDemand(input);
  const firmPrice = (pools[firm.pool] as PoolTerms).onDemandPrice;
  const runs = running === null ? 'idle' : running.capacity === 'spot' && good.includes(running.pool) ? 'spot' : 'onDemand';
  const asOnePool = (available: boolean, price: number) => ({
    ...input,
    current: runs as 'idle' | 'spot' | 'onDemand',
    spotPriceShare: Math.max(1, Math.round((PRICE_SHARES * cheapest) / price)) / PRICE_SHARES,
    pool: supposed(input.together, available, now),
  });
  const wish = (available: boolean, price: number) => chooseBySlack(asOnePool(available, price), planner, horizon, common);
  const idle = { ...asOnePool(false, firmPrice), current: 'idle' as const };
  const worth = slackWorth(slack, leastSlack(idle, planner, horizon, common), firmPrice - cheapest);
  const rates = pools.map((_, i) => weighSpot(input, i, worth, process).dollarsPerHour);
  const lasting = (indices: readonly number[]) => [...indices].sort((a, b) => (rates[a] as number) - (rates[b] as number) || a - b);
  if (runs === 'spot') {
    if (wish(true, firmPrice) === 'onDemand') return { attempts: [], otherwise: firm };
    const own = rates[(running as PoolPlace).pool] as number;
    const mayMove = input.movesAreFree || slack >= input.stepSeconds + 2 * input.changeoverSeconds;
    return { attempts: mayMove ? lasting(good).filter((i) => i !== running?.pool && (rates[i] as number) < own) : [], otherwise: stay };
  }
  const price = running === null ? firmPrice : running.capacity === 'spot' ? (pools[running.pool] as PoolTerms).spotPrice : firmPrice;
  if (wish(true, price) !== 'spot') return { attempts: [], otherwise: firmNow(input, firm) };
  // A pool is not for now if another costs less by more than slack is worth; but that one may be dry, and counts as far as it is not.
  const shares = good.map((i) => expectedShare((pools[i] as PoolTerms).seen, now, (input.deadline - now) / 3_600, process));
  const attempts = lasting(good).filter((i) =>
    good.every((better, k) => ((rates[i] as number) - (rates[better] as number)) * (shares[k] as number) <= worth),
  );
  if (running !== null) return { attempts, otherwise: slack >= input.stepSeconds + input.changeoverSeconds ? stay : firmNow(input, firm) };
  // A lesser on-demand is taken as on-demand of its price would be; unlike on-demand it may be lost, and that needs slack.
  const lesser = pools.flatMap((p, i) =>
    !good.includes(i) && p.spotPrice < firmPrice && slack >= input.stepSeconds + 2 * input.changeoverSeconds ? [i] : [],
  );
  const taken = lasting(lesser).filter((i) => wish(false, (pools[i] as PoolTerms).spotPrice) === 'onDemand');
  return { attempts: [...attempts, ...taken], otherwise: wish(false, firmPrice) === 'onDemand' ? firm : 'idle' };
}

function firmNow(input: MultiPoolInput, firm: PoolPlace): PoolPlace {
  return input.running?.capacity === 'onDemand' ? input.running : firm;
}

/** Where the rest of the work is cheapest on on-demand, the way there included. */
function cheapestOnDemand({ pools, remainingSeconds, changeoverSeconds }: MultiPoolInput): PoolPlace {
  const costs = pools.map((p) => (p.onDemandPrice * (remainingSeconds + changeoverSeconds)) / 3_600 + p.moveCost);
  return { pool: costs.indexOf(Math.min(...costs)), capacity: 'onDemand' };
}

/**
 * What is known of several pools as of one: it has spot from when the first of those that have it got it, and has none from when the
 * last one ran dry. How often that ends is taken from all that was watched of any of them.
 */
export function seenTogether(pools: readonly (Availability | null)[]): Availability | null {
  const seen = pools.filter((p) => p !== null);
  const up = seen.filter((p) => p.available);
  const telling = up.length > 0 ? up : seen;
  if (telling.length === 0) return null;
  const since = telling.map((p) => p.since);
  const sum = (state: 'up' | 'down') => ({
    seen: seen.reduce((total, p) => total + p[state].seen, 0),
    expected: seen.reduce((total, p) => total + p[state].expected, 0),
  });
  return {
    available: up.length > 0,
    since: up.length > 0 ? Math.min(...since) : Math.max(...since),
    lastSeen: Math.max(...telling.map((p) => p.lastSeen)),
    up: sum('up'),
    down: sum('down'),
  };
}

/** The state as it would be with, or without, spot now. What has not been looked at since may have changed halfway. */
function supposed(together: Availability | null, available: boolean, now: number): Availability {
  if (together === null) return firstSight(available, now);
  return together.available === available ? together : { ...together, available, since: (together.lastSeen + now) / 2 };
}

/** Where nothing is known, as many regions have spot as have none. 0.3 and 0.7 can do worse at the tightest deadlines, hardly elsewhere. */
const REGION_SHARE = 0.5;

/**
 * How spot comes and goes in several pools together: it is over when the last one's is, and comes back with the first one's. Zones of a
 * region are taken to share its fate, regions not to.
 */
export function processTogether(pools: readonly PoolTerms[], process: SpotProcess = USUAL_PROCESS): SpotProcess {
  const regions = new Set(poolsWorthWaitingFor(pools).map((i) => pools[i]?.region)).size;
  return {
    up: { ...process.up, perHour: process.up.perHour * REGION_SHARE ** (regions - 1) },
    down: { ...process.down, perHour: process.down.perHour * regions },
  };
}

/**
 * How fast slack loses its worth. Chosen in windows of the public traces other than the published ones: 2, 2.5 and 3 cost the same
 * within 1.3 % in either, 3 least; 1 costs up to 10 % more where there is much slack.
 */
const SLACK_POWER = 3;

/**
 * US dollars that an hour of slack is worth: all that spot saves where the plan would buy on-demand, and less, by a power, the
 * more there is beyond.
 */
function slackWorth(slackSeconds: number, leastSeconds: number, saves: number): number {
  return Math.max(0, saves) * Math.min(1, leastSeconds / Math.max(1, slackSeconds)) ** SLACK_POWER;
}

/** Hours that spot would have been there for, if a launch found it now. */
function ageIfFound(seen: Availability | null, now: number): number {
  const found = supposed(seen, true, now);
  return ageHours(found, now);
}

export interface SpotWeighed {
  /** Hours that spot there is expected to last, counted up to the end of the work. */
  readonly lastsHours: number;
  /** US dollars, the change-overs that it is expected to cost included. */
  readonly dollarsPerHour: number;
}

/**
 * What an hour of spot costs there: its price, and the change-over that its loss will cost, over the hours that it is expected to
 * last; for a pool in which it does not run, the change-over there as well. A change-over costs its own time and the slack it uses,
 * which on-demand would have to make good: `slackWorth` US dollars an hour.
 */
export function weighSpot(input: MultiPoolInput, index: number, slackWorth: number, process: SpotProcess = USUAL_PROCESS): SpotWeighed {
  const { pools, running, now, changeoverSeconds, remainingSeconds } = input;
  const pool = pools[index] as PoolTerms;
  const isHere = running?.pool === index && running.capacity === 'spot';
  const age = ageIfFound(pool.seen, now);
  const factor = pool.seen === null ? 1 : endsFactor(pool.seen.up);
  const horizon = Math.max(remainingSeconds, input.stepSeconds) / 3_600;
  const lastsHours = expectedStayHours({ ...process.up, perHour: process.up.perHour * factor }, age, horizon);
  const changeover = (changeoverSeconds / 3_600) * (pool.spotPrice + slackWorth);
  const loss = changeover * Math.max(0, 1 - lastsHours / horizon);
  const move = isHere ? 0 : input.movesAreFree && running?.capacity === 'spot' ? 0 : changeover + pool.moveCost;
  return { lastsHours, dollarsPerHour: pool.spotPrice + (loss + move) / lastsHours };
}
