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
}

/**
 * Seconds between checkpoints that maximize availability: T = C + √(2(M+R)C + C²), with C the stall of a save, M the expected
 * remaining life and R the restart time (arXiv 2410.18124). For small C and R it is the first-order optimum √(2MC) of Young (1974),
 * which Daly (2006) refined in the same way, by counting the restart with the life.
 */
export function checkpointIntervalSeconds({ saveSeconds, restartSeconds, remainingLifeSeconds }: CadenceInput): number {
  const c = Math.max(0, saveSeconds);
  const cycle = Math.min(Number.MAX_SAFE_INTEGER, Math.max(0, remainingLifeSeconds) + Math.max(0, restartSeconds));
  const best = c + Math.sqrt(2 * cycle * c + c * c);
  return Math.round(Math.min(LONGEST_SECONDS, Math.max(SHORTEST_SECONDS, best)));
}
