import { describe, expect, it } from 'vitest';
import { gammaArrivals, mergeArrivals } from './arrivals.ts';
import { evaluate, type PlacedGroup } from './evaluate.ts';
import { oneModelPerGpu, type PlacementRequest, planPlacement, selectiveReplication } from './planner.ts';
import { gibPerGpu, type ModelProfile } from './profile.ts';

const like = (count: number, gib: number, latencySeconds = 0.15): ModelProfile[] =>
  Array.from({ length: count }, (_, i) => ({ name: `m${i}`, latencySeconds, weightsGiB: gib - 0.5, workingGiB: 0.5 }));
const request = (models: ModelProfile[], gpus: number, rates: number[], cv: number, overrides: Partial<PlacementRequest> = {}) => ({
  models,
  gpus: { nodes: 1, gpusPerNode: gpus, memoryGiB: 13 },
  arrivals: gammaArrivals(rates, cv, 200, 1),
  sloScale: 5,
  ...overrides,
});
const gibOn = (models: readonly ModelProfile[], group: PlacedGroup) =>
  group.models.reduce((sum, m) => sum + gibPerGpu(models[m] as ModelProfile, group), 0);
const PLANS = { planPlacement, selectiveReplication, oneModelPerGpu };

describe('where models are placed', () => {
  it('one model on one GPU', () => {
    const { groups } = planPlacement(request(like(1, 10), 1, [1], 1));
    expect(groups).toEqual([{ node: 0, firstGpu: 0, pipeline: 1, tensor: 1, models: [0] }]);
  });

  it('two models too large to share a GPU share two in stages when they come in bursts', () => {
    // AlpaServe's first example: bursts of one model use both GPUs while the other rests.
    const asked = request(like(2, 13), 2, [2.5, 2.5], 3);
    const { groups, evaluation } = planPlacement(asked);
    expect(groups).toHaveLength(1);
    expect(groups[0]).toMatchObject({ models: [0, 1] });
    expect(evaluation.attainment).toBeGreaterThan(selectiveReplication(asked).evaluation.attainment + 0.05);
  });

  it('a GPU with room for two has both, and the busy one has more replicas than the idle', () => {
    const { groups } = selectiveReplication(request(like(3, 6.5), 3, [12, 0.1, 0.1], 1));
    expect(groups.filter((g) => g.models.includes(0))).toHaveLength(3);
    expect(groups.flatMap((g) => g.models)).toHaveLength(6);
  });

  it('a model that is larger than a GPU is split', () => {
    const { groups, evaluation } = planPlacement(request(like(1, 24), 2, [1], 1));
    expect(groups[0] && groups[0].pipeline * groups[0].tensor).toBe(2);
    expect(evaluation.attainment).toBe(1);
  });

  it('keeps short and long models apart where the short wait too long behind the long', () => {
    const models = [...like(2, 6.5, 0.05), ...like(2, 6.5, 3)];
    const { groups } = planPlacement(request(models, 4, [10, 10, 0.3, 0.3], 1));
    expect(groups.filter((g) => g.models.some((m) => m < 2) && g.models.some((m) => m >= 2))).toEqual([]);
    expect(new Set(groups.flatMap((g) => g.models)).size).toBe(4);
  });

  it('no GPU holds more than its memory, and every model is somewhere, asked for or not', () => {
    const models = like(12, 1).map((m, i) => ({ ...m, weightsGiB: 1 + (i % 4) * 2.3, latencySeconds: 0.05 * (1 + (i % 4)) }));
    for (const plan of [planPlacement, selectiveReplication]) {
      const { groups } = plan(
        request(
          models,
          8,
          models.map((_, i) => (i === 3 ? 0 : 2)),
          4,
        ),
      );
      for (const group of groups) expect(gibOn(models, group)).toBeLessThanOrEqual(13 + 1e-6);
      expect(new Set(groups.flatMap((g) => g.models)).size).toBe(12);
    }
  });

  it('memory so scarce that only one way of packing is left is enough', () => {
    const models = [8, 8, 5, 5].map((gib, i) => ({ name: `m${i}`, latencySeconds: 0.1, weightsGiB: gib, workingGiB: 0 }));
    const { groups } = selectiveReplication(request(models, 2, [0.1, 0.1, 9, 9], 1));
    expect(groups.map((g) => gibOn(models, g))).toEqual([13, 13]);
  });

  it.each(Object.keys(PLANS) as (keyof typeof PLANS)[])('%s decides the same for the same request', (name) => {
    const asked = request(like(6, 4), 8, [1, 2, 3, 1, 2, 3], 4);
    expect(PLANS[name](asked)).toEqual(PLANS[name](asked));
  });

  it('one model per GPU gives GPUs beyond the first to the busiest', () => {
    const { groups } = oneModelPerGpu(request(like(2, 4), 4, [9, 1], 1));
    expect(groups.map((g) => g.models)).toEqual([[0], [1], [0], [0]]);
  });

  it('the burstier the requests, the more is gained over selective replication, and by that over one model per GPU', () => {
    const gain = (cv: number) => {
      const models = like(8, 6.5);
      const asked = request(models, 8, Array(8).fill(2), cv);
      const fresh = gammaArrivals(Array(8).fill(2), cv, 300, 2);
      const [ours, replicated, alone] = [planPlacement, selectiveReplication, oneModelPerGpu].map(
        (plan) => evaluate(models, plan(asked).groups, fresh, 5).attainment,
      ) as [number, number, number];
      return { ours, replicated, alone };
    };
    const gains = [1, 2, 4, 8].map(gain);
    for (const { ours, replicated, alone } of gains.slice(1)) {
      expect(ours).toBeGreaterThan(replicated);
      expect(replicated).toBeGreaterThan(alone);
    }
    for (const [i, { ours, replicated, alone }] of gains.slice(1).entries()) {
      const before = gains[i] as (typeof gains)[number];
      expect(ours - replicated).toBeGreaterThan(before.ours - before.replicated);
      expect(ours - alone).toBeGreaterThan(before.ours - before.alone);
    }
  });
});

describe('what cannot be placed', () => {
  const none = mergeArrivals([[], [], []]);

  it('a model that fits no group, by name and size', () => {
    const models = [...like(1, 4), { ...(like(1, 60)[0] as ModelProfile), name: 'giant' }];
    expect(() => planPlacement(request(models, 4, [1, 1], 1))).toThrow(
      'Model giant fits no group: it needs 60 GiB, and the largest group has 4 of 13 GiB',
    );
    expect(() => selectiveReplication(request(like(1, 14), 4, [1], 1))).toThrow('the largest group has 1 of 13 GiB');
  });

  it('models that do not fit together', () => {
    const asked = request(like(3, 13), 2, [], 1, { arrivals: none });
    expect(() => planPlacement(asked)).toThrow('do not fit together: they need 39 GiB of the 26 GiB');
    expect(() => selectiveReplication(asked)).toThrow('do not fit together');
    expect(() => oneModelPerGpu(asked)).toThrow('3 models need a GPU each, and there are 2: add GPUs');
  });

  it('no model at all', () => {
    expect(() => planPlacement(request([], 1, [], 1))).toThrow('There is no model to place');
  });
});
