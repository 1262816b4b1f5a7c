import { expectedEnds, expectedStayHours, type Hazard } from './hazard.ts';

/** How one pool's spot comes and goes. */
export interface SpotProcess {
  /** Ends of the times with spot, and of the times without. */
  readonly up: Hazard;
  readonly down: Hazard;
}

/** Ends of a state that were seen, and that the usual process would have had in the time watched. */
export interface EndsSeen {
  readonly seen: number;
  readonly expected: number;
}

/** What watching a pool has taught: plain JSON, so that it outlives the operator in the pool's status. Times in seconds. */
export interface Availability {
  readonly available: boolean;
  /** When the present state began, as far as is known. */
  readonly since: number;
  readonly lastSeen: number;
  readonly up: EndsSeen;
  readonly down: EndsSeen;
}

/**
 * The usual process, fitted by maximum likelihood to the public AWS traces of 2022 (six series of K80 and V100; `npm run policies --
 * --fit` prints it, and what it is with each series left out). Every pool starts from here.
 */
export const USUAL_PROCESS: SpotProcess = { up: { perHour: 0.72, decline: 0.56 }, down: { perHour: 0.7, decline: 0.77 } };

/** A state that was found, not seen to begin, is taken to be so old. */
const FOUND_AGE_SECONDS = 3_600;

/** Weight of the usual process against what was seen of a pool, as ends: with so many seen, half the belief is the pool's own. */
const PRIOR_ENDS = 8;

export function firstSight(available: boolean, now: number): Availability {
  const nothing = { seen: 0, expected: 0 };
  return { available, since: now - FOUND_AGE_SECONDS, lastSeen: now, up: nothing, down: nothing };
}

/** After one more look at the pool. A change is taken to have happened halfway between two looks. */
export function look(before: Availability | null, available: boolean, now: number, usual: SpotProcess = USUAL_PROCESS): Availability {
  if (before === null) return firstSight(available, now);
  if (now <= before.lastSeen) return before;
  const state = before.available ? 'up' : 'down';
  const changed = available !== before.available;
  const { seen, expected } = before[state];
  const watched = expectedEnds(usual[state], (before.lastSeen - before.since) / 3_600, (now - before.since) / 3_600);
  return {
    ...before,
    available,
    since: changed ? (before.lastSeen + now) / 2 : before.since,
    lastSeen: now,
    [state]: { seen: seen + (changed ? 1 : 0), expected: expected + watched },
  };
}

/** How much more often than usual the state ends in this pool: the mean of a Gamma belief about the hazard's scale. */
export function endsFactor({ seen, expected }: EndsSeen): number {
  return (PRIOR_ENDS + seen) / (PRIOR_ENDS + expected);
}

export function ageHours({ since }: Availability, now: number): number {
  return Math.max(0, now - since) / 3_600;
}

/** Age of a state that is just beginning: the hazard has no end at 0. */
export const FRESH_HOURS = 0.1;
/** Of a pool that nobody has looked at. */
const UNKNOWN_SHARE = 0.5;

/** Share of the time ahead in which the pool will have spot; 1 while it has, for what comes after is decided anew then. */
export function expectedShare(seen: Availability | null, now: number, aheadHours: number, usual: SpotProcess = USUAL_PROCESS): number {
  if (seen === null) return UNKNOWN_SHARE;
  if (seen.available) return 1;
  const stay = (state: 'up' | 'down', age: number) =>
    expectedStayHours({ ...usual[state], perHour: usual[state].perHour * endsFactor(seen[state]) }, age, aheadHours);
  const up = stay('up', FRESH_HOURS);
  return up / (up + stay('down', ageHours(seen, now)));
}
