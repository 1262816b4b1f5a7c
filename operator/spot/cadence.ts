import { type Availability, ageHours, endsFactor, FRESH_HOURS, type SpotProcess, USUAL_PROCESS } from './availability.ts';

/** Bounds of the interval: more often is all overhead, more seldom leaves too much to lose. */
const SHORTEST_SECONDS = 30;
const LONGEST_SECONDS = 1_800;

export interface CadenceInput {
  /** For how long a save stalls training, seconds. */
  readonly saveSeconds: number;
  /** From a loss until training goes on, seconds. */
  readonly restartSeconds: number;
  /** Expected life of the world from now, seconds; of several nodes, the first loss counts. */
  readonly remainingLifeSeconds: number;
  /** Between the notice of a loss and the loss, seconds; 0 = losses come unannounced. */
  readonly noticeSeconds: number;
}

/** A notice of so many saves is relied on: one is made in it, and nothing is lost. */
const SAVES_IN_A_NOTICE = 2;

/**
 * Life to reckon with at the present age, seconds: the inverse of the hazard there. The mean remaining life is longer, for the hazard
 * falls; but what the next save protects from is the hazard of the next minutes (table T6 shows what either is worth).
 */
export function presentLifeSeconds(seen: Availability, now: number, { up }: SpotProcess = USUAL_PROCESS): number {
  const perHour = up.perHour * endsFactor(seen.up) * Math.max(FRESH_HOURS, ageHours(seen, now)) ** -up.decline;
  return 3_600 / perHour;
}

/**
 * Seconds between checkpoints that maximize availability: T = C + √(2(M+R)C + C²), with C the stall of a save, M the expected
 * remaining life and R the restart time (arXiv 2410.18124). For small C and R it is the first-order optimum √(2MC) of Young (1974),
 * which Daly (2006) refined in the same way, by counting the restart with the life. Where the notice is long enough for a save, only
 * what comes without notice is left to guard against.
 */
export function checkpointIntervalSeconds({ saveSeconds, restartSeconds, remainingLifeSeconds, noticeSeconds }: CadenceInput): number {
  if (noticeSeconds > 0 && noticeSeconds >= SAVES_IN_A_NOTICE * saveSeconds) return LONGEST_SECONDS;
  const c = Math.max(0, saveSeconds);
  const cycle = Math.min(Number.MAX_SAFE_INTEGER, Math.max(0, remainingLifeSeconds) + Math.max(0, restartSeconds));
  const best = c + Math.sqrt(2 * cycle * c + c * c);
  return Math.round(Math.min(LONGEST_SECONDS, Math.max(SHORTEST_SECONDS, best)));
}
