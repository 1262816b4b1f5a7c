import type { Mode, Moment, SinglePoolPolicy } from './single-pool.ts';

/**
 * The published single-pool policies (Can't Be Late, NSDI 2024, and its simulator), with the simulator's rounding to whole ticks.
 * All but on-demand share its two deadline rules: with time for two change-overs left only, on-demand; with time for one, spot that
 * is already running may go on.
 */
function withSafetyNet(rule: (moment: Moment, due: (seconds: number) => number, changeover: number) => Mode): SinglePoolPolicy {
  return ({ gapSeconds: gap, durationSeconds, deadlineSeconds, changeoverSeconds }) =>
    (moment) => {
      const { now, mode, doneSeconds } = moment;
      const left = Math.floor((deadlineSeconds - now) / gap) * gap;
      const need = (changeovers: number) => Math.ceil((durationSeconds - doneSeconds + changeovers * changeoverSeconds) / gap) * gap;
      if (need(1) >= left) return mode === 'spot' ? 'spot' : 'onDemand';
      if (need(2) >= left && mode !== 'spot') return 'onDemand';
      return rule(moment, (at) => (at * durationSeconds) / deadlineSeconds, changeoverSeconds);
    };
}

const onDemandOnly: SinglePoolPolicy = () => () => 'onDemand';

const greedy = withSafetyNet(({ spotAvailable }) => (spotAvailable ? 'spot' : 'idle'));

const uniformProgress = withSafetyNet(({ now, mode, doneSeconds, spotAvailable }, due, changeover) => {
  if (mode === 'onDemand') return spotAvailable && doneSeconds > due(now + 2 * changeover) ? 'spot' : 'onDemand';
  if (spotAvailable) return 'spot';
  return doneSeconds < due(now) ? 'onDemand' : 'idle';
});

/** Uniform Progress without its second condition: from on-demand to spot at once. */
const noCondition2 = withSafetyNet(({ now, mode, doneSeconds, spotAvailable }, due) => {
  if (spotAvailable) return 'spot';
  return mode === 'onDemand' || doneSeconds < due(now) ? 'onDemand' : 'idle';
});

/** Uniform Progress that leaves on-demand as soon as it is ahead of the line, with or without spot. */
const noHysteresis = withSafetyNet(({ now, doneSeconds, spotAvailable }, due) => {
  if (spotAvailable) return 'spot';
  return doneSeconds < due(now) ? 'onDemand' : 'idle';
});

/** Slices of an hour, each of which owes its share of the work and has a safety net of its own; what a slice does too much counts for the next. */
const timeSliced: SinglePoolPolicy = (scenario) => {
  const { gapSeconds: gap, durationSeconds, deadlineSeconds, changeoverSeconds } = scenario;
  return withSafetyNet(({ now, mode, doneSeconds, spotAvailable }) => {
    const sliceEnd = (Math.floor(now / SLICE_SECONDS) + 1) * SLICE_SECONDS;
    const owed = (sliceEnd * durationSeconds) / deadlineSeconds - doneSeconds;
    const need = (changeovers: number) => Math.ceil((owed + changeovers * changeoverSeconds) / gap) * gap;
    if (owed > 0 && need(1) >= sliceEnd - now) return mode === 'spot' ? 'spot' : 'onDemand';
    if (owed > 0 && need(2) >= sliceEnd - now && mode !== 'spot') return 'onDemand';
    return spotAvailable ? 'spot' : 'idle';
  })(scenario);
};

const SLICE_SECONDS = 3_600;

/** Uniform Progress that is told how long the spot that has just come will last, and takes it only if it pays for the change-over. */
const knowsNextSpot: SinglePoolPolicy = (scenario) => {
  const { gapSeconds: gap, spotPrice, onDemandPrice, available } = scenario;
  return withSafetyNet(({ now, mode, doneSeconds, spotAvailable }, due, changeover) => {
    if (mode === 'spot' && spotAvailable) return 'spot';
    const worthwhile = (changeover * onDemandPrice) / (onDemandPrice - spotPrice);
    const lasts = spotLasts(available, now / gap) * gap;
    if (mode === 'onDemand') return lasts > 2 * worthwhile ? 'spot' : 'onDemand';
    if (lasts > worthwhile) return 'spot';
    return doneSeconds < due(now) ? 'onDemand' : 'idle';
  })(scenario);
};

function spotLasts(available: Uint8Array, from: number): number {
  let tick = from;
  while (available[tick] === 1) tick++;
  return tick - from;
}

export const SINGLE_POOL_BASELINES: Readonly<Record<string, SinglePoolPolicy>> = {
  'on-demand-only': onDemandOnly,
  greedy,
  'uniform-progress': uniformProgress,
  'no-condition2': noCondition2,
  'up-no-hysteresis': noHysteresis,
  'time-sliced-1h': timeSliced,
  'up-knows-next-spot-length': knowsNextSpot,
};
