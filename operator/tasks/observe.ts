import type { V1Node, V1Pod } from '@kubernetes/client-node';
import type { TaskReport } from '../api/protocol.ts';
import type { Informer } from '../kube/informer.ts';
import { POOL_LABEL } from '../pods/labels.ts';
import { startProblem, unschedulable } from '../pods/problems.ts';
import type { TaskInbox } from '../server/task-inbox.ts';
import { interruptionOfPod } from '../signals/interruption.ts';
import { quantity } from './quantity.ts';
import type { TaskPod } from './state.ts';

export const CONTAINER = 'task';
export const ATTEMPT_LABEL = 'vicuna.run/attempt';

/** Of these pods those that the object with this uid owns, and what each of them said last; both by name. */
export function observeTasks(
  found: readonly V1Pod[],
  owner: string,
  nodes: Pick<Informer<V1Node>, 'get'>,
  inbox: TaskInbox,
  now: number,
): { pods: ReadonlyMap<string, TaskPod>; reports: ReadonlyMap<string, TaskReport> } {
  const pods = new Map<string, TaskPod>();
  const reports = new Map<string, TaskReport>();
  for (const pod of found) {
    if (!pod.metadata?.ownerReferences?.some((r) => r.uid === owner)) continue;
    const view = observeTaskPod(pod, pod.spec?.nodeName ? nodes.get(undefined, pod.spec.nodeName) : undefined, now);
    pods.set(view.name, view);
    const report = inbox.get(pod.metadata.namespace ?? 'default', view.name, view.uid);
    if (report !== null) reports.set(view.name, report);
  }
  return { pods, reports };
}

/** Reduces a pod and its node to what the plan needs to know. */
export function observeTaskPod(pod: V1Pod, node: V1Node | undefined, now: number): TaskPod {
  const { metadata, spec, status } = pod;
  const terminated = status?.containerStatuses?.find((c) => c.name === CONTAINER)?.state?.terminated;
  return {
    name: metadata?.name ?? '',
    uid: metadata?.uid ?? '',
    attempt: Number(metadata?.labels?.[ATTEMPT_LABEL] ?? 0),
    pool: metadata?.labels?.[POOL_LABEL] ?? '',
    node: spec?.nodeName ?? null,
    phase: (status?.phase ?? 'Pending') as TaskPod['phase'],
    createdAt: new Date(metadata?.creationTimestamp ?? now).getTime(),
    terminating: metadata?.deletionTimestamp !== undefined,
    unschedulable: unschedulable(pod),
    startProblem: startProblem(pod, CONTAINER),
    exitCode: terminated?.exitCode ?? null,
    message: terminated?.message ?? '',
    share: shareOfNode(pod, node),
    interruption: interruptionOfPod(pod, node, now),
  };
}

/** The larger of its shares of the node's cores and memory; a pod that asks for nothing may take all, and is counted so. */
export function shareOfNode(pod: V1Pod, node: V1Node | undefined): number {
  const shares = ['cpu', 'memory'].flatMap((resource) => {
    const asked = (pod.spec?.containers ?? []).reduce((sum, c) => sum + quantity(c.resources?.requests?.[resource] ?? '0'), 0);
    const there = quantity(node?.status?.allocatable?.[resource] ?? '0');
    return asked > 0 && there > 0 ? [asked / there] : [];
  });
  return shares.length === 0 ? 1 : Math.min(1, Math.max(...shares));
}
