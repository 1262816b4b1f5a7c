import { BoundedCache } from './bounded-cache.ts';

type Bucket = { tokens: number; at: number };

/** Callers remembered at once; one that has been forgotten starts with a full bucket. */
const CALLERS = 20_000;

/** A token bucket per caller: `perSecond` calls in the long run, `burst` at once. */
export class RateLimiter {
  readonly #perSecond: number;
  readonly #burst: number;
  readonly #buckets = new BoundedCache<Bucket>(CALLERS);

  constructor({ perSecond, burst }: { perSecond: number; burst: number }) {
    this.#perSecond = perSecond;
    this.#burst = burst;
  }

  /** Whether `caller` may call at `now` (ms since epoch); a call that may is counted. */
  allows(caller: string, now: number): boolean {
    const bucket = this.#buckets.get(caller, now) ?? { tokens: this.#burst, at: now };
    const tokens = Math.min(this.#burst, bucket.tokens + (Math.max(0, now - bucket.at) / 1000) * this.#perSecond);
    const allowed = tokens >= 1;
    this.#buckets.set(caller, { tokens: allowed ? tokens - 1 : tokens, at: now }, Number.POSITIVE_INFINITY);
    return allowed;
  }
}
