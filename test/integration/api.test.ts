import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { parse } from 'yaml';
import { GPU_POOL, type GpuPool } from '../../operator/api/gpu-pool.ts';
import { TRAINING, type VicunaTraining } from '../../operator/api/vicuna-training.ts';
import { ApiError, KubeClient } from '../../operator/kube/client.ts';
import { ROOT } from '../cluster/paths.ts';
import { run } from '../cluster/run.ts';
import { toolPath } from '../cluster/tools.ts';

let client: KubeClient;
beforeAll(async () => {
  client = await KubeClient.fromKubeconfig();
});
afterAll(() => client.close());

const example = (name: string) => parse(readFileSync(join(ROOT, 'examples', name), 'utf8'));
const kubectl = (...args: string[]) => run(toolPath('kubectl'), args);

/** The example training under another name, with changes at dotted paths; undefined removes. */
function training(name: string, changes: Record<string, unknown> = {}): VicunaTraining {
  const object = { ...example('training.yaml'), metadata: { name, namespace: 'default' } };
  for (const [path, value] of Object.entries(changes)) set(object, path.split('.'), value);
  return object;
}

function set(object: Record<string, unknown>, [head = '', ...rest]: string[], value: unknown): void {
  if (rest.length > 0) {
    object[head] ??= {};
    set(object[head] as Record<string, unknown>, rest, value);
  } else if (value === undefined) delete object[head];
  else object[head] = value;
}

async function refusal(object: VicunaTraining): Promise<string> {
  try {
    await client.create(TRAINING, object);
  } catch (error) {
    if (error instanceof ApiError && error.status >= 400 && error.status < 500) return error.message;
    throw error;
  }
  throw new Error('it was accepted');
}

describe('a bad VicunaTraining is refused with a sentence that says what to do', () => {
  const bad: [string, Record<string, unknown>, string][] = [
    [
      'min larger than max',
      { 'spec.workers': { min: 4, max: 2 } },
      'min is larger than max: give a larger max, or leave max out for a fixed size',
    ],
    ['negative workers', { 'spec.workers.min': -1 }, 'spec.workers.min in body should be greater than or equal to 1'],
    ['a wrong type', { 'spec.workers.min': 'two' }, 'spec.workers.min in body must be of type integer'],
    ['neither dataset name nor uri', { 'spec.dataset': {} }, 'give exactly one of dataset.name and dataset.uri'],
    ['both dataset name and uri', { 'spec.dataset': { name: 'a', uri: 's3://b/c' } }, 'give exactly one of dataset.name and dataset.uri'],
    ['a URI without scheme', { 'spec.model.base': '/models/llama' }, 'spec.model.base in body should match'],
    ['checkpoints on the hub', { 'spec.checkpoint.storage': 'hf://x/y' }, 'spec.checkpoint.storage in body should match'],
    ['no duration', { 'spec.workers.readyDeadline': 'soon' }, 'spec.workers.readyDeadline in body should match'],
    ['no quantity', { 'spec.workers.memory': 'much' }, 'spec.workers.memory in body should match'],
    ['an unparsable deadline', { 'spec.placement.deadline': 'tomorrow' }, 'spec.placement.deadline'],
    ['a negative price', { 'spec.placement.maxPricePerHour': '-1' }, 'spec.placement.maxPricePerHour in body should match'],
    ['an unknown preset', { 'spec.recipe.preset': 'gpt' }, 'Unsupported value: "gpt"'],
    ['a learning rate of zero', { 'spec.recipe.overrides': { learningRate: 0 } }, 'should be greater than 0'],
    ['exit codes for interruptions', { 'spec.retry': [{ causes: ['interruption'], exitCodes: [1] }] }, 'exitCodes is for cause error only'],
    ['a limit that is no number', { 'spec.retry': [{ causes: ['error'], limit: 'often' }] }, 'limit is a number or unlimited'],
    ['Unicode where a name is wanted', { 'spec.credentials': [{ name: 'schlüssel' }] }, 'spec.credentials[0].name in body should match'],
    ['no checkpoint at all', { 'spec.checkpoint': undefined }, 'spec.checkpoint: Required value'],
    ['a value of a megabyte', { 'spec.workers.image': 'x'.repeat(1_000_000) }, 'Too long'],
  ];
  it.each(bad)('%s', async (_, changes, sentence) => {
    expect(await refusal(training('bad', changes))).toContain(sentence);
  });

  it('a name that would not fit into pod names', async () => {
    expect(await refusal(training('n'.repeat(41)))).toContain('metadata.name is part of pod names: use at most 40 characters');
  });

  it('an unknown field, under strict validation as kubectl asks for it', async () => {
    const file = JSON.stringify(training('unknown', { 'spec.workerz': 1 }));
    await expect(run(toolPath('kubectl'), ['apply', '-f', '-'], { input: file })).rejects.toThrow('unknown field "spec.workerz"');
  });
});

describe('a good VicunaTraining', () => {
  it('gets its defaults, and keeps what may not change', async () => {
    const made = await client.create(TRAINING, training('good', { 'spec.workers': { gpusPerWorker: 8, max: 4 } }));
    expect(made.spec).toMatchObject({
      suspend: false,
      workers: { min: 1, readyDeadline: '10m' },
      checkpoint: { interval: 'auto', keep: 3 },
      recipe: { preset: 'vicuna-7b' },
    });
    for (const [patch, sentence] of [
      [{ model: { base: 's3://other/model' } }, 'spec.model cannot be changed'],
      [{ checkpoint: { storage: 's3://elsewhere/x' } }, 'spec.checkpoint.storage cannot be changed'],
      [{ workers: { gpusPerWorker: 4 } }, 'spec.workers.gpusPerWorker cannot be changed'],
      [{ managedBy: 'somebody.else' }, 'spec.managedBy cannot be changed'],
    ] as const) {
      await expect(client.mergePatch(TRAINING, 'default', 'good', { spec: patch })).rejects.toThrow(sentence);
    }
    const changed = await client.mergePatch(TRAINING, 'default', 'good', { spec: { suspend: true, workers: { max: 6 } } });
    expect(changed.spec).toMatchObject({ suspend: true, workers: { max: 6 } });
    await client.delete(TRAINING, 'default', 'good');
  });

  it('behaves under kubectl: explain, dry run, apply, diff, get, delete', async () => {
    const file = join(ROOT, 'examples', 'training.yaml');
    expect(await kubectl('explain', 'vt.spec.checkpoint.interval')).toContain('Default: auto');
    await kubectl('apply', '--dry-run=server', '-f', file);
    await kubectl('apply', '--server-side', '-f', file);
    expect(await kubectl('diff', '-f', file).catch(() => 'differs')).toBe('');
    expect(await kubectl('get', 'vicuna')).toContain('vicuna-7b');
    expect((await kubectl('get', 'vt')).split('\n')[0]).toMatch(
      /NAME +PHASE +POOL +STEP +LOSS +ETA +CHECKPOINT +INTERRUPTIONS +COST +SAVED +AGE/,
    );
    await kubectl('delete', '-f', file);
  });
});

describe('GpuPool', () => {
  const pool = (changes: Record<string, unknown> = {}): GpuPool => {
    const object = example('gpupool-aws-spot.yaml');
    object.metadata = { name: 'bad' };
    for (const [path, value] of Object.entries(changes)) set(object, path.split('.'), value);
    return object;
  };
  it.each([
    ['no labels to select by', { 'spec.nodeSelector': {} }, 'nodeSelector must name at least one label'],
    ['a price that is no amount', { 'spec.price.onDemand': 'cheap' }, 'spec.price.onDemand in body should match'],
    ['no price', { 'spec.price': undefined }, 'spec.price: Required value'],
    ['a negative count', { 'spec.accelerator.count': -8 }, 'should be greater than or equal to 0'],
  ])('refuses %s', async (_, changes, sentence) => {
    await expect(client.create(GPU_POOL, pool(changes))).rejects.toThrow(sentence);
  });
});

describe('mutations of every field', () => {
  it('are accepted or refused with a message, and never break the API server', async () => {
    const base = training('mutant') as unknown as Record<string, unknown>;
    const paths = leaves(base.spec as Record<string, unknown>, ['spec']);
    for (const path of paths) {
      for (const value of [null, -1, '', 'x'.repeat(2_000), {}, [], true, 1e18]) {
        const object = structuredClone(base);
        set(object, path, value);
        try {
          await client.create(TRAINING, object as unknown as VicunaTraining);
          await client.delete(TRAINING, 'default', 'mutant');
        } catch (error) {
          expect(error).toBeInstanceOf(ApiError);
          expect((error as ApiError).status, `${path.join('.')} = ${JSON.stringify(value)?.slice(0, 40)}`).toBeLessThan(500);
          expect((error as ApiError).message.length).toBeGreaterThan(10);
        }
      }
    }
  });
});

function leaves(object: Record<string, unknown>, path: string[]): string[][] {
  return Object.entries(object).flatMap(([key, value]) =>
    value !== null && typeof value === 'object' && !Array.isArray(value)
      ? leaves(value as Record<string, unknown>, [...path, key])
      : [[...path, key]],
  );
}
