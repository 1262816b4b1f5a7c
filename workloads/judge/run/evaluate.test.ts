import { mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, it, vi } from 'vitest';
import { judgeResultSchema } from '../../../operator/api/judge-result.ts';
import { parseJudgeTask } from '../config.ts';
import { readEvaluation } from '../data.ts';
import { makeReport } from '../report.ts';
import { type Asked, FakeEndpoint, type FakeEndpointOptions } from '../testing/fake-endpoint.ts';
import { judgeByLength } from '../testing/scripted-judge.ts';
import type { CostEstimate } from './estimate.ts';
import { evaluate } from './evaluate.ts';
import { Progress, type Step } from './progress.ts';

const ANSWERS = join(import.meta.dirname, '..', '..', '..', 'examples', 'evaluation', 'answer');
const PRICE = { input: 30, output: 60 };
const ENV = { JUDGE_KEY: 'sk-judge', MODEL_KEY: 'sk-model' };

/** On a busy machine. */
vi.setConfig({ testTimeout: 30_000, hookTimeout: 30_000 });

let scratch: string;
let judge: FakeEndpoint;
let model: FakeEndpoint;
let notices: string[];
let steps: Step[];
let estimated: CostEstimate | null;

const asText = ({ messages }: Asked) => `An answer to: ${messages.at(-1)?.content}`;

async function start(judgeOptions: Partial<FakeEndpointOptions> = {}, modelOptions: Partial<FakeEndpointOptions> = {}): Promise<void> {
  judge = await FakeEndpoint.start({ models: ['gpt-4'], apiKey: ENV.JUDGE_KEY, answer: judgeByLength, ...judgeOptions });
  model = await FakeEndpoint.start({ models: ['vicuna'], apiKey: ENV.MODEL_KEY, answer: asText, ...modelOptions });
}

beforeEach(() => {
  scratch = mkdtempSync(join(tmpdir(), 'vicuna-judge-'));
  [notices, steps, estimated] = [[], [], null];
});
afterEach(async () => {
  await judge.stop();
  await model.stop();
  rmSync(scratch, { recursive: true, force: true });
});

const file = (name: string, records: readonly object[]) => {
  const path = join(scratch, name);
  writeFileSync(path, records.map((r) => JSON.stringify(r)).join('\n'));
  return `file://${path}`;
};

const configured = (over: object = {}) => ({
  questions: { set: 'vicuna-80', limit: 6 },
  candidate: {
    name: 'vicuna-13b',
    endpoint: { url: model.url, model: 'vicuna', apiKeyEnv: 'MODEL_KEY', price: { input: 0, output: 0 } },
  },
  baselines: [
    { name: 'bard', answers: `file://${ANSWERS}/answer_bard.jsonl` },
    { name: 'llama-13b', answers: `file://${ANSWERS}/answer_llama-13b.jsonl` },
  ],
  judge: { url: judge.url, model: 'gpt-4', apiKeyEnv: 'JUDGE_KEY', price: PRICE },
  output: `file://${scratch}/out`,
  ...over,
});

function run(config: object, signal = new AbortController().signal) {
  let now = 0;
  const clock = {
    now: () => now,
    sleep: async (ms: number) => {
      now += ms;
    },
  };
  return evaluate(parseJudgeTask(config), {
    env: ENV,
    clock,
    random: () => 0.5,
    signal,
    progress: new Progress(clock, [(step) => steps.push(step)]),
    onNotice: (sentence) => notices.push(sentence),
    onEstimate: (found) => {
      estimated = found;
    },
  });
}

describe('an evaluation', () => {
  it('asks for answers and for both orders of reviews, and says what it found and cost', async () => {
    await start();
    const { result } = await run(configured());
    expect(judgeResultSchema.parse(result)).toEqual(result);
    expect(model.answered).toHaveLength(6);
    expect(judge.answered).toHaveLength(24);
    expect(judge.answered[0]).toMatchObject({ temperature: 0.2, max_tokens: 1_024 });
    expect(judge.answered[0]?.messages.map((m) => m.role)).toEqual(['system', 'user']);
    expect(result).toMatchObject({ state: 'complete', questions: 6, reviews: { done: 24, total: 24, failed: 0 } });
    expect(result.baselines.map((b) => [b.name, b.judged, b.orderAgreement, b.failed])).toEqual([
      ['bard', 6, 1, 0],
      ['llama-13b', 6, 1, 0],
    ]);
    // A judge that likes length prefers Bard to one sentence.
    expect(result.baselines[0]).toMatchObject({ wins: 0, losses: 6, winRate: 0 });
    const tokens = judge.answered
      .map(({ messages }) => Math.ceil(messages.map((m) => m.content).join('').length / 4))
      .reduce((a, b) => a + b);
    expect(result.cost.judge).toBeGreaterThan((tokens * 30) / 1e6);
    expect(result.cost).toMatchObject({ answers: 0, total: result.cost.judge });
    expect(steps.filter((s) => s.stage === 'Reviews').at(-1)).toMatchObject({ done: 24, total: 24 });
  });

  it('leaves what `report` reads: the same figures, and files for people', async () => {
    await start();
    const { result, report } = await run(configured());
    expect(makeReport(await readEvaluation(join(scratch, 'out', 'review')))).toEqual(report);
    expect(report.pairs.map((p) => [p.baseline, p.candidate, p.parsed.judged, p.positionBias?.agreement])).toEqual([
      ['bard', 'vicuna-13b', 6, 1],
      ['llama-13b', 'vicuna-13b', 6, 1],
    ]);
    expect(readFileSync(join(scratch, 'out', 'report.md'), 'utf8')).toContain('# Evaluation of vicuna-13b');
    expect(result.report).toBe(`file://${scratch}/out/report.json`);
    expect(readdirSync(join(scratch, 'out'))).toEqual(
      expect.arrayContaining(['answer', 'evaluation.json', 'model.jsonl', 'parts', 'question.jsonl', 'review']),
    );
  });

  it('pays for nothing twice, and only for what is new', async () => {
    await start();
    const first = await run(configured());
    const asked = judge.requests;
    const second = await run(configured());
    expect([judge.requests, model.requests]).toEqual([asked, 6]);
    expect(second.result).toEqual(first.result);
    await run(configured({ questions: { set: 'vicuna-80', limit: 7 } }));
    expect([judge.requests, model.requests]).toEqual([asked + 4, 7]);
    const [one = '', ...rest] = readdirSync(join(scratch, 'out', 'parts', 'reviews', 'bard_vicuna-13b'));
    writeFileSync(join(scratch, 'out', 'parts', 'reviews', 'bard_vicuna-13b', one), '{"text": "8 9", "us');
    await run(configured({ questions: { set: 'vicuna-80', limit: 7 } }));
    expect([judge.requests, rest.length]).toEqual([asked + 5, 6]);
  });

  it('asks a model anew when other weights are served under its name', async () => {
    await start();
    const served = (revision?: string) => {
      const { candidate, ...rest } = configured();
      return { ...rest, candidate: { ...candidate, endpoint: { ...candidate.endpoint, ...(revision ? { revision } : {}) } } };
    };
    await run(served('a'));
    await run(served('a'));
    expect(model.requests).toBe(6);
    await run(served('b'));
    expect(model.requests).toBe(12);
  });

  it('reports on what it is asked about now, not on what else lies there', async () => {
    await start();
    await run(configured());
    const [bard] = configured().baselines;
    const { report } = await run(configured({ baselines: [bard], bothOrders: false }));
    expect(report.pairs.map((p) => [p.baseline, p.positionBias])).toEqual([['bard', null]]);
    expect(Object.keys(report.names).toSorted()).toEqual(['bard', 'vicuna-13b']);
    expect(judge.requests).toBe(24);
  });

  it('goes on after its judge was down', async () => {
    await start();
    judge.faults.push(...Array(40).fill({ kind: 'status', status: 503 }));
    await expect(run(configured())).rejects.toMatchObject({ exitCode: 1 });
    judge.faults.length = 0;
    const { result } = await run(configured());
    expect(result.reviews).toEqual({ done: 24, total: 24, failed: 0 });
    expect(model.requests).toBe(6);
  });

  it('counts reviews without a verdict, refused ones and missing answers', async () => {
    await start({ answer: (asked, count) => (count === 0 ? 'I cannot say.' : judgeByLength(asked)) }, { newer: false });
    judge.faults.push({ kind: 'status', status: 400, error: { message: 'too long', code: 'context_length_exceeded' } });
    const some = file(
      'some.jsonl',
      [1, 2, 3].map((id) => ({ question_id: id, text: 'short' })),
    );
    const config = configured({
      baselines: [{ name: 'some', answers: some }],
      judge: { ...configured().judge, concurrency: 1 },
      bothOrders: false,
    });
    const { result } = await run(config);
    expect(result.baselines[0]).toMatchObject({ judged: 1, failed: 5 });
    expect(result.reviews).toEqual({ done: 2, total: 6, failed: 5 });
    expect(notices.join()).toContain('no review of question 1, some and vicuna-13b');
    await run(config);
    expect(judge.requests).toBe(4); // the one that was refused is tried again, the one without a verdict is not paid for again
  });

  it('stops before its budget is exceeded, and goes on with a larger one', async () => {
    await start();
    const config = (budget: number) => configured({ budget, judge: { ...configured().judge, concurrency: 8 } });
    const { result } = await run(config(0.4));
    expect(result.state).toBe('budgetReached');
    expect(result.cost.total).toBeLessThanOrEqual(0.4);
    expect(result.cost.total).toBeGreaterThan(0.15);
    expect(result.reviews.done).toBeGreaterThan(4);
    expect(result.reviews.done).toBeLessThan(24);
    // A question of which one order is missing yet has no verdict.
    const files = ['bard', 'llama-13b'].map((name) =>
      readFileSync(join(scratch, 'out', 'review', `review_${name}_vicuna-13b.jsonl`), 'utf8'),
    );
    const twice = files.map((f) =>
      Object.values(Object.groupBy(f.trim().split('\n'), (l) => JSON.parse(l).question_id)).filter((r) => r?.length === 2),
    );
    expect(result.baselines.map((b) => b.judged)).toEqual(twice.map((t) => t.length));
    // The same budget again: what is there counts, and only what is smaller than what did not fit may be added.
    const again = (await run(config(0.4))).result;
    expect(again).toMatchObject({ state: 'budgetReached', reviews: { done: judge.requests } });
    expect(again.cost.total).toBeLessThanOrEqual(0.4);
    expect((await run(config(20))).result).toMatchObject({ state: 'complete', reviews: { done: 24 } });
    expect(judge.requests).toBe(24);
    await expect(run(configured({ budget: 0.01, output: `file://${scratch}/poor` }))).rejects.toMatchObject({
      exitCode: 64,
      message: expect.stringContaining('does not allow a single review'),
    });
  });

  it('is estimated before, not far from what it costs', async () => {
    await start({ answer: (asked) => `${judgeByLength(asked)} ${'word '.repeat(130)}` }, { answer: () => 'word '.repeat(229) });
    const { result } = await run(configured());
    const { total, judge: reviews } = estimated ?? { total: { about: 0, atMost: 0 }, judge: { requests: 0 } };
    expect(reviews.requests).toBe(24);
    expect(result.cost.estimated).toBeCloseTo(total.about ?? 0, 3);
    expect((result.cost.total ?? 0) / (total.about ?? 1)).toBeGreaterThan(0.8);
    expect((result.cost.total ?? 0) / (total.about ?? 1)).toBeLessThan(1.25);
    expect(total.atMost).toBeGreaterThan(result.cost.total ?? 0);
  });

  it('keeps to its numbers of requests at once', async () => {
    await start({ delayMs: 5 }, { delayMs: 5 });
    const { judge: server, candidate } = configured();
    await run(
      configured({
        judge: { ...server, concurrency: 3 },
        candidate: { ...candidate, endpoint: { ...candidate.endpoint, concurrency: 2 } },
      }),
    );
    expect([judge.peak, model.peak]).toEqual([3, 2]);
  });

  it('ends when it is told to', async () => {
    await start({ delayMs: 60_000 });
    const stop = new AbortController();
    const running = run(configured(), stop.signal);
    setTimeout(() => stop.abort(new Error('SIGTERM')), 150);
    await expect(running).rejects.toThrow('SIGTERM');
  });
});

describe('MT-bench', () => {
  const questions = [
    { question_id: 81, category: 'writing', turns: ['Write a post.', 'Rewrite it. Start every sentence with A.'] },
    { question_id: 'own-1', category: 'math', turns: ['1 + 1?'], reference: ['2'] },
  ];

  it('judges every turn of a conversation, with [[A]], [[B]] or [[C]]', async () => {
    await start();
    const base = file('base.jsonl', [
      { question_id: 81, choices: [{ index: 0, turns: ['a', 'b'] }] },
      { question_id: 'own-1', turns: ['2'] },
    ]);
    const { result, report } = await run(
      configured({ questions: { uri: file('q.jsonl', questions) }, prompts: 'mt-bench', baselines: [{ name: 'base', answers: base }] }),
    );
    expect(model.answered.map((a) => [a.messages.map((m) => m.role).join(), a.temperature])).toEqual(
      expect.arrayContaining([
        ['user', 0.7],
        ['user,assistant,user', 0.7],
        ['user', 0],
      ]),
    );
    expect(result.baselines[0]).toMatchObject({
      judged: 3,
      wins: 3,
      candidateTotal: null,
      relativeQuality: null,
      winRate: 1,
      orderAgreement: 1,
    });
    expect(report.pairs[0]?.parsed.byCategory).toMatchObject({ writing: { judged: 2 }, math: { judged: 1 } });
    const prompts = judge.answered.map((a) => a.messages[1]?.content ?? '');
    expect(prompts.filter((p) => p.includes('reference answer, which is right') && p.includes('### Answer 1:\n2'))).toHaveLength(2);
    expect(judge.answered[0]).toMatchObject({ temperature: 0, max_tokens: 2_048 });
  });

  it('rates answers alone, and compares the ratings', async () => {
    await start();
    const base = file(
      'base.jsonl',
      questions.map((q) => ({ question_id: q.question_id, turns: q.turns.map(() => 'x'.repeat(1_500)) })),
    );
    const { result, report } = await run(
      configured({ questions: { uri: file('q.jsonl', questions) }, mode: 'single', baselines: [{ name: 'base', answers: base }] }),
    );
    expect(judge.answered).toHaveLength(6);
    expect(result.baselines[0]).toMatchObject({ judged: 3, losses: 3, orderAgreement: null });
    expect(result.candidateScore).toBe(1);
    expect(report.ratings).toMatchObject({ 'vicuna-13b': { mean: 1, rated: 3 }, base: { rated: 3 } });
    const alone = await run(configured({ questions: { uri: file('q.jsonl', questions) }, mode: 'single', baselines: [] }));
    expect(alone.result).toMatchObject({ candidateScore: 1, baselines: [], reviews: { done: 3, total: 3 } });
    expect(judge.requests).toBe(6);
  });
});

describe('what cannot work is refused with a sentence', () => {
  it.each<[string, () => object, number, string]>([
    [
      'no key',
      () => ({ judge: { ...configured().judge, apiKeyEnv: 'OTHER' } }),
      64,
      'the environment variable OTHER, which judge.apiKeyEnv names, is not set',
    ],
    ['a wrong key', () => ({ judge: { ...configured().judge, apiKeyEnv: 'MODEL_KEY' } }), 64, 'check the API key'],
    [
      'answers that are not there',
      () => ({ baselines: [{ name: 'x', answers: 'file:///nowhere/a.jsonl' }] }),
      66,
      'file:///nowhere/a.jsonl is not there',
    ],
    [
      'answers to other questions',
      () => ({ baselines: [{ name: 'x', answers: file('o.jsonl', [{ question_id: 900, text: 'x' }]) }] }),
      66,
      'answers none of the questions',
    ],
    [
      'an answer twice',
      () => ({
        baselines: [
          {
            name: 'x',
            answers: file(
              't.jsonl',
              [1, 1].map((id) => ({ question_id: id, text: 'x' })),
            ),
          },
        ],
      }),
      66,
      'answers question 1 twice',
    ],
    [
      'a question without text',
      () => ({ questions: { uri: file('q.jsonl', [{ question_id: 1 }]) } }),
      66,
      'q.jsonl, line 1: the record: give either text or turns',
    ],
    [
      'turns with the blog’s prompts',
      () => ({ questions: { uri: file('q.jsonl', [{ question_id: 1, turns: ['a', 'b'] }]) } }),
      64,
      'question 1 has 2 turns',
    ],
    ['a storage of another kind', () => ({ output: `${file('occupied', [])}/out` }), 74, 'occupied/out'],
  ])('%s', async (_, over, exitCode, sentence) => {
    await start();
    await expect(run(configured(over()))).rejects.toMatchObject({ exitCode, message: expect.stringContaining(sentence) });
  });
});
