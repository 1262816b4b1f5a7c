export type RetryCause = 'interruption' | 'capacity' | 'error' | 'node';

/** One rule of `spec.retry`; times in seconds. */
export interface RetryRule {
  readonly on: readonly RetryCause[];
  readonly exitCodes?: readonly number[];
  readonly limit?: number | 'unlimited';
  readonly forSeconds?: number;
  readonly windowSeconds?: number;
}

/** Times (ms since epoch) at which a cause was charged, and how often in all. */
export interface RetryHistory {
  readonly cause: RetryCause;
  readonly times: readonly number[];
  readonly count: number;
}

export type Verdict =
  | { readonly allowed: true; readonly notBefore: number; readonly history: RetryHistory; readonly message: string }
  | { readonly allowed: false; readonly history: RetryHistory; readonly message: string };

/** Interruptions and missing capacity are no failures; a program that fails three times an hour will fail a fourth time. */
const DEFAULT_RULES: readonly RetryRule[] = [
  { on: ['interruption', 'capacity'], limit: 'unlimited' },
  { on: ['error'], limit: 3, windowSeconds: 3_600 },
  { on: ['node'], limit: 5 },
];

const KEPT_TIMES = 100;
const FIRST_BACKOFF_MS = 10_000;
const LONGEST_BACKOFF_MS = 300_000;

/** Whether one more retry for the cause is within budget, and from when. The spec's first rule that fits counts, then the defaults. */
export function charge(
  rules: readonly RetryRule[],
  before: RetryHistory | undefined,
  cause: RetryCause,
  exitCode: number | null,
  now: number,
): Verdict {
  const rule = [...rules, ...DEFAULT_RULES].find((r) => fits(r, cause, exitCode));
  const times = [...(before?.times ?? []), now].slice(-KEPT_TIMES);
  const history: RetryHistory = { cause, times, count: (before?.count ?? 0) + 1 };
  const window = rule?.windowSeconds;
  const counted = window === undefined ? history.count : times.filter((t) => now - t < window * 1000).length;
  const limit = rule?.limit ?? 'unlimited';
  if (limit !== 'unlimited' && counted > limit) {
    const within = window === undefined ? '' : ` within ${Math.round(window / 60)} min`;
    return {
      allowed: false,
      history,
      message: `${counted} ${cause === 'error' ? 'errors' : `${cause}s`}${within}, and ${limit} are allowed`,
    };
  }
  const first = times[0] ?? now;
  if (rule?.forSeconds !== undefined && now - first > rule.forSeconds * 1000) {
    return { allowed: false, history, message: `${cause} for longer than ${Math.round(rule.forSeconds / 60)} min` };
  }
  const recent = times.filter((t) => now - t < 3_600_000).length;
  const backoff = cause === 'error' ? Math.min(LONGEST_BACKOFF_MS, FIRST_BACKOFF_MS * 2 ** (recent - 1)) : 0;
  const left = limit === 'unlimited' ? '' : `, ${limit - counted} left`;
  return { allowed: true, notBefore: now + backoff, history, message: `retry ${counted}${left}` };
}

function fits(rule: RetryRule, cause: RetryCause, exitCode: number | null): boolean {
  if (!rule.on.includes(cause)) return false;
  return rule.exitCodes === undefined || (exitCode !== null && rule.exitCodes.includes(exitCode));
}
