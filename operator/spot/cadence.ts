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
 * remaining life and R the restart time (arXiv 2410.18124). For small C it is Young's √(2MC).
 */
export function checkpointIntervalSeconds({ saveSeconds, restartSeconds, remainingLifeSeconds }: CadenceInput): number {
  const c = Math.max(0, saveSeconds);
  const best = c + Math.sqrt(2 * (remainingLifeSeconds + restartSeconds) * c + c * c);
  return Math.round(Math.min(LONGEST_SECONDS, Math.max(SHORTEST_SECONDS, best)));
}
