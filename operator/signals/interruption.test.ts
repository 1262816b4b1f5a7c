import type { V1Node, V1Pod } from '@kubernetes/client-node';
import { describe, expect, it } from 'vitest';
import { interruptionOfNode, interruptionOfPod } from './interruption.ts';
import { NODE_NOTICES, NOT_READY_SECONDS, POD_NOTICES } from './notices.ts';

const NOW = Date.parse('2026-01-01T00:00:10Z');
const AT = '2026-01-01T00:00:00Z';

type Taint = NonNullable<NonNullable<V1Node['spec']>['taints']>[number];

function node(change: { taints?: Partial<Taint>[]; conditions?: object[]; metadata?: object } = {}): V1Node {
  return {
    metadata: { name: 'n1', managedFields: [{ time: AT, fieldsV1: { 'f:spec': { 'f:taints': {} } } }], ...change.metadata },
    spec: { taints: (change.taints ?? []).map((t) => ({ effect: 'NoSchedule', key: '', ...t })) },
    status: { conditions: [{ type: 'Ready', status: 'True', lastTransitionTime: AT }, ...(change.conditions ?? [])] },
  } as unknown as V1Node;
}

function pod(change: { metadata?: object; status?: object; spec?: object } = {}): V1Pod {
  return {
    metadata: { name: 'p1', ...change.metadata },
    spec: { nodeName: 'n1', containers: [], ...change.spec },
    status: { phase: 'Running', ...change.status },
  } as unknown as V1Pod;
}

const tainted = (key: string, value?: string, effect = 'NoSchedule') => node({ taints: [{ key, effect, ...(value ? { value } : {}) }] });
const notReady = (status: string) => {
  const it = node();
  if (it.status) it.status.conditions = [{ type: 'Ready', status, lastTransitionTime: AT }] as never;
  return it;
};

/** A realistic object for each row, and the seconds from its appearance to the end. */
const NODES: Readonly<Record<string, [V1Node, number | null, 'notice' | 'lost' | 'advisory']>> = {
  'aws-spot-itn': [tainted('aws-node-termination-handler/spot-itn', 'spot-itn-abc'), 120, 'notice'],
  'aws-scheduled-maintenance': [tainted('aws-node-termination-handler/scheduled-maintenance'), 120, 'notice'],
  'aws-asg-lifecycle': [tainted('aws-node-termination-handler/asg-lifecycle-termination'), 120, 'notice'],
  'aws-rebalance': [tainted('aws-node-termination-handler/rebalance-recommendation'), null, 'advisory'],
  'karpenter-disrupted': [tainted('karpenter.sh/disrupted'), 120, 'notice'],
  'gke-impending-termination': [tainted('cloud.google.com/impending-node-termination'), 15, 'notice'],
  'gce-preempted': [node({ conditions: [{ type: 'Preempted', status: 'True', lastTransitionTime: AT }] }), 120, 'notice'],
  'aks-preempt': [node({ conditions: [{ type: 'PreemptScheduled', status: 'True', lastTransitionTime: AT }] }), 30, 'notice'],
  'aks-vm-event': [node({ conditions: [{ type: 'VMEventScheduled', status: 'True', lastTransitionTime: AT }] }), 30, 'notice'],
  'cluster-autoscaler-delete': [tainted('ToBeDeletedByClusterAutoscaler', '1767225600'), 60, 'notice'],
  'cluster-autoscaler-candidate': [tainted('DeletionCandidateOfClusterAutoscaler'), null, 'advisory'],
  'vicuna-notifier': [tainted('vicuna.run/interruption', String(Date.parse(AT) / 1000 + 42)), 42, 'notice'],
  'out-of-service': [tainted('node.kubernetes.io/out-of-service', 'nodeshutdown', 'NoExecute'), null, 'lost'],
  unreachable: [tainted('node.kubernetes.io/unreachable', undefined, 'NoExecute'), null, 'lost'],
  'not-ready': [notReady('Unknown'), null, 'lost'],
  'node-deleted': [node({ metadata: { deletionTimestamp: AT } }), null, 'lost'],
};

const disrupted = (reason: string) =>
  pod({ status: { phase: 'Running', conditions: [{ type: 'DisruptionTarget', status: 'True', reason, lastTransitionTime: AT }] } });

const PODS: Readonly<Record<string, [V1Pod, 'notice' | 'lost']>> = {
  'preempted-by-scheduler': [disrupted('PreemptionByScheduler'), 'notice'],
  'deleted-by-taint-manager': [disrupted('DeletionByTaintManager'), 'notice'],
  'evicted-by-api': [disrupted('EvictionByEvictionAPI'), 'notice'],
  'deleted-by-pod-gc': [disrupted('DeletionByPodGC'), 'lost'],
  'terminated-by-kubelet': [disrupted('TerminationByKubelet'), 'notice'],
  'pod-deleted': [pod({ metadata: { deletionTimestamp: '2026-01-01T00:00:40Z', deletionGracePeriodSeconds: 30 } }), 'notice'],
  'ended-by-node': [pod({ status: { phase: 'Failed', reason: 'Evicted' } }), 'lost'],
};

const effect = (i: { lost: boolean; advisory: boolean } | null) => (i?.lost ? 'lost' : i?.advisory ? 'advisory' : 'notice');

describe('every row of the table of node notices', () => {
  it.each(NODE_NOTICES.map((n) => n.id))('%s', (id) => {
    const [object, seconds, expected] = NODES[id] ?? expect.fail(`row ${id} has no test`);
    const found = interruptionOfNode(object, NOW);
    expect(found).toMatchObject({ source: id, node: 'n1', noticedAt: Date.parse(AT) });
    expect(effect(found)).toBe(expected);
    expect(found?.deadline).toBe(seconds === null ? null : Date.parse(AT) + seconds * 1000);
    expect(found?.message).toMatch(/^node n1 (is|has|goes)/);
  });
});

describe('every row of the table of pod notices', () => {
  it.each(POD_NOTICES.map((n) => n.id))('%s', (id) => {
    const [object, expected] = PODS[id] ?? expect.fail(`row ${id} has no test`);
    const found = interruptionOfPod(object, node(), NOW);
    expect(found).toMatchObject({ source: id, pod: 'p1', node: 'n1' });
    expect(effect(found)).toBe(expected);
  });

  it('gives a deleted pod until its grace period is over', () => {
    const found = interruptionOfPod(PODS['pod-deleted']?.[0] ?? pod(), node(), NOW);
    expect(found).toMatchObject({ noticedAt: NOW, deadline: NOW + 30_000 });
  });
});

describe('what is no interruption', () => {
  it.each<[string, V1Node]>([
    ['a healthy node', node()],
    ['a cordoned node', tainted('node.kubernetes.io/unschedulable')],
    ['a taint of its pool', tainted('nvidia.com/gpu', 'present')],
    ['unreachable without NoExecute', tainted('node.kubernetes.io/unreachable')],
  ])('%s', (_, object) => {
    expect(interruptionOfNode(object, NOW)).toBeNull();
  });

  it('a node that is not ready for a moment only', () => {
    expect(interruptionOfNode(notReady('False'), Date.parse(AT) + NOT_READY_SECONDS * 1000 - 1)).toBeNull();
    expect(interruptionOfNode(notReady('False'), Date.parse(AT) + NOT_READY_SECONDS * 1000)).not.toBeNull();
  });

  it('a pod that has no node yet', () => {
    expect(interruptionOfPod(pod({ spec: { nodeName: undefined } }), undefined, NOW)).toBeNull();
  });
});

describe('the most urgent sign wins', () => {
  it('lost before announced, announced before advisory, and the earlier deadline', () => {
    const both = node({
      taints: [
        { key: 'aws-node-termination-handler/rebalance-recommendation' },
        { key: 'aws-node-termination-handler/spot-itn' },
        { key: 'cloud.google.com/impending-node-termination' },
      ],
    });
    expect(interruptionOfNode(both, NOW)?.source).toBe('gke-impending-termination');
    expect(interruptionOfPod(disrupted('EvictionByEvictionAPI'), tainted('node.kubernetes.io/out-of-service'), NOW)?.lost).toBe(true);
  });

  it('a pod whose node does not exist is lost', () => {
    expect(interruptionOfPod(pod(), undefined, NOW)).toMatchObject({ source: 'node-absent', lost: true, cause: 'nodeLost', node: 'n1' });
  });
});
