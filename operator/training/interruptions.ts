import type { Interruption } from '../signals/interruption.ts';
import { chargeLoss } from './budget.ts';
import { type Draft, isoTime, milliseconds, type Status } from './draft.ts';
import { type Member, reportOf } from './members.ts';

export type InterruptionRecord = NonNullable<Status['interruptions']>[number];

/** Records kept in status; older ones live on in the totals and in the metrics. */
const KEPT_RECORDS = 10;

/**
 * Opens one record per node (or evicted pod) that takes a worker away, and charges it: a node that dies without a word although it is
 * not spot is a bad node. A pod is interrupted at most once: its name is never used again. True when the training has failed by it.
 */
export function recordInterruptions(d: Draft): boolean {
  const members = [...(d.status.world?.members ?? []), ...(d.status.next?.members ?? [])];
  for (const member of members) {
    if (isRecorded(d, member.pod)) continue;
    const interruption = interruptionOf(d, member);
    if (interruption === null) continue;
    const pod = d.state.pods.get(member.pod);
    const node = pod?.node ?? interruption.node ?? undefined;
    const open = openRecords(d).find((r) => node !== undefined && r.node === node);
    if (open) {
      open.pods.push(member.pod);
      continue;
    }
    const pool = pod?.pool ?? d.status.pool ?? '';
    const record: InterruptionRecord = {
      pool,
      ...(node ? { node } : {}),
      pods: [member.pod],
      cause: interruption.cause,
      notice: !interruption.lost,
      noticedAt: isoTime(interruption.noticedAt),
      ...(interruption.deadline === null ? {} : { deadline: isoTime(interruption.deadline) }),
    };
    d.status.interruptions = [...(d.status.interruptions ?? []), record].slice(-KEPT_RECORDS);
    d.status.totals = { ...d.status.totals, interruptions: (d.status.totals?.interruptions ?? 0) + 1 };
    const livedSeconds = pod ? Math.max(0, (d.now - pod.createdAt) / 1000) : undefined;
    d.observations.push({ pool, kind: 'interrupted', ...(livedSeconds === undefined ? {} : { livedSeconds }) });
    d.event('Warning', 'Interrupted', interruption.message);
    const isSpot = d.state.pools.find((p) => p.name === pool)?.capacity !== 'onDemand';
    if (chargeLoss(d, record.notice || isSpot ? 'interruption' : 'node', interruption.message)) return true;
  }
  return false;
}

function isRecorded(d: Draft, pod: string): boolean {
  return (d.status.interruptions ?? []).some((r) => r.pods.includes(pod));
}

/** Why the member is going or gone, or null when it is not. */
function interruptionOf(d: Draft, member: Member): Interruption | null {
  const pod = d.state.pods.get(member.pod);
  if (pod === undefined) {
    // A member of the forming world that is absent has not been created yet.
    if (!d.status.world?.members.some((m) => m.pod === member.pod)) return null;
    return vanished(member.pod, d.now);
  }
  if (pod.interruption !== null && !pod.interruption.advisory) return pod.interruption;
  return d.silent.has(member.pod) ? vanished(member.pod, d.now) : null;
}

function vanished(pod: string, now: number): Interruption {
  return {
    cause: 'nodeLost',
    source: 'pod-absent',
    pod,
    noticedAt: now,
    deadline: null,
    lost: true,
    advisory: false,
    message: `pod ${pod} is gone without notice; going on from the last checkpoint with another one`,
  };
}

export function openRecords(d: Draft): InterruptionRecord[] {
  return (d.status.interruptions ?? []).filter((r) => r.resumedAt === undefined);
}

/** Fills the legs that the workers' reports close: checkpoint committed after the notice, and training resumed and verified. */
export function timeLegs(d: Draft): void {
  const { world, checkpoint } = d.status;
  for (const record of openRecords(d)) {
    const savedAt = milliseconds(checkpoint?.savedAt);
    if (record.checkpointAckedAt === undefined && checkpoint && savedAt !== undefined && savedAt >= Date.parse(record.noticedAt)) {
      if (record.replacedAt === undefined) {
        record.checkpointAckedAt = isoTime(d.now);
        record.checkpointStep = checkpoint.step;
        d.event('Normal', 'Saved', savedMessage(record, checkpoint, savedAt));
      }
    } else if (record.checkpointAckedAt !== undefined && record.replacedAt === undefined && checkpoint) {
      record.checkpointStep = checkpoint.step;
    }
  }
  const waiting = openRecords(d).filter((r) => r.replacedAt !== undefined);
  if (!world || waiting.length === 0) return;
  const resumed = resumedStep(d);
  if (resumed === null) return;
  const stoppedStep = world.stoppedStep ?? resumed;
  const lostSteps = Math.max(0, stoppedStep - resumed);
  for (const [index, record] of waiting.entries()) {
    record.resumedAt = isoTime(d.now);
    record.resumedStep = resumed;
    // Steps are lost once, however many nodes went at the same time.
    record.lostSteps = index === 0 ? lostSteps : 0;
  }
  d.status.totals = { ...d.status.totals, lostSteps: (d.status.totals?.lostSteps ?? 0) + lostSteps };
  const since = Math.max(...waiting.map((r) => Date.parse(r.checkpointAckedAt ?? r.noticedAt)));
  d.event(
    'Normal',
    'Resumed',
    `generation ${world.generation} verified at step ${resumed} on ${world.pool}; ${lostSteps} steps lost, ${seconds(d.now - since)} since the save or loss`,
  );
}

/** The step at which this generation really resumed, by its own report; null until it has said so, or when it resumed elsewhere. */
export function resumedStep(d: Draft): number | null {
  const { world } = d.status;
  if (!world) return null;
  for (const member of world.members) {
    const report = reportOf(d.state, member, world.generation)?.report;
    if (report?.resumedStep !== undefined && report.state !== 'failed') return report.resumedStep;
  }
  return null;
}

function savedMessage(record: InterruptionRecord, checkpoint: NonNullable<Status['checkpoint']>, savedAt: number): string {
  const took = checkpoint.seconds === undefined ? '' : ` in ${checkpoint.seconds.toFixed(1)} s`;
  if (record.deadline === undefined) return `step ${checkpoint.step} committed${took}`;
  const spare = Date.parse(record.deadline) - savedAt;
  return spare >= 0
    ? `step ${checkpoint.step} committed${took}, ${seconds(spare)} before the deadline`
    : `step ${checkpoint.step} committed${took}, ${seconds(-spare)} after the deadline`;
}

function seconds(ms: number): string {
  return `${(ms / 1000).toFixed(1)} s`;
}
