import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it, vi } from 'vitest';
import { parseJudgeTask } from '../../workloads/judge/config.ts';
import { readEvaluation } from '../../workloads/judge/data.ts';
import { makeReport } from '../../workloads/judge/report.ts';
import { REAL_CLOCK } from '../../workloads/judge/run/clock.ts';
import { evaluate } from '../../workloads/judge/run/evaluate.ts';
import { Progress } from '../../workloads/judge/run/progress.ts';
import { openStorage, readPlace } from '../../workloads/judge/storage.ts';
import { FakeEndpoint } from '../../workloads/judge/testing/fake-endpoint.ts';
import { judgeByLength } from '../../workloads/judge/testing/scripted-judge.ts';
import { ROOT } from '../cluster/paths.ts';
import { S3 } from '../cluster/s3.ts';

const ANSWERS = join(ROOT, 'examples', 'evaluation', 'answer');

let scratch: string;
let s3: S3;
let judge: FakeEndpoint;

beforeAll(async () => {
  scratch = mkdtempSync(join(tmpdir(), 'vicuna-judge-s3-'));
  s3 = await S3.start({ directory: scratch, address: '127.0.0.1' });
  await s3.createBucket('evaluations');
  for (const [name, value] of Object.entries(s3.environment)) vi.stubEnv(name, value);
  judge = await FakeEndpoint.start({ models: ['gpt-4'], answer: judgeByLength });
});
afterAll(async () => {
  vi.unstubAllEnvs();
  await judge.stop();
  await s3.stop();
  rmSync(scratch, { recursive: true, force: true });
});

const run = () =>
  evaluate(
    parseJudgeTask({
      questions: { set: 'vicuna-80', limit: 10 },
      candidate: { name: 'vicuna-13b', answers: 's3://evaluations/answers/answer_vicuna-13b.jsonl' },
      baselines: [{ name: 'bard', answers: 's3://evaluations/answers/answer_bard.jsonl' }],
      judge: { url: judge.url, model: 'gpt-4' },
      output: 's3://evaluations/runs/one/',
    }),
    {
      env: {},
      clock: REAL_CLOCK,
      random: Math.random,
      signal: new AbortController().signal,
      progress: new Progress(REAL_CLOCK, []),
      onNotice: (sentence) => console.log(sentence),
      onEstimate: () => undefined,
    },
  );

describe('an evaluation in an object store', () => {
  it('reads its answers there, leaves everything there, and goes on from there', async () => {
    for (const name of ['answer_vicuna-13b.jsonl', 'answer_bard.jsonl'])
      await s3.putFile('evaluations', `answers/${name}`, join(ANSWERS, name));
    const { result, report } = await run();
    expect(result).toMatchObject({
      state: 'complete',
      reviews: { done: 20, total: 20, failed: 0 },
      cost: { total: null },
      viewer: 's3://evaluations/runs/one/viewer/index.html',
    });
    expect(makeReport(await readEvaluation('s3://evaluations/runs/one/review'))).toEqual(report);
    expect((await s3.get('evaluations', 'runs/one/viewer/index.html')).toString()).toContain('<title>Evaluation</title>');
    const asked = judge.requests;
    expect((await run()).result).toEqual(result);
    expect(judge.requests).toBe(asked);
  });

  it('lists more objects than fit one page, and none of its neighbours’', async () => {
    const many = await openStorage('s3://evaluations/many');
    await Promise.all(
      Array.from({ length: 8 }, async (_, lane) => {
        for (let i = lane; i < 1_005; i += 8) await many.write(`parts/${i}.json`, '{}');
      }),
    );
    await (await openStorage('s3://evaluations/many-more')).write('parts/x.json', '{}');
    expect(await many.list('parts')).toHaveLength(1_005);
    expect(await many.list('')).toHaveLength(1_005);
    expect(await many.read('parts/nothing.json')).toBeNull();
  }, 120_000);

  it('says what the store says when it fails', async () => {
    await expect(readPlace('s3://evaluations/nothing.jsonl')).rejects.toMatchObject({ exitCode: 66 });
    const nowhere = await openStorage('s3://no-such-bucket/x');
    await expect(nowhere.write('a', 'b')).rejects.toMatchObject({
      exitCode: 74,
      message: expect.stringContaining('s3://no-such-bucket/x/a: '),
    });
  });
});
