import { durationSeconds } from '../api/duration.ts';
import { charge, isUnlimited, type RetryCause, type RetryHistory, type RetryRule, timeSpentAt, type Verdict } from '../spot/budgets.ts';
import { type Draft, type Failure, isoTime } from './draft.ts';
import { resumeWords } from './resume.ts';

/** Exit code of the trainer's processes when another one of the gang was lost (workloads/trainer/vicuna_trainer/exits.py). */
const PEER_LOST = 69;
/** A gang whose members keep losing each other must not start again in a tight loop. */
const PEER_LOST_PAUSE_MS = 2_000;

/** Charges a failure of the training's own program. True when that was one too many, and the training has failed. */
export function chargeFailure(d: Draft, failure: Failure): boolean {
  if (failure.exitCode === PEER_LOST) {
    // The trainer's own word that it was not its fault: the gang starts again, and nothing is charged.
    restartAfter(d, d.now + PEER_LOST_PAUSE_MS);
    d.event('Warning', 'PeerLost', `rank ${failure.member.rank} lost a peer; starting again from the last checkpoint`);
    return false;
  }
  const verdict = chargeCause(d, 'error', failure.exitCode);
  const code = failure.exitCode === null ? '' : ` with exit code ${failure.exitCode}`;
  const words = `rank ${failure.member.rank} failed${code}: ${failure.message.trim().slice(-600) || 'no message'}`;
  if (!verdict.allowed) return failTraining(d, words, verdict.message);
  restartAfter(d, verdict.notBefore);
  d.event('Warning', 'Restarting', `${words} (${verdict.message}; starts again from the last checkpoint)`);
  return false;
}

/** Charges a lost node, an interruption or a launch without capacity. True when that was one too many, and the training has failed. */
export function chargeLoss(d: Draft, cause: Exclude<RetryCause, 'error'>, words: string): boolean {
  if (isUnlimited(rulesOf(d), cause)) return false;
  const verdict = chargeCause(d, cause, null);
  return verdict.allowed ? false : failTraining(d, words, verdict.message);
}

/**
 * Having no place to run is one stretch of time, however often it is looked at. True when it has lasted longer than spec.retry allows,
 * and the training has failed.
 */
export function chargeWaiting(d: Draft, words: string): boolean {
  const before = historyOf(d, 'capacity');
  if (before === undefined) {
    if (chargeLoss(d, 'capacity', words)) return true;
  }
  const history = before ?? historyOf(d, 'capacity');
  const spentAt = history === undefined ? null : timeSpentAt(rulesOf(d), history);
  if (spentAt === null) return false;
  if (d.now > spentAt) return chargeLoss(d, 'capacity', words);
  d.wake(spentAt + 1);
  return false;
}

/** A place was found and the world runs: the next search for capacity counts from its own beginning. */
export function forgetWaiting(d: Draft): void {
  if (d.status.retries === undefined) return;
  d.status.retries = d.status.retries.filter((r) => r.cause !== 'capacity');
  if (d.status.retries.length === 0) delete d.status.retries;
}

/** In the status, so that one failure is charged once, whatever becomes of the world that follows it. */
function restartAfter(d: Draft, notBefore: number): void {
  d.restart = { notBefore };
  if (d.status.world) d.status.world.restartAfter = isoTime(notBefore);
}

function chargeCause(d: Draft, cause: RetryCause, exitCode: number | null): Verdict {
  const verdict = charge(rulesOf(d), historyOf(d, cause), cause, exitCode, d.now);
  const { count, times } = verdict.history;
  d.status.retries = [...(d.status.retries ?? []).filter((r) => r.cause !== cause), { cause, count, times: times.map(isoTime) }];
  return verdict;
}

function rulesOf(d: Draft): RetryRule[] {
  return d.spec.retry.map((r) => ({
    on: r.causes,
    ...(r.exitCodes ? { exitCodes: r.exitCodes } : {}),
    ...(r.limit === undefined ? {} : { limit: r.limit }),
    ...(r.for ? { forSeconds: durationSeconds(r.for) } : {}),
    ...(r.window ? { windowSeconds: durationSeconds(r.window) } : {}),
  }));
}

function historyOf(d: Draft, cause: RetryCause): RetryHistory | undefined {
  const stored = d.status.retries?.find((r) => r.cause === cause);
  return stored && { cause, count: stored.count, times: stored.times.map((t) => Date.parse(t)) };
}

/** Gives the training up; always true. */
function failTraining(d: Draft, words: string, verdict: string): true {
  d.status.finishedAt = isoTime(d.now);
  d.phase = 'Failed';
  d.isOver = true;
  delete d.status.next;
  const message = `${words}. ${verdict}: mend the cause and create the training again${resumeWords(d)}`;
  d.condition('Failed', 'True', 'RetriesExhausted', message);
  d.condition('Running', 'False', 'Failed', 'the training has failed');
  d.event('Warning', 'Failed', words);
  for (const pod of d.state.pods.values()) d.removePod(pod.name);
  return true;
}
