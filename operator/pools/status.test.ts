import { describe, expect, it } from 'vitest';
import { type GpuPool, poolWithDefaults } from '../api/gpu-pool.ts';
import { BLANK_MEMORY, remember } from '../spot/capacity-memory.ts';
import { poolStatus } from './status.ts';

const NOW = Date.parse('2026-01-01T00:00:00Z');
const ROOM = { nodes: 2, gpusTotal: 16, gpusFree: 8 };
const EMPTY = { nodes: 0, gpusTotal: 0, gpusFree: 0 };

function pool(spec: object = {}, status: object = {}): GpuPool {
  return poolWithDefaults({
    metadata: { name: 'aws-a', generation: 3 },
    spec: {
      cloud: 'aws',
      accelerator: { type: 'A100', count: 8 },
      capacity: 'spot',
      price: { onDemand: '32', spot: '12' },
      nodeSelector: { zone: 'a', kind: 'spot' },
      ...spec,
    },
    status,
  } as unknown as GpuPool);
}

const condition = (status: ReturnType<typeof poolStatus>, type: string) => status.conditions?.find((c) => c.type === type);

describe("a pool's status", () => {
  it('counts nodes, GPUs, launches and interruptions', () => {
    const memory = remember(remember(BLANK_MEMORY, { kind: 'launched' }, NOW), { kind: 'interrupted', livedSeconds: 3_600 }, NOW);
    expect(poolStatus(pool(), ROOM, memory, null, NOW)).toMatchObject({
      observedGeneration: 3,
      nodes: 2,
      gpus: { total: 16, free: 8 },
      interruptions: 1,
      launches: { succeeded: 1, failed: 0 },
      estimatedLifeHours: 6.5,
      memory,
    });
  });

  it('says which labels no node has', () => {
    const ready = condition(poolStatus(pool(), EMPTY, BLANK_MEMORY, null, NOW), 'Ready');
    expect(ready).toMatchObject({ status: 'False', reason: 'NoNodes' });
    expect(ready?.message).toContain('zone=a,kind=spot');
    expect(condition(poolStatus(pool({ maxNodes: 4 }), EMPTY, BLANK_MEMORY, null, NOW), 'Ready')).toMatchObject({
      status: 'True',
      reason: 'MayGrow',
    });
  });

  it('says until when it is blocked, and no longer than that', () => {
    const memory = remember(BLANK_MEMORY, { kind: 'noCapacity' }, NOW);
    const blocked = poolStatus(pool(), ROOM, memory, null, NOW);
    expect(blocked.blockedUntil).toBe('2026-01-01T00:01:00.000Z');
    expect(condition(blocked, 'CapacityAvailable')).toMatchObject({ status: 'False', reason: 'LaunchesFail' });
    const later = poolStatus(pool({}, blocked), ROOM, memory, null, NOW + 60_000);
    expect(later.blockedUntil).toBeUndefined();
    expect(condition(later, 'CapacityAvailable')).toMatchObject({ status: 'True', lastTransitionTime: '2026-01-01T00:01:00.000Z' });
  });

  it('says whether prices are those of the cloud, and keeps the last that were', () => {
    const live = { region: 'r', zone: 'z', instanceType: 't', price: { onDemand: '32', spot: '12', source: { aws: {} } } };
    expect(condition(poolStatus(pool(), ROOM, BLANK_MEMORY, null, NOW), 'PricesFresh')).toBeUndefined();
    expect(condition(poolStatus(pool(live), ROOM, BLANK_MEMORY, null, NOW), 'PricesFresh')).toMatchObject({
      status: 'False',
      reason: 'Waiting',
    });
    const read = poolStatus(pool(live), ROOM, BLANK_MEMORY, null, NOW, { at: NOW, quote: { spot: 9.5, onDemand: null } });
    expect(read.price).toEqual({ spot: '9.50', readAt: '2026-01-01T00:00:00.000Z' });
    expect(condition(read, 'PricesFresh')).toMatchObject({ status: 'True', reason: 'Read' });
    const later = poolStatus(pool(live, read), ROOM, BLANK_MEMORY, null, NOW + 60_000, { at: NOW + 60_000, error: 'no answer in 120 s' });
    expect(later.price).toEqual(read.price);
    expect(condition(later, 'PricesFresh')).toMatchObject({ status: 'False', reason: 'Stale' });
  });

  it('keeps the time of a transition while nothing changes', () => {
    const first = poolStatus(pool(), ROOM, BLANK_MEMORY, null, NOW);
    expect(poolStatus(pool({}, first), ROOM, BLANK_MEMORY, null, NOW + 5_000)).toEqual(first);
  });

  it('says of a pool in another cluster whether that can be reached', () => {
    expect(condition(poolStatus(pool(), ROOM, BLANK_MEMORY, null, NOW), 'Reachable')).toBeUndefined();
    const away = pool({ cluster: { kubeconfigSecret: 'west' } });
    const health = { reachable: false, reason: 'ConnectionFailed', message: 'no answer within 5 s', since: NOW } as const;
    expect(condition(poolStatus(away, ROOM, BLANK_MEMORY, health, NOW), 'Reachable')).toMatchObject({
      status: 'False',
      reason: 'ConnectionFailed',
      message: 'cluster west: no answer within 5 s',
    });
  });
});
