import { describe, expect, it } from 'vitest';
import type { VicunaEvaluation } from '../api/vicuna-evaluation.ts';
import type { TaskPod } from '../tasks/state.ts';
import { cpuPool } from '../tasks/testing.ts';
import { gateProblem, releaseProgram } from './release.ts';
import { World } from './testing.ts';

const FIRST = 'demo-release-1';
const RESULT = {
  output: 's3://ckpt/demo/delta',
  mode: 'exact',
  tensors: 3,
  bytes: 1_234,
  changedElements: 17,
  inexactElements: 0,
  manifestSha256: 'a'.repeat(64),
};

function evaluation(status: VicunaEvaluation['status'] = {}): VicunaEvaluation {
  return { metadata: { name: 'blog' }, status } as VicunaEvaluation;
}

function complete(release: object = {}, spec: object = {}): World {
  const w = new World({ release, ...spec }).running();
  for (const pod of w.pods.keys()) w.report(pod, { state: 'succeeded', step: 100 });
  w.step();
  expect(w.status.phase).toBe('Complete');
  for (const pod of w.pods.keys()) w.set(pod, { phase: 'Succeeded' });
  w.release = { pods: new Map(), reports: new Map(), pools: [cpuPool('cpu')], evaluation: null };
  return w;
}

function setPod(w: World, change: Partial<TaskPod>): void {
  const pod = {
    name: FIRST,
    uid: 'r1',
    attempt: 1,
    pool: 'cpu',
    node: 'n1',
    phase: 'Running',
    createdAt: w.now,
    terminating: false,
    unschedulable: null,
    startProblem: null,
    exitCode: null,
    message: '',
    share: 1,
    interruption: null,
    ...change,
  } as TaskPod;
  if (w.release) w.release = { ...w.release, pods: new Map([[pod.name, pod]]) };
}

describe('the release of a training', () => {
  it('is looked at as soon as the training is complete, and not before', () => {
    const w = new World({ release: {} }).running();
    expect(w.step().releasePod).toBeNull();
    for (const pod of w.pods.keys()) w.report(pod, { state: 'succeeded', step: 100 });
    expect(w.step().wakeAt).toBe(w.now);
  });

  it('is made by one pod, and told of', () => {
    const w = complete();
    expect(w.step().releasePod).toEqual({ name: FIRST, attempt: 1, pool: 'cpu' });
    expect(w.condition('Released')).toMatchObject({ status: 'False', reason: 'Releasing' });
    setPod(w, {});
    w.step();
    expect(w.status.release).toMatchObject({ phase: 'Running', pod: FIRST, pool: 'cpu' });
    setPod(w, { phase: 'Succeeded', exitCode: 0, message: JSON.stringify(RESULT) });
    w.step();
    expect(w.condition('Released')).toMatchObject({ status: 'True', message: expect.stringContaining('s3://ckpt/demo/delta') });
    expect(w.status.release).toMatchObject({
      phase: 'Complete',
      uri: 's3://ckpt/demo/delta',
      base: 's3://models/tiny',
      mode: 'exact',
      bytes: 1_234,
      changedElements: 17,
    });
    expect(w.events).toContain('Released');
    const plan = w.step();
    expect(plan.releasePod).toBeNull();
    expect(w.status.phase).toBe('Complete');
  });

  it('that cannot be made says why, and leaves the training complete', () => {
    const w = complete();
    w.step();
    setPod(w, { phase: 'Failed', exitCode: 64, message: 'base has another vocabulary' });
    w.step();
    expect(w.condition('Released')).toMatchObject({ reason: 'ReleaseFailed', message: expect.stringContaining('another vocabulary') });
    expect(w.status.phase).toBe('Complete');
    expect(w.step().releasePod).toBeNull();
  });

  it('that leaves no result is none', () => {
    const w = complete();
    w.step();
    setPod(w, { phase: 'Succeeded', exitCode: 0, message: 'done' });
    w.step();
    expect(w.condition('Released')).toMatchObject({ status: 'False', reason: 'ReleaseFailed' });
    expect(w.status.release?.phase).toBe('Failed');
  });

  it('keeps the training from being deleted by its ttl before it is made', () => {
    const w = complete({}, { ttlAfterFinished: '0s' });
    expect(w.step().deleteTraining).toBe(false);
    setPod(w, { phase: 'Succeeded', exitCode: 0, message: JSON.stringify(RESULT) });
    w.step();
    w.step();
    expect(w.deleted).toBe(true);
  });

  it('goes on when its node goes, and is not charged for it', () => {
    const w = complete();
    w.step();
    setPod(w, {});
    w.step();
    setPod(w, {
      interruption: { source: 'node-absent', lost: true, advisory: false, message: 'node n1 is gone' } as TaskPod['interruption'],
    });
    expect(w.step()).toMatchObject({ releasePod: { name: 'demo-release-2' }, remove: [{ name: FIRST }] });
    expect(w.status.release).toMatchObject({ totals: { interruptions: 1 } });
  });

  it('waits for its gate and says what for; a pod that runs is left alone', () => {
    const w = complete({ gate: { evaluation: 'blog', minRelativeQuality: 0.9 } });
    expect(w.step().releasePod).toBeNull();
    expect(w.condition('Released')).toMatchObject({ reason: 'MissingEvaluation', message: expect.stringContaining('does not exist') });
    const at = (relativeQuality: number) =>
      evaluation({
        phase: 'Complete',
        comparisons: [{ baseline: 'chatgpt', judged: 80, failed: 0, wins: 1, ties: 1, losses: 1, relativeQuality, confidence: {} }],
      });
    const judge = (found: VicunaEvaluation) => {
      if (w.release) w.release = { ...w.release, evaluation: found };
    };
    judge(at(0.82));
    w.step();
    expect(w.condition('Released')).toMatchObject({ reason: 'GateRefused', message: expect.stringContaining('0.820 against chatgpt') });
    judge(at(0.92));
    expect(w.step().releasePod?.name).toBe(FIRST);
    setPod(w, {});
    w.step();
    judge(at(0.1));
    expect(w.step().remove).toEqual([]);
    expect(w.status.release?.phase).toBe('Running');
  });

  it('runs the worker’s image without what is there for GPUs and for its neighbours', () => {
    const template = {
      spec: {
        containers: [
          { name: 'trainer', args: ['--x'], env: [{ name: 'A', value: 'b' }], resources: { limits: { 'nvidia.com/gpu': '8' } } },
          { name: 'sidecar', image: 's' },
        ],
        volumes: [{ name: 'v', emptyDir: {} }],
      },
    };
    const w = new World({
      release: { delta: { mode: 'additive', output: 'pvc://out/delta' } },
      workers: { min: 1, image: 'trainer:1', template },
      checkpoint: { storage: 's3://ckpt/demo/' },
      credentials: [{ name: 's3' }],
    });
    const { release } = w.training.spec;
    expect(release && releaseProgram(w.training, release)).toMatchObject({
      image: 'trainer:1',
      command: ['python3', '-m', 'vicuna_trainer.release'],
      config: {
        base: 's3://models/tiny',
        target: 's3://ckpt/demo/model',
        output: 'file:///mnt/claims/out/delta',
        mode: 'additive',
        vocabulary: 'same',
      },
      credentials: [{ name: 's3' }],
      template: { spec: { containers: [{ name: 'trainer', env: [{ name: 'A', value: 'b' }] }], volumes: [{ name: 'v', emptyDir: {} }] } },
    });
    expect(JSON.stringify(release && releaseProgram(w.training, release))).not.toMatch(/nvidia|sidecar|--x/);
  });
});

describe('a gate', () => {
  const comparison = (baseline: string, figures: object) => ({
    baseline,
    judged: 80,
    failed: 0,
    wins: 1,
    ties: 1,
    losses: 1,
    confidence: {},
    ...figures,
  });
  const done = evaluation({
    phase: 'Complete',
    comparisons: [comparison('chatgpt', { relativeQuality: 0.92, winRate: 0.35 }), comparison('alpaca', { relativeQuality: 1.3 })],
  });

  it.each<[string, Parameters<typeof gateProblem>[0], VicunaEvaluation | null, string | null]>([
    ['that is none lets everything pass', undefined, null, null],
    ['without bounds lets a complete evaluation pass', { evaluation: 'blog' }, done, null],
    ['passes when every baseline is within the bound', { evaluation: 'blog', minRelativeQuality: 0.9 }, done, null],
    ['refuses when one is not', { evaluation: 'blog', minRelativeQuality: 1 }, done, 'found a relativeQuality of 0.920 against chatgpt'],
    ['looks at one baseline only, if told', { evaluation: 'blog', baseline: 'alpaca', minRelativeQuality: 1 }, done, null],
    [
      'refuses a figure that is not there',
      { evaluation: 'blog', baseline: 'alpaca', minWinRate: 0.1 },
      done,
      'has no winRate against alpaca',
    ],
    ['refuses a baseline that is not there', { evaluation: 'blog', baseline: 'gpt' }, done, 'does not compare with baseline "gpt"'],
    [
      'refuses bounds without a baseline',
      { evaluation: 'blog', minWinRate: 0.1 },
      evaluation({ phase: 'Complete' }),
      'compares with no baseline',
    ],
    [
      'waits, and says how far it is',
      { evaluation: 'blog' },
      evaluation({ phase: 'Running', progress: { stage: 'judge', done: 3, display: '3/160', unit: 'reviews', updatedAt: '' } }),
      'is not complete: judge 3/160 reviews',
    ],
    ['waits for one that has failed to be made again', { evaluation: 'blog' }, evaluation({ phase: 'Failed' }), 'has failed'],
  ])('%s', (_what, gate, found, words) => {
    const problem = gateProblem(gate, found);
    if (words === null) expect(problem).toBeNull();
    else expect(problem?.message).toContain(words);
  });
});
