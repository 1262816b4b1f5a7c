import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import type { DeadlineTerms } from './deadline-placement.ts';
import { type PlacementRequest, place } from './placement.ts';
import { onDemandPerHour, type PoolView, pricePerHour } from './pool-view.ts';

const NOW = Date.parse('2026-01-01T00:00:00Z');

function pool(name: string, change: Partial<PoolView> = {}): PoolView {
  return {
    name,
    cloud: 'aws',
    capacity: 'spot',
    accelerator: 'A100',
    gpusPerNode: 8,
    gpuMemoryGiB: 80,
    price: { spot: 1, onDemand: 3 },
    freeSlots: 4,
    growableSlots: 0,
    blockedUntil: null,
    remainingLifeHours: 12,
    seen: null,
    noticeSeconds: 30,
    egressPerGiB: 0,
    ...change,
  };
}

function request(change: Partial<PlacementRequest> = {}): PlacementRequest {
  return {
    min: 2,
    max: 2,
    gpusPerWorker: 8,
    accelerator: null,
    capacity: 'auto',
    deadline: null,
    maxPricePerHour: null,
    currentPool: null,
    avoid: new Set(),
    restartSeconds: 60,
    ...change,
  };
}

const onDemand = (name: string, change: Partial<PoolView> = {}) =>
  pool(name, { capacity: 'onDemand', price: { spot: null, onDemand: 3 }, ...change });
const costs = (spot: number) => ({ price: { spot, onDemand: 3 } });
const chosen = (asked: Partial<PlacementRequest>, ...pools: PoolView[]) => place(request(asked), pools, NOW).pool?.name;

describe('choice among pools that fit', () => {
  it('takes the cheapest spot pool that holds the gang', () => {
    expect(chosen({}, pool('dear', costs(2)), pool('cheap'))).toBe('cheap');
  });

  it('prefers a pool that lasts when restarts eat the saving', () => {
    expect(chosen({}, pool('flaky', { remainingLifeHours: 0.02 }), pool('steady', costs(1.2)))).toBe('steady');
  });

  it('counts that a large gang is stopped by the first node that goes', () => {
    // A restart of 6 min: for one worker the flaky pool costs 1 + 0.1/1 = 1.10 an hour, for eight of them 1 + 0.1/(1/8) = 1.80.
    const pools = [
      pool('flaky', { remainingLifeHours: 1, freeSlots: 8 }),
      pool('steady', { ...costs(1.3), remainingLifeHours: 100, freeSlots: 8 }),
    ];
    expect(chosen({ min: 1, max: 1, restartSeconds: 360 }, ...pools)).toBe('flaky');
    expect(chosen({ min: 8, max: 8, restartSeconds: 360 }, ...pools)).toBe('steady');
  });

  it('prefers room for the whole world to a lower price', () => {
    const answer = place(request({ max: 4 }), [pool('small', { freeSlots: 2 }), pool('large', { freeSlots: 4, ...costs(1.5) })], NOW);
    expect(answer).toMatchObject({ pool: { name: 'large' }, workers: 4 });
  });

  it('takes on-demand when no spot pool has room', () => {
    expect(chosen({}, pool('spot', { freeSlots: 0 }), onDemand('od'))).toBe('od');
    expect(chosen({}, pool('spot'), onDemand('od', { price: { spot: null, onDemand: 0.5 } }))).toBe('spot');
  });

  it('stays where it is for a difference of next to nothing, and moves for more', () => {
    expect(chosen({ currentPool: 'here' }, pool('here', costs(1.01)), pool('there'))).toBe('here');
    expect(chosen({ currentPool: 'here' }, pool('here', costs(1.1)), pool('there'))).toBe('there');
  });

  it('asks an autoscaler for no more than the smallest world', () => {
    expect(place(request({ max: 8 }), [pool('a', { freeSlots: 0, growableSlots: 8 })], NOW)).toMatchObject({ workers: 2 });
  });

  it('takes no more workers than the price limit pays for', () => {
    expect(place(request({ max: 4, maxPricePerHour: 3.5 }), [pool('a')], NOW)).toMatchObject({ workers: 3 });
  });

  it('says where, at what price and for how long', () => {
    expect(place(request(), [pool('a', { remainingLifeHours: 4.12 })], NOW).message).toBe(
      '2 workers on spot at $2.00/h, expected to last 4.1 h',
    );
    expect(place(request({ min: 1, max: 1 }), [onDemand('a')], NOW).message).toBe('1 worker on on-demand at $3.00/h');
  });
});

describe('refusals', () => {
  it.each<[string, Partial<PlacementRequest>, Partial<PoolView>, string, string]>([
    ['too few GPUs in a node', { gpusPerWorker: 16 }, {}, 'NoMatchingPool', 'a has 8 GPUs in a node'],
    ['the wrong accelerator', { accelerator: 'H100' }, {}, 'NoMatchingPool', 'No GpuPool can hold 2 workers of 8 H100s: a has A100.'],
    ['the wrong capacity', { capacity: 'onDemand' }, {}, 'NoMatchingPool', 'a is spot'],
    ['spot at the on-demand price', {}, costs(3), 'NoMatchingPool', 'quotes spot at the on-demand price'],
    ['too dear', { maxPricePerHour: 1.5 }, {}, 'TooExpensive', 'a quotes $2.00/h for 2. Raise maxPricePerHour or add a pool'],
    ['full', {}, { freeSlots: 1 }, 'NoCapacity', 'a has room for 1 only. Add a pool, or wait: it starts by itself when there is room'],
    ['quite full', { maxPricePerHour: 9 }, { freeSlots: 0 }, 'NoCapacity', 'a is full. Raise maxPricePerHour, add a pool, or wait'],
    ['blocked', {}, { blockedUntil: NOW + 60_000 }, 'NoCapacity', 'a refused launches lately (next try 00:01 UTC)'],
    ['avoided', { avoid: new Set(['a']) }, {}, 'NoCapacity', 'a has just refused a launch'],
  ])('%s', (_, asked, offered, reason, words) => {
    const answer = place(request(asked), [pool('a', offered)], NOW);
    expect(answer).toMatchObject({ pool: null, reason });
    expect(answer.message).toContain(words);
  });

  it('says when no pool is selected at all', () => {
    expect(place(request({ min: 1, gpusPerWorker: 1 }), [], NOW)).toMatchObject({
      reason: 'NoMatchingPool',
      message:
        'No GpuPool can hold 1 worker of 1 GPU: there is none that spec.placement.pools selects. Add a pool or change spec.placement',
    });
  });

  it('tries again when the first block ends', () => {
    const pools = [pool('a', { blockedUntil: NOW + 90_000 }), pool('b', { blockedUntil: NOW + 60_000 }), pool('c', { freeSlots: 0 })];
    expect(place(request(), pools, NOW)).toMatchObject({ pool: null, retryAt: NOW + 60_000 });
  });

  it('takes a pool again once its block is over', () => {
    expect(chosen({}, pool('a', { blockedUntil: NOW }))).toBe('a');
  });
});

describe('with a deadline', () => {
  const HOUR = 3_600;
  /** So many hours of slack on ten hours of work. */
  const deadline = (slackHours: number, change: Partial<DeadlineTerms> = {}): Partial<PlacementRequest> => ({
    deadline: {
      deadline: NOW / 1_000 + (10 + slackHours) * HOUR,
      remainingSeconds: 10 * HOUR,
      changeoverSeconds: 120,
      checkpointGiB: 100,
      runningIn: null,
      spotSeen: null,
      ...change,
    },
  });
  const full = pool('full', { freeSlots: 0 });

  it('waits for spot while there is time, and says when on-demand starts by itself', () => {
    const answer = place(request(deadline(10)), [full, onDemand('od')], NOW);
    expect(answer).toMatchObject({ pool: null, reason: 'NoCapacity' });
    expect(answer.message).toMatch(/od starts by itself at \d\d:\d\d UTC to meet the deadline if no spot comes/);
    const at = answer.pool === null ? (answer.retryAt ?? 0) : 0;
    expect(at).toBeGreaterThan(NOW + 30 * 60_000);
    expect(at).toBeLessThan(NOW + 10 * HOUR * 1_000);
  });

  it('takes on-demand in time when spot stays away', () => {
    let now = NOW;
    let asked = deadline(10);
    for (let looks = 0; looks < 100; looks++) {
      const answer = place(request(asked), [full, onDemand('od')], now);
      if (answer.pool !== null) break;
      now = answer.retryAt ?? Number.POSITIVE_INFINITY;
      asked = { deadline: { ...(asked.deadline as DeadlineTerms), spotSeen: answer.spotSeen } };
    }
    expect(now).toBeGreaterThan(NOW + HOUR * 1_000);
    expect(now).toBeLessThan(NOW + (10 * HOUR - 120) * 1_000);
  });

  it('takes on-demand at once when little time is left, and says why', () => {
    const answer = place(request(deadline(0.3)), [full, onDemand('od')], NOW);
    expect(answer).toMatchObject({
      pool: { name: 'od' },
      message: '2 workers on on-demand at $6.00/h; 0.3 h to spare before the deadline are too few to wait for spot',
    });
    expect(chosen(deadline(0.01), pool('spot'), onDemand('od'))).toBe('od');
  });

  it('takes any place rather than none when on-demand is due and full', () => {
    expect(chosen(deadline(0.01), pool('spot'), onDemand('od', { freeSlots: 0 }))).toBe('spot');
    expect(
      chosen(deadline(0.01), pool('spot'), onDemand('od', { freeSlots: 0 }), onDemand('dearer', { price: { spot: null, onDemand: 4 } })),
    ).toBe('dearer');
  });

  it('does not wait where there is no spot to come, or no on-demand to fall back on', () => {
    expect(chosen(deadline(10), onDemand('od'))).toBe('od');
    expect(chosen({ ...deadline(10), accelerator: 'H100' }, full, onDemand('od', { accelerator: 'H100' }))).toBe('od');
    expect(chosen(deadline(0.01), pool('spot'))).toBe('spot');
  });

  it('takes spot that is there, the one that lasts if prices are close', () => {
    const seen = (sinceHours: number, ends: number) => ({
      available: true,
      since: NOW / 1_000 - sinceHours * HOUR,
      lastSeen: NOW / 1_000,
      up: { seen: ends, expected: 8 },
      down: { seen: 0, expected: 0 },
    });
    expect(chosen(deadline(10), pool('spot'), onDemand('od'))).toBe('spot');
    const answer = place(
      request(deadline(2)),
      [pool('flaky', { seen: seen(0.2, 60) }), pool('steady', { ...costs(1.02), seen: seen(20, 2) }), onDemand('od')],
      NOW,
    );
    expect(answer.pool?.name).toBe('steady');
    expect(answer.alternatives.map((a) => [a.pool.name, a.verdict])).toEqual([
      ['steady', 'chosen'],
      ['flaky', expect.stringContaining('/h')],
      ['od', expect.stringContaining('deadline')],
    ]);
  });

  it('stays where it runs unless another pool saves more than the way there costs, egress included', () => {
    const asked = (change: object = {}) => ({ ...deadline(10, { runningIn: 'here' }), currentPool: 'here', ...change });
    const there = (change: object = {}) => pool('there', { ...costs(0.5), ...change });
    const here = pool('here');
    expect(place(request(asked()), [here, pool('there', costs(0.999)), onDemand('od')], NOW).pool).toBeNull();
    const answer = place(request(asked()), [here, there(), onDemand('od')], NOW);
    expect(answer.pool?.name).toBe('there');
    expect(answer.message).toContain('saves $1.00/h against here');
    expect(place(request(asked()), [here, there({ egressPerGiB: 1 }), onDemand('od')], NOW).pool).toBeNull();
  });

  it('leaves spot that runs for on-demand in time, and goes on there if that is full', () => {
    const asked = { ...deadline(0.01, { runningIn: 'here' }), currentPool: 'here' };
    expect(chosen(asked, pool('here'), onDemand('od'), pool('other', costs(0.5)))).toBe('od');
    expect(chosen(asked, pool('here'), onDemand('od', { freeSlots: 0 }), pool('other', costs(0.5)))).toBe('here');
  });

  it('remembers since when spot has been away', () => {
    const first = place(request(deadline(10)), [full, onDemand('od')], NOW);
    expect(first.spotSeen).toMatchObject({ available: false });
    const hours = 2;
    const then = place(request(deadline(10 - hours, { spotSeen: first.spotSeen })), [full, onDemand('od')], NOW + hours * HOUR * 1_000);
    expect(then.spotSeen).toMatchObject({ available: false, since: first.spotSeen?.since });
  });
});

describe('prices', () => {
  it('are for the share of a node that a worker takes; a CPU worker pays for the node', () => {
    expect(pricePerHour(pool('a'), 2, 4)).toBe(1);
    expect(onDemandPerHour(pool('a'), 2, 4)).toBe(3);
    expect(pricePerHour(pool('cpu', { gpusPerNode: 0 }), 2, 0)).toBe(2);
    expect(pricePerHour(onDemand('od'), 1, 8)).toBe(3);
  });
});

describe('any pools and any request', () => {
  const anyPool = fc.record({
    capacity: fc.constantFrom('spot' as const, 'onDemand' as const),
    accelerator: fc.constantFrom('A100', 'H100'),
    gpusPerNode: fc.constantFrom(0, 1, 8),
    price: fc.record({
      spot: fc.option(fc.double({ min: 0.1, max: 5, noNaN: true })),
      onDemand: fc.double({ min: 0.1, max: 9, noNaN: true }),
    }),
    freeSlots: fc.integer({ min: 0, max: 5 }),
    growableSlots: fc.integer({ min: 0, max: 3 }),
    blockedUntil: fc.option(fc.integer({ min: NOW - 1_000, max: NOW + 1_000 })),
    remainingLifeHours: fc.option(fc.double({ min: 0, max: 50, noNaN: true })),
  });
  const pools = fc.array(anyPool, { maxLength: 6 }).map((all) => all.map((change, i) => pool(`pool-${i}`, change)));
  const asked = fc
    .record({
      min: fc.integer({ min: 1, max: 3 }),
      more: fc.integer({ min: 0, max: 3 }),
      gpusPerWorker: fc.constantFrom(0, 1, 8),
      accelerator: fc.option(fc.constantFrom('A100', 'H100')),
      capacity: fc.constantFrom('auto' as const, 'spot' as const, 'onDemand' as const),
      maxPricePerHour: fc.option(fc.double({ min: 0.1, max: 20, noNaN: true })),
      currentPool: fc.option(fc.constantFrom('pool-0', 'pool-1')),
      slackHours: fc.option(fc.double({ min: -1, max: 20, noNaN: true })),
      runningIn: fc.option(fc.constantFrom('pool-0', 'pool-1')),
    })
    .map(({ more, slackHours, runningIn, ...rest }) => {
      const remainingSeconds = 36_000;
      const deadline =
        slackHours === null
          ? null
          : {
              deadline: NOW / 1_000 + remainingSeconds + 3_600 * slackHours,
              remainingSeconds,
              changeoverSeconds: 60,
              checkpointGiB: 1,
              runningIn,
              spotSeen: null,
            };
      return request({ ...rest, deadline, max: rest.min + more });
    });

  it('never places where the request forbids it, and names every pool that counts when it places nowhere', () => {
    fc.assert(
      fc.property(asked, pools, (one, all) => {
        const answer = place(one, all, NOW);
        if (answer.pool === null) {
          if (answer.reason === 'NoMatchingPool') for (const p of all) expect(answer.message).toContain(`${p.name} `);
          return;
        }
        const { pool: p, workers } = answer;
        expect(workers).toBeGreaterThanOrEqual(one.min);
        expect(workers).toBeLessThanOrEqual(one.max);
        expect(workers).toBeLessThanOrEqual(p.freeSlots + p.growableSlots);
        expect(p.gpusPerNode).toBeGreaterThanOrEqual(one.gpusPerWorker);
        expect(p.blockedUntil ?? 0).toBeLessThanOrEqual(NOW);
        if (one.accelerator !== null) expect(p.accelerator).toBe(one.accelerator);
        if (one.capacity !== 'auto') expect(p.capacity).toBe(one.capacity);
        if (p.capacity === 'spot' && p.price.spot !== null) expect(p.price.spot).toBeLessThan(p.price.onDemand);
        if (one.maxPricePerHour !== null)
          expect(pricePerHour(p, workers, one.gpusPerWorker)).toBeLessThanOrEqual(one.maxPricePerHour + 1e-6);
      }),
      { seed: 1, numRuns: 2_000 },
    );
  });

  it('gives the same answer in whatever order the pools come, and when pools that it did not take are gone', () => {
    fc.assert(
      fc.property(asked, pools, (one, all) => {
        const answer = place(one, all, NOW);
        expect(place(one, all.toReversed(), NOW).pool).toEqual(answer.pool);
        if (answer.pool !== null) expect(place(one, [answer.pool], NOW).pool).toEqual(answer.pool); // whoever is chosen would be chosen alone
      }),
      { seed: 1, numRuns: 1_000 },
    );
  });
});
