import { afterEach, beforeEach, describe, expect, it, vi } from 'vitest';
import { WorkQueue } from './work-queue.ts';

beforeEach(() => vi.useFakeTimers());
afterEach(() => vi.useRealTimers());

/** Runs the queue's work until there is nothing more to do now. */
const settle = () => vi.advanceTimersByTimeAsync(0);

function started(queue: WorkQueue, workers: number, handler: (key: string) => Promise<void> | void) {
  const stop = new AbortController();
  const done = queue.run(workers, async (key) => handler(key), stop.signal);
  const end = () => {
    stop.abort();
    return done;
  };
  return { stop: end };
}

describe('the work queue', () => {
  it('has a key worked on once, however often it was added before', async () => {
    const queue = new WorkQueue();
    const seen: string[] = [];
    for (const key of ['a', 'b', 'a', 'a']) queue.add(key);
    expect(queue.depth).toBe(2);
    const run = started(queue, 2, (key) => void seen.push(key));
    await settle();
    expect(seen).toEqual(['a', 'b']);
    await run.stop();
  });

  it('never works on a key twice at the same time, and again afterwards when it was added meanwhile', async () => {
    const queue = new WorkQueue();
    const finish: (() => void)[] = [];
    let running = 0;
    let most = 0;
    const run = started(queue, 4, async () => {
      most = Math.max(most, ++running);
      await new Promise<void>((resolve) => finish.push(resolve));
      running--;
    });
    queue.add('a');
    await settle();
    queue.add('a');
    queue.add('a');
    expect([queue.unfinished, queue.depth]).toEqual([1, 1]);
    await settle();
    expect(finish).toHaveLength(1);
    finish[0]?.();
    await settle();
    expect(finish).toHaveLength(2);
    finish[1]?.();
    await settle();
    expect([most, queue.unfinished, queue.depth]).toEqual([1, 0, 0]);
    await run.stop();
  });

  it('keeps as many keys going as it has workers', async () => {
    const queue = new WorkQueue();
    const finish: (() => void)[] = [];
    for (const key of ['a', 'b', 'c', 'd']) queue.add(key);
    const run = started(queue, 3, () => new Promise<void>((resolve) => finish.push(resolve)));
    await settle();
    expect([queue.unfinished, queue.depth]).toEqual([3, 1]);
    finish[0]?.();
    await settle();
    expect([queue.unfinished, queue.depth]).toEqual([3, 0]);
    for (const end of finish) end();
    await run.stop();
  });

  it('takes the higher priority first, and within one priority the older', async () => {
    const queue = new WorkQueue();
    const seen: string[] = [];
    queue.add('low-1');
    queue.add('low-2');
    queue.add('high', { priority: 10 });
    queue.add('low-2', { priority: 20 });
    queue.add('low-2', { priority: 1 });
    const run = started(queue, 1, (key) => void seen.push(key));
    await settle();
    expect(seen).toEqual(['low-2', 'high', 'low-1']);
    await run.stop();
  });

  it('lets no key starve behind a stream of higher priorities', async () => {
    let now = 0;
    const queue = new WorkQueue({ clock: () => now });
    const seen: string[] = [];
    queue.add('patient');
    queue.add('high-0', { priority: 10 });
    const run = started(queue, 1, (key) => {
      seen.push(key);
      now += 1_000;
      if (seen.length < 30) queue.add(`high-${seen.length}`, { priority: 10 });
    });
    await settle();
    const position = seen.indexOf('patient');
    expect(position).toBeGreaterThanOrEqual(9);
    expect(position).toBeLessThanOrEqual(12);
    await run.stop();
  });

  it('counts the time a key has waited already when its priority rises', async () => {
    let now = 0;
    const queue = new WorkQueue({ clock: () => now });
    const seen: string[] = [];
    queue.add('patient');
    now = 5_000;
    queue.add('high', { priority: 4 });
    queue.add('patient', { priority: 1 });
    const run = started(queue, 1, (key) => void seen.push(key));
    await settle();
    expect(seen).toEqual(['patient', 'high']);
    await run.stop();
  });

  it('raises the priority of a key that was added again while it is worked on', async () => {
    const queue = new WorkQueue();
    const seen: string[] = [];
    const gate = Promise.withResolvers<void>();
    const run = started(queue, 1, async (key) => {
      seen.push(key);
      if (seen.length === 1) await gate.promise;
    });
    queue.add('a');
    await settle();
    queue.add('b');
    queue.add('a');
    queue.add('a', { priority: 5 });
    gate.resolve();
    await settle();
    expect(seen).toEqual(['a', 'a', 'b']);
    await run.stop();
  });

  it('brings failures back after 5 ms, doubling to 1,000 s, and from the start again after a success', async () => {
    const at: number[] = [];
    let failing = true;
    const queue = new WorkQueue({ random: () => 0 });
    const run = started(queue, 1, () => {
      at.push(performance.now());
      if (failing) throw new Error('no');
    });
    queue.add('a');
    await vi.advanceTimersByTimeAsync(4_000_000);
    const gaps = at.slice(1).map((time, i) => Math.round(time - (at[i] ?? 0)));
    expect(gaps.slice(0, 5)).toEqual([5, 10, 20, 40, 80]);
    expect(gaps.slice(17, 20)).toEqual([655_360, 1_000_000, 1_000_000]);
    failing = false;
    await vi.advanceTimersByTimeAsync(1_000_000);
    const worked = at.length;
    failing = true;
    queue.add('a');
    await vi.advanceTimersByTimeAsync(5);
    expect(at).toHaveLength(worked + 2);
    await run.stop();
  });

  it('spreads the returns of keys that failed together', () => {
    const after = vi.spyOn(WorkQueue.prototype, 'addAfter');
    new WorkQueue({ random: () => 1 }).addRateLimited('a');
    expect(after).toHaveBeenCalledWith('a', 5.5);
    after.mockRestore();
  });

  it('adds delayed keys in time, the earliest wish counting', async () => {
    const queue = new WorkQueue();
    queue.addAfter('a', 1_000);
    queue.addAfter('a', 50);
    queue.addAfter('a', 500);
    expect(vi.getTimerCount()).toBe(1);
    await vi.advanceTimersByTimeAsync(49);
    expect(queue.depth).toBe(0);
    await vi.advanceTimersByTimeAsync(1);
    expect(queue.depth).toBe(1);
    const run = started(queue, 1, () => undefined);
    await vi.advanceTimersByTimeAsync(2_000);
    expect([queue.depth, vi.getTimerCount()]).toEqual([0, 0]);
    await run.stop();
  });

  it('waits longer than a timer can', async () => {
    const queue = new WorkQueue();
    const month = 30 * 86_400_000;
    queue.addAfter('a', month);
    await vi.advanceTimersByTimeAsync(month - 1_000);
    expect(queue.depth).toBe(0);
    await vi.advanceTimersByTimeAsync(1_000);
    expect(queue.depth).toBe(1);
  });

  it('ends with its signal: what is under way is finished, nothing else is begun, no timer stays', async () => {
    const queue = new WorkQueue();
    const gate = Promise.withResolvers<void>();
    const seen: string[] = [];
    const run = started(queue, 1, async (key) => {
      seen.push(key);
      await gate.promise;
    });
    queue.add('a');
    queue.add('b');
    queue.addAfter('c', 1_000);
    await settle();
    let ended = false;
    const stopped = run.stop().then(() => (ended = true));
    await settle();
    expect([ended, vi.getTimerCount()]).toEqual([false, 0]);
    gate.resolve();
    await stopped;
    queue.add('d');
    queue.addAfter('e', 10);
    expect([seen, queue.depth, vi.getTimerCount()]).toEqual([['a'], 1, 0]);
  });

  it('tells its metrics: additions, waiting, work, failures, and what is stuck', async () => {
    const told: string[] = [];
    const errors: unknown[] = [];
    const queue = new WorkQueue({
      random: () => 0,
      onError: (key, error) => errors.push([key, (error as Error).message]),
      hooks: {
        onAdd: () => told.push('add'),
        onStart: (waited) => told.push(`start ${waited}`),
        onDone: (seconds, failed) => told.push(`done ${seconds} ${failed}`),
        onRetry: () => told.push('retry'),
      },
    });
    queue.add('a');
    await vi.advanceTimersByTimeAsync(2_000);
    const gate = Promise.withResolvers<void>();
    const run = started(queue, 2, () => gate.promise);
    await vi.advanceTimersByTimeAsync(3_000);
    queue.add('b');
    await vi.advanceTimersByTimeAsync(1_000);
    expect([queue.unfinishedSeconds, queue.longestRunningSeconds]).toEqual([5, 4]);
    gate.reject(new Error('no'));
    await vi.advanceTimersByTimeAsync(0);
    expect(told).toEqual(['add', 'start 2', 'add', 'start 0', 'done 4 true', 'retry', 'done 1 true', 'retry']);
    expect(errors).toEqual([
      ['a', 'no'],
      ['b', 'no'],
    ]);
    await run.stop();
  });
});
