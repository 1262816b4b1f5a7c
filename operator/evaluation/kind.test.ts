import { describe, expect, it } from 'vitest';
import { parseJudgeTask } from '../../workloads/judge/config.ts';
import { evaluationWithDefaults, type VicunaEvaluation } from '../api/vicuna-evaluation.ts';
import type { VicunaServing } from '../api/vicuna-serving.ts';
import { evaluationKind } from './kind.ts';

const SERVING = (ready: 'True' | 'False' | null) =>
  ({
    metadata: { name: 'chat', namespace: 'team-a' },
    spec: { models: [{ name: 'vicuna-13b', aliases: ['v13'] }] },
    status: {
      url: 'http://chat-gateway.team-a.svc',
      ...(ready === null ? {} : { conditions: [{ type: 'Ready', status: ready, message: '1 of 2 replicas answer' }] }),
    },
  }) as unknown as VicunaServing;

const kindWith = (serving: VicunaServing | undefined) =>
  evaluationKind({
    image: 'judge:default',
    servingOf: (namespace, name) => (namespace === 'team-a' && name === 'chat' ? serving : undefined),
  });

const evaluation = (change: object = {}) =>
  evaluationWithDefaults({
    metadata: { name: 'blog', namespace: 'team-a' },
    spec: {
      questions: { set: 'vicuna-80' },
      candidate: { name: 'ours', serving: { name: 'chat', model: 'vicuna-13b', secret: { name: 'chat-keys', key: 'eval' } } },
      baselines: [
        {
          name: 'chatgpt',
          endpoint: { url: 'https://api.example.org/v1', model: 'gpt', secret: { name: 'openai' }, price: { input: '1.5', output: '2' } },
        },
        { name: 'alpaca', answers: 'pvc://answers/alpaca.jsonl' },
      ],
      judge: { url: 'https://api.example.org/v1', model: 'gpt-4', secret: { name: 'openai' }, price: { input: '30', output: '60' } },
      budget: '12.50',
      output: 's3://evaluations/blog',
      ...change,
    },
  } as unknown as VicunaEvaluation);

describe('an evaluation', () => {
  it('tells its program whom to ask, and keeps the keys in their Secrets', () => {
    const { config, env, uris } = kindWith(SERVING('True')).program(evaluation());
    expect(config).toEqual({
      questions: { set: 'vicuna-80' },
      candidate: {
        name: 'ours',
        endpoint: {
          url: 'http://chat-gateway.team-a.svc/v1',
          revision: expect.stringMatching(/^[0-9a-f]{16}$/),
          model: 'vicuna-13b',
          apiKeyEnv: 'CANDIDATE_API_KEY',
          concurrency: 4,
          timeoutSeconds: 300,
          maxTokens: 1_024,
          price: { input: 0, output: 0 },
        },
      },
      baselines: [
        {
          name: 'chatgpt',
          endpoint: {
            url: 'https://api.example.org/v1',
            model: 'gpt',
            apiKeyEnv: 'BASELINE_0_API_KEY',
            concurrency: 4,
            timeoutSeconds: 300,
            maxTokens: 1_024,
            price: { input: 1.5, output: 2 },
          },
        },
        { name: 'alpaca', answers: 'file:///mnt/claims/answers/alpaca.jsonl' },
      ],
      judge: {
        url: 'https://api.example.org/v1',
        model: 'gpt-4',
        apiKeyEnv: 'JUDGE_API_KEY',
        concurrency: 4,
        timeoutSeconds: 300,
        price: { input: 30, output: 60 },
      },
      mode: 'pairwise',
      bothOrders: true,
      budget: 12.5,
      output: 's3://evaluations/blog',
    });
    expect(() => parseJudgeTask(config)).not.toThrow();
    expect(env).toEqual([
      { name: 'CANDIDATE_API_KEY', valueFrom: { secretKeyRef: { name: 'chat-keys', key: 'eval' } } },
      { name: 'BASELINE_0_API_KEY', valueFrom: { secretKeyRef: { name: 'openai', key: 'token' } } },
      { name: 'JUDGE_API_KEY', valueFrom: { secretKeyRef: { name: 'openai', key: 'token' } } },
    ]);
    expect(uris).toContain('pvc://answers/alpaca.jsonl');
  });

  it('tells weights from others under the same name, and not one replica from another', () => {
    const revision = (change: object, status: object = {}) => {
      const { metadata, spec, status: before } = SERVING('True');
      const serving = { metadata, spec: { models: [{ ...spec.models[0], ...change }] }, status: { ...before, ...status } };
      const { config } = kindWith(serving as VicunaServing).program(evaluation());
      return (config as { candidate: { endpoint: { revision: string } } }).candidate.endpoint.revision;
    };
    const trained = (trainingUid: string) => ({
      sources: [{ model: 'vicuna-13b', training: 'run', trainingUid, weights: 's3://base', delta: 's3://release' }],
    });
    const different = [revision({}), revision({ weights: 's3://w' }), revision({}, trained('a')), revision({}, trained('b'))];
    expect(new Set(different).size).toBe(4);
    expect(revision({ replicas: { min: 3 } }, { ready: '3/3' })).toBe(different[0]);
  });

  it.each([
    [undefined, 'MissingServing', 'spec.candidate.serving: VicunaServing "chat" does not exist in namespace team-a'],
    [SERVING('False'), 'ServingNotReady', 'is not ready: 1 of 2 replicas answer'],
    [SERVING(null), 'ServingNotReady', 'it was just created'],
  ])('waits for its serving', (serving, reason, words) => {
    expect(kindWith(serving).missing(evaluation())).toMatchObject({ reason, message: expect.stringContaining(words) });
  });

  it('says which models the serving has, if not the one that is named; an alias will do', () => {
    const kind = kindWith(SERVING('True'));
    const other = (model: string) => evaluation({ candidate: { name: 'ours', serving: { name: 'chat', model } } });
    expect(kind.missing(other('llama'))?.message).toContain('has no model "llama": it has vicuna-13b, v13');
    expect(kind.missing(other('v13'))).toBeNull();
    expect(kind.missing(evaluation())).toBeNull();
  });

  it('names every Secret that it needs', () => {
    expect(kindWith(undefined).secretsOf(evaluation({ credentials: [{ name: 's3' }] }))).toEqual([
      { field: 'spec.credentials', name: 's3' },
      { field: 'spec.judge.secret', name: 'openai' },
      { field: 'spec.candidate.serving.secret', name: 'chat-keys' },
      { field: 'spec.baselines[0].endpoint.secret', name: 'openai' },
    ]);
  });
});

describe('the result of an evaluation', () => {
  const baseline = (name: string, change: object = {}) => ({
    name,
    judged: 80,
    candidateTotal: 638,
    baselineTotal: 693,
    wins: 21,
    ties: 14,
    losses: 45,
    winRate: 0.35,
    winRateInterval: [0.26, 0.44],
    relativeQuality: 0.9206,
    relativeQualityInterval: [0.89, 0.95],
    orderAgreement: 0.8,
    failed: 0,
    ...change,
  });
  const result = (change: object = {}) =>
    JSON.stringify({
      state: 'complete',
      questions: 80,
      candidateScore: 7.9,
      baselines: [
        baseline('chatgpt'),
        baseline('alpaca', { wins: 70, relativeQuality: null, relativeQualityInterval: null, candidateTotal: null, orderAgreement: null }),
      ],
      reviews: { done: 320, total: 320, failed: 0 },
      tokens: { input: 1, output: 2 },
      cost: { estimated: 5.2, answers: null, judge: 4.81, total: 4.81 },
      report: 's3://evaluations/blog/report.json',
      viewer: 's3://evaluations/blog/viewer/index.html',
      ...change,
    });
  const kind = kindWith(undefined);

  it('is in the status, with a line for printing', () => {
    const { status, problem } = kind.conclude(evaluation(), result());
    expect(problem).toBeNull();
    expect(status).toMatchObject({
      comparisons: [
        {
          baseline: 'chatgpt',
          score: 638,
          baselineScore: 693,
          wins: 21,
          ties: 14,
          losses: 45,
          relativeQuality: 0.9206,
          confidence: { winRate: { low: 0.26, high: 0.44 }, relativeQuality: { low: 0.89, high: 0.95 } },
        },
        { baseline: 'alpaca', wins: 70 },
      ],
      summary: { wins: '21,70', ties: '14,14', losses: '45,45', quality: '92%,-' },
      cost: { estimated: '5.20', judge: '4.81' },
      report: 's3://evaluations/blog/report.json',
      viewer: 's3://evaluations/blog/viewer/index.html',
    });
    expect(JSON.stringify(status)).not.toContain('null');
  });

  it('has figures for the metrics, without those that there are none of', () => {
    const object = evaluation();
    expect(kind.results(object)).toEqual([]);
    object.status = kind.conclude(object, result()).status;
    expect(kind.results(object)).toEqual([
      { metric: 'evaluationWinRate', labels: { baseline: 'chatgpt' }, value: 0.35 },
      { metric: 'evaluationQuality', labels: { baseline: 'chatgpt' }, value: 0.9206 },
      { metric: 'evaluationWinRate', labels: { baseline: 'alpaca' }, value: 0.35 },
      { metric: 'evaluationScore', labels: {}, value: 7.9 },
    ]);
  });

  it('costs what the judge and its own pods cost together', () => {
    const object = evaluation();
    object.status = { ...kind.conclude(object, result()).status, totals: { cost: '0.19' } };
    kind.derive?.(object);
    expect(object.status.cost).toEqual({ estimated: '5.20', judge: '4.81', compute: '0.19', total: '5.00' });
  });

  it('of a budget that was reached is a failure that says how to go on, with the figures so far', () => {
    const { status, problem } = kind.conclude(evaluation(), result({ state: 'budgetReached' }));
    expect(problem).toMatchObject({ reason: 'BudgetReached', message: expect.stringContaining('$12.50') });
    expect(status).toMatchObject({ comparisons: [{ baseline: 'chatgpt' }, { baseline: 'alpaca' }] });
  });

  it('that cannot be read is none', () => {
    expect(kind.conclude(evaluation(), '{"state":"fine"}').problem).toMatchObject({ reason: 'ResultUnreadable' });
  });
});
