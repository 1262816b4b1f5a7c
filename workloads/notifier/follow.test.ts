import { afterEach, beforeEach, describe, expect, it, vi } from 'vitest';
import type { Announcement, Feed } from './announcement.ts';
import { follow } from './follow.ts';

beforeEach(() => void vi.useFakeTimers());
afterEach(() => void vi.useRealTimers());

const notice: Announcement = { cause: 'spotPreemption', deadline: 1, estimated: false, words: 'goes' };

/** Runs a feed over a script; its last entry goes on for ever. */
async function run(script: (readonly Announcement[] | Error)[], ms: number) {
  let at = 0;
  const waits: boolean[] = [];
  const feed: Feed = {
    name: 'f',
    pauseMs: 1_000,
    read: async (mayWait) => {
      waits.push(mayWait);
      const step = script[Math.min(at++, script.length - 1)] ?? [];
      if (step instanceof Error) throw step;
      return step;
    },
  };
  const answers: number[] = [];
  const faults: string[] = [];
  const stop = new AbortController();
  const done = follow(feed, { onAnswer: (a) => answers.push(a.length), onFault: (e) => faults.push(e.message) }, stop.signal);
  await vi.advanceTimersByTimeAsync(ms);
  stop.abort();
  await done;
  return { answers, faults, waits, reads: at };
}

describe('following a feed', () => {
  it('hands on every answer, a pause apart', async () => {
    expect(await run([[]], 3_500)).toMatchObject({ answers: [0, 0, 0, 0], faults: [] });
  });

  it('believes that an announcement is gone when it is told twice, and does not let the second answer wait', async () => {
    const { answers, waits } = await run([[notice], [], [], []], 3_500);
    expect(answers).toEqual([1, 0, 0]);
    expect(waits).toEqual([true, true, false, true]);
  });

  it('does not believe a single empty answer', async () => {
    expect((await run([[notice], [], [notice], []], 2_500)).answers).toEqual([1, 1]);
  });

  it('takes failures for no answer: what was announced stays', async () => {
    const { answers, faults } = await run([[notice], new Error('503'), new Error('503'), [notice]], 10_000);
    expect(answers.every((n) => n === 1)).toBe(true);
    expect(faults).toEqual(['503', '503']);
  });

  it('asks at least every 5 s, however long the service is away', async () => {
    const { reads } = await run([new Error('away')], 60_000);
    expect(reads).toBeGreaterThanOrEqual(12);
    expect(reads).toBeLessThanOrEqual(22);
  });
});
