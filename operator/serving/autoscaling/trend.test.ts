import { describe, expect, it } from 'vitest';
import { forecast, type Point } from './trend.ts';

const START = Date.parse('2026-03-02T12:00:00Z');

/** Evenly spread between -1 and 1, the same at every run (a linear congruential generator). */
function noise(seed: number): () => number {
  let state = (seed * 2_654_435_761) % 2 ** 32;
  return () => {
    state = (state * 1_664_525 + 1_013_904_223) % 2 ** 32;
    return state / 2 ** 31 - 1;
  };
}

const at = (step: number, value: number): Point => ({ at: START + step * 15_000, value });
const points = (count: number, value: (step: number) => number) => Array.from({ length: count }, (_, i) => at(i, value(i)));

describe('a forecast', () => {
  it('follows a rising line as far as a replica needs to start', () => {
    expect(
      forecast(
        points(8, (i) => 100 + 2 * i),
        at(8, 116),
        150,
      ),
    ).toBeCloseTo(136);
  });

  it('is the double at most, and the present value at least', () => {
    expect(
      forecast(
        points(8, (i) => 10 * i),
        at(8, 80),
        3_600,
      ),
    ).toBe(160);
    expect(
      forecast(
        points(8, (i) => 100 - 2 * i),
        at(8, 84),
        150,
      ),
    ).toBe(84);
    expect(
      forecast(
        points(8, () => 10),
        at(8, 200),
        15,
      ),
    ).toBe(200);
  });

  it('forgets what is older than the last minutes', () => {
    const fall = points(8, (i) => 1_000 - 100 * i);
    const rise = Array.from({ length: 8 }, (_, i) => at(20 + i, 100 + 2 * i));
    expect(forecast([...fall, ...rise], at(28, 116), 150)).toBeCloseTo(136);
  });

  it('takes the same sample, seen twice, for one', () => {
    const seen = points(9, (i) => 100 + 2 * i);
    expect(forecast(seen, at(8, 116), 150)).toBeCloseTo(136);
  });

  it('of a plateau is seldom misled by its noise', () => {
    let misled = 0;
    for (let seed = 0; seed < 500; seed++) {
      const random = noise(seed);
      const all = points(40, () => 62 * (1 + 0.15 * random()));
      if (all.some((p, i) => forecast(all.slice(0, i), p, 180) > p.value)) misled++;
    }
    expect(misled / 500).toBeLessThan(0.03);
  });

  it('sees load that doubles in three minutes through the same noise', () => {
    for (let seed = 0; seed < 50; seed++) {
      const random = noise(seed);
      const all = points(25, (i) => 62 * (1 + Math.max(0, i - 12) / 12) * (1 + 0.15 * random()));
      expect(all.some((p, i) => i > 12 && forecast(all.slice(0, i), p, 180) > 1.2 * p.value)).toBe(true);
    }
  });
});
