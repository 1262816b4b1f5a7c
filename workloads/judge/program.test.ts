import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { existsSync, mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { createServer, type Server } from 'node:http';
import type { AddressInfo } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, it, vi } from 'vitest';
import { judgeResultSchema, MAX_RESULT_BYTES } from '../../operator/api/judge-result.ts';
import { buildJudge } from './build.ts';
import { FakeEndpoint, type FakeEndpointOptions } from './testing/fake-endpoint.ts';
import { judgeByLength } from './testing/scripted-judge.ts';

const EVALUATION = join(import.meta.dirname, '..', '..', 'examples', 'evaluation');
const ANSWERS = `file://${EVALUATION}/answer`;
const KEY = 'sk-secret-key';

/** Processes start slowly on a busy machine. */
vi.setConfig({ testTimeout: 60_000, hookTimeout: 60_000 });

/** The program as its image has it, away from the repository: all that it needs must lie beside it. */
let image: string;
let main: string;
let scratch: string;
let judge: FakeEndpoint;

beforeAll(async () => {
  image = mkdtempSync(join(tmpdir(), 'vicuna-judge-image-'));
  main = await buildJudge(image);
});
afterAll(() => rmSync(image, { recursive: true, force: true }));

const start = async (options: Partial<FakeEndpointOptions> = {}) => {
  judge = await FakeEndpoint.start({ models: ['gpt-4'], apiKey: KEY, answer: judgeByLength, ...options });
};
beforeEach(() => {
  scratch = mkdtempSync(join(tmpdir(), 'vicuna-judge-'));
});
afterEach(async () => {
  await judge?.stop();
  rmSync(scratch, { recursive: true, force: true });
});

const configured = (over: object = {}) => ({
  questions: { set: 'vicuna-80', limit: 12 },
  candidate: { name: 'vicuna-13b', answers: `${ANSWERS}/answer_vicuna-13b.jsonl` },
  baselines: [{ name: 'bard', answers: `${ANSWERS}/answer_bard.jsonl` }],
  judge: { url: judge.url, model: 'gpt-4', apiKeyEnv: 'JUDGE_KEY', concurrency: 4, price: { input: 30, output: 60 } },
  output: `file://${scratch}/out`,
  ...over,
});

interface Ended {
  readonly code: number | null;
  readonly out: string;
  readonly problems: string;
}

function begin(words: readonly string[], env: Readonly<Record<string, string>> = {}): { child: ChildProcess; ended: Promise<Ended> } {
  const child = spawn(process.execPath, [main, ...words], {
    env: { PATH: process.env.PATH ?? '', JUDGE_KEY: KEY, ...env },
    stdio: ['ignore', 'pipe', 'pipe'],
  });
  const texts = [child.stdout, child.stderr].map(async (stream) => (await stream?.toArray())?.join('') ?? '');
  const ended = once(child, 'close').then(async ([code]) => ({ code, out: (await texts[0]) ?? '', problems: (await texts[1]) ?? '' }));
  return { child, ended };
}

const command = (...words: string[]) => begin(words).ended;
const configFile = (config: object) => {
  const path = join(scratch, 'config.yaml');
  writeFileSync(path, JSON.stringify(config));
  return path;
};
const kept = () => {
  const directory = join(scratch, 'out', 'parts', 'reviews');
  return existsSync(directory)
    ? readdirSync(directory, { recursive: true, encoding: 'utf8' }).filter((n) => n.endsWith('.json')).length
    : 0;
};

describe('the command line', () => {
  it('goes on after kill -9 where it was, and pays only for what was under way again', async () => {
    await start({ delayMs: 40 });
    const words = ['run', '--config', configFile(configured()), '--json', join(scratch, 'result.json')];
    const first = begin(words);
    await vi.waitFor(() => expect(kept()).toBeGreaterThanOrEqual(8), { timeout: 20_000, interval: 5 });
    first.child.kill('SIGKILL');
    await first.ended;
    const [there, asked] = [kept(), judge.requests];
    expect(asked).toBeLessThan(24);
    const second = await command(...words);
    expect([second.code, kept()]).toEqual([0, 24]);
    expect(judge.requests - asked).toBe(24 - there);
    expect(asked - there).toBeLessThanOrEqual(4);
    expect(JSON.parse(readFileSync(join(scratch, 'result.json'), 'utf8'))).toMatchObject({ state: 'complete', reviews: { done: 24 } });
    expect(second.out).toContain('| bard | ');
    expect(second.problems).toContain('Reviews: 24 of 24 reviews (100 %)');
    expect(second.out + second.problems).not.toContain(KEY);
  });

  it('says how far a budget went, and ends with a failure', async () => {
    await start();
    const { code, problems } = await command('run', '--config', configFile(configured({ budget: 0.5 })));
    expect(code).toBe(1);
    expect(problems).toMatch(/The budget of \$0\.50 is used up: \d+ of 24 reviews are there\. Raise it and run again/);
  });

  it('estimates without a request', async () => {
    await start();
    const { code, out } = await command('estimate', '--config', configFile(configured()), '--json', join(scratch, 'estimate.json'));
    expect([code, judge.requests]).toEqual([0, 0]);
    expect(out).toMatch(/Judge: 24 requests, about \d+ tokens\nAbout \$0\.\d\d, at most \$\d\.\d\d\./);
    expect(JSON.parse(readFileSync(join(scratch, 'estimate.json'), 'utf8')).judge.requests).toBe(24);
  });

  it('reports and makes a viewer from stored reviews', async () => {
    const [json, markdown, viewer] = ['report.json', 'report.md', 'viewer'].map((n) => join(scratch, n)) as [string, string, string];
    const set = join(EVALUATION, 'review', 'vicuna-13b_20230322-clean-lang');
    expect((await command('report', '--reviews', set, '--json', json, '--markdown', markdown)).code).toBe(0);
    expect(JSON.parse(readFileSync(json, 'utf8')).pairs).toHaveLength(4);
    expect(readFileSync(markdown, 'utf8')).toContain('## Table 2 of the blog post');
    expect((await command('viewer', '--data', EVALUATION, '--out', viewer)).out).toBe(`Open file://${viewer}/index.html\n`);
    expect(readdirSync(join(viewer, 'questions'))).toHaveLength(80);
  });

  it.each<[readonly string[], number, string]>([
    [['--help'], 0, 'Usage: npm run judge --'],
    [['juge'], 64, 'No command "juge".'],
    [['report'], 64, 'report needs --reviews.'],
    [['report', '--reviews', '/x', '--colour', 'red'], 64, "Unknown option '--colour'"],
    [['report', '--reviews', '/nowhere'], 66, '/nowhere has no reviews'],
    [['run', '--config', '/nowhere.yaml'], 66, '/nowhere.yaml is not there'],
    [['viewer', '--data', 'gs://bucket/x', '--out', '/tmp/x'], 64, 'gs://bucket/x cannot be used'],
  ])('%j ends with %d and a sentence', async (words, expected, sentence) => {
    const { code, out, problems } = await command(...words);
    expect(code).toBe(expected);
    expect(out + problems).toContain(sentence);
    expect(problems).not.toContain('    at ');
  });
});

describe('an object store', () => {
  it('is reached by a client that is loaded for it alone', async () => {
    const env = { AWS_ENDPOINT_URL: 'http://127.0.0.1:9', AWS_ACCESS_KEY_ID: 'a', AWS_SECRET_ACCESS_KEY: 'b' };
    const { code, problems } = await begin(['report', '--reviews', 's3://bucket/x'], env).ended;
    expect([code, problems]).toEqual([74, expect.stringMatching(/^s3:\/\/bucket\/x\/.*ECONNREFUSED/)]);
  });
});

describe('a task’s pod', () => {
  let operator: Server;
  let reports: { readonly path: string; readonly authorization: string | undefined; readonly body: unknown }[];
  let answers: boolean;

  beforeEach(async () => {
    [reports, answers] = [[], true];
    operator = createServer(async (request, response) => {
      const body = JSON.parse(((await request.toArray()) as Buffer[]).join(''));
      reports.push({ path: `${request.method} ${request.url}`, authorization: request.headers.authorization, body });
      if (answers) response.writeHead(200).end();
    });
    await new Promise<void>((resolve) => operator.listen(0, '127.0.0.1', resolve));
    writeFileSync(join(scratch, 'token'), 'the-token\n');
  });
  afterEach(() => {
    operator.closeAllConnections();
    operator.close();
  });

  const log = () => join(scratch, 'termination-log');
  const told = () => readFileSync(log(), 'utf8');
  const task = (config: unknown) =>
    begin([], {
      VICUNA_TERMINATION_LOG: log(),
      VICUNA_TASK: JSON.stringify({
        name: 'team/evaluation-x',
        operatorUrl: `http://127.0.0.1:${(operator.address() as AddressInfo).port}`,
        tokenFile: join(scratch, 'token'),
        config,
      }),
    });

  it('reports its progress and leaves its result', async () => {
    await start();
    const { code, problems } = await task(configured()).ended;
    expect([code, problems.includes(KEY)]).toEqual([0, false]);
    expect(Buffer.byteLength(told())).toBeLessThanOrEqual(MAX_RESULT_BYTES);
    expect(judgeResultSchema.parse(JSON.parse(told()))).toMatchObject({
      state: 'complete',
      baselines: [{ name: 'bard', judged: 12 }],
      viewer: `file://${scratch}/out/viewer/index.html`,
    });
    expect(reports[0]).toEqual({
      path: 'POST /v1/tasks/team/evaluation-x/report',
      authorization: 'Bearer the-token',
      body: { stage: 'Reviews', done: 0, total: 24, unit: 'reviews', etaSeconds: null },
    });
    expect(existsSync(join(scratch, 'out', 'viewer', 'index.html'))).toBe(true);
  });

  it('does not wait for an operator that is silent', async () => {
    await start();
    answers = false;
    const before = performance.now();
    expect((await task(configured()).ended).code).toBe(0);
    expect(reports.length).toBeGreaterThan(0);
    expect(performance.now() - before).toBeLessThan(30_000);
  });

  it('stops at SIGTERM at once, and its successor goes on', async () => {
    await start({ delayMs: 60 });
    const { child, ended } = task(configured());
    await vi.waitFor(() => expect(kept()).toBeGreaterThanOrEqual(4), { timeout: 20_000, interval: 5 });
    const before = performance.now();
    child.kill('SIGTERM');
    expect((await ended).code).toBe(143);
    expect(performance.now() - before).toBeLessThan(10_000);
    const [there, asked] = [kept(), judge.requests];
    expect((await task(configured()).ended).code).toBe(0);
    expect(judge.requests - asked).toBe(24 - there);
  });

  it('leaves the state of a budget that is used up as a result', async () => {
    await start();
    expect((await task(configured({ budget: 0.5 })).ended).code).toBe(0);
    expect(JSON.parse(told())).toMatchObject({ state: 'budgetReached', reviews: { total: 24 } });
  });

  it.each<[string, () => unknown, number, string]>([
    ['a configuration that is none', () => ({ judge: 1 }), 64, 'the evaluation’s configuration is wrong: questions: '],
    ['a wrong key', () => configured({ judge: { ...configured().judge, apiKeyEnv: 'PATH' } }), 64, 'check the API key'],
    ['missing answers', () => configured({ baselines: [{ name: 'x', answers: 'file:///nowhere' }] }), 66, 'file:///nowhere is not there'],
    ['a storage that takes nothing', () => configured({ output: 'file:///dev/null/out' }), 74, '/dev/null/out'],
  ])('ends with a code and a sentence: %s', async (_, config, expected, sentence) => {
    await start();
    expect((await task(config()).ended).code).toBe(expected);
    expect(told()).toContain(sentence);
    expect(told()).not.toContain('\n');
  });
});
