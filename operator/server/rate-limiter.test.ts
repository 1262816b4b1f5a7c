import { describe, expect, it } from 'vitest';
import { RateLimiter } from './rate-limiter.ts';

const count = (limiter: RateLimiter, caller: string, calls: number, now: number) =>
  Array.from({ length: calls }, () => limiter.allows(caller, now)).filter(Boolean).length;

describe('a rate limiter', () => {
  it('lets a caller have its burst, then its rate', () => {
    const limiter = new RateLimiter({ perSecond: 2, burst: 5 });
    expect(count(limiter, 'a', 10, 0)).toBe(5);
    expect(count(limiter, 'a', 10, 1_000)).toBe(2);
    expect(count(limiter, 'a', 10, 100_000)).toBe(5);
  });

  it('holds one caller without holding another', () => {
    const limiter = new RateLimiter({ perSecond: 1, burst: 1 });
    expect(count(limiter, 'a', 3, 0)).toBe(1);
    expect(count(limiter, 'b', 3, 0)).toBe(1);
  });

  it('survives a clock that goes back', () => {
    const limiter = new RateLimiter({ perSecond: 1, burst: 1 });
    limiter.allows('a', 10_000);
    expect(limiter.allows('a', 0)).toBe(false);
    expect(limiter.allows('a', 1_000)).toBe(true);
  });
});
