import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { type DeadlineInput, onDemandStartsAt, uniformProgress } from './deadline.ts';

const INPUT: DeadlineInput = {
  now: 0,
  start: 0,
  deadline: 1_000,
  totalSeconds: 500,
  doneSeconds: 0,
  changeoverSeconds: 10,
  current: 'idle',
  spotAvailable: true,
};

describe('Uniform Progress', () => {
  it.each<[string, Partial<DeadlineInput>, string]>([
    ['takes spot whenever it can be had and there is time', {}, 'spot'],
    ['takes spot also when behind', { now: 400 }, 'spot'],
    ['waits for spot while ahead of the line', { now: 100, doneSeconds: 60, spotAvailable: false }, 'idle'],
    ['takes on-demand when behind the line', { now: 100, doneSeconds: 40, spotAvailable: false }, 'onDemand'],
    ['stays on spot to the end once it is warm', { now: 985, doneSeconds: 490, current: 'spot' }, 'spot'],
    ['does not begin on spot when a second change-over would be too late', { now: 485, doneSeconds: 5 }, 'onDemand'],
    [
      'leaves lost spot for on-demand when only that can make it',
      { now: 495, doneSeconds: 5, current: 'spot', spotAvailable: false },
      'onDemand',
    ],
    [
      'does so even when ahead of the line',
      { now: 420, deadline: 520, doneSeconds: 410, current: 'spot', spotAvailable: false },
      'onDemand',
    ],
    ['stays on on-demand without a lead', { now: 100, doneSeconds: 55, current: 'onDemand' }, 'onDemand'],
    [
      'goes from on-demand to spot with a lead that pays for the way there and back',
      { now: 100, doneSeconds: 60, current: 'onDemand' },
      'spot',
    ],
    ['stays on on-demand without spot', { now: 100, doneSeconds: 300, current: 'onDemand', spotAvailable: false }, 'onDemand'],
    ['rests when all is done', { doneSeconds: 500 }, 'idle'],
    ['runs on on-demand when the deadline has passed', { now: 2_000 }, 'onDemand'],
  ])('%s', (_, change, choice) => {
    expect(uniformProgress({ ...INPUT, ...change })).toBe(choice);
  });

  const CHANGEOVER = 10;

  /** Runs the policy second by second over an availability trace; the work done by the deadline, and the seconds on on-demand. */
  function run(isAvailable: (now: number) => boolean, total: number, deadline: number, tellsLoss: boolean) {
    let done = 0;
    let warmup = 0;
    let onDemand = 0;
    let current: DeadlineInput['current'] = 'idle';
    for (let now = 0; now < deadline && done < total; now++) {
      const spotAvailable = isAvailable(now);
      const lost = current === 'spot' && !spotAvailable;
      if (lost && !tellsLoss) current = 'idle';
      // One more second: a decision waits for the next look.
      const choice = uniformProgress({
        ...INPUT,
        now,
        deadline,
        totalSeconds: total,
        doneSeconds: done,
        changeoverSeconds: CHANGEOVER + 1,
        current,
        spotAvailable,
      });
      if (choice !== current || lost) warmup = CHANGEOVER;
      current = choice;
      if (current === 'onDemand') onDemand++;
      if (current === 'idle' || (current === 'spot' && !spotAvailable)) continue;
      if (warmup > 0) warmup--;
      else done++;
    }
    return { done, onDemand };
  }

  const trace = fc.array(fc.record({ available: fc.boolean(), seconds: fc.integer({ min: 1, max: 90 }) }), { minLength: 1, maxLength: 40 });
  const availability = (parts: readonly { available: boolean; seconds: number }[]) => {
    const seconds = parts.flatMap((p) => Array.from({ length: p.seconds }, () => p.available));
    return (now: number) => seconds[now % seconds.length] ?? false;
  };

  it('never misses a deadline that on-demand alone could still meet', () => {
    fc.assert(
      fc.property(
        trace,
        fc.integer({ min: 1, max: 400 }),
        fc.integer({ min: 0, max: 400 }),
        fc.boolean(),
        (parts, total, slack, tellsLoss) => {
          expect(run(availability(parts), total, total + CHANGEOVER + slack, tellsLoss).done).toBe(total);
        },
      ),
      { seed: 1, numRuns: 3_000 },
    );
  });

  it('pays for no on-demand where spot is always there and there is time to begin on it', () => {
    expect(run(() => true, 300, 360, false)).toEqual({ done: 300, onDemand: 0 });
  });

  it('starts on-demand by itself just when it said that it would', () => {
    fc.assert(
      fc.property(
        fc.integer({ min: 1, max: 500 }),
        fc.integer({ min: 0, max: 499 }),
        fc.integer({ min: 0, max: 900 }),
        (total, done, now) => {
          const input: DeadlineInput = { ...INPUT, now, totalSeconds: total, doneSeconds: Math.min(done, total - 1), spotAvailable: false };
          const at = onDemandStartsAt(input);
          expect(at).toBeGreaterThanOrEqual(now);
          expect(uniformProgress({ ...input, now: at + 1e-6 })).toBe('onDemand');
          if (at > now) expect(uniformProgress({ ...input, now: at - 1e-6 })).toBe('idle');
        },
      ),
      { seed: 1, numRuns: 1_000 },
    );
  });
});
