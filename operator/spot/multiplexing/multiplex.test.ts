import { describe, expect, it } from 'vitest';
import { attainmentIn, type MultiplexRequest, multiplex, multiplexOnFewestNodes, type SharedModel } from './multiplex.ts';

const model = (name: string, perWindow: number, weightsGiB = 3): SharedModel => ({
  name,
  latencySeconds: 0.2,
  weightsGiB,
  workingGiB: 1,
  requestsPerWindow: Array(20).fill(perWindow),
});
const request = (models: SharedModel[], nodes = 1): MultiplexRequest => ({
  models,
  windowSeconds: 15,
  gpus: { nodes, gpusPerNode: 4, memoryGiB: 20 },
  sloScale: 5,
});

describe('models that share GPUs', () => {
  it('are named with the GPUs of their groups', () => {
    const { groups, attainment, attainmentOf } = multiplex(request([model('a', 60), model('b', 5), model('idle', 0)]));
    expect(groups.flatMap((g) => g.gpus)).toEqual([0, 1, 2, 3]);
    for (const group of groups) expect(group.gpus).toHaveLength(group.pipeline * group.tensor);
    expect(new Set(groups.flatMap((g) => g.models))).toEqual(new Set(['a', 'b', 'idle']));
    expect(attainment).toBeGreaterThan(0.99);
    expect(attainmentOf.get('idle')).toBe(1);
  });

  it('fare in groups that there are as planned, and worse once the load has moved', () => {
    const before = request([model('a', 200), model('b', 1), model('c', 1)]);
    const plan = multiplex(before);
    expect(attainmentIn(before, plan.groups)).toEqual({ attainment: plan.attainment, attainmentOf: plan.attainmentOf });
    const onlyA = plan.groups.map((group) => ({ ...group, models: group.models.filter((name) => name !== 'b') }));
    expect(attainmentIn(before, onlyA).attainmentOf.get('b')).toBe(0);
    const after = request([model('a', 2_000), model('b', 1), model('c', 1)]);
    expect(attainmentIn(after, plan.groups).attainment).toBeLessThan(0.9);
  });

  it('need as few nodes as reach the attainment', () => {
    // 9.6 requests a second of 0.2 s each: two GPUs' work, ten times as much: 20, five nodes at least.
    expect(multiplexOnFewestNodes(request([model('a', 144)], 8), 0.99).nodes).toBe(1);
    const { nodes, attainment } = multiplexOnFewestNodes(request([model('a', 720), model('b', 720)], 8), 0.99);
    expect(nodes).toBeGreaterThanOrEqual(5);
    expect(nodes).toBeLessThan(8);
    expect(attainment).toBeGreaterThanOrEqual(0.99);
  });

  it('have all nodes if even those are not enough, and enough for their memory if they rest', () => {
    const { nodes, attainment } = multiplexOnFewestNodes(request([model('a', 3_000)], 2), 0.99);
    expect(nodes).toBe(2);
    expect(attainment).toBeLessThan(0.99);
    // Five of 35 GiB: two fit a node of 80.
    const large = ['a', 'b', 'c', 'd', 'e'].map((name) => model(name, 0, 34));
    expect(multiplexOnFewestNodes(request(large, 8), 0.99).nodes).toBe(3);
  });

  it('are refused if one fits no node', () => {
    expect(() => multiplexOnFewestNodes(request([model('large', 1, 100)], 4), 0.99)).toThrow('Model large fits no group');
  });
});
