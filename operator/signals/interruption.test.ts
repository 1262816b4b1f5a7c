import type { V1Node, V1Pod } from '@kubernetes/client-node';
import { describe, expect, it } from 'vitest';
import { interruptionOfNode, interruptionOfPod } from './interruption.ts';
import { concerningMessage, NODE_NOTICES, NOT_READY_SECONDS, POD_NOTICES } from './notices.ts';

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
const notReady = (status: string, message?: string) => {
  const it = node();
  if (it.status) it.status.conditions = [{ type: 'Ready', status, message, lastTransitionTime: AT }] as never;
  return it;
};
const azure = (type: string, message: string) => node({ conditions: [{ type, status: 'True', message, lastTransitionTime: AT }] });
const announced = (reason: string, message: string) =>
  node({ conditions: [{ type: 'vicuna.run/Interruption', status: 'True', reason, message, lastTransitionTime: AT }] });

/** A realistic object for each row, and the seconds from its appearance to the end. */
const NODES: Readonly<Record<string, [V1Node, number | null, 'notice' | 'lost' | 'advisory']>> = {
  'aws-spot-itn': [tainted('aws-node-termination-handler/spot-itn', 'spot-itn-abc'), 120, 'notice'],
  'aws-scheduled-maintenance': [tainted('aws-node-termination-handler/scheduled-maintenance'), 120, 'notice'],
  'aws-asg-lifecycle': [tainted('aws-node-termination-handler/asg-lifecycle-termination'), 120, 'notice'],
  'aws-rebalance': [tainted('aws-node-termination-handler/rebalance-recommendation'), null, 'advisory'],
  'karpenter-disrupted': [tainted('karpenter.sh/disrupted'), 120, 'notice'],
  'gke-impending-termination': [tainted('cloud.google.com/impending-node-termination'), 15, 'notice'],
  'gce-preempted': [node({ conditions: [{ type: 'Preempted', status: 'True', lastTransitionTime: AT }] }), 120, 'notice'],
  'aks-preempt': [azure('PreemptionScheduled', 'Preempt Scheduled: Thu, 01 Jan 2026 00:00:45 GMT. EventId: 40B7BD88'), 45, 'notice'],
  'aks-vm-event': [azure('VMEventScheduled', 'Redeploy Scheduled: Thu, 01 Jan 2026 00:10:00 GMT.'), 600, 'notice'],
  'aks-vm-advice': [azure('VMEventScheduled', 'Freeze Scheduled: Thu, 01 Jan 2026 00:15:00 GMT.'), null, 'advisory'],
  'aks-remediator': [tainted('remediator.kubernetes.azure.com/unschedulable'), null, 'notice'],
  'cluster-autoscaler-delete': [tainted('ToBeDeletedByClusterAutoscaler', '1767225600'), 60, 'notice'],
  'cluster-autoscaler-candidate': [tainted('DeletionCandidateOfClusterAutoscaler'), null, 'advisory'],
  'vicuna-preemption': [announced('SpotPreemption', 'the node is taken back. Deadline: 2026-01-01T00:00:42Z.'), 42, 'notice'],
  'vicuna-maintenance': [announced('Maintenance', 'the node is restarted. Deadline: 2026-01-01T00:05:00Z.'), 300, 'notice'],
  'vicuna-advice': [announced('RebalanceRecommended', 'the node has a rebalance recommendation.'), null, 'advisory'],
  'vicuna-notifier': [tainted('vicuna.run/interruption', String(Date.parse(AT) / 1000 + 42)), 42, 'notice'],
  'out-of-service': [tainted('node.kubernetes.io/out-of-service', 'nodeshutdown', 'NoExecute'), null, 'lost'],
  unreachable: [tainted('node.kubernetes.io/unreachable', undefined, 'NoExecute'), null, 'lost'],
  'not-ready': [notReady('Unknown'), null, 'lost'],
  'kubelet-shutdown': [notReady('False', 'node is shutting down'), 15, 'notice'],
  'node-deleted': [node({ metadata: { deletionTimestamp: AT, finalizers: ['karpenter.sh/termination'] } }), 120, 'notice'],
  'instance-stopped': [tainted('node.cloudprovider.kubernetes.io/shutdown'), null, 'lost'],
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
  'pod-force-deleted': [pod({ metadata: { deletionTimestamp: AT, deletionGracePeriodSeconds: 0 } }), 'lost'],
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

describe('Azure events', () => {
  it.each<[string, string, string, number | null]>([
    ['VMEventScheduled', 'Preempt Scheduled: Thu, 01 Jan 2026 00:00:45 GMT', 'aks-preempt', 45],
    ['VMEventScheduled', 'Preempt Started. For more information, see …', 'aks-preempt', 30],
    ['PreemptScheduled', 'said otherwise', 'aks-preempt', 30],
    ['PreemptionScheduled', 'SpotRebalanceRecommendation Advisory: .', 'aks-vm-advice', null],
    ['VMEventScheduled', 'Reboot Scheduled: soon', 'aks-vm-event', 300],
    ['VMEventScheduled', 'IMDS unavailable', 'aks-vm-advice', null],
  ])('%s "%s" is %s', (type, message, source, seconds) => {
    const found = interruptionOfNode(azure(type, message), NOW);
    expect(found).toMatchObject({ source, deadline: seconds === null ? null : Date.parse(AT) + seconds * 1000 });
  });
});

describe('times that signs carry themselves', () => {
  it('counts from the time in the autoscaler’s taint, whatever wrote to the taints later', () => {
    const object = node({ taints: [{ key: 'ToBeDeletedByClusterAutoscaler', value: String(Date.parse(AT) / 1000 - 20) }] });
    expect(interruptionOfNode(object, NOW)).toMatchObject({ noticedAt: Date.parse(AT) - 20_000, deadline: Date.parse(AT) + 40_000 });
  });

  it('counts from timeAdded, where a taint has one', () => {
    const added = new Date(Date.parse(AT) - 30_000);
    const object = node({ taints: [{ key: 'aws-node-termination-handler/spot-itn', effect: 'NoExecute', timeAdded: added }] });
    expect(interruptionOfNode(object, NOW)?.deadline).toBe(added.getTime() + 120_000);
  });

  it('counts from now where nothing tells the time', () => {
    const object = node({ taints: [{ key: 'karpenter.sh/disruption', value: 'disrupting' }], metadata: { managedFields: [] } });
    expect(interruptionOfNode(object, NOW)).toMatchObject({ noticedAt: NOW, deadline: NOW + 120_000 });
    const vague = pod({ status: { conditions: [{ type: 'DisruptionTarget', status: 'True', reason: 'EvictionByEvictionAPI' }] } });
    expect(interruptionOfPod(vague, node(), NOW)?.noticedAt).toBe(NOW);
  });

  it('has no deadline when our notifier’s taint has no number in it', () => {
    expect(interruptionOfNode(tainted('vicuna.run/interruption', 'soon'), NOW)).toMatchObject({ deadline: null, lost: false });
  });
});

describe('a node that shuts down in good order', () => {
  it('is not lost while its kubelet ends the pods, and lost when that takes too long or it falls silent', () => {
    const at = Date.parse(AT);
    expect(interruptionOfNode(notReady('False', 'node is shutting down'), at + 60_000)?.lost).toBe(false);
    expect(interruptionOfNode(notReady('False', 'node is shutting down'), at + 121_000)?.lost).toBe(true);
    expect(interruptionOfNode(notReady('Unknown', 'node is shutting down'), at + 60_000)?.lost).toBe(true);
  });

  it('is still being drained when Karpenter has deleted and tainted it', () => {
    const object = node({ taints: [{ key: 'karpenter.sh/disrupted' }], metadata: { deletionTimestamp: AT } });
    expect(interruptionOfNode(object, NOW)).toMatchObject({ lost: false, deadline: Date.parse(AT) + 120_000 });
  });
});

describe('pods that their node ended or refused', () => {
  it.each(['Evicted', 'NodeLost', 'NodeShutdown', 'Terminated', 'OutOfcpu', 'OutOfnvidia.com/gpu', 'UnexpectedAdmissionError'])(
    '%s',
    (reason) => {
      expect(interruptionOfPod(pod({ status: { phase: 'Failed', reason } }), node(), NOW)?.source).toBe('ended-by-node');
    },
  );

  it('whose container was gone when the kubelet came back', () => {
    const status = {
      phase: 'Failed',
      containerStatuses: [{ name: 'trainer', state: { terminated: { exitCode: 137, reason: 'ContainerStatusUnknown' } } }],
    };
    expect(interruptionOfPod(pod({ status: status as object }), node(), NOW)?.source).toBe('ended-by-node');
  });

  it('not a pod whose program failed, nor one that runs', () => {
    expect(interruptionOfPod(pod({ status: { phase: 'Failed' } }), node(), NOW)).toBeNull();
    expect(interruptionOfPod(pod({ status: { phase: 'Running', reason: 'Evicted' } }), node(), NOW)).toBeNull();
  });
});

describe('messages for caches', () => {
  it('keeps those that the table reads, and no others', () => {
    const event = 'Preempt Scheduled: Thu, 01 Jan 2026 00:00:45 GMT';
    expect(concerningMessage({ type: 'PreemptionScheduled', status: 'True', message: event })).toBe(event);
    expect(concerningMessage({ type: 'VMEventScheduled', status: 'False', message: 'VM has no scheduled event' })).toBeUndefined();
    expect(concerningMessage({ type: 'Ready', status: 'False', message: 'node is shutting down' })).toBe('node is shutting down');
    expect(concerningMessage({ type: 'Ready', status: 'False', message: 'PLEG is not healthy: 3m2s' })).toBeUndefined();
    expect(concerningMessage({ type: 'MemoryPressure', status: 'True', message: 'low' })).toBeUndefined();
  });
});

describe('what is no interruption', () => {
  it.each<[string, V1Node]>([
    ['a healthy node', node()],
    ['a node of AKS at rest', node({ conditions: [{ type: 'VMEventScheduled', status: 'False', message: 'VM has no scheduled event' }] })],
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

  it('a pod whose machine was replaced by another one of the same name is lost', () => {
    const bound = (at: string) =>
      pod({ status: { phase: 'Running', conditions: [{ type: 'PodScheduled', status: 'True', lastTransitionTime: new Date(at) }] } });
    const made = { ...node(), metadata: { ...node().metadata, creationTimestamp: new Date('2026-01-01T00:00:10Z') } };
    expect(interruptionOfPod(bound('2026-01-01T00:00:09Z'), made, NOW)).toMatchObject({ source: 'node-replaced', lost: true });
    // An autoscaler's node is younger than the pod it was made for, but not than the binding.
    expect(interruptionOfPod(bound('2026-01-01T00:00:10Z'), made, NOW)).toBeNull();
  });

  it('a pod whose node does not exist is lost', () => {
    expect(interruptionOfPod(pod(), undefined, NOW)).toMatchObject({ source: 'node-absent', lost: true, cause: 'nodeLost', node: 'n1' });
  });
});
