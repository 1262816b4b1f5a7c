import { describe, expect, it } from 'vitest';
import { GRACE_SECONDS } from './engines.ts';
import { Fleet, gatewayCopy, interruption, pool, START } from './testing.ts';

const onDemand = () => pool('od', { capacity: 'onDemand', price: { spot: null, onDemand: 3 } });

describe('a serving', () => {
  it('starts replicas, spread over zones, and is ready when they and a gateway answer', () => {
    const fleet = new Fleet();
    fleet.gateways = [];
    fleet.step();
    expect(fleet.living()).toEqual({ 'aws-a': 1, 'gcp-a': 1 });
    expect(fleet.condition('Ready')).toMatchObject({ status: 'False', reason: 'Starting' });
    fleet.settle();
    expect(fleet.condition('Ready')).toMatchObject({ status: 'False', reason: 'GatewayStarting' });
    fleet.gateways = [gatewayCopy('gateway-1'), gatewayCopy('gateway-2', { ready: false })];
    fleet.settle();
    expect(fleet.condition('Ready')).toMatchObject({ status: 'True', message: 'tiny: 2 replicas answer' });
    expect(fleet.model()).toMatchObject({ desired: 2, target: 2, ready: 2, spotReady: 2, onDemandReady: 0 });
    expect(fleet.events).toEqual(['ScaledUp', 'Mixed']);
  });

  it('follows the load up and down, and says why', () => {
    const fleet = new Fleet();
    fleet.settle();
    fleet.need(4);
    fleet.settle();
    expect(fleet.living()).toEqual({ 'aws-a': 2, 'gcp-a': 2 });
    fleet.need(1);
    const plan = fleet.step();
    expect(plan.events.map((e) => e.message)).toEqual([
      'tiny: 4 → 1 replicas: the test needs 1',
      'tiny: 1 in aws-a; $1.00/h where on-demand alone costs $3.00/h',
    ]);
    fleet.settle();
    expect(fleet.model()).toMatchObject({ ready: 1 });
  });

  it('has no replicas while it is suspended', () => {
    const fleet = new Fleet();
    fleet.settle();
    fleet.serving.spec.suspend = true;
    fleet.settle();
    expect(fleet.living()).toEqual({});
    expect(fleet.condition('Ready')).toMatchObject({ status: 'False', reason: 'Suspended' });
  });

  it('removes Deployments of models and pools that are gone', () => {
    const fleet = new Fleet({ models: [model('tiny'), model('other')] });
    fleet.need(1, 'other');
    fleet.settle();
    fleet.serving.spec.models = fleet.serving.spec.models.slice(0, 1);
    const plan = fleet.step();
    expect(plan.removals).toEqual(['other stable aws-a']);
  });
});

describe('a notice', () => {
  it('stops routing to the replica, starts another and lets it finish in the time that is left', () => {
    const fleet = new Fleet();
    fleet.settle();
    const victim = fleet.interrupt('aws-a', 30);
    const plan = fleet.step();
    expect(plan.gates).toEqual([{ pod: victim.name, routable: false }]);
    expect(plan.evictions).toEqual([{ pod: victim.name, uid: victim.uid, graceSeconds: 28 }]);
    expect(plan.observations).toMatchObject([{ pool: 'aws-a', kind: 'interrupted' }]);
    expect(Object.values(fleet.living()).reduce((a, b) => a + b)).toBe(2);
    expect(fleet.status.totals?.interruptions).toBe(1);
    fleet.step();
    expect(fleet.status.totals?.interruptions).toBe(1);
  });

  it('never gives more time than the pod has in any case, and none to a node that is gone', () => {
    const fleet = new Fleet();
    fleet.settle();
    const victim = fleet.interrupt('aws-a', 600);
    expect(fleet.step().evictions[0]?.graceSeconds).toBe(GRACE_SECONDS);
    const gone = fleet.interrupt('gcp-a', null);
    fleet.set(gone.name, {
      interruption: { ...(fleet.replicas.get(gone.name)?.interruption as never as object), source: 'node-absent' } as never,
    });
    expect(fleet.step().evictions).toEqual([{ pod: gone.name, uid: gone.uid, graceSeconds: 0 }]);
    expect(victim.name).not.toBe(gone.name);
  });

  it('brings on-demand in where spot has no more room, and lets it go when spot is back', () => {
    const fleet = new Fleet({}, [pool('aws-a', { freeSlots: 2 }), onDemand()]);
    fleet.settle();
    fleet.interrupt('aws-a');
    fleet.pools = [pool('aws-a', { freeSlots: 1 }), onDemand()];
    fleet.settle();
    expect(fleet.living()).toEqual({ 'aws-a': 1, od: 1 });
    fleet.pools = [pool('aws-a', { freeSlots: 2 }), onDemand()];
    fleet.step();
    expect(fleet.living()).toEqual({ 'aws-a': 2, od: 1 });
    fleet.settle();
    expect(fleet.living()).toEqual({ 'aws-a': 2 });
  });
});

describe('a copy of the gateway', () => {
  it('on a node that is going is told to end while there is time', () => {
    const fleet = new Fleet();
    fleet.gateways = [gatewayCopy('gateway-1', { interruption: interruption('n', START, 20) }), gatewayCopy('gateway-2')];
    expect(fleet.step().evictions).toEqual([{ pod: 'gateway-1', uid: 'uid-gateway-1', graceSeconds: 18 }]);
  });
});

describe('a replica that finds no node', () => {
  it('is sought for elsewhere after the deadline, and its pool is told', () => {
    const fleet = new Fleet({ placement: { spare: 0, readyDeadline: '1m', spread: 'none' } }, [
      pool('aws-a'),
      pool('gcp-a', { price: { spot: 2, onDemand: 3 } }),
    ]);
    fleet.need(1);
    fleet.step();
    fleet.set('tiny-1', { unschedulable: '0/3 nodes are available' });
    const plan = fleet.step();
    expect(plan.wakeAt).toBe(START + 60_000);
    fleet.now = START + 60_000;
    expect(fleet.step().observations).toEqual([{ pool: 'aws-a', kind: 'noCapacity' }]);
    fleet.pools = [pool('aws-a', { blockedUntil: fleet.now + 600_000 }), pool('gcp-a')];
    fleet.step();
    expect(fleet.living()).toEqual({ 'gcp-a': 1 });
  });

  it('shows the words of the scheduler or the kubelet', () => {
    const fleet = new Fleet();
    fleet.step();
    fleet.set('tiny-1', { startProblem: 'ErrImagePull: no such image' });
    fleet.step();
    expect(fleet.condition('Ready')?.message).toBe('tiny has 0 of 2 replicas (tiny-1: ErrImagePull: no such image)');
  });
});

describe('a canary', () => {
  it('gets its share of the replicas, at least one, beside at least one of the other', () => {
    const fleet = new Fleet({ models: [{ ...model('tiny'), canary: { percent: 10 } }] });
    fleet.need(10);
    fleet.settle();
    const tracks = [...fleet.replicas.values()].map((r) => r.track);
    expect([tracks.filter((t) => t === 'stable').length, tracks.filter((t) => t === 'canary').length]).toEqual([9, 1]);
    fleet.need(1);
    fleet.settle();
    expect([...fleet.replicas.values()].map((r) => r.track).sort()).toEqual(['canary', 'stable']);
  });

  it('that gets everything is all there is, and goes when the share is none', () => {
    const fleet = new Fleet({ models: [{ ...model('tiny'), canary: { percent: 100 } }] });
    fleet.settle();
    expect(new Set([...fleet.replicas.values()].map((r) => r.track))).toEqual(new Set(['canary']));
    delete (fleet.serving.spec.models[0] as { canary?: unknown }).canary;
    fleet.settle();
    expect(new Set([...fleet.replicas.values()].map((r) => r.track))).toEqual(new Set(['stable']));
  });
});

describe('a gateway that cannot start', () => {
  it('says why in the condition', () => {
    const fleet = new Fleet();
    fleet.gateways = [gatewayCopy('gateway-1', { ready: false, startProblem: 'CrashLoopBackOff: API key team: too short' })];
    fleet.settle();
    expect(fleet.condition('Ready')).toMatchObject({
      reason: 'GatewayStarting',
      message: 'no copy of the gateway is ready yet (gateway-1: CrashLoopBackOff: API key team: too short)',
    });
  });
});

describe('a Deployment that shrinks', () => {
  const costs = (fleet: Fleet) => [...fleet.replicas.values()].toSorted((a, b) => a.deletionCost - b.deletionCost).map((r) => r.name);

  it('ends first what is at risk, then what is alone on its node, then the youngest', () => {
    const fleet = new Fleet({}, [pool('aws-a')]);
    fleet.need(4);
    fleet.settle();
    const [first = '', second = '', third = '', fourth = ''] = [...fleet.replicas.keys()];
    fleet.set(first, { neighbours: 1 });
    fleet.set(second, { advised: true });
    fleet.set(fourth, { createdAt: fleet.now });
    fleet.need(2);
    const plan = fleet.step();
    expect(costs(fleet)).toEqual([second, fourth, third, first]);
    expect(plan.deletionCosts).not.toContainEqual(expect.objectContaining({ cost: 0 })); // as it is without an annotation
    expect([...fleet.replicas.values()].filter((r) => r.ending).map((r) => r.name)).toEqual([second, fourth]);
    expect(fleet.step().deletionCosts).toEqual([]);
  });
});

describe('replicas that are asked for', () => {
  it('have their GPUs spoken for until their pods are there', () => {
    const fleet = new Fleet({}, [pool('aws-a')]);
    expect(fleet.step().coming).toEqual([{ pool: 'aws-a', gpus: 2 }]);
    expect(fleet.step().coming).toEqual([]);
  });
});

describe('a Secret that is missing', () => {
  it('is told by the condition, and keeps nothing from being made', () => {
    const fleet = new Fleet();
    fleet.missing = 'spec.gateway.apiKeys: Secret "keys" does not exist';
    expect(fleet.step().deployments).not.toEqual([]);
    expect(fleet.condition('Ready')).toMatchObject({ status: 'False', reason: 'MissingSecret', message: fleet.missing });
  });
});

describe('a start', () => {
  it('is measured, told to the pool once, and counts for the spares', () => {
    const fleet = new Fleet();
    fleet.step();
    fleet.now += 40_000;
    for (const r of fleet.replicas.values())
      fleet.set(r.name, { node: 'n', readyAt: r.createdAt + 40_000, routable: true, gateKnown: true });
    expect(fleet.step().observations.map((o) => o.kind)).toEqual(['launched', 'launched']);
    expect(fleet.model()?.startSeconds).toBe(40);
    expect(fleet.step().observations).toEqual([]);
  });
});

describe('money', () => {
  it('is counted for every replica on a node, at its pool’s price', () => {
    const fleet = new Fleet();
    fleet.settle();
    const before = Number(fleet.status.totals?.cost);
    fleet.now = Date.parse(fleet.status.accruedUntil ?? '') + 3_600_000;
    fleet.step();
    expect(Number(fleet.status.totals?.cost) - before).toBeCloseTo(2, 5);
    expect(fleet.status.totals?.savedPercent).toBe('67%');
  });
});

function model(name: string) {
  return { name, weights: `s3://models/${name}`, engine: 'transformers', aliases: [], args: [], gpus: 1 };
}

describe('models that share GPUs', () => {
  const group = (name: string, models: string[], replicas = 1) => ({ name, models, pipeline: 1, tensor: 1, replicas });

  function shared(...groups: ReturnType<typeof group>[]): Fleet {
    const models = ['a', 'b', 'c'].map((name) => ({ name, weights: `s3://models/${name}`, engine: 'transformers' }));
    const f = new Fleet({ models, multiplexing: { maxGpus: 8 } });
    use(f, ...groups);
    return f;
  }

  function use(f: Fleet, ...groups: ReturnType<typeof group>[]): void {
    f.groups = { groups, attainment: 0.995, changedAt: f.now, reason: 'the test says so', problem: null };
    for (const g of groups) f.need(g.replicas, g.name);
  }

  it('are replicas of their groups; each model counts those that answer for it', () => {
    const f = shared(group('group-1', ['a', 'b'], 2), group('group-2', ['b', 'c']));
    f.settle();
    expect([...f.deployments.values()].map((d) => [d.model, d.replicas]).sort()).toEqual([
      ['group-1', 1],
      ['group-1', 1],
      ['group-2', 1],
    ]);
    expect(['a', 'b', 'c'].map((name) => [f.model(name)?.desired, f.model(name)?.ready])).toEqual([
      [2, 2],
      [3, 3],
      [1, 1],
    ]);
    expect(f.status.multiplexing).toMatchObject({ gpus: 3, attainment: 0.995, groups: [{ name: 'group-1' }, { name: 'group-2' }] });
    expect(f.condition('Ready')).toMatchObject({ status: 'True' });
    expect(f.events.filter((e) => e === 'Regrouped')).toHaveLength(1);
  });

  it('keep their old places until the new ones answer', () => {
    const f = shared(group('group-1', ['a', 'b', 'c']));
    f.settle();
    use(f, group('group-2', ['a', 'b']), group('group-3', ['c']));
    f.step();
    const places = () => [...new Set([...f.deployments.values()].filter((d) => d.replicas > 0).map((d) => d.model))].sort();
    expect(places()).toEqual(['group-1', 'group-2', 'group-3']);
    expect(f.step().removals).toEqual([]);
    f.settle();
    expect(places()).toEqual(['group-2', 'group-3']);
  });

  it('give an old place up when there is no room for the new one beside it', () => {
    const f = shared(group('group-1', ['a', 'b', 'c']));
    f.settle();
    use(f, group('group-2', ['a', 'b', 'c'], 1));
    f.step();
    for (const r of f.replicas.values()) if (r.model === 'group-2') f.set(r.name, { unschedulable: 'no GPU is free' });
    const waiting = f.step();
    expect(waiting.removals).toEqual([]);
    f.now = waiting.wakeAt ?? 0;
    f.now += 60_000;
    expect(f.step().removals).toHaveLength(1);
  });

  it('say why there is no plan', () => {
    const f = shared();
    f.groups = { groups: [], attainment: 0, changedAt: f.now, reason: '', problem: 'GpuPool x does not say how much memory' };
    f.step();
    expect(f.condition('Placed')).toMatchObject({ status: 'False', reason: 'NoPlan', message: 'GpuPool x does not say how much memory' });
  });
});

describe('a pool that may no longer be used', () => {
  it('is left when others answer in its place', () => {
    const f = new Fleet({}, [pool('aws-a', { freeSlots: 8 })]);
    f.settle();
    f.pools = [pool('gcp-a', { freeSlots: 8 })];
    expect(f.step().removals).toEqual([]);
    f.settle();
    expect([...f.deployments.values()].map((d) => d.pool)).toEqual(['gcp-a']);
  });
});
