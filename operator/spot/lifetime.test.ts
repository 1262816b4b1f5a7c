import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { conditionalLifeHours, type Life } from './lifetime.ts';

const interrupted = (hours: number): Life => ({ hours, interrupted: true });
const released = (hours: number): Life => ({ hours, interrupted: false });

/** Uniform numbers in (0, 1), the same in every run. */
function* uniform(seed: number): Generator<number, never> {
  for (let state = seed; ; ) {
    state = (state * 1_103_515_245 + 12_345) % 2 ** 31;
    yield (state + 0.5) / 2 ** 31;
  }
}

describe('conditional remaining life', () => {
  it('is the area below the survival curve, worked out by hand', () => {
    const lives = [interrupted(1), released(2), interrupted(3)];
    const afterFirst = Math.exp(-1 / 3);
    const afterSecond = afterFirst * Math.exp(-1);
    expect(conditionalLifeHours(lives, 0, 10)).toBeCloseTo(1 + afterFirst * 2 + afterSecond * 10, 12);
    expect(conditionalLifeHours(lives, 2, 10)).toBeCloseTo(1 + Math.exp(-1) * 10, 12);
    expect(conditionalLifeHours(lives, 5, 10)).toBe(10);
  });

  it('is what it should be when the hazard is constant, also with half the lives cut short', () => {
    const random = uniform(7);
    const lives = Array.from({ length: 2_000 }, (): Life => {
      const end = -4 * Math.log(random.next().value);
      const watched = -4 * Math.log(random.next().value);
      return end <= watched ? interrupted(end) : released(watched);
    });
    expect(conditionalLifeHours(lives, 0, 4)).toBeGreaterThan(3.7);
    expect(conditionalLifeHours(lives, 0, 4)).toBeLessThan(4.3);
    expect(conditionalLifeHours(lives, 3, 4)).toBeGreaterThan(3.6);
    expect(conditionalLifeHours(lives, 3, 4)).toBeLessThan(4.4);
  });

  it('grows with age where lives are heavy-tailed, as those of spot nodes are', () => {
    const random = uniform(3);
    const lives = Array.from({ length: 500 }, () => interrupted(0.2 * random.next().value ** (-1 / 1.5)));
    const at = [0, 0.5, 1, 2].map((age) => conditionalLifeHours(lives, age, 1));
    expect(at).toEqual(at.toSorted((a, b) => a - b));
  });

  const life = fc.record({ hours: fc.double({ min: 0, max: 100, noNaN: true }), interrupted: fc.boolean() });

  it('does not depend on the order, and lies between the shortest and the longest that it could be', () => {
    fc.assert(
      fc.property(fc.array(life, { maxLength: 40 }), fc.double({ min: 0, max: 50, noNaN: true }), (lives, age) => {
        const hours = conditionalLifeHours(lives, age, 12);
        const longest = Math.max(0, ...lives.map((l) => l.hours - age));
        expect(conditionalLifeHours(lives.toReversed(), age, 12)).toBeCloseTo(hours, 9);
        expect(hours).toBeGreaterThanOrEqual(0);
        expect(hours).toBeLessThanOrEqual(longest + 12);
      }),
      { seed: 1, numRuns: 500 },
    );
  });

  it('is not shortened by lives that were given up in good health', () => {
    const lives = [1, 2, 3, 4].map(interrupted);
    const hours = conditionalLifeHours(lives, 0, 4);
    expect(conditionalLifeHours([...lives, ...[1, 2, 3, 4].map(released)], 0, 4)).toBeGreaterThan(hours);
    expect(conditionalLifeHours([...lives, released(0.5)], 0, 4)).toBe(hours);
  });
});
