import { ApiError } from '../kube/client.ts';

/** How often a remote cluster's API server is asked whether it is there, ms. */
export const PROBE_EVERY_MS = 5_000;
/** A probe without an answer by then has failed, ms. */
export const PROBE_TIMEOUT_MS = 5_000;
/** Out of reach for so long, its nodes count as lost: as long as Kubernetes lets a node be silent (--node-monitor-grace-period). */
export const LOST_AFTER_MS = 50_000;
/** An answer that took longer is worth a word to people, ms. */
const SLOW_MS = 2_000;

export type Unreachable = 'MissingSecret' | 'BadKubeconfig' | 'CredentialsRefused' | 'ConnectionFailed' | 'Connecting';

/** What is known of a remote cluster's API server. Times are ms since epoch. */
export interface Health {
  readonly reachable: boolean;
  readonly reason: 'Connected' | 'Slow' | Unreachable;
  readonly message: string;
  /** Since when it has been as it is: reachable or not. */
  readonly since: number;
}

export function connecting(now: number): Health {
  return { reachable: false, reason: 'Connecting', message: 'not asked yet', since: now };
}

/** After a probe that was answered within `ms`. */
export function afterAnswer(before: Health, ms: number, now: number): Health {
  const slow = ms > SLOW_MS;
  return {
    reachable: true,
    reason: slow ? 'Slow' : 'Connected',
    message: slow
      ? `the API server takes ${(ms / 1000).toFixed(1)} s to answer: what happens there is seen late`
      : 'the API server answers',
    since: before.reachable ? before.since : now,
  };
}

/** After one that failed, or could not even be asked. */
export function afterFailure(before: Health, reason: Unreachable, message: string, now: number): Health {
  return { reachable: false, reason, message, since: before.reachable ? now : before.since };
}

/** Whether what ran there is to be taken for lost. */
export function isLost({ reachable, since }: Health, now: number): boolean {
  return !reachable && now - since >= LOST_AFTER_MS;
}

/** Whether an API server refuses who asks, rather than not answering. */
export function isRefusedCredential(error: unknown): boolean {
  return error instanceof ApiError && (error.status === 401 || error.status === 403);
}
