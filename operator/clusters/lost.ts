import type { V1Node, V1Pod } from '@kubernetes/client-node';
import { type Interruption, interruptionOfPod } from '../signals/interruption.ts';
import { clusterOf } from './located.ts';

/**
 * The most urgent sign on a pod, or null. `lostSince` is since when its cluster has been given up (ms since epoch), or null: nothing that
 * the caches say of a pod there is news.
 */
export function interruptionIn(pod: V1Pod, node: V1Node | undefined, lostSince: number | null, now: number): Interruption | null {
  if (lostSince === null) return interruptionOfPod(pod, node, now);
  const name = pod.metadata?.name ?? '';
  return {
    cause: 'clusterLost',
    source: 'cluster-out-of-reach',
    pod: name,
    ...(pod.spec?.nodeName ? { node: pod.spec.nodeName } : {}),
    noticedAt: lostSince,
    deadline: null,
    lost: true,
    advisory: false,
    message: `cluster ${clusterOf(pod)} cannot be reached, and pod ${name} is not heard of: going on elsewhere`,
  };
}
