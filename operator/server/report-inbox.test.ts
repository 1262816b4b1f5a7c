import { setFlagsFromString } from 'node:v8';
import { runInNewContext } from 'node:vm';
import { describe, expect, it } from 'vitest';
import type { Report, World } from '../api/protocol.ts';
import { OperatorMetrics } from './metrics.ts';
import { type ReportChange, ReportInbox } from './report-inbox.ts';
import { checkpoint, report, TRAINING, worker, world } from './test-support.ts';

const PODS = ['vicuna-13b-g1-0', 'vicuna-13b-g1-1'] as const;

function setUp(published: World | null = world(1, [...PODS])) {
  const state = { now: 1_000_000, world: published };
  const inbox = new ReportInbox({ now: () => state.now, worldOf: () => state.world });
  const changes: ReportChange[] = [];
  const stop = inbox.onChange(TRAINING, (change) => changes.push(change));
  const receive = (changed: Partial<Report> = {}, pod: string = PODS[changed.rank ?? 0] ?? PODS[0]) => {
    const before = changes.length;
    inbox.receive(TRAINING, worker(pod), report(changed));
    return changes.slice(before).flatMap(({ reasons }) => reasons);
  };
  return { state, inbox, changes, stop, receive };
}

describe('the inbox of reports', () => {
  it('keeps the latest report of every pod', () => {
    const { inbox, receive, state } = setUp();
    receive({ step: 10 });
    state.now += 2_000;
    receive({ step: 12 });
    receive({ step: 12, rank: 1 });
    expect(inbox.get(TRAINING, PODS[0])).toMatchObject({ pod: PODS[0], receivedAt: 1_002_000, report: { step: 12 } });
    expect(inbox.list(TRAINING).map(({ pod }) => pod)).toEqual(PODS);
    expect(inbox.get(TRAINING, 'stranger')).toBeNull();
    expect(inbox.list('team-a/other')).toEqual([]);
  });

  it('tells for how long a pod has been silent', () => {
    const { inbox, receive, state } = setUp();
    receive();
    expect(inbox.silentSince(TRAINING, PODS[0], state.now + 7_000)).toBe(7_000);
    expect(inbox.silentSince(TRAINING, PODS[1], state.now)).toBeNull();
  });

  it('does not take a refused report for a sign of life', () => {
    const { inbox, receive, state } = setUp();
    receive({ step: 10 });
    state.now += 5_000;
    expect(() => receive({ step: 9 })).toThrow();
    expect(inbox.silentSince(TRAINING, PODS[0], state.now)).toBe(5_000);
    expect(inbox.get(TRAINING, PODS[0])?.report.step).toBe(10);
  });

  it('forgets a pod, and a training', () => {
    const { inbox, receive } = setUp();
    receive();
    receive({ rank: 1 });
    inbox.forget(TRAINING, PODS[0]);
    expect(inbox.list(TRAINING).map(({ pod }) => pod)).toEqual([PODS[1]]);
    inbox.forget(TRAINING);
    expect(inbox.list(TRAINING)).toEqual([]);
  });

  it('does not gather the pods of a long training', () => {
    const { inbox, receive, state } = setUp(null);
    for (let generation = 1; generation <= 100; generation++) {
      state.now += 5 * 60_000;
      receive({ generation }, `vicuna-13b-g${generation}-0`);
      receive({ generation, rank: 1 }, PODS[1]);
    }
    expect(inbox.list(TRAINING).map(({ pod }) => pod)).toEqual([PODS[1], 'vicuna-13b-g98-0', 'vicuna-13b-g99-0', 'vicuna-13b-g100-0']);
  });

  it('starts afresh with a new pod of an old name', () => {
    const { inbox, receive } = setUp();
    receive({ step: 50 });
    inbox.receive(TRAINING, { ...worker(PODS[0]), podUid: 'another' }, report({ step: 10 }));
    expect(inbox.get(TRAINING, PODS[0])?.report.step).toBe(10);
  });
});

describe('what the controller hears of at once', () => {
  it('hears of a new pod, and of no mere progress', () => {
    const { receive } = setUp();
    expect(receive({ step: 10 })).toEqual(['new pod']);
    expect(receive({ step: 20, loss: 1, tokensPerSecond: 3 })).toEqual([]);
  });

  it('hears of every change of state once', () => {
    const { receive } = setUp();
    expect(receive({ state: 'starting' })).toEqual(['new pod']);
    expect(receive({ state: 'running' })).toEqual(['state']);
    expect(receive({ state: 'stopped' })).toEqual(['state']);
    expect(receive({ state: 'stopped' })).toEqual([]);
    expect(receive({ state: 'failed', exitCode: 1, message: 'CUDA error' })).toEqual(['state', 'failure']);
    expect(receive({ state: 'failed', exitCode: 1, message: 'CUDA error' })).toEqual([]);
  });

  it("hears of a failure that is a pod's first word", () => {
    expect(setUp().receive({ state: 'failed', generation: 0, step: 0 })).toEqual(['new pod', 'failure']);
  });

  it('hears of a committed checkpoint once, whichever rank names it first', () => {
    const { receive } = setUp();
    receive();
    receive({ rank: 1 });
    expect(receive({ rank: 1, checkpoint: checkpoint(10) })).toEqual(['checkpoint']);
    expect(receive({ checkpoint: checkpoint(10) })).toEqual([]);
    expect(receive({ step: 20, checkpoint: checkpoint(20) })).toEqual(['checkpoint']);
    expect(receive({ rank: 1, step: 20, checkpoint: checkpoint(10) })).toEqual([]);
    expect(receive({ rank: 1, step: 20, checkpoint: checkpoint(20) })).toEqual([]);
  });

  it("takes a later generation's checkpoint for newer, also at a smaller step", () => {
    const { receive, state } = setUp();
    receive({ step: 90, checkpoint: checkpoint(90) });
    state.world = world(2, [...PODS]);
    expect(receive({ generation: 2, step: 60, checkpoint: checkpoint(60, 2) })).toEqual(['new generation', 'checkpoint']);
  });

  it('hears where a generation resumed', () => {
    const { receive, state } = setUp();
    receive({ resumedStep: 0 });
    expect(receive({ resumedStep: 0 })).toEqual([]);
    state.world = world(2, [...PODS]);
    expect(receive({ generation: 2, state: 'starting' })).toEqual(['new generation', 'state']);
    expect(receive({ generation: 2, resumedStep: 10 })).toEqual(['state', 'resumed']);
  });

  it('is told within receive, with the report already in place', () => {
    const { inbox } = setUp();
    let seen: number | undefined;
    inbox.onChange(TRAINING, ({ pod }) => {
      seen = inbox.get(TRAINING, pod)?.report.step;
    });
    inbox.receive(TRAINING, worker(PODS[0]), report({ step: 33 }));
    expect(seen).toBe(33);
  });

  it('hears nothing of other trainings, and nothing more once it has stopped', () => {
    const { inbox, changes, stop, receive } = setUp();
    inbox.receive('team-a/other', worker('other-g1-0'), report({ generation: 0, state: 'starting' }));
    expect(changes).toEqual([]);
    stop();
    expect(receive()).toEqual([]);
  });

  it('has metrics follow every accepted report', () => {
    const seen: number[] = [];
    const inbox = new ReportInbox({ now: () => 0, worldOf: () => null, onReport: (_training, { step }) => seen.push(step) });
    for (const step of [1, 2, 3]) inbox.receive(TRAINING, worker(PODS[0]), report({ step }));
    expect(() => inbox.receive(TRAINING, worker(PODS[0]), report({ step: 2 }))).toThrow();
    expect(seen).toEqual([1, 2, 3]);
  });
});

describe('reports that cannot be true', () => {
  const at = (generation: number) => world(generation, [...PODS]);
  const foreign = (uri: string) => ({ checkpoint: { ...checkpoint(10), uri } });

  it.each<[string, World | null, Partial<Report>, string, number, RegExp]>([
    ['an old generation', at(3), { generation: 2 }, 'OldGeneration', 409, /Generation 2 of team-a\/vicuna-13b is over.*ask for the world/],
    ['an old generation by a pod no longer a member', world(3, ['other']), { generation: 2 }, 'OldGeneration', 409, /is over/],
    ['a generation yet to come', at(3), { generation: 4 }, 'UnknownGeneration', 422, /no generation 4 yet/],
    ['training before the first world', at(1), { generation: 0 }, 'NotInWorld', 422, /wait for a world/],
    ['a pod that is not in the world', world(1, ['other']), {}, 'NotInWorld', 422, /not a member of generation 1/],
    ["another pod's rank", at(1), { rank: 1 }, 'WrongRank', 422, /has rank 0.*not 1/],
    ['a step beyond the end', at(1), { step: 101 }, 'StepBeyondEnd', 422, /Step 101 lies beyond the 100 steps/],
    ['a checkpoint elsewhere', at(1), foreign('s3://other/step-10'), 'ForeignCheckpoint', 422, /checkpoint\.storage/],
    ["a checkpoint in a neighbour's directory", at(1), foreign('s3://checkpoints/vicuna-13b-2/step-10'), 'ForeignCheckpoint', 422, /below/],
    ['a checkpoint that climbs out', at(1), foreign('s3://checkpoints/vicuna-13b/../other/step-10'), 'ForeignCheckpoint', 422, /below/],
    ['a checkpoint beyond the end', at(1), { checkpoint: checkpoint(101) }, 'ImpossibleCheckpoint', 422, /beyond its 100 steps/],
    ['a checkpoint of a later generation', at(1), { checkpoint: checkpoint(10, 2) }, 'ImpossibleCheckpoint', 422, /manifest/],
  ])('refuses %s', (_what, published, changes, code, status, sentence) => {
    const { inbox } = setUp(published);
    const receive = () => inbox.receive(TRAINING, worker(PODS[0]), report(changes));
    expect(receive).toThrow(expect.objectContaining({ code, status, message: expect.stringMatching(sentence) }));
    expect(inbox.list(TRAINING)).toEqual([]);
  });

  it('refuses a step that goes backwards within a generation, and only there', () => {
    const { receive, state } = setUp();
    receive({ step: 50 });
    expect(() => receive({ step: 49 })).toThrow(
      expect.objectContaining({
        code: 'StepWentBackwards',
        status: 422,
        message: expect.stringMatching(/was at step 50 and cannot be at step 49/),
      }),
    );
    receive({ step: 50 });
    state.world = at(2);
    receive({ generation: 2, state: 'starting', step: 50 });
    receive({ generation: 2, step: 40, resumedStep: 40 });
    expect(() => receive({ generation: 2, step: 39 })).toThrow(/step 40/);
  });

  it('takes a failure whatever its step, and still knows the step reached', () => {
    const { receive } = setUp();
    receive({ step: 50 });
    expect(receive({ state: 'failed', step: 0, exitCode: 1 })).toContain('failure');
    expect(() => receive({ step: 49 })).toThrow(/step 50/);
  });

  it('takes a replacement that announces itself while others train', () => {
    const { receive } = setUp(world(3, [...PODS]));
    expect(receive({ generation: 0, rank: 7, state: 'starting', step: 0 }, 'vicuna-13b-g4-1')).toEqual(['new pod']);
  });

  it('takes reports while a new leader has not published yet', () => {
    expect(setUp(null).receive({ generation: 5 })).toEqual(['new pod']);
  });

  it('takes a program that does not know its length', () => {
    expect(setUp().receive({ step: 5_000, totalSteps: 0, checkpoint: checkpoint(4_000) })).toEqual(['new pod', 'checkpoint']);
  });
});

describe('memory', () => {
  setFlagsFromString('--expose_gc');
  const collectGarbage: () => void = runInNewContext('gc');
  const heap = () => {
    collectGarbage();
    return process.memoryUsage().heapUsed;
  };

  it('does not grow over ten thousand reports', () => {
    const metrics = new OperatorMetrics({ now: () => 0 });
    const inbox = new ReportInbox({
      now: () => 0,
      worldOf: () => null,
      onReport: (training, latest) => metrics.reported(training, latest),
    });
    const receive = (from: number, to: number) => {
      for (let step = from; step < to; step++)
        inbox.receive(
          TRAINING,
          worker(PODS[0]),
          report({ step, totalSteps: 20_000, message: `step ${step}`, checkpoint: checkpoint(step) }),
        );
    };
    receive(0, 2_000); // compiled and warm
    const before = heap();
    receive(2_000, 12_000);
    expect(heap() - before).toBeLessThan(200_000); // 20 bytes a report
    expect(inbox.list(TRAINING)).toHaveLength(1);
  });
});
