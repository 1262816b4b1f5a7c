import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { DATASET } from '../../operator/api/vicuna-dataset.ts';
import { EVALUATION } from '../../operator/api/vicuna-evaluation.ts';
import { TRAINING } from '../../operator/api/vicuna-training.ts';
import { ApiError, KubeClient } from '../../operator/kube/client.ts';
import { run } from '../cluster/run.ts';
import { toolPath } from '../cluster/tools.ts';
import { dataset, evaluation, training } from './objects.ts';

let client: KubeClient;
beforeAll(async () => {
  client = await KubeClient.fromKubeconfig();
});
afterAll(() => client.close());

const kubectl = (...args: string[]) => run(toolPath('kubectl'), args);
const FIXED = 'is fixed once the object exists: create a new object under another name instead';

/** What the API server says of the write. Fails when it says nothing. */
async function refusal(write: Promise<unknown>): Promise<string> {
  try {
    await write;
  } catch (error) {
    if (error instanceof ApiError && error.status >= 400 && error.status < 500) return error.message;
    throw error;
  }
  throw new Error('it was accepted');
}

type Refusal = readonly [what: string, changes: Record<string, unknown>, sentence: string];

describe('a bad VicunaDataset is refused with a sentence that says what to do', () => {
  it.each<Refusal>([
    ['no source', { 'spec.sources': [] }, 'spec.sources in body should have at least 1 items'],
    ['a source that is a path', { 'spec.sources': [{ uri: '/data/x.json' }] }, 'no URI to read from: write s3://bucket/path'],
    ['a source of no known form', { 'spec.sources': [{ uri: 's3://a/b', format: 'csv' }] }, 'supported values: "auto", "sharegpt"'],
    ['no tokenizer', { 'spec.tokenizer': undefined }, 'spec.tokenizer: Required value'],
    ['no output', { 'spec.output': undefined }, 'spec.output: Required value'],
    ['output on the hub', { 'spec.output': 'hf://x/y' }, 'no place to keep files: write s3://bucket/path'],
    [
      'languages that are kept and skipped',
      { 'spec.clean': { languages: { keep: ['en'], skip: ['ko'] } } },
      'languages are kept or skipped: give either keep or skip',
    ],
    ['languages that are neither', { 'spec.clean': { languages: {} } }, 'give either keep or skip'],
    ['a language that is none', { 'spec.clean': { languages: { keep: ['English'] } } }, 'no language code: write it as ISO 639-1 has it'],
    ['a rule that is none', { 'spec.clean': { disabledRules: ['beauty'] } }, 'supported values: "tooShort"'],
    ['a threshold of everything', { 'spec.clean': { nearDuplicates: { threshold: 0.1 } } }, 'should be greater than or equal to 0.5'],
    ['pieces of nothing', { 'spec.split': { maxTokens: 1 } }, 'spec.split.maxTokens in body should be greater than or equal to 64'],
    [
      'everything for validation',
      { 'spec.validationFraction': 1 },
      'leaves less than half of the conversations to learn from: give at most 0.5',
    ],
    ['a negative seed', { 'spec.seed': -1 }, 'should be greater than or equal to 0'],
    ['a ttl that is none', { 'spec.ttlAfterFinished': 'soon' }, 'no duration: write it as 90s'],
    ['labels that match everything', { 'spec.placement': { pools: { matchLabels: {} } } }, 'must name at least one label'],
  ])('%s', async (_, changes, sentence) => {
    expect(await refusal(client.create(DATASET, dataset('bad', changes)))).toContain(sentence);
  });

  it('a name that no pod can have', async () => {
    expect(await refusal(client.create(DATASET, dataset('n'.repeat(41))))).toContain('use at most 40 characters');
  });
});

describe('a VicunaDataset that exists', () => {
  it('has its defaults, keeps what decides its content, and lets its pod change', async () => {
    const made = await client.create(DATASET, dataset('fixed'));
    expect(made.spec).toEqual({
      sources: [{ uri: 's3://raw/sharegpt.json', format: 'auto' }],
      tokenizer: 's3://models/llama-7b',
      clean: { repetition: true, nearDuplicates: { threshold: 0.8 }, forbiddenPhrases: ['openai', 'chatgpt'], disabledRules: [] },
      filters: {},
      split: { maxTokens: 2_048, longRounds: 'cut', template: 'vicuna_v1.1' },
      validationFraction: 0.01,
      seed: 0,
      output: 's3://data/sharegpt',
      placement: { capacity: 'auto' },
      credentials: [{ name: 's3-credentials' }],
    });
    const patch = (spec: object) => client.mergePatch(DATASET, 'default', 'fixed', { spec });
    for (const [field, value] of Object.entries({
      sources: [{ uri: 's3://other/x.json' }],
      tokenizer: 's3://other/model',
      clean: { repetition: false },
      filters: { quality: {} },
      split: { maxTokens: 4_096 },
      identity: { name: 'a', organization: 'b' },
      validationFraction: 0.1,
      seed: 7,
      output: 's3://other/out',
    })) {
      expect(await refusal(patch({ [field]: value })), field).toContain(`spec.${field} ${FIXED}`);
    }
    const change = { image: 'other:1', cpu: 4, memory: '1Gi', placement: { capacity: 'spot' }, ttlAfterFinished: '1h' };
    expect((await patch(change)).spec).toMatchObject(change);
    await client.delete(DATASET, 'default', 'fixed');
  });
});

const CONTESTANT = { name: 'x', answers: 's3://a/x.jsonl' };
const ENDPOINT = { url: 'https://api.example.org/v1', model: 'm' };

describe('a bad VicunaEvaluation is refused with a sentence that says what to do', () => {
  it.each<Refusal>([
    ['questions from nowhere', { 'spec.questions': {} }, 'questions come from one place: give either set or uri'],
    ['questions from two places', { 'spec.questions': { set: 'vicuna-80', uri: 's3://a/q.jsonl' } }, 'give either set or uri'],
    ['an unknown set', { 'spec.questions': { set: 'mmlu' } }, 'supported values: "vicuna-80"'],
    ['a candidate from nowhere', { 'spec.candidate': { name: 'x' } }, 'give exactly one of serving, endpoint and answers'],
    [
      'a candidate from two places',
      { 'spec.candidate': { ...CONTESTANT, endpoint: ENDPOINT } },
      'give exactly one of serving, endpoint and answers',
    ],
    ['a name that is no name', { 'spec.candidate': { ...CONTESTANT, name: 'a b' } }, 'no name of a model: use letters'],
    ['nothing to compare with', { 'spec.baselines': [] }, 'give at least one of baselines, or mode single'],
    ['two baselines of one name', { 'spec.baselines': [CONTESTANT, CONTESTANT] }, 'spec.baselines[1]: Duplicate value'],
    [
      'a baseline with the candidate’s name',
      { 'spec.baselines': [{ ...CONTESTANT, name: 'vicuna-13b' }] },
      'a baseline has the candidate’s name: give each model a name of its own',
    ],
    [
      'too many baselines',
      { 'spec.baselines': Array.from({ length: 9 }, (_, i) => ({ ...CONTESTANT, name: `m${i}` })) },
      'at most 8 items',
    ],
    [
      'the blog’s prompts for single answers',
      { 'spec.mode': 'single', 'spec.prompts': 'vicuna' },
      'leave prompts out, or choose mode pairwise',
    ],
    ['a judge without address', { 'spec.judge': { model: 'gpt-4' } }, 'spec.judge.url: Required value'],
    ['a judge’s address with a password', { 'spec.judge': { url: 'https://me:x@a/v1', model: 'm' } }, 'without user, query and fragment'],
    ['a budget without prices', { 'spec.budget': '5' }, 'a budget can only be kept where prices are known: give judge.price'],
    [
      'a budget without an endpoint’s price',
      {
        'spec.budget': '5',
        'spec.judge': { ...ENDPOINT, price: { input: '1', output: '1' } },
        'spec.baselines': [{ name: 'x', endpoint: ENDPOINT }],
      },
      'and price of every endpoint',
    ],
    [
      'a budget of nothing',
      { 'spec.budget': '0', 'spec.judge': { ...ENDPOINT, price: { input: '1', output: '1' } } },
      'a budget of nothing',
    ],
    ['a price that is none', { 'spec.judge': { ...ENDPOINT, price: { input: 'cheap', output: '1' } } }, 'no amount of US dollars'],
    ['a key that is none', { 'spec.judge': { ...ENDPOINT, secret: { name: 'a', key: 'b c' } } }, 'no key of a Secret'],
    ['output that is a path', { 'spec.output': '/x' }, 'no place to keep files'],
  ])('%s', async (_, changes, sentence) => {
    expect(await refusal(client.create(EVALUATION, evaluation('bad', changes)))).toContain(sentence);
  });
});

describe('a VicunaEvaluation that exists', () => {
  it('has its defaults, keeps what its result depends on, and lets its pod change', async () => {
    const made = await client.create(EVALUATION, evaluation('fixed'));
    const requests = { concurrency: 4, timeout: '5m' };
    expect(made.spec).toEqual({
      questions: { set: 'vicuna-80' },
      candidate: { name: 'vicuna-13b', serving: { name: 'chat', model: 'vicuna-13b', ...requests, maxTokens: 1_024 } },
      baselines: [{ name: 'alpaca-13b', answers: 's3://evaluations/answers/alpaca-13b.jsonl' }],
      judge: { url: 'https://api.openai.com/v1', model: 'gpt-4', secret: { name: 'openai', key: 'token' }, ...requests },
      mode: 'pairwise',
      bothOrders: true,
      output: 's3://evaluations/vicuna-80',
      placement: { capacity: 'auto' },
      credentials: [{ name: 's3-credentials' }],
    });
    const patch = (spec: object) => client.mergePatch(EVALUATION, 'default', 'fixed', { spec });
    for (const [field, value] of Object.entries({
      questions: { limit: 3 },
      candidate: { name: 'another' },
      baselines: [CONTESTANT],
      judge: { model: 'another' },
      prompts: 'mt-bench',
      bothOrders: false,
      output: 's3://other/out',
    })) {
      expect(await refusal(patch({ [field]: value })), field).toContain(`spec.${field} ${FIXED}`);
    }
    expect(await refusal(patch({ mode: 'single' }))).toContain(`spec.mode ${FIXED}`);
    const change = { image: 'other:1', cpu: '1', memory: '1Gi', placement: { capacity: 'onDemand' } };
    expect((await patch(change)).spec).toMatchObject(change);
    await client.delete(EVALUATION, 'default', 'fixed');
  });
});

describe('a training’s release', () => {
  it.each<Refusal>([
    ['in an unknown form', { 'spec.release': { delta: { mode: 'small' } } }, 'supported values: "exact", "additive"'],
    ['to nowhere', { 'spec.release': { delta: { output: 'hf://a/b' } } }, 'no place to keep files'],
    ['behind a gate without evaluation', { 'spec.release': { gate: { minWinRate: 0.5 } } }, 'spec.release.gate.evaluation: Required value'],
    ['behind an impossible gate', { 'spec.release': { gate: { evaluation: 'a', minWinRate: 2 } } }, 'should be less than or equal to 1'],
  ])('%s is refused', async (_, changes, sentence) => {
    expect(await refusal(client.create(TRAINING, training('bad', changes)))).toContain(sentence);
  });

  it('may be asked for later, and asks for an exact delta to the base model', async () => {
    await client.create(TRAINING, training('released'));
    const { spec } = await client.mergePatch(TRAINING, 'default', 'released', { spec: { release: {} } });
    expect(spec.release).toEqual({ delta: { mode: 'exact', vocabulary: 'same' }, placement: { capacity: 'auto' } });
    await client.delete(TRAINING, 'default', 'released');
  });
});

describe('kubectl', () => {
  it('prints the columns that people look for', async () => {
    const chats = await client.create(DATASET, dataset('columns'));
    const part = { uri: 's3://d/train', conversations: 1, pieces: 1, tokens: 1 };
    const progress = { stage: 'split', done: 12, total: 70, unit: 'conversations', display: '12/70', updatedAt: new Date().toISOString() };
    const result = { train: part, read: 3, kept: 2, rejected: { tooShort: 1 }, rejectedTotal: 1, edited: {}, card: 's3://d/card.md' };
    await client.replaceStatus(DATASET, { ...chats, status: { phase: 'Running', progress, result } });
    const [head = '', row = ''] = (await kubectl('get', 'vd', 'columns')).split('\n');
    expect(head).toMatch(/^NAME +PHASE +STAGE +PROGRESS +KEPT +REJECTED +AGE$/);
    expect(row).toMatch(/^columns +Running +split +12\/70 +2 +1 +\d+s$/);

    const blog = await client.create(EVALUATION, evaluation('columns'));
    const summary = { wins: '21', ties: '14', losses: '45', quality: '92%' };
    await client.replaceStatus(EVALUATION, {
      ...blog,
      status: { phase: 'Complete', progress: { ...progress, display: '160/160' }, summary, cost: { total: '5.00' } },
    });
    const [top = '', line = ''] = (await kubectl('get', 've', 'columns')).split('\n');
    expect(top).toMatch(/^NAME +PHASE +PROGRESS +WIN +TIE +LOSS +QUALITY +COST +AGE$/);
    expect(line).toMatch(/^columns +Complete +160\/160 +21 +14 +45 +92% +5\.00 +\d+s$/);
    expect(await kubectl('get', 'vicuna')).toContain('vicunadataset.vicuna.run/columns');
    await kubectl('delete', 'vd/columns', 've/columns');
  });

  it('explains every field', async () => {
    expect(await kubectl('explain', 'vd.spec.validationFraction')).toContain('Default: 0.01');
    expect(await kubectl('explain', 've.spec.judge.price.input')).toContain('in US dollars a million');
    expect(await kubectl('explain', 'vt.spec.release.gate.minRelativeQuality')).toContain('Default: no bound');
  });
});
