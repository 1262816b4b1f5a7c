export type RetryCause = 'interruption' | 'capacity' | 'error' | 'node';

/** One rule of `spec.retry`; times in seconds. */
export interface RetryRule {
  readonly on: readonly RetryCause[];
  readonly exitCodes?: readonly number[];
  readonly limit?: number | 'unlimited';
  readonly forSeconds?: number;
  readonly windowSeconds?: number;
}

/** Times (ms since epoch) at which a cause was charged, the first and the latest, and how often in all. */
export interface RetryHistory {
  readonly cause: RetryCause;
  readonly times: readonly number[];
  readonly count: number;
}

export type Verdict =
  | {
      readonly allowed: true;
      /** Not to be started again before this time (ms since epoch). */
      readonly notBefore: number;
      /** Retries that are left after this one; null = unlimited. */
      readonly remaining: number | null;
      readonly history: RetryHistory;
      readonly message: string;
    }
  | { readonly allowed: false; readonly reason: 'LimitReached' | 'TimeSpent'; readonly history: RetryHistory; readonly message: string };

/** Interruptions and missing capacity are no failures; a program that fails three times an hour will fail a fourth time. */
const DEFAULT_RULES: readonly RetryRule[] = [
  { on: ['interruption', 'capacity'], limit: 'unlimited' },
  // The trainer's word that its configuration cannot work (workloads/trainer/vicuna_trainer/exits.py): no repetition changes that.
  { on: ['error'], exitCodes: [64], limit: 0 },
  { on: ['error'], limit: 3, windowSeconds: 3_600 },
  { on: ['node'], limit: 5 },
];

const WORDS: Readonly<Record<RetryCause, { one: string; many: string }>> = {
  interruption: { one: 'interruption', many: 'interruptions' },
  capacity: { one: 'launch without capacity', many: 'launches without capacity' },
  error: { one: 'error', many: 'errors' },
  node: { one: 'bad node', many: 'bad nodes' },
};

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
  const rule = ruleFor(rules, cause, exitCode);
  const history: RetryHistory = { cause, times: kept([...(before?.times ?? []), now]), count: (before?.count ?? 0) + 1 };
  const counted = countWithin(history, rule?.windowSeconds, now);
  const limit = rule?.limit ?? 'unlimited';
  if (limit !== 'unlimited' && counted > limit) {
    const within = rule?.windowSeconds === undefined ? '' : ` within ${Math.round(rule.windowSeconds / 60)} min`;
    const message = `${counted} ${counted === 1 ? WORDS[cause].one : WORDS[cause].many}${within}, and ${limit} ${limit === 1 ? 'is' : 'are'} allowed`;
    return { allowed: false, reason: 'LimitReached', history, message };
  }
  const spentAt = timeSpentAt(rules, history, exitCode);
  if (spentAt !== null && now > spentAt) {
    const minutes = Math.round((rule?.forSeconds ?? 0) / 60);
    return {
      allowed: false,
      reason: 'TimeSpent',
      history,
      message: `${cause === 'capacity' ? 'without capacity' : WORDS[cause].many} for longer than ${minutes} min`,
    };
  }
  const remaining = limit === 'unlimited' ? null : limit - counted;
  const left = remaining === null ? '' : `, ${remaining} left`;
  return { allowed: true, notBefore: now + backoffMs(history, now), remaining, history, message: `retry ${counted}${left}` };
}

/** Until when a cause may go on that began with the first time in its history (ms since epoch); null = for ever. */
export function timeSpentAt(rules: readonly RetryRule[], history: RetryHistory, exitCode: number | null = null): number | null {
  const rule = ruleFor(rules, history.cause, exitCode);
  const first = history.times[0];
  return rule?.forSeconds === undefined || first === undefined ? null : first + rule.forSeconds * 1000;
}

/** Whether the cause may strike as often and go on as long as it will: nothing needs to be counted then. */
export function isUnlimited(rules: readonly RetryRule[], cause: RetryCause): boolean {
  const rule = ruleFor(rules, cause, null);
  return (rule?.limit ?? 'unlimited') === 'unlimited' && rule?.forSeconds === undefined;
}

function ruleFor(rules: readonly RetryRule[], cause: RetryCause, exitCode: number | null): RetryRule | undefined {
  return [...rules, ...DEFAULT_RULES].find((r) => fits(r, cause, exitCode));
}

/** 10 s after an error, doubling with each one of the last hour, to 5 min. What is not the program's fault is repeated at once. */
function backoffMs({ cause, times }: RetryHistory, now: number): number {
  if (cause !== 'error') return 0;
  const recent = times.filter((t) => now - t < 3_600_000).length;
  return Math.min(LONGEST_BACKOFF_MS, FIRST_BACKOFF_MS * 2 ** (recent - 1));
}

/** The first time stays, however many follow: it tells for how long a cause has gone on. */
function kept(times: readonly number[]): readonly number[] {
  return times.length <= KEPT_TIMES ? times : [times[0] ?? 0, ...times.slice(1 - KEPT_TIMES)];
}

/** Charges within the window. When it reaches back further than the times kept, the pace of those is taken for all of it. */
function countWithin({ times, count }: RetryHistory, windowSeconds: number | undefined, now: number): number {
  if (windowSeconds === undefined) return count;
  const window = windowSeconds * 1000;
  const seen = times.filter((t) => now - t < window).length;
  const oldest = times[1] ?? now;
  if (count <= times.length || now - oldest >= window) return seen;
  return Math.min(count, Math.round((times.length - 1) * (window / Math.max(1, now - oldest))));
}

function fits(rule: RetryRule, cause: RetryCause, exitCode: number | null): boolean {
  if (!rule.on.includes(cause)) return false;
  return rule.exitCodes === undefined || (exitCode !== null && rule.exitCodes.includes(exitCode));
}
