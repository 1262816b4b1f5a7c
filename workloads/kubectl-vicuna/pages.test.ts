import { stripVTControlCharacters } from 'node:util';
import { describe, expect, it } from 'vitest';
import { checkpointLines } from './checkpoint.ts';
import { costLines, costReport } from './cost.ts';
import { explainPool, explainServing, explainTraining, interruptionWords } from './explain.ts';
import { topLines } from './fleet.ts';
import { objectNamed } from './kinds.ts';
import { fitted, NO_PAINT, paintFor, table, width, wrapped } from './terminal.ts';
import { ago, NOW, samplePool, sampleServing, sampleTraining } from './testing.ts';

const OPTIONS = { now: NOW, paint: NO_PAINT, columns: 200, namespaces: false };
const NOTHING = { trainings: [], servings: [], datasets: [], evaluations: [], pools: [] };
const NO_COSTS = { ...NOTHING, pods: [], nodes: [] };
const top = (change: object) => topLines({ ...NOTHING, ...change }, OPTIONS);

describe('top', () => {
  it('shows a training in one row', () => {
    expect(top({ trainings: [sampleTraining()] })).toEqual([
      'RUN          PHASE     POOL                STEP        LOSS    ETA   SAVED    INTERRUPTIONS   COST      SAVED $',
      'vicuna-13b   Running   gcp-us-central1-a   4812/6563   0.912   6h    2m ago   1               $118.40   71%',
    ]);
  });

  it('shows one that has just been created', () => {
    const training = sampleTraining();
    delete training.status;
    expect(top({ trainings: [training] })[1]).toMatch(/^vicuna-13b +Pending +- +- +- +- +- +0 +\$0\.00 +-$/);
  });

  it('shows a row for each model of a serving, its name and money once', () => {
    expect(top({ servings: [sampleServing()] })).toEqual([
      'SERVING   READY   MODEL        SPOT   ON-DEMAND   QUEUE   TTFT P99   POOLS                                   COST    SAVED $',
      'chat      3/4     vicuna-13b   2      1           12.3    0.41s      aws-us-east-1a 2, gcp-us-central1-a 3   $1.50   67%',
      '          0/0     tiny         0      0           -       -          -',
    ]);
  });

  it('shows pools with their price, room and block', () => {
    const blockedUntil = new Date(NOW + 600_000).toISOString();
    const rows = top({ pools: [samplePool('b', { status: { blockedUntil } }), samplePool('a', { spec: { capacity: 'onDemand' } })] });
    expect(rows[1]).toMatch(/^a +aws +us-east-1a +onDemand +8×A100 +\$32\.77 +2 +0\/16 +0\.7h +3 +-$/);
    expect(rows[2]).toMatch(/^b .*\$11\.75 .* until \d\d:\d\d:\d\d$/);
  });

  it('leaves out a table without rows, and says when there is nothing', () => {
    expect(top({ trainings: [sampleTraining()], pools: [samplePool('a')] }).filter((l) => l === '')).toHaveLength(1);
    expect(top({})).toEqual(['No trainings, servings, datasets, evaluations or pools found.']);
  });

  it('names namespaces when there may be several', () => {
    const lines = topLines({ ...NOTHING, trainings: [sampleTraining()], servings: [sampleServing()] }, { ...OPTIONS, namespaces: true });
    expect(lines[0]).toMatch(/^NAMESPACE +RUN/);
    expect(lines[3]).toMatch(/^NAMESPACE +SERVING/);
  });

  it('has the same text with colours', () => {
    const fleet = { ...NOTHING, trainings: [sampleTraining()], servings: [sampleServing()], pools: [samplePool('a')] };
    const coloured = topLines(fleet, { ...OPTIONS, paint: paintFor({ isTTY: true }, {}) });
    expect(coloured.join('\n')).toContain('\u001b[');
    expect(coloured.map((l) => stripVTControlCharacters(l))).toEqual(topLines(fleet, OPTIONS));
  });
});

describe('explain', () => {
  it('says why a training runs where it runs, and what its interruptions cost', () => {
    const page = explainTraining(sampleTraining(), OPTIONS).join('\n');
    expect(page).toContain('Running on gcp-us-central1-a (spot), generation 6, 2 workers, step 4812/6563 (73%), about 6h left');
    expect(page).toMatch(/Why here, why now\n {2}Decided \S+ \(90s ago\): spot there lasts 4\.1 h on average/);
    expect(page).toMatch(/gcp-us-central1-a +spot +23\.50 +24\.10 +4\.1h +chosen/);
    expect(page).toMatch(/aws-us-east-1a +spot +23\.50 +- +0\.7h +blocked until 12:31/);
    expect(page).toContain('Asked for: 2 workers of 8 GPUs, capacity auto, accelerator A100, budget $300.00.');
    expect(page).toContain('Placed is True (Placed) for 90s: on gcp-us-central1-a');
    expect(page).toContain('node aws-a-1 of aws-us-east-1a: spotPreemption, 30.0 s of notice');
    expect(page).toContain('on demand $408.27: 71% saved, $181.60 of the budget left.');
  });

  it('says what a training waits for, and what forms', () => {
    const next = { generation: 7, pool: 'p', capacity: 'spot', members: [{ rank: 0, pod: 'x' }], since: ago(5), reason: 'interruption' };
    const page = explainTraining(
      sampleTraining({ world: undefined, next, retries: [{ cause: 'error', count: 2, times: [ago(60)] }] }),
      OPTIONS,
    );
    expect(page.join('\n')).toContain('Forming: generation 7 with 1 worker on p, because a worker is going or gone, for 5s.');
    expect(page.join('\n')).toContain('error: 2, the last one 60s ago');
    const empty = sampleTraining();
    delete empty.status;
    const nothing = explainTraining(empty, OPTIONS).join('\n');
    expect(nothing).toContain('Why nowhere\n  No place has been chosen yet');
    expect(nothing).toContain('the operator has not looked at it. Is it running?');
  });

  it('shows a program’s last words without what a terminal would act on', () => {
    const message = 'rank 0 failed: \u001b[2J\u001b]0;title\u0007gone\r\nover';
    const conditions = [{ type: 'Failed', status: 'True', reason: 'RetriesExhausted', message, lastTransitionTime: ago(5) }];
    const page = explainTraining(sampleTraining({ conditions }), OPTIONS).join('\n');
    expect(page).toContain('for 5s: rank 0 failed: gone over');
  });

  it('tells each leg of an interruption by its time since the notice', () => {
    const record = { pool: 'p', pods: ['x-g1-0'], cause: 'nodeLost', notice: false, noticedAt: ago(100) };
    expect(interruptionWords(record, NOW)).toEqual({
      what: expect.stringMatching(/^\d\d:\d\d:\d\d x-g1-0 on p: nodeLost, without notice$/),
      legs: 'not replaced yet',
    });
    const announced = {
      ...record,
      node: 'n',
      notice: true,
      deadline: ago(70),
      checkpointAckedAt: ago(65),
      checkpointStep: 7,
      replacedAt: ago(60),
    };
    expect(interruptionWords(announced, NOW).legs).toBe('+35.0 s step 7 saved, 5.0 s late · +40.0 s replaced · not resumed yet');
    expect(interruptionWords({ ...record, notice: true }, NOW).legs).toBe('nothing saved for it · not replaced yet');
  });

  it('says why a serving has so many replicas, and where', () => {
    const page = explainServing(sampleServing(), OPTIONS).join('\n');
    expect(page).toContain('vicuna-13b: 3 of 4 ready (2 spot, 1 on-demand), 1 more aimed at as spares or replacements, 1 leaving.');
    expect(page).toContain('    Why so many: queue 12 of 5 per replica wants 4');
    expect(page).toContain('    Measured: queue 12.25, first piece within 0.412 s for 99 of 100, a replica starts in 38 s.');
    const groups = [{ name: 'g1', models: ['a', 'b'], pipeline: 2, tensor: 2, replicas: 3 }];
    const multiplexing = { groups, gpus: 12, attainment: 0.993, changedAt: ago(60), reason: 'a and b are busy at different times' };
    expect(explainServing(sampleServing({ multiplexing }), OPTIONS).join('\n')).toMatch(
      /12 GPUs\n.*busy at different times \(for 60s, attainment 99\.3%\)[\s\S]*g1 +3 +4 +a, b/,
    );
  });

  it('says what is known of a pool', () => {
    const page = explainPool(samplePool('a', { spec: { maxNodes: 4 } }), OPTIONS).join('\n');
    expect(page).toContain('GpuPool a: spot nodes with 8×A100 in aws us-east-1 us-east-1a');
    expect(page).toContain('2 nodes of at most 4, 0 of 16 GPUs free.');
    expect(page).toContain('7 launches worked, 1 found no capacity; 3 interruptions.');
  });

  it.each<[string[], object]>([
    [['vt/a'], { kind: 'training', name: 'a' }],
    [['vicunaservings.vicuna.run/a'], { kind: 'serving', name: 'a' }],
    [['dataset/a'], { kind: 'dataset', name: 'a' }],
    [['VE', 'a'], { kind: 'evaluation', name: 'a' }],
    [['GpuPool', 'a'], { kind: 'pool', name: 'a' }],
  ])('takes %j as kubectl would', (said, object) => {
    expect(objectNamed(said)).toEqual(object);
  });

  it.each([[['a']], [['pod/a']], [['vt/a', 'b']], [['vt/']], [[]]])('refuses %j', (said) => {
    expect(() => objectNamed(said)).toThrow(/KIND\/NAME|is no kind/);
  });
});

describe('cost', () => {
  const pod = (pool: string, gpus: string | null, change: object = {}) => ({
    metadata: { labels: { 'vicuna.run/pool': pool } },
    spec: { nodeName: 'n', containers: [{ name: 'c', resources: gpus === null ? {} : { limits: { 'nvidia.com/gpu': gpus } } }] },
    status: { phase: 'Running' },
    ...change,
  });
  const cpu = samplePool('cpu', {
    spec: { capacity: 'onDemand', accelerator: { type: 'none', count: 0, resourceName: 'nvidia.com/gpu' }, price: { onDemand: '0.4' } },
  });

  it('adds up runs and servings, in whole micro-dollars', () => {
    const report = costReport({ ...NO_COSTS, trainings: [sampleTraining()], servings: [sampleServing()] });
    expect(report.items[0]).toMatchObject({ kind: 'VicunaTraining', spent: '118.40', onDemand: '408.27', saved: '289.87', gpuHours: 92.5 });
    expect(report.totals).toEqual({ spent: '119.90', onDemand: '412.77', saved: '292.87', gpuHours: 93.75 });
  });

  it('counts what a pool’s pods pay for now: their share of the GPUs, without GPUs the node, and nothing before there is a node', () => {
    const pods = [
      pod('a', '4'),
      pod('a', '2'),
      pod('a', '8', { spec: { containers: [] } }),
      pod('a', '8', { status: { phase: 'Failed' } }),
      pod('cpu', null),
    ];
    expect(costReport({ ...NO_COSTS, pools: [samplePool('a'), cpu], pods }).pools).toEqual([
      { name: 'a', capacity: 'spot', workers: 2, perHour: '8.8125', onDemandPerHour: '24.5775' },
      { name: 'cpu', capacity: 'onDemand', workers: 1, perHour: '0.40', onDemandPerHour: '0.40' },
    ]);
  });

  it('shows totals last, and what runs now', () => {
    const report = costReport({ ...NO_COSTS, trainings: [sampleTraining()], pools: [samplePool('a')], pods: [pod('a', '8')] });
    const lines = costLines(report, NO_PAINT);
    expect(lines[1]).toMatch(/^training +default +vicuna-13b +92\.50 +\$118\.40 +\$408\.27 +\$289\.87 +71%$/);
    expect(lines[2]).toMatch(/^total .*\$118\.40 .* 71%$/);
    expect(lines[5]).toMatch(/^a +spot +1 +\$11\.75 +\$32\.77$/);
    expect(costLines(costReport({ ...NO_COSTS, trainings: [sampleTraining()] }), NO_PAINT).at(-1)).toBe('Nothing is being paid for now.');
  });
});

describe('checkpoint', () => {
  it('lists what the status knows, the newest last', () => {
    const lines = checkpointLines(sampleTraining(), OPTIONS);
    expect(lines[1]).toMatch(/^4790 +2m ago +- +- +for the interruption of/);
    expect(lines[2]).toMatch(/^4800 +2m ago +82\.0 GiB +11\.2 s +s3:\/\/ckpt\/vicuna-13b\/step-00004800-g6$/);
    expect(lines.at(-1)).toBe('Saves to s3://ckpt/vicuna-13b, interval auto, keeping 3. 12 steps are not saved yet.');
  });

  it('says when there is none', () => {
    expect(checkpointLines(sampleTraining({ checkpoint: undefined, interruptions: [] }), OPTIONS)).toEqual([
      'Training "vicuna-13b" has no committed checkpoint yet (step 4812; it saves to s3://ckpt/vicuna-13b).',
    ]);
  });
});

describe('text on a terminal', () => {
  it('is coloured only where that is wanted', () => {
    expect(paintFor({ isTTY: true }, {}).red('x')).not.toBe('x');
    for (const [isTTY, env] of [
      [false, {}],
      [true, { NO_COLOR: '1' }],
      [true, { TERM: 'dumb' }],
    ] as const)
      expect(paintFor({ isTTY }, env).red('x')).toBe('x');
  });

  it('stands in columns however it is coloured, and fits', () => {
    const red = paintFor({ isTTY: true }, {}).red('ab');
    expect(table(['A', 'B'], [[red, 'x']]).map(width)).toEqual([6, 6]);
    expect(fitted(red, 10)).toBe(red);
    expect(fitted('abcdef', 4)).toBe('abc…');
    expect(wrapped('one two three', 9, '  ')).toEqual(['  one two', '  three']);
  });
});
