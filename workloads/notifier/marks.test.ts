import type { V1Node } from '@kubernetes/client-node';
import { describe, expect, it } from 'vitest';
import { interruptionOfNode } from '../../operator/signals/interruption.ts';
import type { Announcement } from './announcement.ts';
import { type Marks, planMarks } from './marks.ts';

const NOW = Date.parse('2026-01-01T00:00:00Z');
const at = (seconds: number) => NOW + seconds * 1_000;
const unix = (seconds: number) => String(at(seconds) / 1_000);

type Taint = { key: string; effect: string; value?: string };

function node(taints: Taint[] = [], conditions: object[] = []): V1Node {
  return {
    metadata: { name: 'n1', managedFields: [{ time: new Date(NOW).toISOString(), fieldsV1: { 'f:taints': {} } }] },
    spec: { taints },
    status: { conditions },
  } as unknown as V1Node;
}

/** The node after the marks are written. */
function marked(before: V1Node, marks: Marks): V1Node {
  const conditions = (before.status?.conditions ?? []).filter((c) => c.type !== marks.condition?.type);
  return {
    ...before,
    spec: { taints: marks.taints ?? before.spec?.taints ?? [] },
    status: { conditions: [...conditions, ...(marks.condition ? [marks.condition] : [])] },
  } as unknown as V1Node;
}

const announcement = (change: Partial<Announcement> = {}): Announcement => ({
  cause: 'spotPreemption',
  deadline: at(120),
  estimated: false,
  words: 'is taken back',
  ...change,
});

const GPU: Taint = { key: 'nvidia.com/gpu', effect: 'NoSchedule' };
const OURS = (seconds: number): Taint => ({ key: 'vicuna.run/interruption', effect: 'NoSchedule', value: unix(seconds) });

describe('a notice', () => {
  it('becomes a taint beside the others and a condition, and the operator reads cause and deadline from them', () => {
    const marks = planMarks(node([GPU]), announcement(), NOW);
    expect(marks.taints).toEqual([GPU, OURS(120)]);
    expect(marks.condition).toMatchObject({
      type: 'vicuna.run/Interruption',
      status: 'True',
      reason: 'SpotPreemption',
      message: 'the node is taken back. Deadline: 2026-01-01T00:02:00Z.',
    });
    const after = marked(node([GPU]), marks);
    expect(interruptionOfNode(after, at(1))).toMatchObject({ cause: 'spotPreemption', deadline: at(120), advisory: false, noticedAt: NOW });
    // Whichever of the two the operator sees first says the same.
    expect(interruptionOfNode({ ...after, status: {} } as V1Node, at(1))?.deadline).toBe(at(120));
    expect(interruptionOfNode({ ...after, spec: {} } as V1Node, at(1))?.deadline).toBe(at(120));
  });

  it('is written once', () => {
    const after = marked(node(), planMarks(node(), announcement(), NOW));
    expect(planMarks(after, announcement(), at(30))).toEqual({});
  });

  it('of maintenance is told from a preemption', () => {
    const after = marked(node(), planMarks(node(), announcement({ cause: 'maintenance' }), NOW));
    expect(interruptionOfNode(after, NOW)).toMatchObject({ cause: 'maintenance', deadline: at(120), source: 'vicuna-maintenance' });
  });

  it('moves with the cloud’s deadline', () => {
    const after = marked(node([GPU]), planMarks(node([GPU]), announcement(), NOW));
    const moved = planMarks(after, announcement({ deadline: at(300) }), at(10));
    expect(moved.taints).toEqual([GPU, OURS(300)]);
    expect(interruptionOfNode(marked(after, moved), at(10))?.deadline).toBe(at(300));
  });

  it('keeps the deadline that an earlier run has estimated', () => {
    const after = marked(node(), planMarks(node(), announcement({ estimated: true, deadline: at(15) }), NOW));
    expect(planMarks(after, announcement({ estimated: true, deadline: at(27) }), at(12))).toEqual({});
  });

  it('takes the place of a rehearsal', () => {
    const rehearsed = node([OURS(30)]);
    expect(planMarks(rehearsed, announcement(), NOW).taints).toEqual([OURS(120)]);
  });

  it('after its deadline still stands', () => {
    expect(planMarks(node(), announcement({ deadline: at(-20) }), NOW).taints).toEqual([OURS(-20)]);
  });
});

describe('what may happen later', () => {
  it.each<[string, Announcement, string]>([
    ['a rebalance recommendation', announcement({ cause: 'rebalance', deadline: null }), 'RebalanceRecommended'],
    ['maintenance in two weeks', announcement({ cause: 'maintenance', deadline: at(14 * 86_400) }), 'MaintenanceScheduled'],
    ['a live migration', announcement({ cause: 'maintenance', deadline: null }), 'MaintenanceScheduled'],
  ])('%s is a condition only, and advice to the operator', (_, announced, reason) => {
    const marks = planMarks(node(), announced, NOW);
    expect(marks.taints).toBeUndefined();
    expect(marks.condition?.reason).toBe(reason);
    expect(interruptionOfNode(marked(node(), marks), NOW)).toMatchObject({ advisory: true, source: 'vicuna-advice' });
  });

  it('becomes a notice ten minutes before', () => {
    const announced = announcement({ cause: 'maintenance', deadline: at(3_600) });
    const after = marked(node(), planMarks(node(), announced, NOW));
    expect(planMarks(after, announced, at(2_999))).toEqual({});
    const later = planMarks(after, announced, at(3_000));
    expect(later).toMatchObject({ taints: [OURS(3_600)], condition: { reason: 'Maintenance' } });
  });
});

describe('marks of others', () => {
  it.each<[string, V1Node]>([
    ['aws-spot-itn', node([{ key: 'aws-node-termination-handler/spot-itn', effect: 'NoSchedule' }])],
    ['karpenter-disrupted', node([{ key: 'karpenter.sh/disrupted', effect: 'NoSchedule' }])],
    ['gke-impending-termination', node([{ key: 'cloud.google.com/impending-node-termination', effect: 'NoSchedule' }])],
  ])('%s says it already: nothing is written twice', (source, object) => {
    expect(planMarks(object, announcement(), NOW)).toEqual({ markedBy: source });
  });

  it('that leave the deadline open, or put it later, are not enough', () => {
    const drained = node([{ key: 'remediator.kubernetes.azure.com/unschedulable', effect: 'NoSchedule' }]);
    expect(planMarks(drained, announcement(), NOW).condition).toBeDefined();
    const later = node([{ key: 'karpenter.sh/disrupted', effect: 'NoSchedule' }]);
    expect(planMarks(later, announcement({ deadline: at(30) }), NOW).taints).toContainEqual(OURS(30));
  });

  it('that only advise do not hold back a notice, nor the other way round', () => {
    const advised = node([{ key: 'aws-node-termination-handler/rebalance-recommendation', effect: 'NoSchedule' }]);
    expect(planMarks(advised, announcement(), NOW).taints).toContainEqual(OURS(120));
    expect(planMarks(advised, announcement({ cause: 'rebalance', deadline: null }), NOW)).toEqual({ markedBy: 'aws-rebalance' });
  });

  it('that come after ours change nothing', () => {
    const after = marked(node(), planMarks(node(), announcement(), NOW));
    after.spec?.taints?.push({ key: 'aws-node-termination-handler/spot-itn', effect: 'NoSchedule' });
    expect(planMarks(after, announcement(), at(1))).toEqual({});
  });
});

describe('nothing announced', () => {
  it('changes nothing on a node that was never marked', () => {
    expect(planMarks(node([GPU]), null, NOW)).toEqual({});
  });

  it('takes back the own taint and the condition, and nothing else', () => {
    const after = marked(node([GPU]), planMarks(node([GPU]), announcement(), NOW));
    const back = planMarks(after, null, at(60));
    expect(back.taints).toEqual([GPU]);
    expect(back.condition).toMatchObject({ status: 'False', reason: 'NothingAnnounced', lastTransitionTime: '2026-01-01T00:01:00Z' });
    const calm = marked(after, back);
    expect(interruptionOfNode(calm, at(60))).toBeNull();
    expect(planMarks(calm, null, at(70))).toEqual({});
  });

  it('leaves a rehearsal alone', () => {
    expect(planMarks(node([OURS(30)]), null, NOW)).toEqual({});
  });
});
