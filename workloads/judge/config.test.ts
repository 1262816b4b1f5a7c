import { describe, expect, it } from 'vitest';
import { judgeResultSchema, MAX_BASELINES, MAX_RESULT_BYTES } from '../../operator/api/judge-result.ts';
import { parseJudgeTask } from './config.ts';

const JUDGE = { url: 'https://judge.example.com/v1', model: 'gpt-4', apiKeyEnv: 'JUDGE_KEY', price: { input: 30, output: 60 } };
const task = (over: object = {}) => ({
  questions: { set: 'vicuna-80' },
  candidate: { name: 'vicuna-13b', endpoint: { url: 'http://serving:8080/v1', model: 'vicuna-13b' } },
  baselines: [{ name: 'bard', answers: 'file:///data/answer_bard.jsonl' }],
  judge: JUDGE,
  output: 's3://evaluations/vicuna-13b',
  ...over,
});

describe('a task', () => {
  it('has defaults', () => {
    expect(parseJudgeTask(task())).toMatchObject({
      mode: 'pairwise',
      bothOrders: true,
      judge: { concurrency: 4, timeoutSeconds: 300 },
      candidate: { endpoint: { maxTokens: 1_024 } },
    });
  });

  it.each([
    ['questions', { questions: {} }, 'questions: give either set or uri'],
    ['questions twice', { questions: { set: 'vicuna-80', uri: 's3://b/q.jsonl' } }, 'questions: give either set or uri'],
    ['no baseline', { baselines: [] }, 'baselines: none to compare with: give at least one, or mode: single'],
    ['a model without answers', { candidate: { name: 'x' } }, 'candidate: give either endpoint or answers'],
    ['a name twice', { baselines: [{ name: 'vicuna-13b', answers: 'file:///a' }] }, 'baselines.0.name: vicuna-13b is there twice'],
    ['a name that leaves its directory', { candidate: { name: '../x', answers: 'file:///a' } }, 'candidate.name: no name'],
    ['an unknown field', { colour: 'red' }, 'Unrecognized key: "colour"'],
    ['single with the blog’s prompts', { mode: 'single', prompts: 'vicuna' }, 'prompts: the blog’s prompts compare two answers'],
    ['a budget without prices', { budget: 5 }, 'candidate.endpoint.price: a budget needs the price of every endpoint'],
    ['a URL with a password', { judge: { ...JUDGE, url: 'https://me:secret@host/v1' } }, 'judge.url: no URL'],
    ['a relative output', { output: 'out' }, 'output: no URI of a directory'],
  ])('is refused with a sentence: %s', (_, over, sentence) => {
    expect(() => parseJudgeTask(task(over))).toThrow(sentence);
  });
});

describe('a result', () => {
  it('fits a termination message at its largest', () => {
    const interval: [number, number] = [0.1234, 0.9876];
    const uri = `s3://${'x'.repeat(395)}`;
    const result = judgeResultSchema.parse({
      state: 'budgetReached',
      questions: 100_000,
      candidateScore: 8.1234,
      baselines: Array.from({ length: MAX_BASELINES }, (_, i) => ({
        name: `${i}${'n'.repeat(62)}`,
        judged: 100_000,
        candidateTotal: 123_456.75,
        baselineTotal: 123_456.75,
        wins: 100_000,
        ties: 100_000,
        losses: 100_000,
        winRate: 0.1234,
        winRateInterval: interval,
        relativeQuality: 0.1234,
        relativeQualityInterval: interval,
        orderAgreement: 0.1234,
        failed: 100_000,
      })),
      reviews: { done: 1_600_000, total: 1_600_000, failed: 1_600_000 },
      tokens: { input: 1_000_000_000, output: 1_000_000_000 },
      cost: { estimated: 12_345.67, answers: 12_345.67, judge: 12_345.67, total: 12_345.67 },
      report: `${uri}/report.json`,
      viewer: `${uri}/viewer/index.html`,
    });
    expect(Buffer.byteLength(JSON.stringify(result))).toBeLessThanOrEqual(MAX_RESULT_BYTES);
  });
});
