import type { Worker } from './worker.ts';

export interface Choice {
  /** Hash of how the conversation begins: those that begin alike go to the same worker, which has it in its cache. */
  readonly prefix: number;
  /** Percent of requests for workers of track canary. */
  readonly canaryPercent: number;
  /** Workers that have failed this very request. */
  readonly exclude: ReadonlySet<Worker>;
  readonly random: () => number;
}

/** A worker may have so many times the mean load, and this many requests more, before its conversations go elsewhere. */
const CROWDED = 1.25;
const CROWDED_BY = 2;

/**
 * The worker for a request, or null. By rendezvous hashing of the conversation's beginning while its worker is not crowded (consistent
 * hashing with bounded loads), so that copies of the gateway agree without talking; else the least loaded one.
 */
export function chooseWorker(workers: readonly Worker[], { prefix, canaryPercent, exclude, random }: Choice): Worker | null {
  let usable = workers.filter((w) => w.breaker.closed && !exclude.has(w));
  if (usable.length === 0) return null;
  if (canaryPercent > 0) {
    const track = random() * 100 < canaryPercent ? 'canary' : 'stable';
    const ofTrack = usable.filter((w) => w.spec.track === track);
    if (ofTrack.length > 0) usable = ofTrack;
  } else if (usable.some((w) => w.spec.track === 'stable')) usable = usable.filter((w) => w.spec.track === 'stable');
  let load = 0;
  let home = usable[0] as Worker;
  let homeScore = -1;
  let idlest = home;
  for (const worker of usable) {
    load += worker.running;
    const score = mix(prefix, worker.hash);
    if (score > homeScore) {
      home = worker;
      homeScore = score;
    }
    if (worker.running < idlest.running || (worker.running === idlest.running && mix(prefix, worker.hash) > mix(prefix, idlest.hash)))
      idlest = worker;
  }
  return home.running <= (load / usable.length) * CROWDED + CROWDED_BY ? home : idlest;
}

/** Scatters two hashes over 32 bits (the end of MurmurHash3). */
function mix(a: number, b: number): number {
  let h = a ^ b;
  h = Math.imul(h ^ (h >>> 16), 0x85ebca6b);
  h = Math.imul(h ^ (h >>> 13), 0xc2b2ae35);
  return (h ^ (h >>> 16)) >>> 0;
}
