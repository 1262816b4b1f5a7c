import { durationSeconds } from '../api/duration.ts';
import { charge, type RetryHistory, type RetryRule } from '../spot/budgets.ts';
import { type Draft, isoTime } from './draft.ts';
import type { Failure } from './failures.ts';

/** Exit code of the trainer's processes when another one of the gang was lost (workloads/trainer/vicuna_trainer/exits.py). */
const PEER_LOST = 69;
/** A gang whose members keep losing each other must not start again in a tight loop. */
const PEER_LOST_PAUSE_MS = 2_000;

/** Charges a failure of the training's own program. True when that was one too many, and the training has failed. */
export function chargeFailure(d: Draft, failure: Failure): boolean {
  if (failure.exitCode === PEER_LOST) {
    // The trainer's own word that it was not its fault: the gang starts again, and nothing is charged.
    const notBefore = d.now + PEER_LOST_PAUSE_MS;
    d.restart = { notBefore };
    if (d.status.world) d.status.world.restartAfter = isoTime(notBefore);
    d.event('Warning', 'PeerLost', `rank ${failure.member.rank} lost a peer; starting again from the last checkpoint`);
    return false;
  }
  const rules: RetryRule[] = d.spec.retry.map((r) => ({
    on: r.causes,
    ...(r.exitCodes ? { exitCodes: r.exitCodes } : {}),
    ...(r.limit === undefined ? {} : { limit: r.limit }),
    ...(r.for ? { forSeconds: durationSeconds(r.for) } : {}),
    ...(r.window ? { windowSeconds: durationSeconds(r.window) } : {}),
  }));
  const stored = d.status.retries?.find((r) => r.cause === 'error');
  const before: RetryHistory | undefined = stored && { cause: 'error', count: stored.count, times: stored.times.map((t) => Date.parse(t)) };
  const verdict = charge(rules, before, 'error', failure.exitCode, d.now);
  const { count, times } = verdict.history;
  d.status.retries = [...(d.status.retries ?? []).filter((r) => r.cause !== 'error'), { cause: 'error', count, times: times.map(isoTime) }];
  const code = failure.exitCode === null ? '' : ` with exit code ${failure.exitCode}`;
  const words = `rank ${failure.member.rank} failed${code}: ${failure.message.trim().slice(-600) || 'no message'}`;
  if (verdict.allowed) {
    d.restart = { notBefore: verdict.notBefore };
    // In the status, so that one failure is charged once, whatever becomes of the world that follows it.
    if (d.status.world) d.status.world.restartAfter = isoTime(verdict.notBefore);
    d.event('Warning', 'Restarting', `${words} (${verdict.message}; starts again from the last checkpoint)`);
    return false;
  }
  d.status.finishedAt = isoTime(d.now);
  d.phase = 'Failed';
  d.isOver = true;
  delete d.status.next;
  d.condition(
    'Failed',
    'True',
    'RetriesExhausted',
    `${words}. ${verdict.message}: mend the cause and create the training again; it can resume from ${d.status.checkpoint?.uri ?? 'the base model'}`,
  );
  d.condition('Running', 'False', 'Failed', 'the training has failed');
  d.event('Warning', 'Failed', words);
  for (const pod of d.state.pods.values()) d.removePod(pod.name);
  return true;
}
