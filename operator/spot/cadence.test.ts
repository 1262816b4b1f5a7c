import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { type CadenceInput, checkpointIntervalSeconds } from './cadence.ts';

describe('checkpoint interval', () => {
  it.each<[string, CadenceInput, number]>([
    ['is √(2MC) for a small save and no restart', { saveSeconds: 1, restartSeconds: 0, remainingLifeSeconds: 36_000 }, 269],
    ['counts the restart with the life', { saveSeconds: 10, restartSeconds: 600, remainingLifeSeconds: 3_000 }, 279],
    ['is never shorter than 30 s', { saveSeconds: 0.001, restartSeconds: 0, remainingLifeSeconds: 60 }, 30],
    ['is never longer than 30 min', { saveSeconds: 600, restartSeconds: 600, remainingLifeSeconds: 1e7 }, 1_800],
    ['is the shortest for a free save, however long the life', { saveSeconds: 0, restartSeconds: 0, remainingLifeSeconds: Infinity }, 30],
    ['is the longest for an endless life', { saveSeconds: 1, restartSeconds: 0, remainingLifeSeconds: Infinity }, 1_800],
  ])('%s', (_, input, seconds) => {
    expect(checkpointIntervalSeconds(input)).toBe(seconds);
  });

  /** Share of time lost with saves every `interval` seconds: saves themselves, half an interval and a restart per loss. */
  const overhead = ({ saveSeconds: c, restartSeconds: r, remainingLifeSeconds: m }: CadenceInput, interval: number) =>
    c / interval + (interval / 2 + r) / (m + r);

  const input = fc.record({
    saveSeconds: fc.double({ min: 0.5, max: 60, noNaN: true }),
    restartSeconds: fc.double({ min: 0, max: 600, noNaN: true }),
    remainingLifeSeconds: fc.double({ min: 1_200, max: 1e6, noNaN: true }),
  });

  it('loses hardly more time than the best interval there is', () => {
    fc.assert(
      fc.property(input, fc.integer({ min: 30, max: 1_800 }), (one, other) => {
        expect(overhead(one, checkpointIntervalSeconds(one))).toBeLessThan(overhead(one, other) * 1.1 + 0.001);
      }),
      { seed: 1, numRuns: 1_000 },
    );
  });

  it('grows with life, save and restart', () => {
    fc.assert(
      fc.property(input, fc.constantFrom('saveSeconds', 'restartSeconds', 'remainingLifeSeconds'), (one, field) => {
        expect(checkpointIntervalSeconds({ ...one, [field]: one[field] * 2 })).toBeGreaterThanOrEqual(checkpointIntervalSeconds(one));
      }),
      { seed: 1 },
    );
  });
});
