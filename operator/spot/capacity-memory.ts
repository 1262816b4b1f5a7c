import { type Availability, look } from './availability.ts';
import { conditionalLifeHours, type Life } from './lifetime.ts';

/** What is remembered of a pool: plain JSON, so that it outlives the operator in the pool's status. */
export interface CapacityMemory {
  readonly launched: number;
  readonly noCapacity: number;
  readonly interruptions: number;
  /** Launches that found nothing since the last one that did. */
  readonly failuresInARow: number;
  readonly blockedUntil: number | null;
  /** Node-hours watched, whichever way they ended. */
  readonly observedHours: number;
  /** The latest lives, oldest first. */
  readonly lives: readonly Life[];
  /** How its spot has come and gone, as launches, losses and nodes that joined have shown; null = never looked at. */
  readonly availability: Availability | null;
}

export const BLANK_MEMORY: CapacityMemory = {
  launched: 0,
  noCapacity: 0,
  interruptions: 0,
  failuresInARow: 0,
  blockedUntil: null,
  observedHours: 0,
  lives: [],
  availability: null,
};

/** What happened in a pool. `nodeJoined`: a healthy node that was not there before. `released`: a node was given up in good health, so it would have lived longer (right-censored). */
export type CapacityObservation =
  | { readonly kind: 'launched' | 'nodeJoined' }
  | { readonly kind: 'noCapacity' }
  | { readonly kind: 'interrupted' | 'released'; readonly livedSeconds?: number };

const FIRST_BLOCK_MS = 60_000;
const SHORTEST_LONGEST_BLOCK_MS = 300_000;
const LONGEST_BLOCK_MS = 3_600_000;

/**
 * Prior belief before anything was seen: one interruption in 12 node-hours. Spot traces of eight GPU zones show mean lives of 0.7
 * to 10 h; the prior fades as observations come in.
 */
const PRIOR_HOURS = 12;
const PRIOR_INTERRUPTIONS = 1;

/** Capacity changes with the seasons of a zone: only so many lives are kept, and older ones are forgotten. */
const KEPT_LIVES = 64;
/** Interruptions among the kept lives from which on their distribution says more than their mean. */
const ENOUGH_INTERRUPTIONS = 8;

/** The memory after one more observation. */
export function remember(memory: CapacityMemory, observation: CapacityObservation, now: number): CapacityMemory {
  const seen = { ...memory, availability: lookBack(memory.availability, observation, now) };
  switch (observation.kind) {
    case 'launched':
      return { ...seen, launched: memory.launched + 1, failuresInARow: 0, blockedUntil: null };
    case 'nodeJoined':
      // There is capacity again, whoever asked for it. A launch that fails all the same blocks for longer.
      return memory.blockedUntil === null && memory.availability?.available ? memory : { ...seen, blockedUntil: null };
    case 'noCapacity':
      return { ...seen, noCapacity: memory.noCapacity + 1, ...blockAfter(memory, now) };
    case 'interrupted':
    case 'released':
      return {
        ...seen,
        interruptions: memory.interruptions + (observation.kind === 'interrupted' ? 1 : 0),
        ...withLife(memory, observation.livedSeconds, observation.kind === 'interrupted'),
      };
  }
}

/** A node that is taken back was there until now; and one that is counts as no spot at all: a gang on it is over. */
function lookBack(before: Availability | null, { kind }: CapacityObservation, now: number): Availability {
  const seconds = now / 1_000;
  if (kind !== 'interrupted') return look(before, kind !== 'noCapacity', seconds);
  return look(look(before, true, seconds - 1), false, seconds);
}

/**
 * A dry pool is blocked for a minute, doubling with every launch that fails. How long at most goes by its expected life: where nodes
 * come and go quickly, capacity comes back quickly, too. A failure that lies back longer than any block says nothing any more.
 */
function blockAfter(memory: CapacityMemory, now: number): Pick<CapacityMemory, 'failuresInARow' | 'blockedUntil'> {
  const isStale = memory.blockedUntil !== null && now - memory.blockedUntil > LONGEST_BLOCK_MS;
  const failures = isStale ? 0 : memory.failuresInARow;
  const quarterLife = (remainingLifeHours(memory) / 4) * 3_600_000;
  const longest = Math.min(LONGEST_BLOCK_MS, Math.max(SHORTEST_LONGEST_BLOCK_MS, quarterLife));
  return { failuresInARow: failures + 1, blockedUntil: now + Math.round(Math.min(longest, FIRST_BLOCK_MS * 2 ** failures)) };
}

function withLife(memory: CapacityMemory, livedSeconds: number | undefined, interrupted: boolean): Partial<CapacityMemory> {
  if (livedSeconds === undefined) return {};
  const hours = Number((Math.max(0, livedSeconds) / 3_600).toFixed(4));
  return { observedHours: memory.observedHours + hours, lives: [...memory.lives, { hours, interrupted }].slice(-KEPT_LIVES) };
}

/**
 * Hours that a node of this age is expected to last from now. With few interruptions seen: a constant hazard, time watched over
 * interruptions (a Gamma prior's mean), whatever the age. With enough: from the distribution of the lives themselves.
 */
export function remainingLifeHours(memory: CapacityMemory, ageHours = 0): number {
  const mean = (memory.observedHours + PRIOR_HOURS) / (memory.interruptions + PRIOR_INTERRUPTIONS);
  const interrupted = memory.lives.filter((life) => life.interrupted).length;
  return interrupted < ENOUGH_INTERRUPTIONS ? mean : conditionalLifeHours(memory.lives, ageHours, mean);
}
