import type { V1Node, V1Pod } from '@kubernetes/client-node';
import { beforeEach, describe, expect, it } from 'vitest';
import { type GpuPool, poolWithDefaults } from '../api/gpu-pool.ts';
import { type VicunaTraining, withDefaults } from '../api/vicuna-training.ts';
import { POOL_LABEL } from '../pods/labels.ts';
import { PoolBook } from './book.ts';

const NOW = Date.parse('2026-01-01T00:00:00Z');

function gpuPool(name: string, spec: object = {}): GpuPool {
  return poolWithDefaults({
    metadata: { name, labels: { team: name } },
    spec: {
      cloud: 'aws',
      accelerator: { type: 'A100', count: 8 },
      capacity: 'spot',
      price: { onDemand: '32', spot: '12' },
      nodeSelector: { pool: name },
      ...spec,
    },
  } as unknown as GpuPool);
}

function node(name: string, pool = 'a', change: { taints?: object[]; ready?: 'True' | 'False'; gpus?: number } = {}): V1Node {
  return {
    metadata: { name, labels: { pool } },
    spec: { taints: change.taints ?? [] },
    status: {
      allocatable: { 'nvidia.com/gpu': String(change.gpus ?? 8) },
      conditions: [{ type: 'Ready', status: change.ready ?? 'True', lastTransitionTime: new Date(NOW - 60_000) }],
    },
  } as unknown as V1Node;
}

function pod(name: string, { nodeName, gpus = 8, phase = 'Running' }: { nodeName?: string; gpus?: number; phase?: string } = {}): V1Pod {
  return {
    metadata: { name, namespace: 'default', labels: { [POOL_LABEL]: 'a' } },
    spec: {
      ...(nodeName ? { nodeName } : {}),
      containers: [{ name: 'trainer', resources: { limits: { 'nvidia.com/gpu': String(gpus) } } }],
    },
    status: { phase },
  } as unknown as V1Pod;
}

function training(gpusPerWorker = 8, placement: object = {}): VicunaTraining {
  return withDefaults({
    metadata: { name: 'run', namespace: 'default' },
    spec: {
      model: { base: 's3://m/b' },
      dataset: { uri: 's3://d/c' },
      workers: { min: 1, gpusPerWorker, image: 'x' },
      checkpoint: { storage: 's3://c/r' },
      placement,
    },
  } as unknown as VicunaTraining);
}

let book: PoolBook;
let wakeUps: number;

beforeEach(() => {
  book = new PoolBook(() => NOW);
  wakeUps = 0;
  book.onRoom(() => wakeUps++);
  book.setPool(gpuPool('a'));
});

const free = (gpus = 8) => book.viewsFor(training(gpus)).map((v) => v.freeSlots);

describe('room in a pool', () => {
  it('is what its healthy nodes have and nobody holds, in workers of the size asked for', () => {
    book.setNode(node('n1'));
    book.setNode(node('n2'));
    book.setNode(node('other', 'b'));
    expect(free()).toEqual([2]);
    book.setPod(pod('p', { nodeName: 'n1', gpus: 3 }), false);
    expect(free()).toEqual([1]);
    expect(free(4)).toEqual([3]);
    book.setPod(pod('p', { nodeName: 'n1', gpus: 3, phase: 'Succeeded' }), false);
    expect(free()).toEqual([2]);
  });

  it('does not count nodes that are not ready, cordoned or have notice', () => {
    book.setNode(node('n1', 'a', { ready: 'False' }));
    book.setNode(node('n2', 'a', { taints: [{ key: 'aws-node-termination-handler/spot-itn', effect: 'NoSchedule' }] }));
    book.setNode(node('n3', 'a', { taints: [{ key: 'nvidia.com/gpu', effect: 'NoSchedule' }] }));
    expect(free()).toEqual([1]);
    expect(book.room('a')).toEqual({ nodes: 3, gpusTotal: 24, gpusFree: 8 });
    book.removeNode('n3');
    expect(free()).toEqual([0]);
  });

  it('counts a planned pod as there from the moment it is decided on, once, until it is given back', () => {
    book.setNode(node('n1'));
    const planned = [{ name: 'run-g1-0', generation: 1, rank: 0, pool: 'a' }];
    book.reserve('default/run', planned, training(), new Map());
    expect(free()).toEqual([0]);
    book.setPod(pod('run-g1-0', { nodeName: 'n1' }), false);
    expect(free()).toEqual([0]);
    // Once the pod is in the cache, its reservation is no longer the training's to give back.
    book.reserve('default/run', [], training(), new Map([['run-g1-0', {}]]));
    book.release('default/run');
    expect(free()).toEqual([0]);
    book.setPod(pod('run-g1-0', { nodeName: 'n1' }), true);
    expect(free()).toEqual([1]);
    book.reserve('default/run', planned, training(), new Map());
    book.release('default/run');
    expect(free()).toEqual([1]);
  });

  it('counts GPUs that were promised to a serving as taken, until others are or none', () => {
    book.setNode(node('n1'));
    book.promise('default/chat', [{ pool: 'a', gpus: 8 }]);
    expect(free()).toEqual([0]);
    book.promise('default/other', [{ pool: 'gone', gpus: 8 }]);
    book.promise('default/chat', []);
    expect(free()).toEqual([1]);
  });

  it('may grow as far as maxNodes', () => {
    book.setPool(gpuPool('a', { maxNodes: 3 }));
    book.setNode(node('n1'));
    expect(book.viewsFor(training(4))[0]).toMatchObject({ freeSlots: 2, growableSlots: 4 });
  });

  it('is told of to those who wait for it', () => {
    book.setNode(node('n1'));
    book.setPod(pod('p', { nodeName: 'n1' }), false);
    const before = wakeUps;
    book.setPod(pod('p', { nodeName: 'n1' }), true);
    expect(wakeUps).toBe(before + 1);
  });
});

describe('what is learnt of a pool', () => {
  it('blocks it after a launch without capacity, until a node joins', () => {
    const learnt: string[] = [];
    book.onMemory((name) => learnt.push(name));
    book.observe({ pool: 'a', kind: 'noCapacity' }, NOW);
    expect(book.viewsFor(training())[0]?.blockedUntil).toBe(NOW + 60_000);
    book.setNode(node('n1', 'a', { ready: 'False' }));
    expect(book.viewsFor(training())[0]?.blockedUntil).toBe(NOW + 60_000);
    book.setNode(node('n1'));
    expect(book.viewsFor(training())[0]?.blockedUntil).toBeNull();
    book.setNode(node('n1'));
    expect(learnt).toEqual(['a', 'a']);
  });

  it('outlives the operator in the status', () => {
    book.observe({ pool: 'a', kind: 'interrupted', livedSeconds: 60 }, NOW);
    const next = new PoolBook(() => NOW);
    next.setPool({ ...gpuPool('a'), status: { memory: { ...book.memory('a') } } as NonNullable<GpuPool['status']> });
    expect(next.memory('a')).toEqual(book.memory('a'));
  });
});

describe('the price of a pool', () => {
  it('is the one read from the cloud, where there is a source', () => {
    const status = { price: { spot: '9.50', readAt: new Date(NOW - 60_000).toISOString() } };
    book.setPool({ ...gpuPool('a', { price: { onDemand: '32', spot: '12', source: { aws: {} } } }), status });
    expect(book.viewsFor(training())[0]?.price).toEqual({ spot: 9.5, onDemand: 32 });
  });
});

describe('pools that a training selects', () => {
  it('carry all the labels asked for', () => {
    book.setPool(gpuPool('b'));
    const names = (labels?: Record<string, string>) =>
      book.viewsFor(training(8, labels ? { pools: { matchLabels: labels } } : {})).map((v) => v.name);
    expect(names()).toEqual(['a', 'b']);
    expect(names({ team: 'b' })).toEqual(['b']);
    expect(names({ team: 'c' })).toEqual([]);
  });
});
