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
  const { now, start, deadline, totalSeconds, doneSeconds, changeoverSeconds, current, spotAvailable } = input;
  const remaining = totalSeconds - doneSeconds;
  if (remaining <= 0) return 'idle';
  const left = deadline - now;
  // Safety net: after this moment a change-over onto on-demand, or a second one if spot fails, would be too late.
  if (current === 'spot' ? left <= remaining + changeoverSeconds && !spotAvailable : left <= remaining + 2 * changeoverSeconds)
    return 'onDemand';
  if (current === 'spot' && spotAvailable) return 'spot';
  const expected = ((now - start) / Math.max(1, deadline - start)) * totalSeconds;
  if (current === 'onDemand') {
    const ahead = doneSeconds - ((now + 2 * changeoverSeconds - start) / Math.max(1, deadline - start)) * totalSeconds;
    return spotAvailable && ahead >= 0 ? 'spot' : 'onDemand';
  }
  if (spotAvailable) return 'spot';
  return doneSeconds < expected ? 'onDemand' : 'idle';
}

/** When the safety net will demand on-demand, if nothing is done until then (seconds, on the clock of the input). */
export function latestOnDemandStart({ deadline, totalSeconds, doneSeconds, changeoverSeconds }: DeadlineInput): number {
  return deadline - (totalSeconds - doneSeconds) - 2 * changeoverSeconds;
}
