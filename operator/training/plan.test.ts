import { describe, expect, it } from 'vitest';
import { checkpointAt, pool, START, World } from './testing.ts';

describe('start', () => {
  it('names pods by generation and rank', () => {
    const w = new World();
    const plan = w.step();
    expect(plan.create.map((p) => p.name)).toEqual(['demo-g1-0', 'demo-g1-1']);
    expect(plan.status.generation).toBe(1);
    expect(plan.status.next?.members).toEqual([
      { rank: 0, pod: 'demo-g1-0' },
      { rank: 1, pod: 'demo-g1-1' },
    ]);
    expect(plan.world).toBeNull();
  });

  it('uses pods that a dead operator has made and not written down', () => {
    const w = new World({}, [pool('aws-a', { price: { spot: 0.5, onDemand: 3 } }), pool('gcp-a')]);
    w.step();
    for (const name of w.pods.keys()) w.set(name, { pool: 'gcp-a', node: `node-of-${name}` });
    delete w.training.status;
    const plan = w.step();
    expect(plan.create).toEqual([]);
    expect(plan.remove).toEqual([]);
    expect(plan.status.next).toMatchObject({ generation: 2, pool: 'gcp-a', members: [{ pod: 'demo-g1-0' }, { pod: 'demo-g1-1' }] });
  });

  it('makes new pods in place of those that a dead operator has made and that have no node', () => {
    const w = new World();
    w.step();
    w.pods.delete('demo-g1-1');
    delete w.training.status;
    const plan = w.step();
    expect(plan.create.map((p) => p.name)).toEqual(['demo-g2-0', 'demo-g2-1']);
    expect(plan.remove.map((p) => p.name)).toEqual(['demo-g1-0']);
  });

  it('goes on from an earlier training’s checkpoint, in generations after its, until it has one of its own', () => {
    const checkpoint = { storage: 'pvc://shared/demo/', interval: '10steps', keep: 3, resumeFrom: 'step-00000400-g3' };
    const w = new World({ checkpoint });
    const resume = { step: 400, uri: 'file:///mnt/claims/shared/demo/step-00000400-g3' };
    expect(w.step().create.map((p) => p.name)).toEqual(['demo-g4-0', 'demo-g4-1']);
    w.start('demo-g4-0', 'demo-g4-1');
    expect(w.step().world).toMatchObject({ generation: 4, resume });
    w.lose('demo-g4-1');
    w.step();
    w.start('demo-g5-1');
    expect(w.step().world).toMatchObject({ generation: 5, resume });
    const own = { ...checkpointAt(410, w.now), generation: 5 };
    w.report('demo-g4-0', { step: 412, resumedStep: 400, checkpoint: own });
    w.lose('demo-g5-1');
    w.step();
    w.start('demo-g6-1');
    expect(w.step().world).toMatchObject({ generation: 6, resume: { step: 410, uri: own.uri } });
  });

  it('groups the new pods of a generation, also the ones made before, and lets the group go when they run', () => {
    const w = new World();
    expect(w.step().group).toEqual({ name: 'demo-g1', minCount: 2 });
    expect(w.events).toContain('Placed');
    w.pods.delete('demo-g1-1');
    expect(w.step().group).toEqual({ name: 'demo-g1', minCount: 2 });
    w.start('demo-g1-0', 'demo-g1-1');
    expect(w.step()).toMatchObject({ group: null, doneGroup: 'demo-g1' });
    w.report('demo-g1-0', { step: 5, resumedStep: 0 });
    w.lose('demo-g1-1');
    // One pod is no gang.
    expect(w.step()).toMatchObject({ group: null, doneGroup: null });
  });

  it('publishes a world only when the whole gang runs', () => {
    const w = new World();
    w.step();
    w.start('demo-g1-0');
    expect(w.step().world).toBeNull();
    w.start('demo-g1-1');
    const plan = w.step();
    expect(plan.world).toMatchObject({ generation: 1, directive: 'run', resume: null });
    expect(plan.world?.members).toHaveLength(2);
    expect(plan.publishAfterStatus).toBe(true);
    expect(w.status.phase).toBe('Running');
  });

  it('creates a missing pod of the forming world again, and nothing twice', () => {
    const w = new World();
    w.step();
    w.pods.delete('demo-g1-1');
    expect(w.step().create.map((p) => p.name)).toEqual(['demo-g1-1']);
    expect(w.step().create).toEqual([]);
    expect(w.status.generation).toBe(1);
  });

  it('gives the gang up at its ready deadline, tries another pool and says so', () => {
    const w = new World({ workers: { min: 2, max: 2, gpusPerWorker: 1, image: 'x', readyDeadline: '2m' } });
    w.step();
    const first = w.status.pool;
    w.start('demo-g1-0');
    w.now += 121_000;
    w.step();
    expect(w.events).toContain('NoCapacity');
    expect(w.status.pool).not.toBe(first);
    expect([...w.pods.values()].every((p) => p.pool !== first)).toBe(true);
    expect(w.status.generation).toBe(2);
  });

  it('waits and says why when no pool has room', () => {
    const w = new World({}, [pool('aws-a', { freeSlots: 0 })]);
    const plan = w.step();
    expect(plan.create).toEqual([]);
    expect(w.status.phase).toBe('Waiting');
    expect(w.condition('Placed')).toMatchObject({ status: 'False' });
    expect(w.condition('Placed')?.message).toContain('aws-a');
    expect(plan.wakeAt).toBeGreaterThan(w.now);
  });

  it('starts smaller, down to min, when no pool holds max', () => {
    const w = new World({ workers: { min: 1, max: 2, gpusPerWorker: 1, image: 'x' } }, [pool('aws-a', { freeSlots: 1 })]);
    expect(w.step().create).toHaveLength(1);
  });

  it('says what the API server has against its pods', () => {
    const w = new World();
    w.step();
    w.podRefusal = 'pods "demo-g1-0" is forbidden: exceeded quota';
    w.pods.clear();
    w.step();
    expect(w.condition('Running')?.message).toContain(
      'the API server refuses the worker pods: pods "demo-g1-0" is forbidden: exceeded quota',
    );
  });

  it('shows a deadline that has passed', () => {
    const w = new World({ placement: { capacity: 'auto', deadline: '2025-12-31T00:00:00Z' } }).running();
    expect(w.condition('Placed')?.message).toContain('has passed');
  });

  it('starts nothing while a Secret is missing', () => {
    const w = new World();
    w.problem = { reason: 'MissingSecret', message: 'Secret "s3" does not exist' };
    expect(w.step().create).toEqual([]);
    expect(w.status.phase).toBe('Pending');
    expect(w.condition('Placed')?.reason).toBe('MissingSecret');
  });
});

describe('an interruption with notice', () => {
  it('asks every member to save at once, and for a replacement before the node goes', () => {
    const w = new World().running();
    w.notice('demo-g1-1', 60);
    const plan = w.step();
    expect(plan.world).toMatchObject({ generation: 1, directive: 'checkpoint' });
    expect(plan.publishAfterStatus).toBe(false);
    expect(plan.create.map((p) => p.name)).toEqual(['demo-g2-1']);
    expect(w.status.phase).toBe('Interrupted');
    expect(w.status.interruptions).toHaveLength(1);
    expect(w.events).toContain('Interrupted');
  });

  it('trains on until the replacement is ready, stops, switches and loses nothing', () => {
    const w = new World().running(20, 10);
    w.notice('demo-g1-1', 60);
    w.step();
    for (const pod of ['demo-g1-0', 'demo-g1-1']) w.report(pod, { step: 21, checkpoint: checkpointAt(21, w.now + 500) });
    w.now += 600;
    expect(w.step().world?.directive).toBe('checkpoint');
    expect(w.status.checkpoint?.step).toBe(21);
    w.start('demo-g2-1');
    w.report('demo-g2-1', { generation: 0, state: 'starting', step: 0 });
    w.now += 4_000;
    expect(w.step().world).toMatchObject({ generation: 1, directive: 'stop' });
    for (const pod of ['demo-g1-0', 'demo-g1-1']) w.report(pod, { state: 'stopped', step: 30, checkpoint: checkpointAt(30, w.now + 400) });
    w.now += 500;
    const plan = w.step();
    expect(plan.world).toMatchObject({ generation: 2, directive: 'run', resume: { step: 30 } });
    expect(plan.world?.members.map((m) => m.pod)).toEqual(['demo-g1-0', 'demo-g2-1']);
    expect(plan.remove.map((p) => p.name)).toEqual(['demo-g1-1']);
    for (const pod of ['demo-g1-0', 'demo-g2-1']) w.report(pod, { step: 30, resumedStep: 30 });
    w.now += 3_000;
    w.step();
    expect(w.status.interruptions?.[0]).toMatchObject({ lostSteps: 0, resumedStep: 30, checkpointStep: 30 });
    expect(w.status.totals).toMatchObject({ interruptions: 1, lostSteps: 0 });
    expect(w.events).toContain('Resumed');
    expect(w.status.phase).toBe('Running');
  });

  it('stops in time for the last save when no replacement comes', () => {
    const w = new World({}, [pool('aws-a', { freeSlots: 2 })]).running();
    w.pools = [pool('aws-a', { freeSlots: 0 })];
    w.notice('demo-g1-1', 30);
    const plan = w.step();
    expect(plan.world?.directive).toBe('checkpoint');
    expect(plan.wakeAt).toBeLessThanOrEqual(w.now + 25_000);
    w.now += 25_500;
    expect(w.step().world?.directive).toBe('stop');
  });

  it('handles a second notice while the first is under way', () => {
    const w = new World({}, [pool('aws-a', { freeSlots: 2 })]).running();
    w.notice('demo-g1-1', 60);
    w.step();
    w.start('demo-g2-1');
    w.notice('demo-g2-1', 60);
    w.now += 1_000;
    const plan = w.step();
    expect(plan.create.map((p) => p.name)).toEqual(['demo-g3-1']);
    expect(plan.remove.map((p) => p.name)).toEqual(['demo-g2-1']);
    expect(w.status.interruptions).toHaveLength(2);
  });

  it('counts two nodes at once as two interruptions, and their lost steps once', () => {
    const w = new World({}, [pool('aws-a', { freeSlots: 4 })]).running(25, 20);
    w.lose('demo-g1-0');
    w.lose('demo-g1-1');
    w.step();
    w.start('demo-g2-0', 'demo-g2-1');
    w.step();
    for (const pod of ['demo-g2-0', 'demo-g2-1']) w.report(pod, { step: 20, resumedStep: 20 });
    w.step();
    expect(w.status.totals).toMatchObject({ interruptions: 2, lostSteps: 5 });
  });
});

describe('a node that goes without notice', () => {
  it('keeps the survivor, replaces the lost member and resumes at the last committed step', () => {
    const w = new World().running(25, 20);
    w.lose('demo-g1-1');
    const plan = w.step();
    expect(plan.create.map((p) => p.name)).toEqual(['demo-g2-1']);
    w.start('demo-g2-1');
    const next = w.step();
    expect(next.world).toMatchObject({ generation: 2, resume: { step: 20 } });
    expect(next.world?.members.map((m) => m.pod)).toEqual(['demo-g1-0', 'demo-g2-1']);
    expect(next.remove).toMatchObject([{ name: 'demo-g1-1', gracePeriodSeconds: 0 }]);
  });

  it('shrinks to the survivors when there is no room, and grows again when there is', () => {
    const w = new World({ workers: { min: 1, max: 2, gpusPerWorker: 1, image: 'x' } }).running(25, 20);
    w.pools = [pool('aws-a', { freeSlots: 0 }), pool('gcp-a', { freeSlots: 0 })];
    w.lose('demo-g1-0');
    w.step();
    expect(w.status.world).toMatchObject({ generation: 2, members: [{ rank: 0, pod: 'demo-g1-1' }] });
    w.report('demo-g1-1', { step: 20, resumedStep: 20 });
    w.pools = [pool('aws-a', { freeSlots: 1 })];
    w.now += 61_000;
    const plan = w.step();
    expect(plan.create.map((p) => p.name)).toEqual(['demo-g3-1']);
    expect(plan.world?.directive).toBe('run');
  });

  it('takes a member that stays silent while its peer fails for lost, and charges no error', () => {
    const w = new World().running(25, 20);
    w.now += 8_000;
    w.report('demo-g1-0', { state: 'failed', step: 25, exitCode: 1, message: 'connection reset by peer' });
    w.step();
    expect(w.status.interruptions).toHaveLength(1);
    expect(w.status.next?.members.map((m) => m.pod)).toEqual(['demo-g1-0', 'demo-g2-1']);
    expect(w.status.retries ?? []).toEqual([]);
  });

  it('moves the whole gang when its pool has no room and min is not reached', () => {
    const w = new World().running(25, 20);
    const from = w.status.pool ?? '';
    const to = from === 'aws-a' ? 'gcp-a' : 'aws-a';
    w.pools = [pool(from, { freeSlots: 0 }), pool(to, { freeSlots: 2 })];
    w.lose('demo-g1-1');
    w.step();
    expect(w.status.pool).toBe(to);
    expect(w.status.next?.members.map((m) => m.pod)).toEqual(['demo-g2-0', 'demo-g2-1']);
    expect(w.events).toContain('Moved');
  });
});

describe('a move back to spot', () => {
  const onDemand = pool('od', { capacity: 'onDemand', price: { spot: null, onDemand: 3 }, freeSlots: 2 });

  function onDemandRun(): World {
    const w = new World({}, [onDemand, pool('aws-a', { freeSlots: 0 })]).running(20, 20);
    w.now += 11_000;
    for (const p of w.pods.keys()) w.report(p, { step: 21, resumedStep: 0, stepSeconds: 60 });
    w.step();
    return w;
  }

  it('is made when what is left to save is well above what it costs, before the old world is stopped', () => {
    const w = onDemandRun();
    w.pools = [onDemand, pool('aws-a', { freeSlots: 2 })];
    w.now += 1_000;
    const plan = w.step();
    expect(w.status.next).toMatchObject({ reason: 'move', pool: 'aws-a', capacity: 'spot' });
    expect(plan.world?.directive).toBe('run');
    expect(w.pods.size).toBe(4);
  });

  it('is not made for the last few steps, nor before the world has resumed', () => {
    const late = onDemandRun();
    late.now += 11_000;
    late.report('demo-g1-0', { step: 99, resumedStep: 0, stepSeconds: 1 });
    late.step();
    late.pools = [onDemand, pool('aws-a', { freeSlots: 2 })];
    expect(late.step().status.next).toBeUndefined();
    const early = onDemandRun();
    for (const p of early.pods.keys()) early.report(p, { state: 'starting', step: 0 });
    early.pools = [onDemand, pool('aws-a', { freeSlots: 2 })];
    expect(early.step().status.next).toBeUndefined();
  });
});

describe("a program's own failure", () => {
  it('is charged once everyone has had time to speak, and restarts in place after a back-off', () => {
    const w = new World().running(25, 20);
    w.report('demo-g1-0', { state: 'failed', step: 25, exitCode: 2, message: 'ValueError' });
    expect(w.step().status.next).toBeUndefined();
    w.now += 6_100;
    w.report('demo-g1-1', { step: 25 });
    w.step();
    expect(w.status.next).toMatchObject({ reason: 'error', generation: 2 });
    expect(w.status.next?.members.map((m) => m.pod)).toEqual(['demo-g1-0', 'demo-g1-1']);
    expect(w.status.world?.generation).toBe(1);
    w.now += 60_000;
    w.step();
    expect(w.status.world?.generation).toBe(2);
  });

  it('is charged once, whatever becomes of the world that follows', () => {
    const w = new World().running(25, 20);
    w.report('demo-g1-0', { state: 'failed', step: 25, exitCode: 2, message: 'ValueError' });
    w.now += 6_100;
    w.report('demo-g1-1', { step: 25 });
    w.step();
    w.notice('demo-g1-1', 60);
    for (let i = 0; i < 5; i++) {
      w.now += 1_000;
      w.step();
    }
    expect(w.status.retries).toMatchObject([{ cause: 'error', count: 1 }]);
    expect(w.status.phase).not.toBe('Failed');
  });

  it('is not what a lost peer is: the gang starts again and nothing is charged', () => {
    const w = new World({ retry: [{ causes: ['error'], limit: 0, window: '1h' }] }).running(25, 20);
    w.report('demo-g1-0', { state: 'failed', step: 25, exitCode: 69, message: 'A peer was lost' });
    w.now += 6_100;
    w.report('demo-g1-1', { state: 'failed', step: 25, exitCode: 69, message: 'A peer was lost' });
    w.step();
    w.now += 3_000;
    w.step();
    expect(w.status.phase).not.toBe('Failed');
    expect(w.status.retries ?? []).toEqual([]);
    expect(w.status.world?.generation).toBe(2);
  });

  it('ends the training at once when its configuration cannot work, unless the spec says otherwise', () => {
    const failed = (spec: object) => {
      const w = new World({ ...spec });
      w.step();
      w.start('demo-g1-0', 'demo-g1-1');
      w.step();
      w.report('demo-g1-0', { state: 'failed', step: 0, exitCode: 64, message: 'the storage holds checkpoints of an earlier training' });
      w.now += 6_100;
      w.report('demo-g1-1', { state: 'starting', step: 0 });
      w.step();
      return w;
    };
    expect(failed({}).condition('Failed')?.message).toMatch(/an earlier training.*: mend the cause and create the training again$/);
    expect(failed({ retry: [{ causes: ['error'], limit: 1 }] }).status.phase).not.toBe('Failed');
  });

  it('names the last checkpoint of a program that has names of its own for them', () => {
    const w = new World({ retry: [{ causes: ['error'], limit: 0 }] }).running(25);
    const checkpoint = { ...checkpointAt(20, w.now), uri: 's3://ckpt/demo/out/checkpoint-20' };
    w.report('demo-g1-0', { state: 'failed', step: 25, exitCode: 1, message: 'x', checkpoint });
    w.now += 6_100;
    w.report('demo-g1-1', { step: 25 });
    w.step();
    expect(w.condition('Failed')?.message).toMatch(
      /create the training again; the last checkpoint is s3:\/\/ckpt\/demo\/out\/checkpoint-20$/,
    );
  });

  it('ends the training when the budget is used up, with the program’s last words', () => {
    const w = new World({ retry: [{ causes: ['error'], limit: 0, window: '1h' }] }).running(25, 20);
    w.report('demo-g1-0', { state: 'failed', step: 25, exitCode: 65, message: 'loss is not finite at step 25' });
    w.now += 6_100;
    w.report('demo-g1-1', { step: 25 });
    w.step();
    expect(w.status.phase).toBe('Failed');
    expect(w.condition('Failed')).toMatchObject({ status: 'True' });
    expect(w.condition('Failed')?.message).toContain('loss is not finite');
    expect(w.condition('Failed')?.message).toMatch(
      /mend the cause and create the training again with checkpoint\.resumeFrom: step-\d{8}-g\d+$/,
    );
  });

  it('is also a resume at another step than told', () => {
    const w = new World({ retry: [{ causes: ['error'], limit: 0, window: '1h' }] }).running(25, 20);
    w.lose('demo-g1-1');
    w.step();
    w.start('demo-g2-1');
    w.step();
    w.report('demo-g1-0', { step: 10, resumedStep: 10 });
    w.step();
    expect(w.condition('Failed')?.message).toMatch(/resumed at step 10, but was told step 20/);
  });
});

describe('survivors', () => {
  it('are joined by a new worker where they are, when the pool that was tried instead has failed them', () => {
    const w = new World().running(25, 20);
    const [home, other] = [w.status.pool, w.status.pool === 'aws-a' ? 'gcp-a' : 'aws-a'];
    w.pools = [pool(home ?? '', { freeSlots: 0 }), pool(other)];
    w.lose('demo-g1-1');
    w.step();
    expect(w.status.pool).toBe(other);
    // The other pool does not deliver; meanwhile a new node has come to the old one.
    w.now += 601_000;
    w.pools = [pool(home ?? '', { freeSlots: 1 }), pool(other, { freeSlots: 0 })];
    const plan = w.step();
    expect(plan.status.next).toMatchObject({
      pool: home,
      members: [
        { rank: 0, pod: 'demo-g1-0' },
        { rank: 1, pod: 'demo-g3-1' },
      ],
    });
    expect(plan.create.map((p) => p.name)).toEqual(['demo-g3-1']);
  });
});

describe('a world that was told to stop', () => {
  it('is not told to run again while its replacement is awaited', () => {
    const w = new World({}, [pool('aws-a', { freeSlots: 0 })]);
    w.pools = [pool('aws-a')];
    w.running(25, 20);
    w.pools = [pool('aws-a', { freeSlots: 0 })];
    w.notice('demo-g1-1', 10);
    w.now += 6_000;
    expect(w.step().world?.directive).toBe('stop');
    for (const pod of ['demo-g1-0', 'demo-g1-1']) w.report(pod, { state: 'stopped', step: 26, checkpoint: checkpointAt(26, w.now) });
    expect(w.step().world?.directive).toBe('stop');
    expect(w.status.phase).toBe('Waiting');
  });
});

describe('budgets by cause', () => {
  const onDemand = () => [pool('aws-a', { capacity: 'onDemand' }), pool('gcp-a', { capacity: 'onDemand' })];

  it('end a training that finds no capacity for longer than its rule allows, not before', () => {
    const w = new World({ retry: [{ causes: ['capacity'], for: '1h' }] }, [pool('aws-a', { freeSlots: 0 })]);
    expect(w.step().wakeAt).toBeLessThanOrEqual(w.now + 3_600_001);
    w.now += 3_599_000;
    w.step();
    expect(w.status.phase).toBe('Waiting');
    w.now += 2_000;
    w.step();
    expect(w.condition('Failed')?.message).toContain('without capacity for longer than 60 min');
  });

  it('count each search for capacity from its own beginning', () => {
    const w = new World({ retry: [{ causes: ['capacity'], for: '1h' }] }, [pool('aws-a', { freeSlots: 0 })]);
    w.step();
    w.now += 3_000_000;
    w.pools = [pool('aws-a')];
    w.running(25, 20);
    w.pools = [pool('aws-a', { freeSlots: 0 })];
    w.lose('demo-g1-0');
    w.lose('demo-g1-1');
    w.step();
    w.now += 3_000_000;
    w.step();
    expect(w.status.phase).toBe('Waiting');
  });

  it('count launches without capacity', () => {
    const w = new World({ retry: [{ causes: ['capacity'], limit: 1 }] });
    for (let launch = 0; launch < 2; launch++) {
      w.step();
      w.now += 601_000;
    }
    w.step();
    expect(w.condition('Failed')?.message).toContain('2 launches without capacity, and 1 is allowed');
  });

  it('take a node that dies without a word for a bad one where nodes are not taken back', () => {
    const w = new World({ retry: [{ causes: ['node'], limit: 0 }], placement: { capacity: 'onDemand' } }, onDemand()).running(25, 20);
    w.lose('demo-g1-1');
    w.step();
    expect(w.condition('Failed')?.message).toContain('bad node');
  });

  it('charge a spot node that vanishes as an interruption, which is unlimited unless told', () => {
    const bad = new World({ retry: [{ causes: ['node'], limit: 0 }] }).running(25, 20);
    bad.lose('demo-g1-1');
    bad.step();
    expect(bad.status.phase).not.toBe('Failed');
    expect(bad.status.retries ?? []).toEqual([]);
    const few = new World({ retry: [{ causes: ['interruption'], limit: 0 }] }).running(25, 20);
    few.lose('demo-g1-1');
    few.step();
    expect(few.condition('Failed')?.message).toContain('1 interruption, and 0 are allowed');
  });
});

describe('a budget in dollars', () => {
  it('stops the training with a save when it is spent, and lets it go on from there when it is raised', () => {
    const w = new World({ placement: { budget: '1' } }).running(25, 20);
    // Two workers at $1 an hour each: half an hour.
    expect(w.step().wakeAt).toBeLessThanOrEqual(w.now + 1_800_000);
    w.now += 1_800_000;
    expect(w.step().world?.directive).toBe('stop');
    for (const pod of ['demo-g1-0', 'demo-g1-1']) w.report(pod, { state: 'stopped', step: 99, checkpoint: checkpointAt(99, w.now) });
    w.step();
    w.step();
    expect(w.pods.size).toBe(0);
    expect(w.status.phase).toBe('Waiting');
    expect(w.condition('Placed')).toMatchObject({ status: 'False', reason: 'BudgetSpent' });
    expect(w.condition('Placed')?.message).toContain('raise it to go on from step 99');
    expect(w.events.filter((e) => e === 'BudgetSpent')).toHaveLength(1);
    w.training.spec.placement.budget = '5';
    w.step();
    w.start(...w.pods.keys());
    expect(w.step().world?.resume?.step).toBe(99);
  });
});

describe('suspend', () => {
  it('saves first, frees the nodes, and resumes from there', () => {
    const w = new World().running(25, 20);
    w.training.spec.suspend = true;
    expect(w.step().world?.directive).toBe('stop');
    expect(w.pods.size).toBe(2);
    for (const pod of ['demo-g1-0', 'demo-g1-1']) w.report(pod, { state: 'stopped', step: 26, checkpoint: checkpointAt(26, w.now) });
    expect(w.step().remove).toHaveLength(2);
    w.step();
    expect(w.condition('Suspended')?.status).toBe('True');
    expect(w.status.phase).toBe('Suspended');
    w.training.spec.suspend = false;
    w.step();
    w.start('demo-g2-0', 'demo-g2-1');
    expect(w.step().world).toMatchObject({ generation: 2, resume: { step: 26 } });
    expect(w.condition('Suspended')?.status).toBe('False');
  });

  it('does not wait for workers that cannot answer longer than its deadline', () => {
    const w = new World().running(25, 20);
    w.training.spec.suspend = true;
    w.step();
    w.now += 61_000;
    expect(w.step().remove).toHaveLength(2);
  });

  it('makes nothing when the training is created suspended, as Kueue does', () => {
    const w = new World({ suspend: true });
    expect(w.step().create).toEqual([]);
    expect(w.condition('Suspended')?.status).toBe('True');
  });
});

describe('the end', () => {
  it('is reached when rank 0 has finished; later plans change nothing', () => {
    const w = new World().running(99, 90);
    for (const pod of ['demo-g1-0', 'demo-g1-1']) w.report(pod, { state: 'succeeded', step: 100, checkpoint: checkpointAt(100, w.now) });
    w.step();
    expect(w.status).toMatchObject({ phase: 'Complete', checkpoint: { step: 100 }, progress: { step: 100 } });
    expect(w.condition('Complete')?.status).toBe('True');
    const before = structuredClone(w.status);
    w.now += 1_000;
    w.step();
    expect(w.status).toEqual(before);
  });

  it('removes the training after its ttl', () => {
    const w = new World({ ttlAfterFinished: '1h' }).running(99, 90);
    w.report('demo-g1-0', { state: 'succeeded', step: 100 });
    w.step();
    w.now += 3_599_000;
    w.step();
    expect(w.deleted).toBe(false);
    w.now += 2_000;
    w.step();
    expect(w.deleted).toBe(true);
  });

  it('saves a last time at deletion when asked, then lets the object go', () => {
    const w = new World({ checkpoint: { storage: 's3://ckpt/demo', interval: '10steps', keep: 3, finalSaveOnDelete: true } }).running(
      25,
      20,
    );
    expect(w.training.metadata.finalizers).toEqual(['vicuna.run/final-save']);
    w.training.metadata.deletionTimestamp = new Date(w.now) as never;
    expect(w.step().world?.directive).toBe('stop');
    for (const pod of ['demo-g1-0', 'demo-g1-1']) w.report(pod, { state: 'stopped', step: 26, checkpoint: checkpointAt(26, w.now) });
    expect(w.step().finalizer).toBe('remove');
  });
});

describe('another manager', () => {
  it('leaves a training alone that spec.managedBy gives to somebody else', () => {
    const w = new World({ managedBy: 'kueue.x-k8s.io/multikueue' });
    const plan = w.step();
    expect(plan.create).toEqual([]);
    expect(plan.world).toBeNull();
  });
});

describe('a restarted operator', () => {
  it('plans the same from the status alone, and publishes the same revision', () => {
    const w = new World().running(25, 20);
    const revision = w.step().world?.revision;
    w.reports.clear();
    w.listeningSince = w.now;
    const plan = w.step();
    expect(plan.world?.revision).toBe(revision);
    expect(plan.create).toEqual([]);
    expect(plan.remove).toEqual([]);
  });

  it('does not take missing reports for silence before it has listened long enough', () => {
    const w = new World().running(25, 20);
    w.reports.clear();
    w.listeningSince = w.now;
    w.report('demo-g1-0', { state: 'failed', step: 25, exitCode: 1, message: 'x' });
    w.step();
    expect(w.status.interruptions ?? []).toEqual([]);
  });
});

it('keeps the last loss on the validation data, also after a restart that has not measured it yet', () => {
  const w = new World().running(20, 10);
  w.report('demo-g1-0', { step: 30, validation: { step: 25, loss: 1.5 } });
  w.now += 20_000;
  w.step();
  expect(w.status.progress).toMatchObject({ step: 30, validationLoss: 1.5, validationStep: 25 });
  w.report('demo-g1-0', { step: 31 });
  w.now += 20_000;
  w.step();
  expect(w.status.progress).toMatchObject({ step: 31, validationLoss: 1.5, validationStep: 25 });
});

it('writes progress at most every 10 s, a checkpoint at once', () => {
  const w = new World().running(20, 10);
  const at = w.status.progress?.updatedAt;
  w.now += 2_000;
  w.report('demo-g1-0', { step: 22, checkpoint: checkpointAt(10, START) });
  w.step();
  expect(w.status.progress?.updatedAt).toBe(at);
  w.report('demo-g1-0', { step: 23, checkpoint: checkpointAt(23, w.now) });
  w.step();
  expect(w.status.checkpoint?.step).toBe(23);
  expect(w.status.progress?.step).toBe(23);
});

describe('a deadline with capacity auto', () => {
  /** 100 steps of 10 s with a checkpoint at 10, on spot that is lost and does not come back; on-demand has room. */
  function stranded(deadlineSeconds: number, saved = 10): World {
    const deadline = new Date(START + deadlineSeconds * 1000).toISOString();
    const od = pool('od', { capacity: 'onDemand', price: { spot: null, onDemand: 3 } });
    const w = new World({ placement: { capacity: 'auto', deadline } }, [pool('aws-a'), od]).running(20, 10);
    for (const name of [...w.pods.keys()]) w.report(name, { step: 20, stepSeconds: 10, checkpoint: checkpointAt(saved, w.now) });
    w.now += 10_000;
    w.step();
    w.pools = [pool('aws-a', { freeSlots: 0 }), od];
    for (const name of [...w.pods.keys()]) w.lose(name);
    w.step();
    return w;
  }

  it('waits for spot while there is time, and says when on-demand starts by itself', () => {
    const w = stranded(100_000);
    expect(w.status.next).toBeUndefined();
    expect(w.condition('Placed')?.message).toContain('od starts by itself at');
    expect(w.last?.wakeAt ?? 0).toBeGreaterThan(w.now + 60_000);
    while (w.status.next === undefined && w.last?.wakeAt) {
      w.now = w.last.wakeAt;
      w.step();
    }
    expect(w.status.next).toMatchObject({ pool: 'od', capacity: 'onDemand' });
    expect(w.now).toBeLessThan(START + (100_000 - 900 - 60) * 1_000);
    expect(w.status.placement?.message).toMatch(/h to spare before the deadline are too few to wait for spot; .*aws-a is full/);
  });

  it('takes on-demand at once when little time is left, counting no step that is not committed', () => {
    // 900 s of work from the checkpoint at step 10, 800 s from step 20; and a change-over of 60 s.
    expect(stranded(1_100).status.next).toMatchObject({ pool: 'od' });
    expect(stranded(1_100, 20).status.next).toBeUndefined();
  });

  it('goes on when the deadline has passed, wherever it is cheapest', () => {
    const w = stranded(100_000);
    w.pools = [pool('aws-a'), ...w.pools.slice(1)];
    w.now = START + 200_000_000;
    w.step();
    expect(w.status.next).toMatchObject({ pool: 'aws-a' });
  });

  it('writes down what it weighed, and no more often than something changes', () => {
    const w = stranded(100_000);
    const kept = w.status.placement;
    expect(kept?.alternatives.map((a) => [a.pool, a.capacity])).toEqual([
      ['aws-a', 'spot'],
      ['od', 'onDemand'],
    ]);
    expect(kept?.alternatives[1]?.verdict).toMatch(/starts by itself at/);
    w.now += 1_000;
    w.step();
    expect(w.status.placement).toEqual(kept);
  });
});

describe('what pools learn', () => {
  const released = (w: World) => w.last?.observations.filter((o) => o.kind === 'released').map((o) => o.livedSeconds);

  it('how long nodes lasted that a suspended or complete training gives up', () => {
    const w = new World().running();
    w.now += 3_600_000;
    for (const name of [...w.pods.keys()]) w.report(name, { state: 'succeeded', step: 100 });
    w.step();
    expect(w.status.phase).toBe('Complete');
    expect(released(w)).toEqual([3_601, 3_601]);
    w.now += 120_000;
    w.step();
    expect(released(w)).toEqual([]);
  });

  it('nothing of that from nodes that are taken away', () => {
    const w = new World().running();
    for (const name of [...w.pods.keys()]) w.lose(name);
    w.step();
    expect(w.last?.observations.filter((o) => o.kind === 'interrupted')).toHaveLength(2);
    w.start('demo-g2-0', 'demo-g2-1');
    w.step();
    expect(w.last?.remove.map((p) => p.name)).toEqual(['demo-g1-0', 'demo-g1-1']);
    expect(released(w)).toEqual([]);
  });
});

describe('a pool whose cluster cannot be reached', () => {
  const words = 'cluster west: no answer within 5 s';
  const outOfReach = (world: World, name: string) => {
    world.pools = world.pools.map((p) => (p.name === name ? { ...p, freeSlots: 0, growableSlots: 0, outOfReach: words } : p));
  };

  it('is refused in its words, and another one is taken', () => {
    const world = new World();
    outOfReach(world, 'aws-a');
    world.step();
    expect(world.status.next?.pool).toBe('gcp-a');
    expect(world.status.placement?.alternatives).toContainEqual(expect.objectContaining({ pool: 'aws-a', verdict: words }));
  });

  it('gives up a world that is forming there', () => {
    const world = new World();
    world.step();
    const first = world.status.next?.pool ?? '';
    outOfReach(world, first);
    world.step();
    expect(world.status.next?.pool).not.toBe(first);
    expect(world.events).toContain('NoCapacity');
  });

  it('keeps a world that trains there, until its members are lost', () => {
    const world = new World().running();
    const pool = world.status.world?.pool ?? '';
    outOfReach(world, pool);
    world.step();
    expect(world.status.next).toBeUndefined();
    const pods = world.status.world?.members.map((m) => m.pod) ?? [];
    for (const pod of pods) world.lose(pod);
    world.step();
    expect(world.status.next?.pool).not.toBe(pool);
    expect(world.status.next?.reason).toBe('interruption');
  });
});

describe('a save that somebody asks for', () => {
  const ask = (w: World, step: string) => {
    w.training.metadata.annotations = { 'vicuna.run/save-after-step': step };
  };

  it('is told to the workers until a later step than the named one is saved', () => {
    const w = new World().running(20, 10);
    ask(w, '10');
    expect(w.step().world).toMatchObject({ directive: 'checkpoint', deadline: null });
    w.report('demo-g1-0', { step: 22, resumedStep: 0, checkpoint: checkpointAt(22, w.now) });
    expect(w.step().world).toMatchObject({ directive: 'run' });
    expect(w.status.checkpoint?.step).toBe(22);
  });

  it('is another message than the one before, or workers would take it for done', () => {
    const w = new World().running(20, 10);
    ask(w, '10');
    const first = w.step().world?.revision;
    expect(w.step().world?.revision).toBe(first);
    w.report('demo-g1-0', { step: 22, resumedStep: 0, checkpoint: checkpointAt(22, w.now) });
    w.step();
    ask(w, '22');
    expect(w.step().world).toMatchObject({ directive: 'checkpoint' });
    expect(w.last?.world?.revision).not.toBe(first);
  });

  it('gives way to a notice, whose save has a deadline', () => {
    const w = new World().running(20, 10);
    ask(w, '10');
    w.notice('demo-g1-1', 120);
    expect(w.step().world).toMatchObject({ directive: 'checkpoint', deadline: new Date(w.now + 120_000).toISOString() });
  });

  it.each(['', 'now', '-1', '9'])('is none with the value "%s"', (value) => {
    const w = new World().running(20, 10);
    ask(w, value);
    expect(w.step().world).toMatchObject({ directive: 'run' });
  });
});
