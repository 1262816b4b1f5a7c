import { describe, expect, it } from 'vitest';
import { durationSeconds } from './duration.ts';

describe('a duration', () => {
  it.each([
    ['90s', 90],
    ['10m', 600],
    ['24h', 86_400],
    ['7d', 604_800],
    ['1h30m', 5_400],
    ['1d2h3m4s', 93_784],
    ['500ms', 0.5],
    ['10m10ms', 600.01],
    ['0s', 0],
  ])('%s is %d seconds', (text, seconds) => {
    expect(durationSeconds(text)).toBeCloseTo(seconds, 6);
  });

  it.each(['', 'soon', '10', '-5m', '1.5h', '5m1h', '1h1h', '10 m', '10M', '99999d', '１0m'])('"%s" is none', (text) => {
    expect(() => durationSeconds(text)).toThrow(`"${text}" is no duration: write it as 90s, 10m, 24h or 1h30m`);
  });

  it('at its longest still makes a date', () => {
    expect(Number.isNaN(new Date(Date.UTC(2030, 0) + durationSeconds('9999d99999h999999m9999999s') * 1_000).getTime())).toBe(false);
  });
});
