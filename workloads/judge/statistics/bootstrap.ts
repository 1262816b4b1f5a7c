import { seeded } from './random.ts';

export type Interval = readonly [number, number];

const SAMPLES = 2_000;
const SEED = 80;
const OUTSIDE = 0.05;

/**
 * 95 % interval of a statistic by the percentile bootstrap (Efron 1979): as many groups as there are, drawn with replacement, `samples` times.
 * What belongs to one question is one group, so that its turns are drawn together. Null for fewer than two groups, and where the statistic
 * has no value. The same input gives the same interval.
 */
export function bootstrap<T>(
  groups: readonly (readonly T[])[],
  statistic: (sample: readonly T[]) => number | null,
  samples = SAMPLES,
): Interval | null {
  if (groups.length < 2) return null;
  const random = seeded(SEED);
  const values: number[] = [];
  for (let i = 0; i < samples; i++) {
    const value = statistic(groups.flatMap(() => groups[Math.floor(random() * groups.length)] ?? []));
    if (value !== null && Number.isFinite(value)) values.push(value);
  }
  if (values.length < samples / 2) return null;
  values.sort((a, b) => a - b);
  return [quantile(values, OUTSIDE / 2), quantile(values, 1 - OUTSIDE / 2)];
}

/** Linear between neighbours, as numpy's default. */
function quantile(sorted: readonly number[], share: number): number {
  const at = share * (sorted.length - 1);
  const low = Math.floor(at);
  const below = sorted[low] ?? 0;
  return below + ((sorted[low + 1] ?? below) - below) * (at - low);
}
