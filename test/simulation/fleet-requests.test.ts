import { describe, expect, it } from 'vitest';
import { gammaTimes } from '../../operator/spot/multiplexing/arrivals.ts';
import { seededRandom } from '../../operator/spot/multiplexing/random.ts';
import { serveRequests } from './fleet-requests.ts';

const settings = { arrivals: [0, 0, 0], serviceSeconds: 10, timeoutSeconds: 100, seed: 1 };

describe('requests on a fleet', () => {
  it('wait for one another where replicas are few, and not where there is one for each', () => {
    const one = serveRequests(Array(100).fill(1), 30, settings);
    const three = serveRequests(Array(100).fill(3), 30, settings);
    expect(one).toMatchObject({ requests: 3, failed: 0, continued: 0 });
    expect(one.p99 ?? 0).toBeGreaterThan(three.p99 ?? Number.POSITIVE_INFINITY);
  });

  it('fail when no replica answers for as long as they may take', () => {
    expect(serveRequests([...Array(10).fill(0), 1, 1], 30, settings)).toMatchObject({ requests: 3, failed: 1, p50: null });
  });

  it('go on at another replica when theirs is lost, without beginning anew', () => {
    const long = { ...settings, arrivals: [0], serviceSeconds: 40, timeoutSeconds: 10_000, seed: 7 };
    const calm = serveRequests(Array(100).fill(1), 5, long);
    const [gone, back] = [serveRequests([1, 0, ...Array(98).fill(1)], 5, long), calm.p50 ?? 0];
    expect(gone.continued).toBe(back > 5 ? 1 : 0);
    expect(gone.p50).toBeCloseTo(back > 5 ? back + 5 : back, 9);
    expect(back).toBeGreaterThan(5);
  });

  it('take what queueing theory says: M/M/1 at half its capacity takes twice the service on average', () => {
    const arrivals = gammaTimes(0.05, 1, 2_000_000, seededRandom(3));
    const { requests, failed, p50 } = serveRequests(Array(70_000).fill(1), 30, { ...settings, arrivals, timeoutSeconds: 1e9 });
    expect(requests).toBeGreaterThan(90_000);
    expect(failed).toBe(0);
    // The median of an exponential time of mean 20 s.
    expect(p50).toBeGreaterThan(20 * Math.LN2 * 0.95);
    expect(p50).toBeLessThan(20 * Math.LN2 * 1.05);
  });
});
