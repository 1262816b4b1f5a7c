/** What is remembered of a pool: plain JSON, so that it outlives the operator in the pool's status. */
export interface CapacityMemory {
  readonly launched: number;
  readonly noCapacity: number;
  readonly interruptions: number;
  /** Launches that found nothing since the last one that did. */
  readonly failuresInARow: number;
  readonly blockedUntil: number | null;
  /** Node-hours watched, and those that ended in an interruption: their ratio estimates the hazard. */
  readonly observedHours: number;
}

export const BLANK_MEMORY: CapacityMemory = {
  launched: 0,
  noCapacity: 0,
  interruptions: 0,
  failuresInARow: 0,
  blockedUntil: null,
  observedHours: 0,
};

export type CapacityObservation =
  | { readonly kind: 'launched' }
  | { readonly kind: 'noCapacity' }
  | { readonly kind: 'interrupted'; readonly livedSeconds?: number };

const FIRST_BLOCK_MS = 60_000;
const LONGEST_BLOCK_MS = 3_600_000;

/**
 * Prior belief before anything was seen: one interruption in 12 node-hours. Spot traces of eight GPU zones show mean lives of 0.7
 * to 10 h; the prior fades as observations come in.
 */
const PRIOR_HOURS = 12;
const PRIOR_INTERRUPTIONS = 1;

/** The memory after one more observation. A dry pool is blocked for a minute, doubling to an hour; a launch that works clears it. */
export function remember(memory: CapacityMemory, observation: CapacityObservation, now: number): CapacityMemory {
  switch (observation.kind) {
    case 'launched':
      return { ...memory, launched: memory.launched + 1, failuresInARow: 0, blockedUntil: null };
    case 'noCapacity': {
      const block = Math.min(LONGEST_BLOCK_MS, FIRST_BLOCK_MS * 2 ** memory.failuresInARow);
      return { ...memory, noCapacity: memory.noCapacity + 1, failuresInARow: memory.failuresInARow + 1, blockedUntil: now + block };
    }
    case 'interrupted':
      return {
        ...memory,
        interruptions: memory.interruptions + 1,
        observedHours: memory.observedHours + (observation.livedSeconds ?? 0) / 3_600,
      };
  }
}

/** Hours that a node is expected to last from now: with a constant hazard, time watched over interruptions seen (Gamma prior). */
export function remainingLifeHours(memory: CapacityMemory): number {
  return (memory.observedHours + PRIOR_HOURS) / (memory.interruptions + PRIOR_INTERRUPTIONS);
}
