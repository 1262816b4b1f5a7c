/** Times in seconds. */
export interface DeadlineInput {
  readonly now: number;
  readonly start: number;
  readonly deadline: number;
  /** Training time that the whole run needs. */
  readonly totalSeconds: number;
  readonly doneSeconds: number;
  /** Training time lost in one change of place. */
  readonly changeoverSeconds: number;
  readonly current: 'spot' | 'onDemand' | 'idle';
  readonly spotAvailable: boolean;
}

export type DeadlineChoice = 'spot' | 'onDemand' | 'idle';

/**
 * Uniform Progress (Wu et al., Can't Be Late, NSDI 2024): keep up with a progress line that reaches the end at the deadline; take
 * spot whenever it can be had, on-demand when behind the line, and stay on on-demand to the end once only that can still make it.
 */
export function uniformProgress(input: DeadlineInput): DeadlineChoice {
  const { now, deadline, totalSeconds, doneSeconds, changeoverSeconds, current, spotAvailable } = input;
  const remaining = totalSeconds - doneSeconds;
  if (remaining <= 0) return 'idle';
  const left = deadline - now;
  // Safety net: after this moment a change-over onto on-demand, or a second one if spot fails, would be too late. Spot that is
  // already warm keeps pace with the clock, so it may go on until it is taken away.
  if (current === 'spot' ? left <= remaining + changeoverSeconds && !spotAvailable : left <= remaining + 2 * changeoverSeconds)
    return 'onDemand';
  if (current === 'spot' && spotAvailable) return 'spot';
  // Hysteresis: away from on-demand only with so much lead that the way there and back would not use it up.
  if (current === 'onDemand') return spotAvailable && doneSeconds >= progressDue(input, now + 2 * changeoverSeconds) ? 'spot' : 'onDemand';
  if (spotAvailable) return 'spot';
  return doneSeconds < progressDue(input, now) ? 'onDemand' : 'idle';
}

/** Seconds of training that the line asks for by then. */
function progressDue({ start, deadline, totalSeconds }: DeadlineInput, at: number): number {
  return ((at - start) / Math.max(1, deadline - start)) * totalSeconds;
}

/**
 * When a training that waits for spot would be put on on-demand, if spot does not come (seconds, on the input's clock; never before
 * its now): when the line overtakes its progress, or when the safety net demands it.
 */
export function onDemandStartsAt(input: DeadlineInput): number {
  const { now, start, deadline, totalSeconds, doneSeconds, changeoverSeconds } = input;
  const overtaken = start + (doneSeconds / Math.max(1, totalSeconds)) * (deadline - start);
  const safetyNet = deadline - (totalSeconds - doneSeconds) - 2 * changeoverSeconds;
  return Math.max(now, Math.min(overtaken, safetyNet));
}
