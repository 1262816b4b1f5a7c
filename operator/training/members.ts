import type { MemberReport, TrainingState, WorkerPod } from './state.ts';

/** Place of one pod in a world. */
export interface Member {
  readonly rank: number;
  readonly pod: string;
}

/**
 * What a member of a world is good for now.
 * absent: no such pod; pending: not running yet; ready: running, with an address; doomed: still running, but its node or pod has
 * notice; lost: gone or unreachable; failed: its program ended badly; succeeded: its program finished.
 */
export type Health = 'absent' | 'pending' | 'ready' | 'doomed' | 'lost' | 'failed' | 'succeeded';

/** A member that says nothing for so long, while another one's program has failed, is taken for dead: its reports come every 2 s. */
export const SILENCE_MS = 5_000;

export function healthOf(pod: WorkerPod | undefined): Health {
  if (pod === undefined) return 'absent';
  if (pod.phase === 'Succeeded') return 'succeeded';
  const interruption = pod.interruption;
  if (interruption !== null && !interruption.advisory) {
    if (interruption.lost) return 'lost';
    return pod.phase === 'Failed' ? 'lost' : 'doomed';
  }
  if (pod.phase === 'Failed') return 'failed';
  if (pod.terminating) return 'doomed';
  if (pod.phase === 'Pending' || pod.address === null) return 'pending';
  return 'ready';
}

/** The member's last report, if it speaks of this generation. */
export function reportOf(state: TrainingState, member: Member, generation: number): MemberReport | undefined {
  const entry = state.reports.get(member.pod);
  return entry?.report.generation === generation ? entry : undefined;
}

/** Whether the member's supervisor has spoken lately; before the operator has listened long enough, nobody is silent. */
export function isSilent(state: TrainingState, member: Member, now: number): boolean {
  const heardAt = state.reports.get(member.pod)?.receivedAt ?? state.listeningSince;
  return now - Math.max(heardAt, state.listeningSince) > SILENCE_MS;
}

/** Whether the member's processes of this generation have ended on request, with everything saved. */
export function hasStopped(state: TrainingState, member: Member, generation: number): boolean {
  return reportOf(state, member, generation)?.report.state === 'stopped';
}
