import type { V1Node } from '@kubernetes/client-node';
import { describe, expect, it } from 'vitest';
import { candidates } from './completion.ts';
import { cost } from './cost.ts';
import { explain } from './explain.ts';
import { age, bytes, clock, money, progressWords } from './format.ts';
import { interrupt, REHEARSAL_ANNOTATION, rehearsal, takenBack, tenants } from './interrupt.ts';
import { type LoggingPods, logSourceNamed } from './log-sources.ts';
import { type LogLine, logs, merged, printed, type Worker, workersOf } from './logs.ts';
import type { Session } from './session.ts';
import { NO_PAINT } from './terminal.ts';
import { NOW } from './testing.ts';

const [WORKER, RELEASE] = logSourceNamed('vt/r').source.pods as [LoggingPods, LoggingPods];
const [DATASET] = logSourceNamed('vd/d').source.pods as [LoggingPods];
const worker = (generation: number, rank: number): Worker => ({ of: WORKER, pod: `r-g${generation}-${rank}`, generation, rank });

describe('logs', () => {
  const pod = (generation: string, rank: string) => ({
    metadata: { name: `r-g${generation}-${rank}`, labels: { 'vicuna.run/generation': generation, 'vicuna.run/rank': rank } },
  });
  const pods = [pod('10', '0'), pod('2', '1'), pod('2', '0')];

  it('are of all workers, by generation and rank, or of those that were asked for', () => {
    expect(workersOf(WORKER, pods, {})).toEqual([worker(2, 0), worker(2, 1), worker(10, 0)]);
    expect(workersOf(WORKER, pods, { generation: 2, rank: 1 })).toEqual([worker(2, 1)]);
    expect(workersOf(WORKER, pods, { rank: 0 })).toEqual([worker(2, 0), worker(10, 0)]);
  });

  it('of a dataset or evaluation are of one pod after the other, by attempt', () => {
    const attempt = (n: string) => ({ metadata: { name: `d-dataset-${n}`, labels: { 'vicuna.run/attempt': n } } });
    const [first, second] = workersOf(DATASET, [attempt('10'), attempt('9')], {});
    expect([first, second]).toEqual([
      { of: DATASET, pod: 'd-dataset-9', generation: 9, rank: null },
      { of: DATASET, pod: 'd-dataset-10', generation: 10, rank: null },
    ]);
    expect(printed({ worker: second as Worker, time: 't', text: 'clean: 12 of 70' }, NO_PAINT, false)).toBe('a10 │ clean: 12 of 70');
  });

  it('tell the pods of a release from those of other tasks', () => {
    const [only] = workersOf(RELEASE, [{ metadata: { name: 'r-release-1', labels: { 'vicuna.run/attempt': '1' } } }], {});
    expect(printed({ worker: only as Worker, time: 't', text: 'delta: 3 of 9' }, NO_PAINT, false)).toBe('r1 │ delta: 3 of 9');
  });

  it('come in the order of their times, whoever printed them', async () => {
    async function* log(w: Worker, ...times: string[]): AsyncGenerator<LogLine> {
      for (const time of times) yield { worker: w, time, text: time };
    }
    const lines: string[] = [];
    for await (const { worker: w, time } of merged([log(worker(1, 0), 't1', 't4'), log(worker(1, 1)), log(worker(2, 0), 't2', 't3', 't5')]))
      lines.push(`${w.generation}:${time}`);
    expect(lines).toEqual(['1:t1', '2:t2', '2:t3', '1:t4', '2:t5']);
  });

  it('say who printed a line, and when, if that is asked for', () => {
    const line = { worker: worker(3, 0), time: '2026-01-01T00:00:00.5Z', text: 'step 12' };
    expect(printed(line, NO_PAINT, false)).toBe('g3/0 │ step 12');
    expect(printed(line, NO_PAINT, true)).toBe('g3/0 │ 2026-01-01T00:00:00.5Z step 12');
  });
});

describe('a rehearsed interruption', () => {
  const OTHER = { key: 'nvidia.com/gpu', effect: 'NoSchedule' };
  const node = (taints: object[] = [], annotations: Record<string, string> = {}): V1Node =>
    ({ metadata: { name: 'n', resourceVersion: '7', annotations }, spec: { taints } }) as unknown as V1Node;
  const value = String((NOW + 41_000) / 1_000);

  it('adds the notifier’s taint and notes that it is a rehearsal, onto what was read', () => {
    expect(rehearsal(node([OTHER]), NOW + 41_000, NOW)).toEqual({
      metadata: { resourceVersion: '7', annotations: { [REHEARSAL_ANNOTATION]: value } },
      spec: { taints: [OTHER, { key: 'vicuna.run/interruption', value, effect: 'NoSchedule' }] },
    });
  });

  it('is refused on a node that really goes', () => {
    expect(() => rehearsal(node([{ key: 'aws-node-termination-handler/spot-itn', effect: 'NoSchedule' }]), NOW, NOW)).toThrow(
      'node n is being interrupted already',
    );
  });

  it('is taken back, and nothing else is', () => {
    const taint = { key: 'vicuna.run/interruption', value, effect: 'NoSchedule' };
    expect(takenBack(node([OTHER, taint], { [REHEARSAL_ANNOTATION]: value }))).toEqual({
      metadata: { resourceVersion: '7', annotations: { [REHEARSAL_ANNOTATION]: null } },
      spec: { taints: [OTHER] },
    });
    expect(takenBack(node([OTHER]))).toBeNull();
    expect(() => takenBack(node([taint]))).toThrow('is no simulation: its cloud has announced it');
    // The cloud has spoken meanwhile, and put its own deadline in place.
    const real = { ...taint, value: '1' };
    expect(takenBack(node([real], { [REHEARSAL_ANNOTATION]: value }))).toMatchObject({ spec: { taints: [real] } });
  });

  it('says who will move', () => {
    const pod = (name: string, labels: Record<string, string>, phase = 'Running') => ({
      metadata: { name, namespace: 'ml', labels },
      status: { phase },
    });
    expect(
      tenants([
        pod('a', { 'vicuna.run/training': 'r' }),
        pod('b', { 'vicuna.run/serving': 's' }),
        pod('c', {}),
        pod('d', { 'vicuna.run/training': 'x' }, 'Succeeded'),
        pod('e', { 'vicuna.run/dataset': 'd' }),
        pod('f', { 'vicuna.run/evaluation': 'v' }),
        pod('g', { 'vicuna.run/release': 'r' }),
      ]),
    ).toEqual([
      'training r in ml (pod a)',
      'serving s in ml (pod b)',
      'dataset d in ml (pod e)',
      'evaluation v in ml (pod f)',
      'release of training r in ml (pod g)',
    ]);
  });
});

describe('completion', () => {
  const COMMANDS = [explain, logs, interrupt, cost];
  const GLOBALS = { namespace: { type: 'string', short: 'n', meaning: 'namespace' } } as const;
  const complete = (...words: string[]) => candidates(words, COMMANDS, GLOBALS, () => Promise.reject(new Error('no cluster is asked')));

  it.each<[string[], string[]]>([
    [['lo'], ['logs']],
    [
      ['completion', ''],
      ['bash', 'zsh', 'fish'],
    ],
    [
      ['logs', '--t'],
      ['--tail', '--timestamps'],
    ],
    [['cost', '-o', ''], ['json']],
    [['logs', '--since', ''], []],
    [['interrupt', '--s'], ['--simulate']],
    [['nonsense', ''], []],
    [['cost', ''], []],
  ])('of %j', async (words, expected) => {
    expect((await complete(...words)).map((c) => c.split('\t')[0])).toEqual(expected);
  });
});

describe('completion of names', () => {
  const OBJECTS: Record<string, string[]> = {
    vicunatrainings: ['run-a'],
    vicunadatasets: ['sharegpt'],
    vicunaevaluations: ['vicuna-80'],
    gpupools: ['aws-a'],
  };
  const sessionWith = (objects: Record<string, string[]>) => ({
    namespace: 'ml',
    close: () => undefined,
    client: {
      list: async ({ plural }: { plural: string }, { namespace }: { namespace?: string }) => {
        expect(namespace).toBe(plural === 'gpupools' || plural === 'nodes' ? undefined : 'ml');
        // Servings may not be listed.
        if (objects[plural] === undefined) throw new Error('forbidden');
        return { items: objects[plural].map((name) => ({ metadata: { name } })) };
      },
    },
  });
  const complete = (words: string[], objects = OBJECTS) =>
    candidates(words, [explain, logs, interrupt], {}, async () => sessionWith(objects) as unknown as Session);

  it.each<[string[], string[]]>([
    [
      ['explain', ''],
      ['vt/run-a', 'vd/sharegpt', 've/vicuna-80', 'gp/aws-a'],
    ],
    [['explain', 've'], ['ve/vicuna-80']],
    [['explain', 'dataset/sh'], ['dataset/sharegpt']],
    [['explain', 'VicunaEvaluation/'], ['VicunaEvaluation/vicuna-80']],
    [['explain', 'pod/'], []],
    [
      ['logs', ''],
      ['run-a', 'vt/run-a', 'vd/sharegpt', 've/vicuna-80'],
    ],
    [['logs', 'evaluation/'], ['evaluation/vicuna-80']],
    [['logs', 'gp/'], []],
  ])('of %j', async (words, expected) => {
    expect(await complete(words)).toEqual(expected);
  });

  it('of what can be interrupted', async () => {
    const objects = { ...OBJECTS, vicunaservings: ['chat'], nodes: ['node-1'] };
    expect(await complete(['interrupt', ''], objects)).toEqual(['run-a', 'vs/chat', 'node/node-1']);
  });
});

describe('words', () => {
  it('of times, money and sizes', () => {
    expect([age(-5), age(119_000), age(600_000), age(8 * 3_600_000), age(5 * 86_400_000)]).toEqual(['0s', '119s', '10m', '8h', '5d']);
    expect([money('118.4'), money(0), money('0.0213'), money('0.000012'), money(undefined)]).toEqual([
      '$118.40',
      '$0.00',
      '$0.021',
      '$0.000012',
      '-',
    ]);
    expect([bytes(0), bytes(1_000), bytes(1_536), bytes(82 * 2 ** 30), bytes(200 * 2 ** 20)]).toEqual([
      '0 B',
      '1000 B',
      '1.5 KiB',
      '82.0 GiB',
      '200 MiB',
    ]);
    const progress = { done: 12, unit: 'conversations', display: '12' };
    expect([progressWords(progress), progressWords({ ...progress, unit: 'bytes' })]).toEqual(['12 conversations', '12 B']);
    expect(progressWords({ done: 2 ** 30, total: 3 * 2 ** 30, unit: 'bytes', display: 'x' })).toBe('1.0 GiB/3.0 GiB');
    expect(clock(NOW, NOW)).toMatch(/^\d\d:\d\d:41$/);
    expect(clock(NOW - 3 * 86_400_000, NOW)).toMatch(/^\d{4}-\d\d-\d\d \d\d:\d\d:41$/);
  });
});
