import type { Draft, Failure } from './draft.ts';
import { healthOf, isSilent, type Member, reportOf, SILENCE_MS } from './members.ts';

/** After a member's failure, how long to wait for word that another one died: its peers' collectives fail before the API knows. */
const ATTRIBUTION_MS = SILENCE_MS + 1_000;

/**
 * Finds the failure to charge, if any. While a member is known to be lost or doomed, the others' failures are its doing.
 * While nobody is known to be, they wait until every member has had the time to speak: who stays silent was lost.
 */
export function attributeFailures(d: Draft): Failure | null {
  const { world, next } = d.status;
  if (!world || next?.reason === 'error' || world.restartAfter !== undefined) return null;
  const failures = world.members.flatMap((m) => failureOf(d, m, world.generation) ?? []);
  const first = failures.toSorted((a, b) => a.at - b.at)[0];
  if (first === undefined) return null;
  const explained = world.members.some((m) => ['absent', 'lost', 'doomed'].includes(healthOf(d.state.pods.get(m.pod))));
  if (explained) return null;
  const failed = new Set(failures.map((f) => f.member.pod));
  const silent = world.members.filter(
    (m) => !failed.has(m.pod) && healthOf(d.state.pods.get(m.pod)) === 'ready' && isSilent(d.state, m, d.now),
  );
  if (silent.length > 0) {
    for (const member of silent) d.silent.add(member.pod);
    return null;
  }
  const settledAt = Math.max(first.at, d.state.listeningSince) + ATTRIBUTION_MS;
  const alone = world.members.length === 1;
  if (!alone && d.now < settledAt) {
    d.wake(settledAt);
    return null;
  }
  return first;
}

function failureOf(d: Draft, member: Member, generation: number): Failure | null {
  const entry = reportOf(d.state, member, generation);
  if (entry?.report.state === 'failed') {
    const { exitCode, message } = entry.report;
    return { member, exitCode: exitCode ?? null, message: message ?? '', at: entry.stateSince };
  }
  const pod = d.state.pods.get(member.pod);
  if (pod !== undefined && healthOf(pod) === 'failed') {
    return { member, exitCode: pod.exitCode, message: `pod ${pod.name} failed`, at: d.now - ATTRIBUTION_MS };
  }
  return null;
}
