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

/** Why the container cannot start (bad image, missing key), when it cannot; else null. */
export function startProblem(pod: V1Pod, container: string): string | null {
  const waiting = pod.status?.containerStatuses?.find((c) => c.name === container)?.state?.waiting;
  return waiting && START_PROBLEMS.has(waiting.reason ?? '') ? `${waiting.reason}: ${waiting.message ?? ''}` : null;
}

/** The scheduler's words, when it found no node; else null. */
export function unschedulable(pod: V1Pod): string | null {
  const scheduled = pod.status?.conditions?.find((c) => c.type === 'PodScheduled');
  return scheduled?.status === 'False' && scheduled.reason === 'Unschedulable' ? (scheduled.message ?? 'unschedulable') : null;
}
