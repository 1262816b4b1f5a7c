import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { firstSight } from './availability.ts';
import { type CadenceInput, checkpointIntervalSeconds, presentLifeSeconds } from './cadence.ts';

describe('checkpoint interval', () => {
  it.each<[string, CadenceInput, number]>([
    [
      'is √(2MC) for a small save and no restart',
      { saveSeconds: 1, restartSeconds: 0, remainingLifeSeconds: 36_000, noticeSeconds: 0 },
      269,
    ],
    ['counts the restart with the life', { saveSeconds: 10, restartSeconds: 600, remainingLifeSeconds: 3_000, noticeSeconds: 0 }, 279],
    ['is never shorter than 30 s', { saveSeconds: 0.001, restartSeconds: 0, remainingLifeSeconds: 60, noticeSeconds: 0 }, 30],
    ['is never longer than 30 min', { saveSeconds: 600, restartSeconds: 600, remainingLifeSeconds: 1e7, noticeSeconds: 0 }, 1_800],
    [
      'is the shortest for a free save, however long the life',
      { saveSeconds: 0, restartSeconds: 0, remainingLifeSeconds: Infinity, noticeSeconds: 0 },
      30,
    ],
    ['is the longest for an endless life', { saveSeconds: 1, restartSeconds: 0, remainingLifeSeconds: Infinity, noticeSeconds: 0 }, 1_800],
  ])('%s', (_, input, seconds) => {
    expect(checkpointIntervalSeconds(input)).toBe(seconds);
  });

  it('relies on a notice in which a save fits twice', () => {
    const input = { saveSeconds: 60, restartSeconds: 60, remainingLifeSeconds: 600 };
    expect(checkpointIntervalSeconds({ ...input, noticeSeconds: 120 })).toBe(1_800);
    expect(checkpointIntervalSeconds({ ...input, noticeSeconds: 119 })).toBe(checkpointIntervalSeconds({ ...input, noticeSeconds: 0 }));
  });

  it('reckons with a shorter life of young spot than of old', () => {
    const aged = (hours: number) => presentLifeSeconds({ ...firstSight(true, 0), since: -hours * 3_600 }, 0);
    expect(aged(0)).toBe(aged(0.1));
    expect(aged(1)).toBeCloseTo(3_600 / 0.72);
    expect(aged(10)).toBeGreaterThan(3 * aged(1));
  });

  /** Share of time lost with saves every `interval` seconds: saves themselves, half an interval and a restart per loss. */
  const overhead = ({ saveSeconds: c, restartSeconds: r, remainingLifeSeconds: m }: CadenceInput, interval: number) =>
    c / interval + (interval / 2 + r) / (m + r);

  const input = fc.record({
    saveSeconds: fc.double({ min: 0.5, max: 60, noNaN: true }),
    restartSeconds: fc.double({ min: 0, max: 600, noNaN: true }),
    remainingLifeSeconds: fc.double({ min: 1_200, max: 1e6, noNaN: true }),
    noticeSeconds: fc.constant(0),
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
