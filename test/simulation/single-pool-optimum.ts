import type { SinglePoolScenario } from './single-pool.ts';

/**
 * The least cost at which the deadline can be met by one who knows the whole trace: exact dynamic programming, backwards over ticks,
 * by slack (time left less work left) and by what runs. Change-overs and ticks are whole multiples of the slack's unit.
 */
export function singlePoolOptimum(scenario: SinglePoolScenario): number {
  const { gapSeconds, changeoverSeconds, durationSeconds, deadlineSeconds, available } = scenario;
  if (changeoverSeconds > gapSeconds) throw new Error('the optimum is written for change-overs within one tick');
  const unit = commonDivisor(gapSeconds, changeoverSeconds);
  const tick = gapSeconds / unit;
  const changeover = changeoverSeconds / unit;
  const slackAtStart = (deadlineSeconds - durationSeconds) / unit;
  if (!Number.isInteger(slackAtStart)) throw new Error('deadline less duration must be a multiple of the unit');
  const points = slackAtStart + 1;
  const spotPrice = (scenario.spotPrice * gapSeconds) / 3_600;
  const onDemandPrice = (scenario.onDemandPrice * gapSeconds) / 3_600;
  let [idle, spot, onDemand] = [0, 1, 2].map(() => new Float64Array(points)) as [Float64Array, Float64Array, Float64Array];
  let [idleNow, spotNow, onDemandNow] = [0, 1, 2].map(() => new Float64Array(points)) as [Float64Array, Float64Array, Float64Array];
  const ticks = Math.floor(deadlineSeconds / gapSeconds);
  for (let left = 1; left <= ticks; left++) {
    const spotHere = available[ticks - left] === 1;
    for (let s = 0; s < points; s++) {
      if (left * tick - s <= 0) {
        idleNow[s] = spotNow[s] = onDemandNow[s] = 0;
        continue;
      }
      const wait = s >= tick ? (idle[s - tick] as number) : Number.POSITIVE_INFINITY;
      const toOnDemand = s >= changeover ? onDemandPrice + (onDemand[s - changeover] as number) : Number.POSITIVE_INFINITY;
      const toSpot = spotHere && s >= changeover ? spotPrice + (spot[s - changeover] as number) : Number.POSITIVE_INFINITY;
      const change = Math.min(wait, toOnDemand, toSpot);
      idleNow[s] = change;
      spotNow[s] = spotHere ? Math.min(change, spotPrice + (spot[s] as number)) : change;
      onDemandNow[s] = Math.min(change, onDemandPrice + (onDemand[s] as number));
    }
    [idle, idleNow, spot, spotNow, onDemand, onDemandNow] = [idleNow, idle, spotNow, spot, onDemandNow, onDemand];
  }
  return idle[slackAtStart] as number;
}

function commonDivisor(a: number, b: number): number {
  return b === 0 ? a : commonDivisor(b, a % b);
}
