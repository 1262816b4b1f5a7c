import { describe, expect, it } from 'vitest';
import { endsWithin, expectedEnds, expectedStayHours } from './hazard.ts';

describe('a hazard that falls with age', () => {
  const hazard = { perHour: 0.5, decline: 0.5 };

  it('adds up from one age to the next', () => {
    expect(expectedEnds(hazard, 0, 4)).toBeCloseTo(2); // ∫ 0.5/√t from 0 to 4
    expect(expectedEnds(hazard, 0, 1) + expectedEnds(hazard, 1, 4)).toBeCloseTo(2);
  });

  it('makes an old state last longer than a young one', () => {
    expect(endsWithin(hazard, 0, 1)).toBeCloseTo(1 - Math.exp(-1));
    expect(endsWithin(hazard, 24, 1)).toBeLessThan(endsWithin(hazard, 1, 1) / 3);
  });

  it('is the same at every age without decline', () => {
    const steady = { perHour: 0.5, decline: 0 };
    expect(endsWithin(steady, 10, 2)).toBeCloseTo(endsWithin(steady, 0, 2));
  });
});

describe('expected stay', () => {
  it('is the mean life at a constant hazard, cut off at the horizon', () => {
    expect(expectedStayHours({ perHour: 0.5, decline: 0 }, 3, 20)).toBeCloseTo(2, 1);
    expect(expectedStayHours({ perHour: 1e-9, decline: 0 }, 0, 10)).toBeCloseTo(10, 3);
  });

  it('is longer at a higher age where the hazard falls', () => {
    const hazard = { perHour: 0.7, decline: 0.6 };
    expect(expectedStayHours(hazard, 5, 40)).toBeGreaterThan(expectedStayHours(hazard, 0.1, 40));
  });
});
