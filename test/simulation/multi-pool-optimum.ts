import { egress, type MultiPoolScenario, poolAt } from './multi-pool.ts';

export interface OptimumOptions {
  /** Counts a change-over as whole ticks, as the published optimum of tables T3 and T4 does. */
  readonly wholeTicks?: boolean;
}

/**
 * The least cost at which the deadline can be met by one who knows all traces: exact dynamic programming, backwards over ticks, by
 * slack (time left less work left), by what runs and by where the checkpoint is. Slack changes by ticks and change-overs only, so
 * that whole units of it are exact. For the rules without free moves; see freeMovesOptimum.
 */
export function multiPoolOptimum(scenario: MultiPoolScenario, { wholeTicks = false }: OptimumOptions = {}): number {
  const { gapSeconds, pools } = scenario;
  const changeoverSeconds = wholeTicks ? Math.ceil(scenario.changeoverSeconds / gapSeconds) * gapSeconds : scenario.changeoverSeconds;
  const { unit, points, ticks } = slackGrid(scenario, changeoverSeconds);
  const step = gapSeconds / unit;
  const changeover = changeoverSeconds / unit;
  const hours = gapSeconds / 3_600;
  const count = pools.length;
  const table = () => Array.from({ length: 3 * count + 1 }, () => new Float64Array(points));
  // Index: 3 × pool of the checkpoint + what runs there (0 nothing, 1 spot, 2 on-demand); last: not yet begun.
  let [next, now] = [table(), table()];
  const begin = 3 * count;
  const launch = new Float64Array(count);
  const moves = Array.from({ length: count + 1 }, (_, from) => pools.map((_, to) => egress(scenario, from === count ? null : from, to)));
  // The tick that ends the job leaves no more ticks than slack behind it.
  const isBilled = (left: number, slack: number) => scenario.billsLastTick || (left - 1) * step > slack;
  const price = (perTick: number, billed: number) => (perTick === Number.POSITIVE_INFINITY ? perTick : perTick * billed);
  for (let left = 1; left <= ticks; left++) {
    const tick = ticks - left;
    const spot = pools.map((p) => (p.available[tick] === 1 ? (p.spotPrice[tick] as number) * hours : Number.POSITIVE_INFINITY));
    const onDemand = pools.map((p) => p.onDemandPrice * hours);
    for (let s = 0; s < points; s++) {
      if (left * step <= s) {
        for (const values of now) values[s] = 0;
        continue;
      }
      for (let p = 0; p < count; p++) {
        const after = s - changeover;
        const billed = isBilled(left, after) ? 1 : 0;
        launch[p] =
          after < 0
            ? Number.POSITIVE_INFINITY
            : Math.min(
                price(spot[p] as number, billed) + (next[3 * p + 1]?.[after] as number),
                (onDemand[p] as number) * billed + (next[3 * p + 2]?.[after] as number),
              );
      }
      const billed = isBilled(left, s) ? 1 : 0;
      for (let from = 0; from <= count; from++) {
        let change = s < step ? Number.POSITIVE_INFINITY : (next[from === count ? begin : 3 * from]?.[s - step] as number);
        const rates = moves[from] as number[];
        for (let p = 0; p < count; p++) change = Math.min(change, (rates[p] as number) + (launch[p] as number));
        (now[3 * from] as Float64Array)[s] = change;
        if (from === count) continue;
        (now[3 * from + 1] as Float64Array)[s] = Math.min(
          change,
          price(spot[from] as number, billed) + (next[3 * from + 1]?.[s] as number),
        );
        (now[3 * from + 2] as Float64Array)[s] = Math.min(
          change,
          (onDemand[from] as number) * billed + (next[3 * from + 2]?.[s] as number),
        );
      }
    }
    [next, now] = [now, next];
  }
  return next[begin]?.[points - 1] as number;
}

/**
 * The same under the rules of table T2: spot moves to another zone that has it for nothing, and all spot is billed at the first price
 * of the zone in which the run ends. One pass for each zone to end in.
 */
export function freeMovesOptimum(scenario: MultiPoolScenario): number {
  return Math.min(...scenario.pools.map((_, end) => optimumEndingIn(scenario, end)));
}

function optimumEndingIn(scenario: MultiPoolScenario, end: number): number {
  const { gapSeconds, changeoverSeconds, pools } = scenario;
  const { unit, points, ticks } = slackGrid(scenario, changeoverSeconds);
  const step = gapSeconds / unit;
  const changeover = changeoverSeconds / unit;
  const spotPrice = ((poolAt(pools, end).spotPrice[0] as number) * gapSeconds) / 3_600;
  const onDemandPrice = (poolAt(pools, end).onDemandPrice * gapSeconds) / 3_600;
  const count = pools.length;
  // Index: spot in each pool, then on-demand, then idle.
  const table = () => Array.from({ length: count + 2 }, () => new Float64Array(points).fill(Number.POSITIVE_INFINITY));
  let [next, now] = [table(), table()];
  const [onDemand, idle] = [count, count + 1];
  for (let left = 0; left <= ticks; left++) {
    const has = pools.map((p) => p.available[ticks - left] === 1);
    for (let s = 0; s < points; s++) {
      if (left * step <= s) {
        // On-demand and idle, a zone is changed freely; spot must be where it is to end.
        for (let i = 0; i < count; i++) (now[i] as Float64Array)[s] = i === end ? 0 : Number.POSITIVE_INFINITY;
        (now[onDemand] as Float64Array)[s] = (now[idle] as Float64Array)[s] = 0;
        continue;
      }
      let run = Number.POSITIVE_INFINITY;
      let launched = Number.POSITIVE_INFINITY;
      for (let i = 0; i < count; i++) {
        if (!has[i]) continue;
        run = Math.min(run, spotPrice + (next[i]?.[s] as number));
        if (s >= changeover) launched = Math.min(launched, spotPrice + (next[i]?.[s - changeover] as number));
      }
      const wait = s >= step ? (next[idle]?.[s - step] as number) : Number.POSITIVE_INFINITY;
      const buy = s >= changeover ? onDemandPrice + (next[onDemand]?.[s - changeover] as number) : Number.POSITIVE_INFINITY;
      const change = Math.min(wait, launched, buy);
      for (let i = 0; i < count; i++) (now[i] as Float64Array)[s] = has[i] ? Math.min(change, run) : change;
      (now[onDemand] as Float64Array)[s] = Math.min(change, onDemandPrice + (next[onDemand]?.[s] as number));
      (now[idle] as Float64Array)[s] = change;
    }
    [next, now] = [now, next];
  }
  return next[idle]?.[points - 1] as number;
}

function slackGrid({ gapSeconds, deadlineSeconds, durationSeconds }: MultiPoolScenario, changeoverSeconds: number) {
  const unit = commonDivisor(gapSeconds, changeoverSeconds);
  const ticks = Math.floor(deadlineSeconds / gapSeconds + 1e-9);
  const points = Math.floor((ticks * gapSeconds - durationSeconds) / unit + 1e-9) + 1;
  return { unit, ticks, points };
}

function commonDivisor(a: number, b: number): number {
  return b === 0 ? a : commonDivisor(b, a % b);
}
