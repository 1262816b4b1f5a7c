import type { V1Node, V1Pod } from '@kubernetes/client-node';

export type InterruptionCause =
  | 'spotPreemption'
  | 'maintenance'
  | 'rebalance'
  | 'scaleDown'
  | 'eviction'
  | 'preemption'
  | 'deletion'
  | 'nodeLost';

/** notice: it will go; lost: it is gone; advisory: it may go. */
export type Effect = 'notice' | 'lost' | 'advisory';

/** One place where a notice was found, and the times that follow from it (ms since epoch). */
export interface Sign {
  readonly at: number;
  readonly deadline: number | null;
}

/** One row of the table: who says it, what it means, and how much time it leaves. To add a cloud's notice, add a row and its test. */
export interface Notice<T> {
  readonly id: string;
  readonly cause: InterruptionCause;
  readonly effect: Effect;
  /** Completes the sentence "node X …". */
  readonly words: string;
  find(object: T, now: number): readonly Sign[];
}

type Taint = NonNullable<NonNullable<V1Node['spec']>['taints']>[number];

/** A taint as sign. `leaves`: seconds from the taint to the end, or a reading of its value (unix seconds). */
function taint(key: string, leaves: number | 'value' | null, effect?: Taint['effect']) {
  return (node: V1Node, now: number): Sign[] =>
    (node.spec?.taints ?? [])
      .filter((t) => t.key === key && (effect === undefined || t.effect === effect))
      .map((t) => {
        const at = taintedAt(node, t) ?? now;
        if (leaves === 'value') return { at, deadline: unixTime(t.value) };
        return { at, deadline: leaves === null ? null : at + leaves * 1000 };
      });
}

/**
 * Only NoExecute taints carry a time of their own. For the others the handler's write is the newest change to the node's taints,
 * which managedFields dates to the second; without that the time of sight counts, and the deadline is the latest it can be.
 */
function taintedAt(node: V1Node, found: Taint): number | null {
  if (found.timeAdded !== undefined) return new Date(found.timeAdded).getTime();
  const written = (node.metadata?.managedFields ?? [])
    .filter((f) => f.time !== undefined && JSON.stringify(f.fieldsV1 ?? {}).includes('f:taints'))
    .map((f) => new Date(f.time as unknown as string).getTime());
  return written.length === 0 ? null : Math.max(...written);
}

function unixTime(value: string | undefined): number | null {
  const seconds = Number(value);
  return value !== undefined && value !== '' && Number.isFinite(seconds) ? seconds * 1000 : null;
}

/** A node condition as sign: of a type, with a status. `leaves`: seconds from its transition to the end. */
function condition(type: string, statuses: readonly string[], leaves: number | null) {
  return (node: V1Node, now: number): Sign[] =>
    (node.status?.conditions ?? [])
      .filter((c) => c.type === type && statuses.includes(c.status))
      .map((c) => {
        const at = c.lastTransitionTime ? new Date(c.lastTransitionTime).getTime() : now;
        return { at, deadline: leaves === null ? null : at + leaves * 1000 };
      });
}

/** Seconds that a node may be not ready before its pods count as lost: shorter blips pass by themselves. */
export const NOT_READY_SECONDS = 5;

function notReady(node: V1Node, now: number): Sign[] {
  return condition('Ready', ['False', 'Unknown'], null)(node, now).filter((s) => now - s.at >= NOT_READY_SECONDS * 1000);
}

function deletedNode(node: V1Node): Sign[] {
  const time = node.metadata?.deletionTimestamp;
  return time === undefined ? [] : [{ at: new Date(time).getTime(), deadline: null }];
}

export const NODE_NOTICES: readonly Notice<V1Node>[] = [
  // AWS: aws-node-termination-handler. Spot interruption notices come two minutes before the instance goes.
  {
    id: 'aws-spot-itn',
    cause: 'spotPreemption',
    effect: 'notice',
    words: 'is taken back by AWS (spot interruption notice)',
    find: taint('aws-node-termination-handler/spot-itn', 120),
  },
  {
    id: 'aws-scheduled-maintenance',
    cause: 'maintenance',
    effect: 'notice',
    words: 'goes into scheduled maintenance',
    find: taint('aws-node-termination-handler/scheduled-maintenance', 120),
  },
  {
    id: 'aws-asg-lifecycle',
    cause: 'scaleDown',
    effect: 'notice',
    words: 'is terminated by its auto-scaling group',
    find: taint('aws-node-termination-handler/asg-lifecycle-termination', 120),
  },
  {
    id: 'aws-rebalance',
    cause: 'rebalance',
    effect: 'advisory',
    words: 'has a rebalance recommendation',
    find: taint('aws-node-termination-handler/rebalance-recommendation', null),
  },
  // Karpenter taints what it is about to drain: interruption, consolidation, drift. It respects the pods' grace period.
  {
    id: 'karpenter-disrupted',
    cause: 'scaleDown',
    effect: 'notice',
    words: 'is being disrupted by Karpenter',
    find: taint('karpenter.sh/disrupted', 120),
  },
  // GKE: 30 s from the ACPI signal, of which user pods have 15 s unless the node pool extends it.
  {
    id: 'gke-impending-termination',
    cause: 'spotPreemption',
    effect: 'notice',
    words: 'is taken back by Google (impending termination)',
    find: taint('cloud.google.com/impending-node-termination', 15),
  },
  // GCE's two-minute notice, as a node condition set from the metadata server's instance/preempted.
  {
    id: 'gce-preempted',
    cause: 'spotPreemption',
    effect: 'notice',
    words: 'is taken back by Google (preemption notice)',
    find: condition('Preempted', ['True'], 120),
  },
  // Azure Scheduled Events: Preempt leaves at least 30 s; AKS shows the pending event as a node condition.
  {
    id: 'aks-preempt',
    cause: 'spotPreemption',
    effect: 'notice',
    words: 'is taken back by Azure (Preempt event)',
    find: condition('PreemptScheduled', ['True'], 30),
  },
  {
    id: 'aks-vm-event',
    cause: 'maintenance',
    effect: 'notice',
    words: 'has an Azure VM event scheduled',
    find: condition('VMEventScheduled', ['True'], 30),
  },
  {
    id: 'cluster-autoscaler-delete',
    cause: 'scaleDown',
    effect: 'notice',
    words: 'is removed by the cluster autoscaler',
    find: taint('ToBeDeletedByClusterAutoscaler', 60),
  },
  {
    id: 'cluster-autoscaler-candidate',
    cause: 'scaleDown',
    effect: 'advisory',
    words: 'is a candidate for scale-down',
    find: taint('DeletionCandidateOfClusterAutoscaler', null),
  },
  // Our own notifier writes the deadline (unix seconds) into the taint.
  {
    id: 'vicuna-notifier',
    cause: 'spotPreemption',
    effect: 'notice',
    words: 'is taken back by its cloud',
    find: taint('vicuna.run/interruption', 'value'),
  },
  {
    id: 'out-of-service',
    cause: 'nodeLost',
    effect: 'lost',
    words: 'is out of service',
    find: taint('node.kubernetes.io/out-of-service', null),
  },
  {
    id: 'unreachable',
    cause: 'nodeLost',
    effect: 'lost',
    words: 'is unreachable',
    find: taint('node.kubernetes.io/unreachable', null, 'NoExecute'),
  },
  { id: 'not-ready', cause: 'nodeLost', effect: 'lost', words: 'is not ready', find: notReady },
  { id: 'node-deleted', cause: 'nodeLost', effect: 'lost', words: 'is being deleted', find: deletedNode },
];

/** A pod's DisruptionTarget condition with a reason. The pod still runs until its deletion's grace period is over. */
function disruption(reason: string) {
  return (pod: V1Pod): Sign[] =>
    (pod.status?.conditions ?? [])
      .filter((c) => c.type === 'DisruptionTarget' && c.status === 'True' && c.reason === reason)
      .map((c) => ({ at: c.lastTransitionTime ? new Date(c.lastTransitionTime).getTime() : 0, deadline: deletionTime(pod) }));
}

/** When a pod that is being deleted will be killed: the API server adds the grace period to the timestamp. */
function deletionTime(pod: V1Pod): number | null {
  const time = pod.metadata?.deletionTimestamp;
  return time === undefined ? null : new Date(time).getTime();
}

function deletion(pod: V1Pod): Sign[] {
  const deadline = deletionTime(pod);
  if (deadline === null) return [];
  return [{ at: deadline - (pod.metadata?.deletionGracePeriodSeconds ?? 0) * 1000, deadline }];
}

/** Reasons that kubelet and node lifecycle give to pods that they, not the program, ended. */
const ENDED_BY_NODE = new Set([
  'Evicted',
  'NodeLost',
  'NodeShutdown',
  'Shutdown',
  'Terminated',
  'NodeAffinity',
  'Preempting',
  'UnexpectedAdmissionError',
]);

function endedByNode(pod: V1Pod, now: number): Sign[] {
  return pod.status?.phase === 'Failed' && ENDED_BY_NODE.has(pod.status.reason ?? '') ? [{ at: now, deadline: null }] : [];
}

export const POD_NOTICES: readonly Notice<V1Pod>[] = [
  {
    id: 'preempted-by-scheduler',
    cause: 'preemption',
    effect: 'notice',
    words: 'makes room for a pod of higher priority',
    find: disruption('PreemptionByScheduler'),
  },
  {
    id: 'deleted-by-taint-manager',
    cause: 'eviction',
    effect: 'notice',
    words: 'is evicted by a taint of its node',
    find: disruption('DeletionByTaintManager'),
  },
  { id: 'evicted-by-api', cause: 'eviction', effect: 'notice', words: 'is evicted (drain)', find: disruption('EvictionByEvictionAPI') },
  {
    id: 'deleted-by-pod-gc',
    cause: 'nodeLost',
    effect: 'lost',
    words: 'was bound to a node that is gone',
    find: disruption('DeletionByPodGC'),
  },
  {
    id: 'terminated-by-kubelet',
    cause: 'eviction',
    effect: 'notice',
    words: 'is ended by its kubelet',
    find: disruption('TerminationByKubelet'),
  },
  { id: 'pod-deleted', cause: 'deletion', effect: 'notice', words: 'is being deleted', find: deletion },
  { id: 'ended-by-node', cause: 'eviction', effect: 'lost', words: 'was ended by its node', find: endedByNode },
];
