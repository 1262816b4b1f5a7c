import type { V1Node, V1Pod } from '@kubernetes/client-node';
import { interruptionIn } from '../clusters/lost.ts';
import { POOL_LABEL } from '../pods/labels.ts';
import { startProblem, unschedulable } from '../pods/problems.ts';
import { CONTAINER, GENERATION_LABEL, RANK_LABEL } from './pods.ts';
import type { WorkerPod } from './state.ts';

/**
 * Reduces a pod and its node to what the plan needs to know. `lostSince` is since when its cluster has been given up, or null; nothing that
 * the caches say of a pod there is news.
 */
export function observePod(pod: V1Pod, node: V1Node | undefined, now: number, lostSince: number | null = null): WorkerPod {
  const { metadata, spec, status } = pod;
  const container = status?.containerStatuses?.find((c) => c.name === CONTAINER);
  return {
    name: metadata?.name ?? '',
    uid: metadata?.uid ?? '',
    generation: Number(metadata?.labels?.[GENERATION_LABEL] ?? 0),
    rank: Number(metadata?.labels?.[RANK_LABEL] ?? 0),
    pool: metadata?.labels?.[POOL_LABEL] ?? '',
    node: spec?.nodeName ?? null,
    address: status?.podIP ?? null,
    phase: (status?.phase ?? 'Pending') as WorkerPod['phase'],
    createdAt: new Date(metadata?.creationTimestamp ?? now).getTime(),
    terminating: metadata?.deletionTimestamp !== undefined,
    unschedulable: unschedulable(pod),
    startProblem: startProblem(pod, CONTAINER),
    exitCode: container?.state?.terminated?.exitCode ?? null,
    interruption: interruptionIn(pod, node, lostSince, now),
  };
}
