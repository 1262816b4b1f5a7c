import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { GPU_POOL } from '../../operator/api/gpu-pool.ts';
import { SERVING } from '../../operator/api/vicuna-serving.ts';
import { TRAINING, type VicunaTraining } from '../../operator/api/vicuna-training.ts';
import { ApiError, KubeClient } from '../../operator/kube/client.ts';
import { run } from '../cluster/run.ts';
import { toolPath } from '../cluster/tools.ts';
import { exampleFile, gpuPool, serving, training } from './objects.ts';

let client: KubeClient;
beforeAll(async () => {
  client = await KubeClient.fromKubeconfig();
});
afterAll(() => client.close());

const kubectl = (...args: string[]) => run(toolPath('kubectl'), args);
const kubectlWith = (object: object, ...args: string[]) =>
  run(toolPath('kubectl'), [...args, '-f', '-'], { input: JSON.stringify(object) });

/** What the API server says of the spec: its message without the object's name. Fails when it says nothing. */
async function refusal(write: Promise<unknown>): Promise<string> {
  try {
    await write;
  } catch (error) {
    if (error instanceof ApiError && error.status >= 400 && error.status < 500) return error.message.replace(/^.*? is invalid: /, '');
    throw error;
  }
  throw new Error('it was accepted');
}

type Refusal = readonly [what: string, changes: Record<string, unknown>, sentence: string];

const DURATION = 'no duration: write it as 90s, 10m, 24h or 1h30m, the larger unit first';
const DOLLARS = 'no amount of US dollars: write it in quotes without sign or currency, such as "12.50"';
const STORAGE =
  'no place to keep files: write s3://bucket/path, pvc://claim/path or file:///directory (a gs:// bucket by its S3 interface)';
const SOURCE =
  'no URI to read from: write s3://bucket/path, hf://owner/name, pvc://claim/path or file:///directory (a gs:// bucket by its S3 interface)';
const NAME = 'no name of an object: use lower-case letters, digits, "-" and ".", such as s3-credentials';
const WHEN = 'no point in time: write it with its time zone, such as 2026-12-01T00:00:00Z';

describe('a bad VicunaTraining is refused with a sentence that says what to do', () => {
  const cases: readonly Refusal[] = [
    [
      'min larger than max',
      { 'spec.workers.min': 4, 'spec.workers.max': 2 },
      'spec.workers: Invalid value: min (4) is larger than max (2): give max at least 4, or leave max out for a fixed size',
    ],
    [
      'the default of min larger than max',
      { 'spec.workers.max': 0 },
      'spec.workers.max: Invalid value: 0: spec.workers.max in body should be greater than or equal to 1',
    ],
    ['negative workers', { 'spec.workers.min': -1 }, 'spec.workers.min in body should be greater than or equal to 1'],
    ['too many workers', { 'spec.workers.min': 1025 }, 'spec.workers.min in body should be less than or equal to 1024'],
    ['a wrong type', { 'spec.workers.min': 'two' }, 'spec.workers.min in body must be of type integer: "string"'],
    ['half a worker', { 'spec.workers.min': 1.5 }, 'spec.workers.min in body must be of type integer: "number"'],
    ['a list where an object is wanted', { 'spec.workers': [] }, 'spec.workers in body must be of type object: "array"'],
    [
      'no image',
      { 'spec.workers.image': undefined },
      'spec.workers: Invalid value: names no image: give image, or a template whose container "trainer" has one',
    ],
    [
      'an image with spaces',
      { 'spec.workers.image': 'my image' },
      'no image: write it without spaces, such as registry.example.com/trainer:1.0',
    ],
    [
      'nothing to train on',
      { 'spec.dataset': {} },
      'spec.dataset: Invalid value: says nothing to train on: give name (of a VicunaDataset) or uri',
    ],
    [
      'two datasets',
      { 'spec.dataset': { name: 'a', uri: 's3://b/c' } },
      'spec.dataset: Invalid value: gives both name and uri: leave one of them out',
    ],
    ['a path where a URI is wanted', { 'spec.model.base': '/models/llama' }, `spec.model.base: Invalid value: "/models/llama": ${SOURCE}`],
    ['a URI without bucket', { 'spec.model.base': 's3://' }, `spec.model.base: Invalid value: "s3://": ${SOURCE}`],
    ['an unknown scheme', { 'spec.dataset': { uri: 'ftp://a/b' } }, `spec.dataset.uri: Invalid value: "ftp://a/b": ${SOURCE}`],
    ['a URI with spaces', { 'spec.dataset': { uri: 's3://a/b c' } }, `spec.dataset.uri: Invalid value: "s3://a/b c": ${SOURCE}`],
    ['checkpoints on the hub', { 'spec.checkpoint.storage': 'hf://x/y' }, `spec.checkpoint.storage: Invalid value: "hf://x/y": ${STORAGE}`],
    ['no checkpoint at all', { 'spec.checkpoint': undefined }, 'spec.checkpoint: Required value'],
    ['no duration', { 'spec.workers.readyDeadline': 'soon' }, `spec.workers.readyDeadline: Invalid value: "soon": ${DURATION}`],
    ['a negative duration', { 'spec.workers.readyDeadline': '-5m' }, `spec.workers.readyDeadline: Invalid value: "-5m": ${DURATION}`],
    ['a duration without unit', { 'spec.ttlAfterFinished': '600' }, `spec.ttlAfterFinished: Invalid value: "600": ${DURATION}`],
    [
      'a duration of nothing',
      { 'spec.workers.readyDeadline': '0s' },
      'spec.workers.readyDeadline: Invalid value: "0s": must be longer than zero, such as 10m',
    ],
    [
      'an interval that is none',
      { 'spec.checkpoint.interval': 'often' },
      'no interval between saves: write auto, a duration (10m) or a number of steps (500steps)',
    ],
    ['an interval of no steps', { 'spec.checkpoint.interval': '0steps' }, 'no interval between saves'],
    ['memory that is none', { 'spec.workers.memory': 'much' }, 'no amount of memory: write it as 512Mi, 64Gi or 1Ti'],
    ['negative memory', { 'spec.workers.memory': '-1Gi' }, 'no amount of memory'],
    [
      'cores that are none',
      { 'spec.workers.cpu': 'many' },
      'spec.workers.cpu: Invalid value: "many": no number of cores: write it as 8, "0.5" or 500m',
    ],
    ['negative cores', { 'spec.workers.cpu': -2 }, 'no number of cores'],
    ['a deadline that is none', { 'spec.placement.deadline': 'tomorrow' }, `spec.placement.deadline: Invalid value: "tomorrow": ${WHEN}`],
    ['a deadline without time zone', { 'spec.placement.deadline': '2026-12-01T00:00:00' }, WHEN],
    ['a price with currency', { 'spec.placement.maxPricePerHour': '$12' }, DOLLARS],
    ['a negative price', { 'spec.placement.budget': '-1' }, `spec.placement.budget: Invalid value: "-1": ${DOLLARS}`],
    ['a price without quotes', { 'spec.placement.budget': 12.5 }, 'spec.placement.budget in body must be of type string: "number"'],
    [
      'labels that match everything',
      { 'spec.placement.pools': { matchLabels: {} } },
      'matchLabels must name at least one label, or everything would match',
    ],
    [
      'an impossible label',
      { 'spec.placement.pools': { matchLabels: { 'a b': 'c' } } },
      'matchLabels has a key that no label can have: write it as name or domain/name, such as topology.kubernetes.io/zone',
    ],
    [
      'an unknown preset',
      { 'spec.recipe.preset': 'gpt' },
      'spec.recipe.preset: Unsupported value: "gpt": supported values: "vicuna-7b", "vicuna-13b"',
    ],
    [
      'a learning rate of zero',
      { 'spec.recipe.overrides': { learningRate: 0 } },
      'spec.recipe.overrides.learningRate in body should be greater than 0',
    ],
    [
      'exit codes for interruptions',
      { 'spec.retry': [{ causes: ['interruption'], exitCodes: [1] }] },
      'spec.retry[0]: Invalid value: exitCodes is for cause error only: put the other causes into a rule of their own',
    ],
    [
      'a limit that is none',
      { 'spec.retry': [{ causes: ['error'], limit: 'often' }] },
      'limit must be a number from 0 to 1000000, or unlimited',
    ],
    ['a negative limit', { 'spec.retry': [{ causes: ['error'], limit: -1 }] }, 'limit must be a number from 0 to 1000000, or unlimited'],
    [
      'a window without limit',
      { 'spec.retry': [{ causes: ['error'], window: '1h' }] },
      'window says within which time limit counts: give a limit too, or leave window out',
    ],
    ['an unknown cause', { 'spec.retry': [{ causes: ['bad luck'] }] }, 'supported values: "interruption", "capacity", "error", "node"'],
    ['a rule without cause', { 'spec.retry': [{ causes: [] }] }, 'spec.retry[0].causes in body should have at least 1 items'],
    ['Unicode in a name', { 'spec.credentials': [{ name: 'schlüssel' }] }, `spec.credentials[0].name: Invalid value: "schlüssel": ${NAME}`],
    ['a Secret named twice', { 'spec.credentials': [{ name: 'a' }, { name: 'a' }] }, 'spec.credentials[1]: Duplicate value: {"name":"a"}'],
    [
      'a manager without domain',
      { 'spec.managedBy': 'me' },
      'no name of a controller: write it as domain/name, such as kueue.x-k8s.io/multikueue',
    ],
    ['a string of a megabyte', { 'spec.workers.image': 'x'.repeat(1_000_000) }, 'may not be more than 512 bytes'],
    ['a list of a megabyte', { 'spec.workers.command': Array.from({ length: 100_000 }, () => 'arguments!') }, 'must have at most 64 items'],
  ];
  it.each(cases)('%s', async (_, changes, sentence) => {
    expect(await refusal(client.create(TRAINING, training('bad', changes)))).toContain(sentence);
  });

  it('one mistake makes one sentence', async () => {
    const sentence = await refusal(client.create(TRAINING, training('bad', { 'spec.workers.readyDeadline': 'soon' })));
    expect(sentence).toBe(`spec.workers.readyDeadline: Invalid value: "soon": ${DURATION}`);
  });

  it('several mistakes are all named', async () => {
    const changes = { 'spec.workers.min': 4, 'spec.workers.max': 2, 'spec.placement.budget': 'much', 'spec.dataset': {} };
    const sentence = await refusal(client.create(TRAINING, training('bad', changes)));
    for (const part of ['min (4) is larger', 'no amount of US dollars', 'says nothing to train on']) expect(sentence).toContain(part);
  });

  it('as kubectl shows it', async () => {
    await expect(kubectlWith(training('x', { 'spec.workers.min': 4, 'spec.workers.max': 2 }), 'apply')).rejects.toThrow(
      'The VicunaTraining "x" is invalid: spec.workers: Invalid value: min (4) is larger than max (2): give max at least 4, or leave max out for a fixed size',
    );
  });

  it('an unknown field, under strict validation as kubectl asks for it', async () => {
    await expect(kubectlWith(training('unknown', { 'spec.workerz': 1 }), 'apply')).rejects.toThrow('unknown field "spec.workerz"');
  });
});

describe('a bad VicunaServing is refused with a sentence that says what to do', () => {
  const model = (changes: object) => ({ 'spec.models': [{ name: 'tiny', weights: 's3://models/tiny', ...changes }] });
  const cases: readonly Refusal[] = [
    ['no model', { 'spec.models': [] }, 'spec.models in body should have at least 1 items'],
    [
      'two models of one name',
      { 'spec.models': [1, 2].map(() => ({ name: 'a', weights: 's3://b/c' })) },
      'spec.models[1]: Duplicate value',
    ],
    ['a name that no Service can have', model({ name: 'vicuna-13b-v1.5' }), 'other names go into aliases'],
    ['weights that are no URI', model({ weights: '/models' }), SOURCE],
    ['an unknown engine', model({ engine: 'tgi' }), 'supported values: "vllm", "sglang", "transformers", "custom"'],
    ['a custom engine without image', model({ engine: 'custom' }), 'a custom engine needs its image'],
    ['a command for an engine that the operator starts', model({ command: ['x'] }), 'command is for a custom engine'],
    ['more than all requests for a canary', model({ canary: { percent: 101 } }), 'should be less than or equal to 100'],
    ['min larger than max', { 'spec.replicas': { min: 4, max: 2 } }, 'min (4) is larger than max (2): give max at least 4'],
    [
      'a Prometheus that is no URL',
      { 'spec.autoscaling': { prometheus: { url: 'prometheus:9090' } } },
      'no URL: write it as http://host:port',
    ],
    ['a password in a URL', { 'spec.autoscaling': { prometheus: { url: 'http://me:secret@host' } } }, 'without user, query and fragment'],
    ['a spare that is none', { 'spec.placement': { spare: 'many' } }, 'spare must be a number from 0 to 100, or auto'],
    [
      'a worker for a model that is not there',
      { 'spec.workers': [{ url: 'http://a', models: ['x'] }] },
      'workers name a model that spec.models has not',
    ],
    [
      'a time of day that is none',
      { 'spec.autoscaling': { prometheus: { url: 'http://a' }, schedule: [{ start: '8am', end: '18:00', min: 1 }] } },
      'no time of day: write it as 08:30',
    ],
    [
      'moderation that neither blocks nor allows',
      { 'spec.gateway': { moderation: { url: 'http://a', whenUnavailable: 'ask' } } },
      'supported values',
    ],
  ];
  it.each(cases)('%s', async (_, changes, sentence) => {
    expect(await refusal(client.create(SERVING, serving('bad', changes)))).toContain(sentence);
  });

  const profile = { latencySeconds: 1, weightsMemory: '14Gi' };
  const shared = (...models: object[]) => ({
    'spec.multiplexing': { maxGpus: 4 },
    'spec.models': models.map((m, i) => ({ name: `m${i}`, weights: 's3://models/tiny', profile, ...m })),
  });
  it.each<Refusal>([
    ['without a profile', shared({}, { profile: undefined }), 'give every model its profile, latencySeconds and weightsMemory at least'],
    ['of two engines', shared({}, { engine: 'sglang' }), 'give all of them the same engine and image'],
    ['of two images', shared({}, { image: 'other:1' }), 'give all of them the same engine and image'],
    ['with a custom engine', shared({ engine: 'custom', image: 'mine:1' }), 'and not engine custom'],
    ['with a canary', shared({ canary: { percent: 10 } }), 'leave canary, cpu, memory and template of the models out'],
    ['with autoscaling, too', { ...shared({}), 'spec.autoscaling': { prometheus: { url: 'http://a' } } }, 'leave autoscaling out'],
    ['on no GPU', { ...shared({}), 'spec.multiplexing': { maxGpus: 0 } }, 'should be greater than or equal to 1'],
    [
      'with an SLO that nothing meets',
      { ...shared({}), 'spec.multiplexing': { maxGpus: 1, slo: { scale: 0.5 } } },
      'greater than or equal to 1',
    ],
    [
      'with memory that is none',
      shared({ profile: { latencySeconds: 1, weightsMemory: '14GB' } }),
      'no amount of memory: write it as 80Gi',
    ],
  ])('models that share GPUs %s', async (_, changes, sentence) => {
    expect(await refusal(client.create(SERVING, serving('bad', changes)))).toContain(sentence);
  });

  it('a name that no Service can have', async () => {
    expect(await refusal(client.create(SERVING, serving('a.b')))).toContain('metadata.name must begin with a letter and have no "."');
    expect(await refusal(client.create(SERVING, serving('n'.repeat(31))))).toContain('give it at most 30 characters');
  });
});

describe('a VicunaServing that exists', () => {
  it('is scaled by kubectl, within its limits', async () => {
    await client.create(SERVING, serving('scaled', { 'spec.replicas': { min: 1, max: 4 } }));
    await kubectl('scale', 'vs/scaled', '--replicas=3');
    expect((await client.get(SERVING, 'default', 'scaled')).spec.replicas).toEqual({ min: 3, max: 4 });
    await expect(kubectl('scale', 'vs/scaled', '--replicas=5')).rejects.toThrow('min (5) is larger than max (4)');
    await client.delete(SERVING, 'default', 'scaled');
  });
});

describe('names', () => {
  it('may have 40 characters, so that pod names stay legal', async () => {
    const name = 'n'.repeat(40);
    await client.create(TRAINING, training(name));
    await client.delete(TRAINING, 'default', name);
    expect(await refusal(client.create(TRAINING, training(`${name}n`)))).toContain(
      'metadata.name is part of pod names: use at most 40 characters',
    );
  });

  it.each(['schlüssel', 'Upper', 'with_underscore', '名'])('cannot be %s', async (name) => {
    expect(await refusal(client.create(TRAINING, training(name)))).toContain('a lowercase RFC 1123 subdomain');
  });
});

describe('strings that are for people or programs outside Kubernetes', () => {
  it('may be Unicode', async () => {
    const text = 's3://bücket/Ünïcode/模型/🦙';
    const made = await client.create(
      TRAINING,
      training('unicode', { 'spec.model.base': text, 'spec.workers.command': ['python3', '训练.py'] }),
    );
    expect(made.spec.model.base).toBe(text);
    expect(made.spec.workers.command).toEqual(['python3', '训练.py']);
    await client.delete(TRAINING, 'default', 'unicode');
  });
});

describe('a VicunaTraining that exists', () => {
  const FIXED = 'is fixed once the object exists: create a new object under another name instead';
  const patch = (name: string, spec: object) => client.mergePatch(TRAINING, 'default', name, { spec });

  it('has its defaults', async () => {
    const made = await client.create(TRAINING, training('defaults', { 'spec.recipe': undefined, 'spec.workers': { image: 'a' } }));
    expect(made.spec).toEqual({
      model: { base: 's3://models/llama-7b' },
      dataset: { uri: 's3://data/sharegpt.jsonl' },
      recipe: { preset: 'vicuna-7b', overrides: {} },
      workers: { image: 'a', gpusPerWorker: 1, min: 1, readyDeadline: '10m' },
      placement: { capacity: 'auto' },
      checkpoint: { storage: 's3://checkpoints/vicuna-7b', interval: 'auto', keep: 3, finalSaveOnDelete: false },
      credentials: [{ name: 's3-credentials' }],
      retry: [],
      suspend: false,
    });
    await client.delete(TRAINING, 'default', 'defaults');
  });

  it('keeps what its checkpoints depend on', async () => {
    await client.create(TRAINING, training('fixed'));
    for (const [change, sentence] of [
      [{ model: { base: 's3://other/model' } }, `spec.model ${FIXED}`],
      [{ model: { tokenizer: 's3://other/model' } }, `spec.model ${FIXED}`],
      [{ dataset: { uri: null, name: 'sharegpt' } }, `spec.dataset ${FIXED}`],
      [{ recipe: { overrides: { seed: 1 } } }, `spec.recipe ${FIXED}`],
      [{ checkpoint: { storage: 's3://elsewhere/x' } }, `spec.checkpoint.storage ${FIXED}`],
      [
        { checkpoint: { resumeFrom: 'step-00000400-g3' } },
        'spec.checkpoint.resumeFrom is fixed once the object exists: create a new object instead',
      ],
      [{ managedBy: 'somebody.else/controller' }, `spec.managedBy ${FIXED}`],
    ] as const) {
      expect(await refusal(patch('fixed', change)), JSON.stringify(change)).toContain(sentence);
    }
    await client.delete(TRAINING, 'default', 'fixed');
  });

  it('lets size, placement, retry, cadence and suspension change', async () => {
    await client.create(TRAINING, training('free'));
    const change = {
      suspend: true,
      workers: { min: 2, max: 6, image: 'another' },
      placement: { budget: '10', deadline: '2020-01-01T00:00:00Z', capacity: 'spot' },
      checkpoint: { interval: '500steps', keep: 1 },
      retry: [{ causes: ['error'], limit: 0 }],
      ttlAfterFinished: '0s',
    };
    const changed = await patch('free', change);
    expect(changed.spec).toMatchObject(change);
    await client.delete(TRAINING, 'default', 'free');
  });

  it('changes its GPUs per worker only while it is suspended', async () => {
    const sentence =
      'spec.workers.gpusPerWorker can be changed only while the training is suspended: set spec.suspend to true, wait for condition Suspended, then change it';
    const change = { workers: { gpusPerWorker: 4 } };
    let object = await client.create(TRAINING, training('gpus'));
    const phase = async (phase: 'Running' | 'Suspending' | 'Suspended') => {
      object = await client.replaceStatus(TRAINING, { ...object, status: { ...object.status, phase } });
    };
    expect(await refusal(patch('gpus', change))).toContain(sentence);
    await phase('Running');
    expect(await refusal(patch('gpus', change))).toContain(sentence);
    object = await patch('gpus', { suspend: true });
    await phase('Suspending');
    expect(await refusal(patch('gpus', change))).toContain(sentence);
    await phase('Suspended');
    object = await patch('gpus', change);
    expect(object.spec.workers.gpusPerWorker).toBe(4);
    await client.delete(TRAINING, 'default', 'gpus');
  });
});

describe('kubectl', () => {
  it.each([
    'training.yaml',
    'training-full.yaml',
    'serving.yaml',
    'serving-full.yaml',
    'serving-multiplexed.yaml',
    'dataset.yaml',
    'dataset-full.yaml',
    'evaluation.yaml',
    'evaluation-full.yaml',
    'gpupool-aws-spot.yaml',
    'gpupool-full.yaml',
  ])('dry-runs, applies, diffs and deletes examples/%s', async (name) => {
    const file = exampleFile(name);
    await kubectl('apply', '--dry-run=server', '-f', file);
    await kubectl('apply', '--server-side', '-f', file);
    expect(await kubectl('diff', '--server-side', '-f', file).catch((error: Error) => error.message)).toBe('');
    expect(await kubectl('apply', '--server-side', '-f', file)).toContain('serverside-applied');
    await kubectl('delete', '-f', file);
  });

  it('applies and changes an object by hand, field by field', async () => {
    await kubectlWith(training('by-hand'), 'apply');
    await kubectlWith(training('by-hand', { 'spec.suspend': true }), 'apply');
    expect(await kubectl('get', 'vt', 'by-hand', '-o', 'jsonpath={.spec.suspend}')).toBe('true');
    expect(await kubectlWith(training('by-hand'), 'diff').catch((error: Error) => error.message)).toContain('-  suspend: true');
    await kubectl('delete', 'vt', 'by-hand');
  });

  it('explains every field with default, unit and whether it may change', async () => {
    expect(await kubectl('explain', 'vt.spec.checkpoint.interval')).toContain('Default: auto');
    expect(await kubectl('explain', 'vt.spec.model.base')).toContain('Immutable');
    expect(await kubectl('explain', 'gp.spec.price.spot')).toContain('US dollars per hour');
  });

  it('prints the columns that people look for', async () => {
    const object = await client.create(TRAINING, training('columns'));
    const savedAt = new Date(Date.now() - 130_000).toISOString();
    const progress = {
      step: 4812,
      totalSteps: 6563,
      display: '4812/6563',
      epoch: 2.2,
      loss: 0.9123,
      lossDisplay: '0.912',
      eta: '6h',
      updatedAt: savedAt,
    };
    await client.replaceStatus(TRAINING, {
      ...object,
      status: {
        phase: 'Running',
        pool: 'gcp-us-central1-a',
        progress,
        checkpoint: { step: 4800, uri: 's3://c/v/step', savedAt, bytes: 1, generation: 5 },
        totals: { interruptions: 5, cost: '118.40', savedPercent: '71%' },
      },
    } satisfies VicunaTraining);
    const [head = '', row = ''] = (await kubectl('get', 'vt', 'columns')).split('\n');
    expect(head).toMatch(/^NAME +PHASE +POOL +STEP +LOSS +ETA +CHECKPOINT +INTERRUPTIONS +COST +SAVED +AGE$/);
    expect(row).toMatch(/^columns +Running +gcp-us-central1-a +4812\/6563 +0\.912 +6h +2m\d+s +5 +118\.40 +71% +\d+s$/);
    expect(await kubectl('get', 'vicuna')).toContain('columns');
    await kubectl('delete', 'vt', 'columns');
  });

  it('waits for a condition', async () => {
    const object = await client.create(TRAINING, training('waits'));
    const condition = {
      type: 'Complete',
      status: 'True' as const,
      reason: 'Finished',
      message: '',
      lastTransitionTime: new Date().toISOString(),
    };
    const waited = kubectl('wait', '--for=condition=Complete', 'vt/waits', '--timeout=20s');
    await client.replaceStatus(TRAINING, { ...object, status: { conditions: [condition] } });
    expect(await waited).toContain('condition met');
    await kubectl('delete', 'vt', 'waits');
  });
});

describe('a bad GpuPool is refused with a sentence that says what to do', () => {
  const cases: readonly Refusal[] = [
    ['no labels to select by', { 'spec.nodeSelector': {} }, 'nodeSelector must name at least one label, or everything would match'],
    ['an impossible label value', { 'spec.nodeSelector': { zone: 'a b' } }, 'no label value: use letters, digits'],
    ['a price that is none', { 'spec.price.onDemand': 'cheap' }, `spec.price.onDemand: Invalid value: "cheap": ${DOLLARS}`],
    ['prices from nowhere', { 'spec.price.source': {} }, 'names where prices are read: give exactly one of aws and gcp'],
    [
      'prices from another cloud than its own',
      { 'spec.price.source': { aws: {} } },
      'AWS has a spot price for each zone and instance type: give cloud aws, region, zone and instanceType, or another price.source',
    ],
    [
      'prices read all the time',
      { 'spec.price.source.refresh': '5s' },
      'refresh is shorter than clouds change their prices: give 1m or more',
    ],
    ['no price', { 'spec.price': undefined }, 'spec.price: Required value'],
    [
      'spot without a spot price',
      { 'spec.price': { onDemand: '3' } },
      'a spot pool needs its spot price, or nothing can be said of what it costs: give price.spot, or capacity onDemand',
    ],
    ['a negative count', { 'spec.accelerator.count': -8 }, 'spec.accelerator.count in body should be greater than or equal to 0'],
    [
      'accelerators of no type',
      { 'spec.accelerator': { count: 8 } },
      'the nodes have accelerators of an unknown type: give accelerator.type, such as A100, or accelerator.count 0',
    ],
    ['memory that is none', { 'spec.accelerator.memory': '80GB' }, 'no amount of memory: write it as 80Gi'],
    [
      'a resource that is none',
      { 'spec.accelerator.resourceName': 'gpu' },
      'no name of an extended resource: write it as domain/name, such as nvidia.com/gpu',
    ],
    ['an unknown cloud', { 'spec.cloud': 'moon' }, 'supported values: "aws", "gcp", "azure", "onPremise"'],
    ['a notice that is none', { 'spec.notice': 'two minutes' }, `spec.notice: Invalid value: "two minutes": ${DURATION}`],
    [
      'a toleration that compares with Exists',
      { 'spec.tolerations': [{ key: 'a', operator: 'Exists', value: 'b' }] },
      'value is compared by operator Equal only: leave value out, or change operator',
    ],
    ['a toleration of nothing', { 'spec.tolerations': [{ effect: 'NoSchedule' }] }, 'a toleration without key matches every taint'],
    [
      'seconds for an effect that has none',
      { 'spec.tolerations': [{ key: 'a', operator: 'Exists', effect: 'NoSchedule', tolerationSeconds: 5 }] },
      'tolerationSeconds is for effect NoExecute only',
    ],
  ];
  it.each(cases)('%s', async (_, changes, sentence) => {
    expect(await refusal(client.create(GPU_POOL, gpuPool('bad', changes)))).toContain(sentence);
  });

  it('but nodes without accelerators are fine', async () => {
    await client.create(GPU_POOL, gpuPool('cpu', { 'spec.accelerator': { count: 0 } }));
    await client.delete(GPU_POOL, undefined, 'cpu');
  });
});
