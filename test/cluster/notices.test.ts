import { afterEach, beforeEach, describe, expect, it, vi } from 'vitest';
import { Notices } from './notices.ts';

beforeEach(() => void vi.useFakeTimers());
afterEach(() => void vi.useRealTimers());

describe('notices of nodes to be taken back', () => {
  it('end the node at the deadline, and say so', async () => {
    const end = vi.fn(async () => undefined);
    const gone = new Notices().give('a', 30, end);
    await vi.advanceTimersByTimeAsync(29_999);
    expect(end).not.toHaveBeenCalled();
    await vi.advanceTimersByTimeAsync(1);
    await gone;
    expect(end).toHaveBeenCalledOnce();
  });

  it('are settled by an end before the deadline, which then ends nothing', async () => {
    const notices = new Notices();
    const end = vi.fn(async () => undefined);
    const gone = notices.give('a', 30, end);
    await notices.ending('a', async () => undefined);
    await gone;
    await vi.advanceTimersByTimeAsync(60_000);
    expect(end).not.toHaveBeenCalled();
  });

  it('given twice end the node once, at the second deadline, for all who wait', async () => {
    const notices = new Notices();
    const end = vi.fn(async () => undefined);
    const both = Promise.all([notices.give('a', 120, end), notices.give('a', 5, end)]);
    await vi.advanceTimersByTimeAsync(5_000);
    await both;
    await vi.advanceTimersByTimeAsync(200_000);
    expect(end).toHaveBeenCalledOnce();
  });

  it('tell of an end that failed', async () => {
    const gone = new Notices().give('a', 1, async () => {
      throw new Error('containerd does not end');
    });
    await vi.advanceTimersByTimeAsync(1_000);
    await expect(gone).rejects.toThrow('containerd does not end');
  });

  it('are withdrawn with the cluster: nobody waits for ever', async () => {
    const notices = new Notices();
    const end = vi.fn(async () => undefined);
    const gone = notices.give('a', 30, end);
    notices.withdraw(new Error('the cluster has stopped'));
    await expect(gone).rejects.toThrow('the cluster has stopped');
    await vi.advanceTimersByTimeAsync(60_000);
    expect(end).not.toHaveBeenCalled();
  });
});
