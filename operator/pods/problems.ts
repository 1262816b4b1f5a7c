import type { V1Pod } from '@kubernetes/client-node';

/** Reasons for which a container that waits will not start by itself. */
const START_PROBLEMS = new Set([
  'ImagePullBackOff',
  'ErrImagePull',
  'InvalidImageName',
  'ErrImageNeverPull',
  'CreateContainerConfigError',
  'CreateContainerError',
  'RunContainerError',
  'CrashLoopBackOff',
]);

/** Of a container's last line; more is not for a condition. */
const LONGEST_WORDS = 300;

/** Why the container, or one that must end before it, cannot start (bad image, missing key), when it cannot; else null. */
export function startProblem(pod: V1Pod, container: string): string | null {
  const { initContainerStatuses = [], containerStatuses = [] } = pod.status ?? {};
  const statuses = [...initContainerStatuses, ...containerStatuses.filter((c) => c.name === container)];
  const status = statuses.find((c) => START_PROBLEMS.has(c.state?.waiting?.reason ?? ''));
  const waiting = status?.state?.waiting;
  if (!waiting) return null;
  // What it said itself at its end says more than that it ended.
  const lastWords = status?.lastState?.terminated?.message?.trim().split('\n').at(-1)?.slice(0, LONGEST_WORDS);
  return `${waiting.reason}: ${lastWords || waiting.message || ''}`;
}

/** The scheduler's words, when it found no node; else null. */
export function unschedulable(pod: V1Pod): string | null {
  const scheduled = pod.status?.conditions?.find((c) => c.type === 'PodScheduled');
  return scheduled?.status === 'False' && scheduled.reason === 'Unschedulable' ? (scheduled.message ?? 'unschedulable') : null;
}
