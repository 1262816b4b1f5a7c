import { describe, expect, it } from 'vitest';
import { type FleetReplica, type FleetRequest, mixFor, planFleet } from './fleet.ts';
import type { PoolView } from './pool-view.ts';

const NOW = 1_000_000;

const pool = (name: string, changes: Partial<PoolView> = {}): PoolView => ({
  name,
  cloud: 'aws',
  zone: name,
  capacity: 'spot',
  accelerator: 'A100',
  gpusPerNode: 8,
  gpuMemoryGiB: 80,
  price: { spot: 8, onDemand: 24 },
  freeSlots: 8,
  growableSlots: 0,
  blockedUntil: null,
  remainingLifeHours: null,
  seen: null,
  noticeSeconds: 30,
  egressPerGiB: 0,
  ...changes,
});
const onDemand = (changes: Partial<PoolView> = {}) => pool('od', { capacity: 'onDemand', price: { spot: null, onDemand: 24 }, ...changes });

const request = (changes: Partial<FleetRequest> = {}): FleetRequest => ({
  needed: 3,
  onDemandBase: 0,
  spare: 0,
  spread: 'zone',
  capacity: 'auto',
  accelerator: null,
  gpusPerReplica: 1,
  maxPricePerHour: null,
  startSeconds: 120,
  ...changes,
});

const replica = (pool: string, changes: Partial<FleetReplica> = {}): FleetReplica => ({ pool, ready: true, placed: true, ...changes });
const targets = (...args: Parameters<typeof planFleet>) => Object.fromEntries([...planFleet(...args).targets].filter(([, n]) => n > 0));

describe('where replicas are kept', () => {
  it('spot, spread over zones, when there is room', () => {
    expect(targets(request({ needed: 4 }), [], [pool('a'), pool('b'), onDemand()], NOW)).toEqual({ a: 2, b: 2 });
  });

  it('the cheapest pool alone without spread', () => {
    const cheap = pool('b', { price: { spot: 4, onDemand: 24 } });
    expect(targets(request({ spread: 'none' }), [], [pool('a'), cheap], NOW)).toEqual({ b: 3 });
  });

  it('replicas stay where they are when another pool becomes cheaper', () => {
    const cheap = pool('b', { zone: 'a', price: { spot: 4, onDemand: 24 } });
    expect(targets(request(), [replica('a'), replica('a'), replica('a')], [pool('a'), cheap], NOW)).toEqual({ a: 3 });
  });

  it('two pools of one zone count as one place', () => {
    const pools = [pool('a1', { zone: 'a' }), pool('a2', { zone: 'a' }), pool('b')];
    expect(targets(request({ needed: 2 }), [], pools, NOW)).toEqual({ a1: 1, b: 1 });
  });

  it('a smaller load takes replicas from the fullest zone', () => {
    expect(targets(request({ needed: 2 }), [replica('a'), replica('a'), replica('b')], [pool('a'), pool('b')], NOW)).toEqual({
      a: 1,
      b: 1,
    });
  });

  it('always on-demand as many as the base asks for', () => {
    expect(targets(request({ onDemandBase: 1 }), [], [pool('a'), onDemand()], NOW)).toEqual({ a: 2, od: 1 });
  });

  it('on-demand alone where no spot pool fits, or the spec asks for it', () => {
    expect(
      targets(
        request(),
        [],
        [pool('a', { accelerator: 'T4' }), onDemand()].map((p) => p),
        NOW,
      ),
    ).toEqual({ a: 3 });
    expect(targets(request({ accelerator: 'A100' }), [], [pool('a', { accelerator: 'T4' }), onDemand()], NOW)).toEqual({ od: 3 });
    expect(targets(request({ capacity: 'onDemand' }), [], [pool('a'), onDemand()], NOW)).toEqual({ od: 3 });
  });

  it('never on a spot pool at the on-demand price, nor above the price limit', () => {
    expect(targets(request(), [], [pool('a', { price: { spot: 24, onDemand: 24 } }), pool('b')], NOW)).toEqual({ b: 3 });
    expect(targets(request({ maxPricePerHour: 2 }), [], [pool('a'), onDemand()], NOW)).toEqual({ a: 3 });
  });
});

describe('on-demand stands in for spot', () => {
  it('where spot has no room', () => {
    expect(targets(request(), [], [pool('a', { freeSlots: 1 }), onDemand()], NOW)).toEqual({ a: 1, od: 2 });
  });

  it('not for a replica that starts already on a node of its own', () => {
    const starting = [replica('a'), replica('a'), replica('a', { ready: false })];
    expect(targets(request(), starting, [pool('a'), onDemand()], NOW)).toEqual({ a: 3 });
  });

  it('for a replica that waits for a node', () => {
    const waiting = [replica('a'), replica('a'), replica('a', { ready: false, placed: false })];
    expect(targets(request(), waiting, [pool('a'), onDemand()], NOW)).toEqual({ a: 3, od: 1 });
  });

  it('until the spot replica answers', () => {
    const starting = [replica('a'), replica('a'), replica('a', { ready: false }), replica('od')];
    expect(targets(request(), starting, [pool('a'), onDemand()], NOW)).toEqual({ a: 3, od: 1 });
    expect(targets(request(), [replica('a'), replica('a'), replica('a'), replica('od')], [pool('a'), onDemand()], NOW)).toEqual({ a: 3 });
  });

  it('not when the spec asks for spot alone, which then says what is missing', () => {
    const fleet = planFleet(request({ capacity: 'spot' }), [], [pool('a', { freeSlots: 1 }), onDemand()], NOW);
    expect(fleet).toMatchObject({ missing: 2, reason: 'NoCapacity' });
    expect(fleet.message).toBe(
      'No pool has room for 2 more replicas: a is full, od is on-demand. Add a pool or nodes, or wait: they start by themselves when there is room',
    );
  });
});

describe('a pool that refused launches', () => {
  it('gets nothing new until it is tried again', () => {
    const blocked = pool('a', { blockedUntil: NOW + 60_000 });
    const fleet = planFleet(request(), [replica('a')], [blocked, onDemand()], NOW);
    expect(Object.fromEntries(fleet.targets)).toEqual({ a: 1, od: 2 });
    expect(fleet.retryAt).toBe(NOW + 60_000);
  });
});

describe('the sentence of a mix', () => {
  it('says where, what it costs against on-demand, and why there are spares', () => {
    const spotPools = [pool('a', { remainingLifeHours: 4 }), pool('b', { remainingLifeHours: 4 })];
    const { message, spare } = planFleet(request({ needed: 2, spare: 'auto', startSeconds: 300 }), [], [...spotPools, onDemand()], NOW);
    expect(spare).toBeGreaterThan(0);
    expect(message).toBe(
      '2 in a, 2 in b, 2 of them spare; $4.00/h where on-demand alone costs $6.00/h; spare, because a zone is lost with 4 % before a successor answers',
    );
  });

  it('says why it is on-demand although there is spot', () => {
    const dying = pool('a', { remainingLifeHours: 0.02 });
    const { message } = planFleet(request({ spare: 'auto', startSeconds: 600 }), [], [dying, onDemand()], NOW);
    expect(message).toMatch(/^3 in od; \$9.00\/h where on-demand alone costs \$9.00\/h; on-demand, because a zone is lost with 100 %/);
  });

  it('is the same while nothing but the third digit of a chance changes', () => {
    const at = (life: number) =>
      planFleet(
        request({ spare: 'auto' }),
        [],
        [pool('a', { remainingLifeHours: life }), pool('b', { remainingLifeHours: life }), onDemand()],
        NOW,
      );
    expect(at(4.01).message).toBe(at(4).message);
  });
});

describe('spares', () => {
  const spare = (needed: number, zones: number, remainingLifeHours: number, seconds = 120) => {
    const pools = Array.from({ length: zones }, (_, i) => pool(`z${i}`, { remainingLifeHours }));
    return mixFor({ startSeconds: seconds, gpusPerReplica: 1 }, needed, pools, [], []).spot - needed;
  };

  it('none where spot lasts, one where a zone may go while a replica starts', () => {
    expect(spare(4, 2, 1_000)).toBe(0);
    expect(spare(2, 3, 4)).toBe(1);
  });

  it('so many that the loss of a zone is not felt, where that is worth their price; fewer with more zones', () => {
    expect(spare(6, 3, 2)).toBe(3);
    expect(spare(6, 4, 2)).toBe(2);
    expect(spare(6, 3, 12)).toBe(0);
  });

  it('never more than half a fleet, and as the spec says when it says so', () => {
    expect(spare(10, 1, 0.1, 600)).toBeLessThanOrEqual(5);
    expect(targets(request({ spare: 1 }), [], [pool('a'), pool('b')], NOW)).toEqual({ a: 2, b: 2 });
  });

  it('on demand, where spot does not outlast a start or two', () => {
    const pools = [pool('a', { remainingLifeHours: 0.1 }), pool('b', { remainingLifeHours: 0.1 })];
    expect(mixFor({ startSeconds: 120, gpusPerReplica: 1 }, 3, pools, [onDemand()], [])).toMatchObject({ spot: 0, onDemand: 3 });
    expect(targets(request({ needed: 3, spare: 'auto' }), [], [...pools, onDemand()], NOW)).toEqual({ od: 3 });
  });
});
