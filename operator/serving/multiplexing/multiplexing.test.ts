import { afterEach, describe, expect, it } from 'vitest';
import { servingWithDefaults, type VicunaServing } from '../../api/vicuna-serving.ts';
import type { Series } from '../autoscaling/prometheus.ts';
import { pool } from '../testing.ts';
import { Multiplexing } from './multiplexing.ts';
import { planGroups } from './planner.ts';

const KEY = 'default/chat';
const POOLS = [pool('aws-a', { gpusPerNode: 4, gpuMemoryGiB: 40 }), pool('gcp-a', { gpusPerNode: 8, gpuMemoryGiB: 80 })];

function serving(change: object = {}, multiplexing: object = {}): VicunaServing {
  const models = ['a', 'b', 'c'].map((name) => ({
    name,
    weights: `s3://models/${name}`,
    profile: { latencySeconds: 0.2, weightsMemory: '6Gi', requestsPerSecond: 0.5 },
  }));
  return servingWithDefaults({
    metadata: { name: 'chat', namespace: 'default', uid: 'u1', generation: 1 },
    spec: { models, multiplexing: { maxGpus: 4, ...multiplexing }, ...change },
  } as unknown as VicunaServing);
}

const made: Multiplexing[] = [];
afterEach(() => {
  for (const one of made.splice(0)) one.forget(KEY);
});

function multiplexing(options: Partial<ConstructorParameters<typeof Multiplexing>[0]> = {}) {
  const one = new Multiplexing({ now: () => Date.parse('2026-01-01T00:00:00Z'), authorize: async () => null, ...options });
  made.push(one);
  return one;
}

/** What is decided once it has been thought about. */
async function decided(one: Multiplexing, object: VicunaServing, pools = POOLS) {
  const news = new Promise<void>((resolve) => one.onNews(() => resolve()));
  one.decide(object, pools);
  await news;
  return one.decide(object, pools);
}

const prometheus = { prometheus: { url: 'http://prometheus' } };

describe('the groups of a serving', () => {
  it('are planned in a process of its own for what the profiles expect, on as few GPUs as that needs', async () => {
    const { groups, metrics } = await decided(multiplexing({ plan: planGroups }), serving());
    expect(new Set(groups.groups.flatMap((g) => g.models))).toEqual(new Set(['a', 'b', 'c']));
    expect(groups.groups.every((g) => /^group-[0-9a-f]{8}$/.test(g.name))).toBe(true);
    expect(groups).toMatchObject({ problem: null, reason: expect.stringContaining('the first plan') });
    expect(groups.attainment).toBeGreaterThan(0.99);
    expect(metrics.reason).toBe('NotUsed');
  });

  it('are those of the status until there is a plan', () => {
    const kept = { name: 'group-1', models: ['a', 'b', 'c'], pipeline: 1, tensor: 1, replicas: 1 };
    const status = { multiplexing: { groups: [kept], gpus: 1, attainment: 0.9, changedAt: '2026-01-01T00:00:00Z', reason: 'kept' } };
    const { groups } = multiplexing().decide({ ...serving(), status }, POOLS);
    expect(groups).toMatchObject({ groups: [kept], attainment: 0.9, problem: null });
    expect(multiplexing().decide(serving(), POOLS).groups.problem).toBe('the first plan is being made');
  });

  it('are made for the requests that Prometheus has counted', async () => {
    const asked: string[] = [];
    const range = async (_: unknown, query: string): Promise<Series> => {
      asked.push(query);
      return { values: Array(30).fill(query.includes('model="a"') ? 900 : 1) };
    };
    const { groups, metrics } = await decided(multiplexing({ range }), serving({}, prometheus));
    expect(asked[0]).toContain(
      'sum(increase(vicuna_gateway_requests_total{namespace="default",vicuna_run_serving="chat",model="a"}[60s]))',
    );
    expect(metrics).toMatchObject({ status: 'True', reason: 'Fresh' });
    // 15 requests a second of 0.2 s each are the work of three GPUs.
    const gpus = groups.groups.filter((g) => g.models.includes('a')).reduce((sum, g) => sum + g.replicas * g.pipeline * g.tensor, 0);
    expect(gpus).toBeGreaterThanOrEqual(3);
  });

  it('are held without metrics, but for the first ones', async () => {
    let asked = 0;
    const plan: typeof planGroups = (input) => {
      asked++;
      return planGroups(input);
    };
    const range = async (): Promise<Series> => ({ problem: 'Prometheus cannot be reached: ECONNREFUSED' });
    const first = await decided(multiplexing({ range, plan }), serving({}, prometheus));
    expect(first.groups.groups).not.toEqual([]);
    expect(first.metrics).toMatchObject({ status: 'False', message: expect.stringContaining('a: Prometheus cannot be reached') });
    const kept = { name: 'group-1', models: ['a', 'b', 'c'], pipeline: 1, tensor: 1, replicas: 4 };
    const status = { multiplexing: { groups: [kept], gpus: 4, attainment: 0.9, changedAt: '2025-01-01T00:00:00Z', reason: 'kept' } };
    const later = await decided(multiplexing({ range, plan }), { ...serving({}, prometheus), status });
    expect(later.groups.groups).toEqual([kept]);
    expect(asked).toBe(1);
  });

  it.each([
    [
      'a pool that does not say its memory',
      serving(),
      [pool('aws-a', { gpuMemoryGiB: null })],
      'GpuPool aws-a does not say how much memory',
    ],
    ['no pool with GPUs', serving(), [pool('cpu', { gpusPerNode: 0 })], 'no GpuPool with accelerators is selected'],
    ['a model that fits nowhere', serving({}, { maxGpus: 1 }), [pool('aws-a', { gpuMemoryGiB: 8 })], 'GiB'],
  ])('are none, with the reason, for %s', async (_, object, pools, words) => {
    const { groups } = await decided(multiplexing(), object, pools);
    expect(groups.groups).toEqual([]);
    expect(groups.problem).toContain(words);
  });

  it('have one GPU each with our own engine, which computes on one', async () => {
    const own = serving();
    const models = own.spec.models.map((m) => ({ ...m, engine: 'transformers' as const }));
    const { groups } = await decided(multiplexing(), { ...own, spec: { ...own.spec, models } });
    expect(groups.groups.every((g) => g.pipeline * g.tensor === 1)).toBe(true);
  });
});
