import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { taskRunSchema } from '../api/task.ts';
import { cpuPool, TaskWorld } from './testing.ts';

const FIRST = 'chats-dataset-1';
const SECOND = 'chats-dataset-2';

describe('a task starts', () => {
  it('one pod, named by its attempt, in the cheapest spot pool', () => {
    const w = new TaskWorld([cpuPool('a', { price: { spot: 2, onDemand: 3 } }), cpuPool('b'), cpuPool('c', { capacity: 'onDemand' })]);
    const plan = w.step();
    expect(plan.create).toEqual({ name: FIRST, attempt: 1, pool: 'b' });
    expect(plan.placed).toMatchObject({ status: 'True', reason: 'Placed' });
    expect(w.run).toMatchObject({ phase: 'Starting', attempt: 1, pod: FIRST, pool: 'b', capacity: 'spot' });
  });

  it('not among GPUs that nobody named, and there when somebody did', () => {
    const gpus = cpuPool('gpus', { gpusPerNode: 8, price: { spot: 0.1, onDemand: 3 } });
    expect(new TaskWorld([gpus, cpuPool('b')]).step().create?.pool).toBe('b');
    const named = { capacity: 'auto', pools: { matchLabels: { team: 'x' } } } as const;
    expect(new TaskWorld([gpus], named).step().create?.pool).toBe('gpus');
  });

  it('on any node where there is no pool of CPU nodes, unless the spec asks for a kind of capacity', () => {
    const plan = new TaskWorld([]).step();
    expect(plan.create).toEqual({ name: FIRST, attempt: 1, pool: null });
    expect(plan.placed?.reason).toBe('AnyNode');
    expect(new TaskWorld([], { capacity: 'spot' }).step()).toMatchObject({ create: null, placed: { reason: 'NoMatchingPool' } });
  });

  it('on-demand when no spot pool has room', () => {
    const w = new TaskWorld([cpuPool('a', { freeSlots: 0 }), cpuPool('c', { capacity: 'onDemand' })]);
    expect(w.step().create?.pool).toBe('c');
  });

  it('not while something is missing, and says what', () => {
    const w = new TaskWorld();
    w.problem = { reason: 'DatasetNotReady', message: 'VicunaDataset chats is at 10/20' };
    const plan = w.step();
    expect(plan).toMatchObject({ create: null, placed: { status: 'False', ...w.problem } });
    expect(w.run.phase).toBe('Pending');
    expect(plan.wakeAt).toBeGreaterThan(w.now);
    w.problem = null;
    expect(w.step().create?.name).toBe(FIRST);
  });

  it('not twice, and not under another name when the operator died before the pod was made', () => {
    const w = new TaskWorld();
    w.step({ crash: true });
    expect(w.step().create).toEqual({ name: FIRST, attempt: 1, pool: 'spot-a' });
    expect(w.step().create).toBeNull();
  });

  it('elsewhere when the pool that was decided on is gone before the pod was made', () => {
    const w = new TaskWorld();
    w.step({ crash: true });
    w.pools = [cpuPool('spot-b')];
    expect(w.step().create).toEqual({ name: SECOND, attempt: 2, pool: 'spot-b' });
  });

  it('elsewhere when the scheduler finds no node, or the container does not start', () => {
    const w = new TaskWorld();
    w.step();
    w.set(FIRST, { unschedulable: '0/3 nodes are available' });
    w.now += 15_000;
    w.step();
    expect(w.events).toContain('NoCapacity');
    expect(w.run.totals?.interruptions).toBeUndefined();
    expect(w.step().create).toMatchObject({ name: SECOND });
  });

  it('and tells why its container does not', () => {
    const w = new TaskWorld();
    w.step();
    w.set(FIRST, { startProblem: 'ImagePullBackOff: no such image' });
    expect(w.step().running).toMatchObject({ reason: 'Starting', message: `waiting for pod ${FIRST}: ImagePullBackOff: no such image` });
    w.podRefusal = 'exceeded quota';
    w.pods.clear();
    expect(w.step().running?.message).toContain('exceeded quota');
  });
});

describe('a task that ends', () => {
  it('is complete with what its pod left behind, and stays so', () => {
    const w = new TaskWorld().running();
    w.end(FIRST, 0, '{"kept":3}');
    expect(w.step()).toMatchObject({ ending: { result: '{"kept":3}' }, create: null, remove: [] });
    expect(w.run.phase).toBe('Complete');
    const before = structuredClone(w.run);
    w.pods.clear();
    w.now += 3_600_000;
    expect(w.step()).toMatchObject({ ending: null, create: null });
    expect(w.run).toEqual(before);
  });

  it('is complete also when a pod ends well that had been given up', () => {
    const w = new TaskWorld().running();
    w.notice(FIRST);
    w.step();
    w.end(FIRST, 0, '{}');
    expect(w.step().ending).toEqual({ result: '{}' });
    expect(w.run.pod).toBe(FIRST);
  });

  it.each([
    [64, 'ConfigurationRefused'],
    [66, 'InputUnusable'],
  ])('with exit code %i has failed for good', (code, reason) => {
    const w = new TaskWorld().running();
    w.notice(FIRST);
    w.end(FIRST, code, 'no such file');
    expect(w.step().ending).toMatchObject({ reason, message: expect.stringContaining('no such file') });
    expect(w.run.phase).toBe('Failed');
    expect(w.step().create).toBeNull();
  });

  it('with any other error is tried again three times, later each time', () => {
    const w = new TaskWorld().running();
    const waits: number[] = [];
    for (let n = 1; n <= 3; n++) {
      w.end(`chats-dataset-${n}`, 74, 'storage failed');
      const plan = w.step();
      expect(plan.running?.reason).toBe('BackingOff');
      waits.push((plan.wakeAt ?? 0) - w.now);
      w.now = plan.wakeAt ?? 0;
      w.running();
    }
    expect(waits).toEqual([10_000, 20_000, 40_000]);
    w.end('chats-dataset-4', 1, 'again');
    expect(w.step().ending).toMatchObject({ reason: 'RetriesExhausted', message: expect.stringContaining('again') });
    expect(w.run.retries?.[0]?.count).toBe(4);
    expect(w.run.totals?.interruptions).toBeUndefined();
  });
});

describe('a task whose node goes', () => {
  it('stops at the notice, and starts again when the pod has ended: two never write at a time', () => {
    const w = new TaskWorld().running();
    w.notice(FIRST);
    const plan = w.step();
    expect(plan).toMatchObject({ create: null, remove: [{ name: FIRST }] });
    expect(w.run).toMatchObject({ phase: 'Waiting', totals: { interruptions: 1 } });
    w.step();
    expect(w.run.totals?.interruptions).toBe(1);
    w.end(FIRST, 143);
    expect(w.step().create?.name).toBe(SECOND);
    expect(w.run.retries).toBeUndefined();
  });

  it('starts again at once when nothing can run there any more', () => {
    const w = new TaskWorld().running();
    w.notice(FIRST, { lost: true, source: 'node-absent' });
    expect(w.step()).toMatchObject({ create: { name: SECOND }, remove: [{ name: FIRST, gracePeriodSeconds: 0 }] });
  });

  it('goes to any node when its pool is there no longer, and is then in none', () => {
    const w = new TaskWorld().running();
    w.notice(FIRST, { lost: true, source: 'node-absent' });
    w.pools = [];
    expect(w.step().create).toEqual({ name: SECOND, attempt: 2, pool: null });
    expect(w.run).not.toHaveProperty('pool');
    expect(w.run).not.toHaveProperty('capacity');
  });

  it('or whose pod vanishes, starts again', () => {
    const w = new TaskWorld().running();
    w.pods.clear();
    expect(w.step().create?.name).toBe(SECOND);
    expect(w.run.totals?.interruptions).toBe(1);
  });

  it('is not disturbed by what may happen', () => {
    const w = new TaskWorld().running();
    w.notice(FIRST, { advisory: true });
    expect(w.step()).toMatchObject({ create: null, remove: [] });
  });

  it('or that is told to stop by somebody else, starts again a little later', () => {
    const w = new TaskWorld().running();
    w.end(FIRST, 143);
    const plan = w.step();
    expect(plan.create).toBeNull();
    expect(plan.wakeAt).toBe(w.now + 5_000);
    expect(w.run.retries).toBeUndefined();
  });
});

describe('what a task reports', () => {
  const report = (done: number) => ({ stage: 'split', done, total: 100, unit: 'conversations', etaSeconds: 90 });

  it('reaches the status at most every 10 s', () => {
    const w = new TaskWorld().running();
    w.reports.set(FIRST, report(1));
    w.step();
    expect(w.run.progress).toMatchObject({ stage: 'split', done: 1, total: 100, display: '1/100', eta: '90s' });
    w.reports.set(FIRST, report(2));
    w.now += 9_000;
    w.step();
    expect(w.run.progress?.done).toBe(1);
    w.now += 1_000;
    const plan = w.step();
    expect(w.run.progress?.done).toBe(2);
    expect(plan.wakeAt).toBe(w.now + 10_000);
  });

  it('is done when the pod has ended well, though its last report was a little before', () => {
    const w = new TaskWorld().running();
    w.reports.set(FIRST, report(99));
    w.end(FIRST, 0, '{}');
    w.step();
    expect(w.run.progress).toMatchObject({ done: 100, total: 100, display: '100/100' });
    expect(w.run.progress).not.toHaveProperty('eta');
  });

  it('of another pod than the present one is not its progress', () => {
    const w = new TaskWorld().running();
    w.reports.set('chats-dataset-9', report(50));
    w.now += 60_000;
    w.step();
    expect(w.run.progress).toBeUndefined();
  });
});

describe('what a task costs', () => {
  it('is its share of its node at the pool’s price, and what on-demand would have cost', () => {
    const w = new TaskWorld().running();
    w.set(FIRST, { share: 0.5 });
    w.now += 3_600_000;
    w.step();
    expect(w.run.totals).toMatchObject({ cost: '0.50', onDemandCost: '1.50', savedPercent: '67%' });
  });

  it('is counted until the pod ends, and not while none is there', () => {
    const w = new TaskWorld().running();
    w.now += 3_600_000;
    w.end(FIRST, 1);
    w.step();
    expect(w.run.totals?.cost).toBe('1.00');
    w.pools = [];
    w.placement = { capacity: 'spot' };
    w.now += 3_600_000;
    w.step();
    w.pools = [cpuPool('spot-a')];
    w.running();
    expect(w.run.totals?.cost).toBe('1.00');
  });

  it('is not known on nodes outside of pools', () => {
    const w = new TaskWorld([]).running();
    w.now += 3_600_000;
    w.step();
    expect(w.run.totals?.cost).toBe('0.00');
  });
});

type Happening = 'start' | 'succeed' | 'fail' | 'notice' | 'lose' | 'vanish' | 'stop' | 'unschedulable' | 'ends' | 'wait';
const happening = fc.constantFrom<Happening>('start', 'start', 'fail', 'notice', 'lose', 'vanish', 'stop', 'unschedulable', 'ends', 'wait');

describe('whatever happens, and wherever the operator dies', () => {
  it('one pod at most is at work, nothing is counted twice, and the task comes to an end', () => {
    fc.assert(
      fc.property(fc.array(fc.record({ happening, crash: fc.boolean(), seconds: fc.nat(30) }), { maxLength: 40 }), (story) => {
        const w = new TaskWorld();
        let failures = 0;
        const names = new Set<string>();
        const look = (crash: boolean) => {
          const plan = w.step({ crash });
          const working = [...w.pods.values()].filter((p) => p.phase === 'Running' && !p.interruption?.lost);
          expect(working.length).toBeLessThanOrEqual(1);
          if (plan.create && !crash) names.add(plan.create.name);
          expect(taskRunSchema.safeParse(JSON.parse(JSON.stringify(w.run))).error?.issues ?? []).toEqual([]);
        };
        for (const { happening: what, crash, seconds } of story) {
          look(crash);
          const name = w.run.pod ?? '';
          const pod = w.pods.get(name);
          if (what === 'ends') {
            // What was told to end does.
            for (const p of w.pods.values()) if (p.terminating) w.pods.delete(p.name);
          } else if (what === 'wait') w.now += 600_000;
          else if (pod && !pod.terminating && pod.interruption === null) {
            if (what === 'start' && pod.phase === 'Pending') w.start(name);
            else if (what === 'fail' && pod.phase === 'Running') {
              w.end(name, 1, 'oh');
              failures++;
            } else if (what === 'notice' && pod.phase === 'Running') w.notice(name);
            else if (what === 'lose' && pod.phase === 'Running') w.notice(name, { lost: true, source: 'node-absent' });
            else if (what === 'vanish' && w.run.phase === 'Running') w.pods.delete(name);
            else if (what === 'stop' && pod.phase === 'Running') w.end(name, 143);
            else if (what === 'unschedulable' && pod.phase === 'Pending') w.set(name, { unschedulable: 'no node' });
          }
          w.now += seconds * 1000;
        }
        // Quiet from here on.
        for (let i = 0; i < 60 && w.run.phase !== 'Complete' && w.run.phase !== 'Failed'; i++) {
          look(false);
          for (const p of w.pods.values()) if (p.terminating) w.pods.delete(p.name);
          const pod = w.pods.get(w.run.pod ?? '');
          if (pod?.phase === 'Pending') w.start(pod.name);
          else if (pod?.phase === 'Running' && pod.interruption === null) w.end(pod.name, 0, '{}');
          w.now += 20_000;
        }
        expect(w.run.phase === 'Complete' || failures > 3).toBe(true);
        expect(w.run.retries?.[0]?.count ?? 0).toBe(failures);
        expect(w.run.attempt).toBeGreaterThanOrEqual(names.size);
        expect(w.ending).not.toBeNull();
      }),
      { numRuns: 300 },
    );
  });
});
