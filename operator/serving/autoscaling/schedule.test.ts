import { describe, expect, it } from 'vitest';
import { scheduledMin, type Window } from './schedule.ts';

const window = (changes: Partial<Window> = {}): Window => ({
  days: [],
  start: '08:00',
  end: '18:00',
  timeZone: 'Europe/Berlin',
  min: 3,
  ...changes,
});
const at = (time: string, windows: Window[], lead = 0) => scheduledMin(windows, Date.parse(time), lead);

describe('a window of the schedule', () => {
  it('follows the clock of its zone through summer time', () => {
    expect(at('2026-01-15T07:30:00Z', [window()])).toBe(3); // 08:30
    expect(at('2026-07-15T06:30:00Z', [window()])).toBe(3); // 08:30 in summer
    expect(at('2026-01-15T06:30:00Z', [window()])).toBe(0); // 07:30
    expect(at('2026-07-15T16:30:00Z', [window()])).toBe(0); // 18:30
  });

  it('over midnight belongs to the day on which it begins', () => {
    const night = window({ days: ['Fri'], start: '22:00', end: '06:00', timeZone: 'UTC' });
    expect(at('2026-06-05T23:00:00Z', [night])).toBe(3); // Friday
    expect(at('2026-06-06T05:00:00Z', [night])).toBe(3); // Saturday morning
    expect(at('2026-06-05T05:00:00Z', [night])).toBe(0); // Friday morning
    expect(at('2026-06-06T23:00:00Z', [night])).toBe(0); // Saturday night
  });

  it('begins early by the time that a replica needs; the largest of several counts', () => {
    expect(at('2026-01-15T06:55:00Z', [window()], 600)).toBe(3);
    expect(at('2026-01-15T07:30:00Z', [window(), window({ min: 7, start: '08:15' })])).toBe(7);
  });

  it('in a zone that nobody knows counts as UTC', () => {
    expect(at('2026-01-15T08:30:00Z', [window({ timeZone: 'Mars/Olympus' })])).toBe(3);
  });
});
