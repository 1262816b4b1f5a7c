import type { V1Node, V1Pod } from '@kubernetes/client-node';

export type InterruptionCause =
  | 'spotPreemption'
  | 'maintenance'
  | 'rebalance'
  | 'scaleDown'
  | 'eviction'
  | 'preemption'
  | 'deletion'
  | 'nodeLost'
  | 'clusterLost';

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

interface TaintReading {
  /** Seconds from the taint to the end. Absent = nobody knows. */
  readonly leaves?: number;
  /** What a value in unix seconds means: since when the taint is there, or when the node goes. */
  readonly value?: 'since' | 'deadline';
  readonly effect?: Taint['effect'];
}

/** A taint as sign, under any of its keys: some were renamed, and clusters of both ages are about. */
function taint(keys: string | readonly string[], { leaves, value, effect }: TaintReading = {}) {
  return (node: V1Node, now: number): Sign[] =>
    (node.spec?.taints ?? [])
      .filter((t) => (typeof keys === 'string' ? t.key === keys : keys.includes(t.key)) && (effect === undefined || t.effect === effect))
      .map((t) => {
        const at = (value === 'since' ? unixTime(t.value) : null) ?? taintedAt(node, t) ?? now;
        if (value === 'deadline') return { at, deadline: unixTime(t.value) };
        return { at, deadline: leaves === undefined ? null : at + leaves * 1000 };
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

type Condition = NonNullable<NonNullable<V1Node['status']>['conditions']>[number];

function changedAt(condition: Condition, now: number): number {
  return condition.lastTransitionTime ? new Date(condition.lastTransitionTime).getTime() : now;
}

/** A node condition that is true as sign. `leaves`: seconds from its transition to the end. */
function condition(type: string, leaves: number) {
  return (node: V1Node, now: number): Sign[] =>
    (node.status?.conditions ?? [])
      .filter((c) => c.type === type && c.status === 'True')
      .map((c) => ({ at: changedAt(c, now), deadline: changedAt(c, now) + leaves * 1000 }));
}

/**
 * Azure's scheduled events, as the node problem detector of AKS shows them: one condition for every kind of event, and a newer one
 * for evictions only. Both say in their message what will happen and when: "Preempt Scheduled: Sat, 01 Aug 2026 05:41:02 GMT. …".
 */
const AZURE_EVENTS = 'VMEventScheduled';
const AZURE_EVICTIONS: readonly string[] = ['PreemptionScheduled', 'PreemptScheduled'];
const AZURE_MESSAGE =
  /^\s*([A-Za-z]+)\s+(?:Scheduled|Started)\b(?::\s*([A-Za-z]{3}, +\d{1,2} [A-Za-z]{3} \d{4} \d{1,2}:\d{2}:\d{2} (?:GMT|UTC)))?/;

/** Events of the given kinds. `leaves`: seconds that Azure gives at least, for a message without a time. */
function azureEvent(isKind: (kind: string) => boolean, leaves: number | null) {
  return (node: V1Node, now: number): Sign[] =>
    (node.status?.conditions ?? []).flatMap((c) => {
      if (c.status !== 'True' || (c.type !== AZURE_EVENTS && !AZURE_EVICTIONS.includes(c.type))) return [];
      const [, said, time] = AZURE_MESSAGE.exec(c.message ?? '') ?? [];
      const isEviction = AZURE_EVICTIONS.includes(c.type) && !/\bAdvisory\b/.test(c.message ?? '');
      if (!isKind(said ?? (isEviction ? 'Preempt' : 'unknown'))) return [];
      const at = changedAt(c, now);
      const notBefore = time === undefined ? Number.NaN : Date.parse(time);
      const latest = leaves === null ? null : at + leaves * 1000;
      return [{ at, deadline: latest === null || Number.isNaN(notBefore) ? latest : notBefore }];
    });
}

const AZURE_ENDS: readonly string[] = ['Reboot', 'Redeploy', 'Terminate'];

/** Seconds that a node may be not ready before its pods count as lost: shorter blips pass by themselves. */
export const NOT_READY_SECONDS = 5;
/** Longest that a kubelet's graceful shutdown is believed to go on: GKE's longest grace period. */
const SHUTDOWN_SECONDS = 120;
const SHUTTING_DOWN = 'node is shutting down';

function unreadiness(node: V1Node): Condition[] {
  return (node.status?.conditions ?? []).filter((c) => c.type === 'Ready' && c.status !== 'True');
}

/** While a kubelet shuts its node down, it is not ready, but the pods still have their grace period. */
function isShuttingDown(c: Condition, now: number): boolean {
  return c.status === 'False' && (c.message ?? '').includes(SHUTTING_DOWN) && now - changedAt(c, now) <= SHUTDOWN_SECONDS * 1000;
}

/** Of the grace period, GKE leaves pods 15 s unless the node pool extends it; it is the shortest of the clouds'. */
function shutdown(node: V1Node, now: number): Sign[] {
  return unreadiness(node)
    .filter((c) => isShuttingDown(c, now))
    .map((c) => ({ at: changedAt(c, now), deadline: changedAt(c, now) + 15_000 }));
}

function notReady(node: V1Node, now: number): Sign[] {
  return unreadiness(node)
    .filter((c) => !isShuttingDown(c, now) && now - changedAt(c, now) >= NOT_READY_SECONDS * 1000)
    .map((c) => ({ at: changedAt(c, now), deadline: null }));
}

/** What our own notifier (workloads/notifier) writes: a taint with the deadline in unix seconds, and a condition that says why. */
export const INTERRUPTION_TAINT = 'vicuna.run/interruption';
export const INTERRUPTION_CONDITION = 'vicuna.run/Interruption';

/** The notifier's condition with one of these reasons; its message ends with the deadline. */
function announced(...reasons: readonly string[]) {
  return (node: V1Node, now: number): Sign[] =>
    (node.status?.conditions ?? [])
      .filter((c) => c.type === INTERRUPTION_CONDITION && c.status === 'True' && reasons.includes(c.reason ?? ''))
      .map((c) => {
        const deadline = Date.parse(/Deadline: (\S+)\.$/.exec(c.message ?? '')?.[1] ?? '');
        return { at: changedAt(c, now), deadline: Number.isNaN(deadline) ? null : deadline };
      });
}

/** The message of a condition, where the table reads it; undefined where it is of no concern. For caches that keep no other messages. */
export function concerningMessage({ type, status, message }: Pick<Condition, 'type' | 'status' | 'message'>): string | undefined {
  if (type === 'Ready') return status === 'False' && message?.includes(SHUTTING_DOWN) ? message : undefined;
  const isRead = type === AZURE_EVENTS || type === INTERRUPTION_CONDITION || AZURE_EVICTIONS.includes(type);
  return status === 'True' && isRead ? message : undefined;
}

/** A node that is deleted and yet there has a finalizer: its owner drains it first. Karpenter, on an interruption, has two minutes. */
function deletedNode(node: V1Node): Sign[] {
  const time = node.metadata?.deletionTimestamp;
  if (time === undefined) return [];
  const at = new Date(time).getTime();
  return [{ at, deadline: at + 120_000 }];
}

export const NODE_NOTICES: readonly Notice<V1Node>[] = [
  // AWS: aws-node-termination-handler. Spot interruption notices come two minutes before the instance goes.
  {
    id: 'aws-spot-itn',
    cause: 'spotPreemption',
    effect: 'notice',
    words: 'is taken back by AWS (spot interruption notice)',
    find: taint('aws-node-termination-handler/spot-itn', { leaves: 120 }),
  },
  {
    id: 'aws-scheduled-maintenance',
    cause: 'maintenance',
    effect: 'notice',
    words: 'goes into scheduled maintenance',
    find: taint('aws-node-termination-handler/scheduled-maintenance', { leaves: 120 }),
  },
  {
    id: 'aws-asg-lifecycle',
    cause: 'scaleDown',
    effect: 'notice',
    words: 'is terminated by its auto-scaling group',
    find: taint('aws-node-termination-handler/asg-lifecycle-termination', { leaves: 120 }),
  },
  {
    id: 'aws-rebalance',
    cause: 'rebalance',
    effect: 'advisory',
    words: 'has a rebalance recommendation',
    find: taint('aws-node-termination-handler/rebalance-recommendation'),
  },
  // Karpenter taints what it is about to drain: interruption, consolidation, drift. It respects the pods' grace period.
  {
    id: 'karpenter-disrupted',
    cause: 'scaleDown',
    effect: 'notice',
    words: 'is being disrupted by Karpenter',
    find: taint(['karpenter.sh/disrupted', 'karpenter.sh/disruption'], { leaves: 120 }),
  },
  // GKE: 30 s from the ACPI signal, of which user pods have 15 s unless the node pool extends it.
  {
    id: 'gke-impending-termination',
    cause: 'spotPreemption',
    effect: 'notice',
    words: 'is taken back by Google (impending termination)',
    find: taint('cloud.google.com/impending-node-termination', { leaves: 15 }),
  },
  // GCE's two-minute notice, as a node condition set from the metadata server's instance/preempted.
  {
    id: 'gce-preempted',
    cause: 'spotPreemption',
    effect: 'notice',
    words: 'is taken back by Google (preemption notice)',
    find: condition('Preempted', 120),
  },
  // Azure: an eviction leaves 30 s, a reboot, move or deletion minutes; a freeze is over after seconds and loses nothing.
  {
    id: 'aks-preempt',
    cause: 'spotPreemption',
    effect: 'notice',
    words: 'is taken back by Azure (Preempt event)',
    find: azureEvent((kind) => kind === 'Preempt', 30),
  },
  {
    id: 'aks-vm-event',
    cause: 'maintenance',
    effect: 'notice',
    words: 'is restarted, moved or deleted by Azure (scheduled event)',
    find: azureEvent((kind) => AZURE_ENDS.includes(kind), 300),
  },
  {
    id: 'aks-vm-advice',
    cause: 'maintenance',
    effect: 'advisory',
    words: 'has an Azure event announced that it may survive',
    find: azureEvent((kind) => kind !== 'Preempt' && !AZURE_ENDS.includes(kind), null),
  },
  {
    id: 'aks-remediator',
    cause: 'maintenance',
    effect: 'notice',
    words: 'is drained by AKS for a repair or a scheduled event',
    find: taint(['remediator.kubernetes.azure.com/unschedulable', 'remediator.aks.microsoft.com/unschedulable']),
  },
  // The autoscaler's taints carry the time at which they were set. Before it deletes the node it evicts the pods, whose own
  // deletion then says more exactly when they end.
  {
    id: 'cluster-autoscaler-delete',
    cause: 'scaleDown',
    effect: 'notice',
    words: 'is removed by the cluster autoscaler',
    find: taint('ToBeDeletedByClusterAutoscaler', { leaves: 60, value: 'since' }),
  },
  {
    id: 'cluster-autoscaler-candidate',
    cause: 'scaleDown',
    effect: 'advisory',
    words: 'is a candidate for scale-down',
    find: taint('DeletionCandidateOfClusterAutoscaler', { value: 'since' }),
  },
  // Our own notifier. The conditions come first: they tell maintenance from preemption, which the taint's number cannot.
  {
    id: 'vicuna-preemption',
    cause: 'spotPreemption',
    effect: 'notice',
    words: 'is taken back by its cloud (seen by the notifier)',
    find: announced('SpotPreemption'),
  },
  {
    id: 'vicuna-maintenance',
    cause: 'maintenance',
    effect: 'notice',
    words: 'is stopped by its cloud for maintenance (seen by the notifier)',
    find: announced('Maintenance'),
  },
  {
    id: 'vicuna-advice',
    cause: 'rebalance',
    effect: 'advisory',
<<<<<<< HEAD
    words: 'is at risk of being taken back, or to be maintained later (seen by the notifier)',
=======
    words: 'is likely to be taken back, or has maintenance ahead (seen by the notifier)',
>>>>>>> room/tools
    find: announced('RebalanceRecommended', 'MaintenanceScheduled'),
  },
  {
    id: 'vicuna-notifier',
    cause: 'spotPreemption',
    effect: 'notice',
    words: 'is taken back by its cloud',
    find: taint(INTERRUPTION_TAINT, { value: 'deadline' }),
  },
  {
    id: 'kubelet-shutdown',
    cause: 'spotPreemption',
    effect: 'notice',
    words: 'is shutting down',
    find: shutdown,
  },
  { id: 'node-deleted', cause: 'scaleDown', effect: 'notice', words: 'is being deleted', find: deletedNode },
  {
    id: 'out-of-service',
    cause: 'nodeLost',
    effect: 'lost',
    words: 'is out of service',
    find: taint('node.kubernetes.io/out-of-service'),
  },
  {
    id: 'unreachable',
    cause: 'nodeLost',
    effect: 'lost',
    words: 'is unreachable',
    find: taint('node.kubernetes.io/unreachable', { effect: 'NoExecute' }),
  },
  {
    id: 'instance-stopped',
    cause: 'nodeLost',
    effect: 'lost',
    words: 'is shut down, says its cloud',
    find: taint('node.cloudprovider.kubernetes.io/shutdown'),
  },
  { id: 'not-ready', cause: 'nodeLost', effect: 'lost', words: 'is not ready', find: notReady },
];

/** A pod's DisruptionTarget condition with a reason. The pod still runs until its deletion's grace period is over. */
function disruption(reason: string) {
  return (pod: V1Pod, now: number): Sign[] =>
    (pod.status?.conditions ?? [])
      .filter((c) => c.type === 'DisruptionTarget' && c.status === 'True' && c.reason === reason)
      .map((c) => ({ at: c.lastTransitionTime ? new Date(c.lastTransitionTime).getTime() : now, deadline: deletionTime(pod) }));
}

/** When a pod that is being deleted will be killed: the API server adds the grace period to the timestamp. */
function deletionTime(pod: V1Pod): number | null {
  const time = pod.metadata?.deletionTimestamp;
  return time === undefined ? null : new Date(time).getTime();
}

function deletion(pod: V1Pod): Sign[] {
  const deadline = deletionTime(pod);
  const grace = pod.metadata?.deletionGracePeriodSeconds ?? 0;
  return deadline === null || grace === 0 ? [] : [{ at: deadline - grace * 1000, deadline }];
}

/** Without a grace period nothing runs any more: it was deleted by force, or its kubelet has ended it. */
function forcedDeletion(pod: V1Pod): Sign[] {
  const at = deletionTime(pod);
  return at === null || (pod.metadata?.deletionGracePeriodSeconds ?? 0) > 0 ? [] : [{ at, deadline: null }];
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
  'TopologyAffinityError',
]);
/** A kubelet that has no room after all refuses the pod: OutOfcpu, OutOfnvidia.com/gpu, and so on. */
const REFUSED_BY_NODE = 'OutOf';

/** A kubelet's word for a container that was there before it, or its machine, started anew. */
const NOT_FOUND_AFTER_RESTART = 'ContainerStatusUnknown';

function endedByNode(pod: V1Pod, now: number): Sign[] {
  const reason = pod.status?.reason ?? '';
  const vanished = pod.status?.containerStatuses?.some((c) => c.state?.terminated?.reason === NOT_FOUND_AFTER_RESTART) ?? false;
  const ended = pod.status?.phase === 'Failed' && (vanished || ENDED_BY_NODE.has(reason) || reason.startsWith(REFUSED_BY_NODE));
  return ended ? [{ at: now, deadline: null }] : [];
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
  { id: 'pod-force-deleted', cause: 'deletion', effect: 'lost', words: 'was deleted without notice', find: forcedDeletion },
  { id: 'ended-by-node', cause: 'eviction', effect: 'lost', words: 'was ended by its node', find: endedByNode },
];
