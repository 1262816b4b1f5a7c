import { existsSync, readdirSync } from 'node:fs';
import { join } from 'node:path';
import type { SpotProcess } from '../../operator/spot/availability.ts';
import { expectedEnds, type Hazard } from '../../operator/spot/hazard.ts';
import { readJson, ticks } from './traces.ts';

/** A stretch of a state: its ticks, and whether its end was seen. Those that a trace begins with are left out: their age is not known. */
interface Stretch {
  readonly up: boolean;
  readonly ticks: number;
  readonly ended: boolean;
}

interface Series {
  readonly name: string;
  readonly gapHours: number;
  readonly stretches: readonly Stretch[];
}

/** The single-zone series, put together again from their overlapping windows; a gap between windows begins a new trace. */
export function seriesIn(dir: string): Series[] {
  const root = join(dir, 'single-region');
  const folder = existsSync(root) ? readdirSync(root).find((name) => /^d[0-9.]+$/.test(name)) : undefined;
  if (folder === undefined) return [];
  return readdirSync(join(root, folder))
    .filter((name) => name.endsWith('.json'))
    .map((name) => {
      const file = readJson<{
        series: string;
        gapSeconds: number;
        windows: { startTick: number; preempted: string }[];
      }>(root, folder, name);
      const known: (0 | 1 | undefined)[] = [];
      for (const { startTick, preempted } of file.windows)
        ticks(preempted, '0').forEach((up, i) => {
          known[startTick + i] = up === 1 ? 1 : 0;
        });
      return { name: file.series, gapHours: file.gapSeconds / 3_600, stretches: stretchesOf(known) };
    });
}

function stretchesOf(known: readonly (0 | 1 | undefined)[]): Stretch[] {
  const found: Stretch[] = [];
  let from: number | null = null;
  for (let i = 1; i <= known.length; i++) {
    if (known[i] === known[i - 1]) continue;
    const before = known[i - 1];
    if (from !== null && before !== undefined) found.push({ up: before === 1, ticks: i - from, ended: known[i] !== undefined });
    // What begins after a gap may be old.
    from = before === undefined ? null : i;
  }
  return found;
}

/** The process under which the stretches are likeliest: for each state a hazard that falls as a power of its age. */
export function likeliestProcess(series: readonly Series[]): SpotProcess {
  return { up: fitted(series, true), down: fitted(series, false) };
}

function fitted(series: readonly Series[], up: boolean): Hazard {
  let best: Hazard = { perHour: 1, decline: 0 };
  let most = Number.NEGATIVE_INFINITY;
  for (let decline = 0; decline < 0.96; decline += 0.01) {
    const likelihood = logLikelihood(series, up, decline);
    // It has one maximum: the interval that holds it is made a third smaller each time.
    let [low, high] = [0.05, 5];
    for (let round = 0; round < 24; round++) {
      const [a, b] = [low + (high - low) / 3, high - (high - low) / 3];
      if (likelihood(a) < likelihood(b)) low = a;
      else high = b;
    }
    if (likelihood(low) <= most) continue;
    most = likelihood(low);
    best = { perHour: low, decline };
  }
  return { perHour: Number(best.perHour.toFixed(2)), decline: Number(best.decline.toFixed(2)) };
}

/**
 * By the hazard at the age of an hour. A stretch of n ticks survived n − 1 looks, its age at each half a tick more than it was seen to
 * be, and ended at the next.
 */
function logLikelihood(series: readonly Series[], up: boolean, decline: number): (perHour: number) => number {
  const unit = { perHour: 1, decline };
  let survived = 0;
  const ends: number[] = [];
  for (const { gapHours, stretches } of series)
    for (const stretch of stretches) {
      if (stretch.up !== up) continue;
      const age = (stretch.ticks - 0.5) * gapHours;
      survived += expectedEnds(unit, 0.5 * gapHours, age);
      if (stretch.ended) ends.push(expectedEnds(unit, age, age + gapHours));
    }
  return (perHour) => ends.reduce((sum, end) => sum + Math.log(1 - Math.exp(-perHour * end)), -perHour * survived);
}
