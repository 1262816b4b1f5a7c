import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { charge, type RetryHistory, type RetryRule } from './budgets.ts';

const NOW = Date.parse('2026-01-01T00:00:00Z');
const MINUTE = 60_000;

/** Charges an error every `gapMs`, and stops at the first refusal. */
function failures(rules: readonly RetryRule[], count: number, gapMs: number, cause: RetryHistory['cause'] = 'error') {
  let history: RetryHistory | undefined;
  const verdicts = [];
  for (let i = 0; i < count; i++) {
    const verdict = charge(rules, history, cause, 1, NOW + i * gapMs);
    verdicts.push(verdict);
    history = verdict.history;
    if (!verdict.allowed) break;
  }
  return verdicts;
}

const limitOf = (rules: readonly RetryRule[], gapMs: number, cause?: RetryHistory['cause']) =>
  failures(rules, 500, gapMs, cause).filter((v) => v.allowed).length;

describe('budgets without rules', () => {
  it('allow three errors an hour, with a back-off that doubles', () => {
    const verdicts = failures([], 4, MINUTE);
    expect(verdicts.map((v, i) => (v.allowed ? [v.notBefore - (NOW + i * MINUTE), v.remaining] : v.reason))).toEqual([
      [10_000, 2],
      [20_000, 1],
      [40_000, 0],
      'LimitReached',
    ]);
    expect(verdicts.at(-1)?.message).toBe('4 errors within 60 min, and 3 are allowed');
  });

  it('forgive errors after an hour', () => {
    const spent = failures([], 3, MINUTE).at(-1)?.history;
    expect(charge([], spent, 'error', 1, NOW + 61 * MINUTE).allowed).toBe(true);
  });

  it('never count interruptions and missing capacity, and repeat at once', () => {
    for (const cause of ['interruption', 'capacity'] as const) {
      expect(failures([], 500, 1_000, cause).at(-1)).toMatchObject({ allowed: true, remaining: null, notBefore: NOW + 499_000 });
    }
  });

  it('allow five bad nodes', () => {
    expect(limitOf([], MINUTE, 'node')).toBe(5);
  });
});

describe('rules of the spec', () => {
  it('the first that fits counts, by cause and exit code', () => {
    const rules: RetryRule[] = [
      { on: ['error'], exitCodes: [65], limit: 0 },
      { on: ['error'], limit: 'unlimited' },
    ];
    expect(charge(rules, undefined, 'error', 65, NOW).allowed).toBe(false);
    expect(charge(rules, undefined, 'error', 1, NOW).allowed).toBe(true);
    expect(charge(rules, undefined, 'error', null, NOW).allowed).toBe(true);
  });

  it('a limit without window counts the whole run', () => {
    expect(limitOf([{ on: ['error'], limit: 2 }], 100 * 3_600_000)).toBe(2);
  });

  it('limits above the number of times kept hold', () => {
    expect(limitOf([{ on: ['error'], limit: 250, windowSeconds: 86_400 }], 1_000)).toBe(250);
    expect(limitOf([{ on: ['error'], limit: 250 }], 1_000)).toBe(250);
  });

  it('a cause may go on for so long, however often it strikes meanwhile', () => {
    const rules: RetryRule[] = [{ on: ['capacity'], forSeconds: 3_600 }];
    expect(limitOf(rules, 20_000, 'capacity')).toBe(181);
    expect(failures(rules, 500, 20_000, 'capacity').at(-1)).toMatchObject({
      reason: 'TimeSpent',
      message: 'without capacity for longer than 60 min',
    });
  });
});

describe('charging', () => {
  it('waits ever longer, to five minutes', () => {
    const rules: RetryRule[] = [{ on: ['error'], limit: 'unlimited' }];
    const waits = failures(rules, 8, MINUTE).map((v, i) => (v.allowed ? (v.notBefore - (NOW + i * MINUTE)) / 1000 : null));
    expect(waits).toEqual([10, 20, 40, 80, 160, 300, 300, 300]);
  });

  it('never allows more within any window than its limit, and remembers a bounded number of times', () => {
    fc.assert(
      fc.property(
        fc.array(fc.integer({ min: 0, max: 30 }), { maxLength: 300 }),
        fc.integer({ min: 0, max: 20 }),
        fc.integer({ min: 1, max: 120 }),
        (gaps, limit, windowMinutes) => {
          let history: RetryHistory | undefined;
          let now = NOW;
          const charged: number[] = [];
          for (const gap of gaps) {
            now += gap * MINUTE;
            charged.push(now);
            const verdict = charge([{ on: ['error'], limit, windowSeconds: windowMinutes * 60 }], history, 'error', 1, now);
            const within = charged.filter((t) => now - t < windowMinutes * MINUTE).length;
            expect(verdict.allowed).toBe(within <= limit);
            expect(verdict.history.times.length).toBeLessThanOrEqual(100);
            expect(verdict.history.count).toBe(charged.length);
            history = verdict.history;
          }
        },
      ),
      { seed: 1, numRuns: 200 },
    );
  });
});
