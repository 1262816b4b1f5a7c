import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { applyDefaults } from './defaults.ts';
import { type GpuPool, poolWithDefaults } from './gpu-pool.ts';
import { type VicunaTraining, vicunaTrainingSchema, withDefaults } from './vicuna-training.ts';

const least = (workers: object = {}) =>
  ({
    metadata: { name: 'a' },
    spec: { model: { base: 's3://a/b' }, dataset: { uri: 's3://c/d' }, workers, checkpoint: { storage: 's3://e/f' } },
  }) as unknown as VicunaTraining;

describe('defaults of a VicunaTraining', () => {
  it('are filled in at every depth', () => {
    expect(withDefaults(least()).spec).toEqual({
      model: { base: 's3://a/b' },
      dataset: { uri: 's3://c/d' },
      recipe: { preset: 'vicuna-7b', overrides: {} },
      workers: { gpusPerWorker: 1, min: 1, max: 1, readyDeadline: '10m' },
      placement: { capacity: 'auto' },
      checkpoint: { storage: 's3://e/f', interval: 'auto', keep: 3, finalSaveOnDelete: false },
      credentials: [],
      retry: [],
      suspend: false,
    });
  });

  it('are the same that the schema itself would give', () => {
    const parsed = vicunaTrainingSchema.parse(least({ min: 2 }));
    const { max: _, ...workers } = withDefaults(least({ min: 2 })).spec.workers;
    expect({ ...withDefaults(least({ min: 2 })).spec, workers }).toEqual(parsed.spec);
  });

  it('make the size fixed when only min is given, and never smaller than min', () => {
    expect(withDefaults(least({ min: 4 })).spec.workers.max).toBe(4);
    expect(withDefaults(least({ min: 2, max: 8 })).spec.workers.max).toBe(8);
    expect(withDefaults(least({ min: 4, max: 2 })).spec.workers.max).toBe(4);
  });

  it('leave the object that was given alone, and share no value between objects', () => {
    const given = Object.freeze(least());
    const [first, second] = [withDefaults(given), withDefaults(given)];
    expect(given.spec.recipe).toBeUndefined();
    first.spec.credentials.push({ name: 'x' });
    expect(second.spec.credentials).toEqual([]);
  });

  it('refuse nothing: an object that an older or newer schema let in can still be looked at', () => {
    const odd = least({ min: 1, colour: 'green', readyDeadline: 'soon' });
    expect(withDefaults(odd).spec.workers).toMatchObject({ colour: 'green', readyDeadline: 'soon' });
  });
});

describe('defaults of a GpuPool', () => {
  const pool = (cloud: GpuPool['spec']['cloud'], notice?: string) =>
    ({ metadata: { name: 'a' }, spec: { cloud, capacity: 'spot', accelerator: { count: 8 }, ...(notice ? { notice } : {}) } }) as GpuPool;

  it('give the notice of the cloud', () => {
    expect(poolWithDefaults(pool('aws')).spec.notice).toBe('120s');
    expect(poolWithDefaults(pool('gcp')).spec.notice).toBe('30s');
    expect(poolWithDefaults(pool('aws', '5m')).spec.notice).toBe('5m');
  });

  it('name the accelerator', () => {
    expect(poolWithDefaults(pool('gcp')).spec.accelerator).toEqual({ count: 8, type: 'none', resourceName: 'nvidia.com/gpu' });
  });
});

describe('applying defaults', () => {
  const schema = { properties: { a: { default: 1 }, list: { items: { properties: { b: { default: 'x' } } } } } };

  it('reaches into lists', () => {
    expect(applyDefaults(schema, { list: [{}, { b: 'y' }] })).toEqual({ a: 1, list: [{ b: 'x' }, { b: 'y' }] });
  });

  it('takes null for left out, as the API server does', () => {
    expect(applyDefaults(schema, { a: null })).toEqual({ a: 1 });
  });

  it('takes any value and is done after one pass', () => {
    fc.assert(
      fc.property(fc.jsonValue(), (value) => {
        const once = applyDefaults(schema, value);
        expect(applyDefaults(schema, once)).toEqual(once);
      }),
    );
  });
});
