import { describe, expect, it } from 'vitest';
import { arrivalsOf, gammaArrivals, gammaTimes, mergeArrivals, timesFromCounts } from './arrivals.ts';
import { gamma, seededRandom } from './random.ts';

/** Coefficient of variation of the gaps. */
function variation(times: readonly number[]): number {
  const gaps = times.slice(1).map((time, i) => time - (times[i] as number));
  const mean = gaps.reduce((a, b) => a + b, 0) / gaps.length;
  return Math.sqrt(gaps.reduce((sum, gap) => sum + (gap - mean) ** 2, 0) / gaps.length) / mean;
}

describe('requests made by a seed', () => {
  it.each([0.5, 1, 2, 4])('have the rate and the coefficient of variation %d asked for', (cv) => {
    const times = gammaTimes(50, cv, 4_000, seededRandom(1));
    expect(times.length / 4_000 / 50).toBeCloseTo(1, 1);
    expect(variation(times) / cv).toBeCloseTo(1, 1);
  });

  it.each([0.2, 1, 7])('a Gamma number of shape %d has that mean and that variance', (shape) => {
    const random = seededRandom(4);
    const numbers = Array.from({ length: 100_000 }, () => gamma(shape, random));
    const mean = numbers.reduce((a, b) => a + b, 0) / numbers.length;
    expect(mean / shape).toBeCloseTo(1, 1);
    expect(numbers.reduce((sum, x) => sum + (x - mean) ** 2, 0) / numbers.length / shape).toBeCloseTo(1, 1);
  });

  it('are the same for the same seed, others for another', () => {
    const rates = [3, 5];
    expect(gammaArrivals(rates, 4, 60, 7)).toEqual(gammaArrivals(rates, 4, 60, 7));
    expect(gammaArrivals(rates, 4, 60, 8)).not.toEqual(gammaArrivals(rates, 4, 60, 7));
  });

  it('do not all begin with a burst at once', () => {
    const { seconds } = gammaArrivals(Array(200).fill(1), 6, 100, 1);
    expect(seconds.filter((t) => t < 10).length).toBeLessThan(2 * seconds.filter((t) => t >= 10 && t < 20).length);
  });

  it('of no rate are none', () => {
    expect(gammaTimes(0, 1, 60, seededRandom(1))).toEqual([]);
  });
});

describe('streams of requests', () => {
  it('become one, in order of time', () => {
    const { seconds, models } = mergeArrivals([[1, 3], [2]]);
    expect([...seconds]).toEqual([1, 2, 3]);
    expect([...models]).toEqual([0, 1, 0]);
  });

  it('are narrowed to some models, numbered anew', () => {
    const { seconds, models } = arrivalsOf(mergeArrivals([[1, 3], [2], [4]]), [2, 0]);
    expect([...seconds]).toEqual([1, 3, 4]);
    expect([...models]).toEqual([1, 1, 0]);
  });

  it('from counts lie in their windows; fractions add up', () => {
    const times = timesFromCounts([2, 0, 3], 10, seededRandom(1));
    expect(times.map((t) => Math.floor(t / 10))).toEqual([0, 0, 2, 2, 2]);
    expect(timesFromCounts(Array(10_000).fill(0.3), 1, seededRandom(1)).length / 3_000).toBeCloseTo(1, 1);
  });
});
