import { describe, expect, it } from 'vitest';
import { attainmentIn, multiplex } from './multiplex.ts';
import { type Grouping, gpusOf, placedGroups, type RegroupInput, regroup, type SharedGroup, sharedGroups } from './regroup.ts';

const NOW = Date.parse('2026-01-01T00:00:00Z');

const group = (models: string[], replicas = 1, tensor = 1): SharedGroup => ({
  name: `group-${models.join('')}`,
  models,
  pipeline: 1,
  tensor,
  replicas,
});
const grouping = (attainment: number, ...groups: SharedGroup[]): Grouping => ({ groups, attainment });

function decided(change: Partial<RegroupInput>) {
  return regroup({
    models: ['a', 'b'],
    current: grouping(0.995, group(['a', 'b'], 2)),
    best: grouping(0.999, group(['a', 'b'], 3)),
    target: 0.99,
    changedAt: NOW - 60_000,
    now: NOW,
    ...change,
  });
}

describe('groups that exist', () => {
  it('stay while requests meet their SLO, even if others would do better', () => {
    expect(decided({})).toMatchObject({ changed: false, groups: [{ replicas: 2 }] });
  });

  it('change when too few requests do and the new ones are clearly better', () => {
    expect(decided({ current: grouping(0.9, group(['a', 'b'], 2)) })).toMatchObject({
      changed: true,
      reason: "90.0 % of the last half hour's requests would meet their SLO as it was, 99.9 % in these groups on 3 GPUs",
    });
    const full = decided({ current: grouping(0.9, group(['a', 'b'], 2)), best: grouping(0.905, group(['a', 'b'], 3)) });
    expect(full).toMatchObject({ changed: false, reason: expect.stringContaining('maxGpus allows nothing better') });
  });

  it('give GPUs back only after a quarter of an hour', () => {
    const smaller = { best: grouping(0.992, group(['a', 'b'])) };
    expect(decided(smaller)).toMatchObject({ changed: false, reason: expect.stringContaining('if that lasts') });
    expect(decided({ ...smaller, changedAt: NOW - 900_000 })).toMatchObject({
      changed: true,
      reason: '1 GPU would do where there were 2',
    });
    expect(decided({ best: grouping(0.98, group(['a', 'b'])), changedAt: 0 })).toMatchObject({ changed: false });
  });

  it('change at once when the models do', () => {
    expect(decided({ models: ['a', 'b', 'c'] })).toMatchObject({ changed: true, reason: 'c had no group' });
    expect(decided({ models: ['a'] })).toMatchObject({ changed: true, reason: 'b is no longer served' });
    expect(decided({ current: null })).toMatchObject({ changed: true, reason: expect.stringContaining('the first plan') });
  });
});

describe('equal groups', () => {
  it('are one, whatever the order of their models, and evaluate as the plan they come from', () => {
    const model = (name: string, perWindow: number) => ({
      name,
      latencySeconds: 0.2,
      weightsGiB: 3,
      workingGiB: 1,
      requestsPerWindow: Array(20).fill(perWindow),
    });
    const request = {
      models: [model('a', 60), model('b', 5), model('c', 1)],
      windowSeconds: 15,
      gpus: { nodes: 2, gpusPerNode: 4, memoryGiB: 20 },
      sloScale: 5,
    };
    const plan = multiplex(request);
    const shared = sharedGroups(plan.groups, ['a', 'b', 'c'], String);
    expect(gpusOf({ groups: shared })).toBe(plan.groups.reduce((sum, g) => sum + g.gpus.length, 0));
    expect(attainmentIn(request, placedGroups(shared)).attainment).toBeCloseTo(plan.attainment, 2);
    const one = { node: 0, gpus: [0], pipeline: 1, tensor: 1 };
    const two = sharedGroups(
      [
        { ...one, models: ['b', 'a'] },
        { ...one, models: ['a', 'b'] },
        { ...one, models: ['a'] },
      ],
      ['a', 'b'],
      String,
    );
    expect(two.map((g) => [g.models, g.replicas]).sort()).toEqual([
      [['a'], 1],
      [['a', 'b'], 2],
    ]);
  });
});
