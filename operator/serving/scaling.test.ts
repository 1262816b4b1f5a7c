import type { V1Lease, V1Secret } from '@kubernetes/client-node';
import { afterEach, describe, expect, it, vi } from 'vitest';
import { servingWithDefaults, type VicunaServing } from '../api/vicuna-serving.ts';
import type { Sample } from './autoscaling/decide.ts';
import type { PrometheusOptions } from './autoscaling/prometheus.ts';
import { Scaling } from './scaling.ts';

const KEY = 'default/chat';
let now = Date.parse('2026-06-01T12:00:00Z');

function serving(spec: object = {}): VicunaServing {
  return servingWithDefaults({
    metadata: { name: 'chat', namespace: 'default' },
    spec: {
      models: [{ name: 'tiny', weights: 's3://models/tiny' }],
      replicas: { min: 1, max: 10 },
      autoscaling: { prometheus: { url: 'http://prometheus' } },
      ...spec,
    },
  } as unknown as VicunaServing);
}

interface Stage {
  readonly scaling: Scaling;
  readonly asked: { options: PrometheusOptions; query: string }[];
  sample: Sample;
  lease: string | null;
  secret: V1Secret | null;
}

function stage(): Stage {
  const found: Stage = { sample: { value: 0 }, lease: null, secret: null, asked: [] } as never;
  const client = { get: async () => found.secret ?? Promise.reject(new Error('not found')) } as never;
  const leases = { get: () => (found.lease === null ? undefined : ({ spec: { renewTime: found.lease } } as unknown as V1Lease)) };
  const query = async (options: PrometheusOptions, text: string) => {
    found.asked.push({ options, query: text });
    return found.sample;
  };
  return Object.assign(found, { scaling: new Scaling({ client, leases, now: () => now, query }) });
}

/** Reads the metrics once and decides. */
async function next(s: Stage, object: VicunaServing) {
  const news = new Promise<void>((resolve) => s.scaling.onNews(() => resolve()));
  const first = s.scaling.decide(object, [], now);
  await vi.advanceTimersByTimeAsync(15_000);
  await news;
  now += 15_000;
  return { first, second: s.scaling.decide(object, [], now) };
}

afterEach(() => {
  vi.useRealTimers();
});

describe('scaling', () => {
  it('without autoscaling is the number of the spec, and asks nobody', () => {
    const s = stage();
    const object = serving({ autoscaling: undefined, replicas: { min: 3 } });
    expect(s.scaling.decide(object, [], now)).toMatchObject({ metrics: { status: 'False', reason: 'NotUsed' } });
    expect(s.scaling.decide(object, [], now).scale.get('tiny')?.replicas).toBe(3);
    expect(s.asked).toEqual([]);
  });

  it('holds until the metrics were read, then follows them', async () => {
    vi.useFakeTimers();
    const s = stage();
    s.sample = { value: 24 };
    const { first, second } = await next(s, serving());
    expect(first.scale.get('tiny')).toMatchObject({ replicas: 1 });
    expect(first.metrics).toMatchObject({ status: 'False', message: 'the metrics were not read yet' });
    expect(second.scale.get('tiny')).toMatchObject({ replicas: 3, queue: 24 });
    expect(second.metrics).toMatchObject({ status: 'True', reason: 'Fresh' });
    expect(s.asked[0]?.query).toContain('vicuna_run_serving="chat"');
    s.scaling.forget(KEY);
  });

  it('after a restart holds what the status says, not the least', async () => {
    vi.useFakeTimers();
    const s = stage();
    s.sample = { problem: 'Prometheus cannot be reached' };
    const object = { ...serving(), status: { models: [{ name: 'tiny', desired: 7 }] } } as unknown as VicunaServing;
    const { second } = await next(s, object);
    expect(second.scale.get('tiny')?.replicas).toBe(7);
    expect(second.metrics).toMatchObject({
      status: 'False',
      message: 'tiny: requests: Prometheus cannot be reached. The number of replicas is held',
    });
    s.scaling.forget(KEY);
  });

  it('wakes a model without replicas as soon as requests wait, and does not wait for the next reading', async () => {
    vi.useFakeTimers();
    const s = stage();
    const object = {
      ...serving({ replicas: { min: 0, max: 3 } }),
      status: { models: [{ name: 'tiny', desired: 0 }] },
    } as unknown as VicunaServing;
    const { second } = await next(s, object);
    expect(second.scale.get('tiny')?.replicas).toBe(0);
    s.lease = new Date(now - 100).toISOString();
    expect(s.scaling.decide(object, [], now).scale.get('tiny')).toMatchObject({ replicas: 1, reason: 'requests wait at the gateway' });
    s.scaling.forget(KEY);
  });

  it('sends the token of the Secret, and says when there is none', async () => {
    vi.useFakeTimers();
    const s = stage();
    const object = serving({ autoscaling: { prometheus: { url: 'http://prometheus', secret: { name: 'token' } } } });
    const missing = await next(s, object);
    expect(missing.second.metrics.message).toContain('Secret "token" of spec.autoscaling.prometheus has no key token in namespace default');
    s.secret = { data: { token: Buffer.from('abc\n').toString('base64') } };
    await next(s, object);
    expect(s.asked[0]?.options.authorization).toBe('Bearer abc');
    s.scaling.forget(KEY);
  });
});
