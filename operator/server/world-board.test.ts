import { getEventListeners } from 'node:events';
import { describe, expect, it, vi } from 'vitest';
import { TRAINING, world } from './test-support.ts';
import { WorldBoard } from './world-board.ts';

const PODS = ['vicuna-13b-g1-0'];
const board = () => new WorldBoard({ now: () => 1_000 });
const patient = { timeoutMs: 30_000 };

describe('a board of worlds', () => {
  it('answers at once when the world differs from the one known', async () => {
    const worlds = board();
    worlds.publish(TRAINING, world(2, PODS));
    expect(await worlds.wait(TRAINING, undefined, patient)).toEqual(world(2, PODS));
    expect(await worlds.wait(TRAINING, '1-run', patient)).toEqual(world(2, PODS));
  });

  it('wakes those who wait before publish returns', async () => {
    const worlds = board();
    const order: string[] = [];
    const waiting = worlds.wait(TRAINING, undefined, patient).then(() => order.push('woken'));
    worlds.publish(TRAINING, world(1, PODS));
    expect(worlds.waiting).toBe(0);
    setImmediate(() => order.push('next tick'));
    await waiting;
    expect(order).toEqual(['woken']);
  });

  it('lets those sleep who know the revision, however often it is published', async () => {
    const worlds = board();
    worlds.publish(TRAINING, world(1, PODS));
    const waiting = worlds.wait(TRAINING, '1-run', patient);
    worlds.publish(TRAINING, world(1, PODS));
    expect(worlds.waiting).toBe(1);
    worlds.publish(TRAINING, world(1, PODS, { revision: '1-checkpoint', directive: 'checkpoint' }));
    expect((await waiting)?.directive).toBe('checkpoint');
  });

  it('lets those sleep who already know what a new leader publishes', async () => {
    const worlds = board();
    const waiting = worlds.wait(TRAINING, '3-run', patient);
    worlds.publish(TRAINING, world(3, PODS));
    expect(worlds.waiting).toBe(1);
    worlds.publish(TRAINING, world(4, PODS));
    expect((await waiting)?.generation).toBe(4);
  });

  it('does not wake the waiters of another training', () => {
    const worlds = board();
    void worlds.wait('team-a/other', undefined, patient);
    worlds.publish(TRAINING, world(1, PODS));
    expect(worlds.waiting).toBe(1);
    worlds.release();
  });

  it('keeps the time at which a world was first published', () => {
    let now = 5_000;
    const worlds = new WorldBoard({ now: () => now });
    expect(worlds.publishedAt(TRAINING)).toBeNull();
    worlds.publish(TRAINING, world(1, PODS));
    now = 6_000;
    worlds.publish(TRAINING, world(1, PODS));
    expect(worlds.publishedAt(TRAINING)).toBe(5_000);
    worlds.publish(TRAINING, world(2, PODS));
    expect(worlds.publishedAt(TRAINING)).toBe(6_000);
  });

  it('answers null when the time is up', async () => {
    vi.useFakeTimers();
    try {
      const worlds = board();
      const waiting = worlds.wait(TRAINING, undefined, patient);
      await vi.advanceTimersByTimeAsync(29_999);
      expect(worlds.waiting).toBe(1);
      await vi.advanceTimersByTimeAsync(1);
      expect(await waiting).toBeNull();
      expect(worlds.waiting).toBe(0);
    } finally {
      vi.useRealTimers();
    }
  });

  it('keeps nothing of a waiter that has been answered', async () => {
    vi.useFakeTimers();
    try {
      const worlds = board();
      const { signal } = new AbortController();
      const waiting = worlds.wait(TRAINING, undefined, { ...patient, signal });
      expect([vi.getTimerCount(), getEventListeners(signal, 'abort').length]).toEqual([1, 1]);
      worlds.publish(TRAINING, world(1, PODS));
      await waiting;
      expect([vi.getTimerCount(), getEventListeners(signal, 'abort').length]).toEqual([0, 0]);
    } finally {
      vi.useRealTimers();
    }
  });

  it('keeps nothing of a waiter that has gone away', async () => {
    const worlds = board();
    const gone = new AbortController();
    const waiting = worlds.wait(TRAINING, undefined, { ...patient, signal: gone.signal });
    expect(worlds.waiting).toBe(1);
    gone.abort();
    expect(await waiting).toBeNull();
    expect(worlds.waiting).toBe(0);
    expect(await worlds.wait(TRAINING, undefined, { ...patient, signal: gone.signal })).toBeNull();
  });

  it('lets waiters go when the training is withdrawn or the board released', async () => {
    const worlds = board();
    worlds.publish(TRAINING, world(1, PODS));
    const first = worlds.wait(TRAINING, '1-run', patient);
    const other = worlds.wait('team-a/other', undefined, patient);
    worlds.withdraw(TRAINING);
    expect(await first).toBeNull();
    expect(worlds.get(TRAINING)).toBeNull();
    worlds.withdraw('team-a/other');
    expect(worlds.waiting).toBe(1); // for its first world
    worlds.release();
    expect(await other).toBeNull();
    expect(worlds.waiting).toBe(0);
  });
});
