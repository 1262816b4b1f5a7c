import type { V1Node } from '@kubernetes/client-node';
import { describe, expect, it } from 'vitest';
import { type GpuPool, poolWithDefaults } from '../api/gpu-pool.ts';
import { locatedNode } from '../clusters/located.ts';
import type { PoolFigures } from '../server/metrics.ts';
import { PoolBook } from './book.ts';
import { PoolController, type PoolControllerOptions } from './controller.ts';
import type { PriceQuote } from './prices/quote.ts';

const START = Date.parse('2026-01-01T00:00:00Z');

/** A controller over one pool, with the API server's part played by a variable, and prices that come when the test says so. */
function world(price: object, spec: object = {}) {
  let pool = poolWithDefaults({
    metadata: { name: 'a' },
    spec: {
      cloud: 'aws',
      region: 'eu-west-1',
      zone: 'eu-west-1b',
      instanceType: 'p5.48xlarge',
      accelerator: { type: 'H100', count: 8 },
      capacity: 'spot',
      price: { onDemand: '55', spot: '16', ...price },
      nodeSelector: { pool: 'a' },
      ...spec,
    },
  } as unknown as GpuPool);
  const state = {
    now: START,
    asked: [] as unknown[],
    later: [] as number[],
    answers: [] as (() => Promise<PriceQuote>)[],
    figures: null as PoolFigures | null,
  };
  const pools = {
    onChange: () => {},
    get: () => pool,
    upsert: (written: GpuPool) => {
      pool = written;
    },
  };
  const book = new PoolBook(() => state.now);
  book.setPool(pool);
  const controller = new PoolController({
    client: { replaceStatus: async (_: unknown, written: GpuPool) => written },
    pools,
    queue: { addAfter: (_: string, ms: number) => state.later.push(ms) },
    book,
    clusters: { onHealth: () => {}, follow: () => {}, health: () => null },
    metrics: {
      setPool: (_: string, figures: PoolFigures) => {
        state.figures = figures;
      },
    },
    readPrices: (query: unknown) => {
      state.asked.push(query);
      return state.answers.shift()?.() ?? Promise.reject(new Error('nothing prepared'));
    },
    clock: () => state.now,
  } as unknown as PoolControllerOptions);
  const reconcile = async () => {
    state.later = [];
    await controller.reconcile('a');
    // What was started is done a few turns later.
    await new Promise((resolve) => setImmediate(resolve));
    return pool.status;
  };
  return { state, reconcile, book };
}

const node = (name: string, taints: object[] = []) =>
  ({
    metadata: { name, labels: { pool: 'a' } },
    spec: { taints },
    status: { conditions: [{ type: 'Ready', status: 'True' }] },
  }) as unknown as V1Node;

describe("a pool's spot nodes", () => {
  const going = node('going', [{ key: 'aws-node-termination-handler/spot-itn', effect: 'NoSchedule' }]);

  it('are those that may still be put to use', async () => {
    const { state, reconcile, book } = world({});
    for (const each of [node('n1'), node('n2'), going]) book.setNode(each);
    await reconcile();
    expect(state.figures?.spotNodes).toEqual(['n1', 'n2']);
    book.removeNode('n1');
    await reconcile();
    expect(state.figures?.spotNodes).toEqual(['n2']);
  });

  it.each([
    ['on-demand ones', { capacity: 'onDemand' }],
    ['those of other clusters', { cluster: { kubeconfigSecret: 'gke' } }],
  ])('are not %s', async (_, spec) => {
    const { state, reconcile, book } = world({}, spec);
    book.setNode('cluster' in spec ? locatedNode('gke', node('n1')) : node('n1'));
    expect(book.usableNodes('a')).toHaveLength(1);
    await reconcile();
    expect(state.figures?.spotNodes).toEqual([]);
  });
});

describe("a pool's prices", () => {
  it('are read once a refresh, and in the status the round after', async () => {
    const { state, reconcile } = world({ source: { aws: {} } });
    state.answers = [async () => ({ spot: 12.5, onDemand: null }), async () => ({ spot: 13, onDemand: null })];
    expect((await reconcile())?.price).toBeUndefined();
    expect(state.figures?.livePrice).toEqual({ readAt: null, refreshSeconds: 900 });
    expect(state.later).toContain(0);
    expect((await reconcile())?.price?.spot).toBe('12.50');
    expect(state.figures?.livePrice).toEqual({ readAt: START, refreshSeconds: 900 });
    expect(state.later).toEqual([15 * 60_000 + 1]);
    state.now += 15 * 60_000;
    await reconcile();
    expect((await reconcile())?.price?.spot).toBe('13.00');
    expect(state.asked).toEqual(Array(2).fill({ cloud: 'aws', region: 'eu-west-1', zone: 'eu-west-1b', instanceType: 'p5.48xlarge' }));
  });

  it('that cannot be read are asked for again a minute later, and the condition says why', async () => {
    const { state, reconcile } = world({ source: { aws: {} } });
    state.answers = [() => Promise.reject(new Error('You are not authorized'))];
    await reconcile();
    const status = await reconcile();
    expect(status?.conditions?.find((c) => c.type === 'PricesFresh')).toMatchObject({ status: 'False', reason: 'Unreadable' });
    expect(status?.conditions?.find((c) => c.type === 'PricesFresh')?.message).toContain('You are not authorized');
    expect(state.later).toEqual([60_001]);
  });

  it('are not asked for twice at a time, and never without a source', async () => {
    const { state, reconcile } = world({ source: { aws: {} } });
    state.answers = [() => new Promise(() => {})];
    await reconcile();
    await reconcile();
    expect(state.asked).toHaveLength(1);
    const plain = world({});
    await plain.reconcile();
    expect(plain.state.asked).toEqual([]);
    expect(plain.state.figures?.livePrice).toBeNull();
  });
});
