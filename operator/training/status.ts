import { isDeepStrictEqual } from 'node:util';
import { humanDuration } from '../api/duration.ts';
import { accrueCosts } from './costs.ts';
import { type Draft, isoTime, milliseconds, type Status } from './draft.ts';
import { openRecords } from './interruptions.ts';
import { reportOf } from './members.ts';
import { isTraining } from './worlds.ts';

/** Progress reaches the status at most so often: a thousand trainings must not become a thousand writes a second. */
export const PROGRESS_INTERVAL_MS = 10_000;
/** Costs are brought up to date at least so often while nothing else changes. */
const LEDGER_INTERVAL_MS = 60_000;

/** Takes over the newest checkpoint that a worker says is committed. The operator's word on where to resume comes from here. */
export function collectCheckpoint(d: Draft): void {
  const members = d.status.world?.members ?? [];
  for (const { pod } of members) {
    const checkpoint = d.state.reports.get(pod)?.report.checkpoint;
    if (!checkpoint || checkpoint.step <= (d.status.checkpoint?.step ?? -1)) continue;
    const { step, uri, bytes, savedAt, seconds, generation } = checkpoint;
    d.status.checkpoint = { step, uri, bytes, savedAt, seconds, generation };
  }
}

/** The rest of the status follows from what the steps decided: progress, costs, phase, conditions. */
export function settleStatus(d: Draft): void {
  const previous = (d.state.training.status ?? {}) as Status;
  d.status.phase = phaseOf(d);
  settleConditions(d);
  const urgent = !isDeepStrictEqual(d.status, previous);
  const accruedUntil = milliseconds(previous.accruedUntil);
  const ledgerDue = accruedUntil !== undefined && d.now - accruedUntil >= LEDGER_INTERVAL_MS && d.state.pods.size > 0;
  const progressedAt = milliseconds(previous.progress?.updatedAt) ?? 0;
  const progressDue = d.now - progressedAt >= PROGRESS_INTERVAL_MS;
  if (urgent || progressDue) copyProgress(d);
  const progressed = !isDeepStrictEqual(d.status.progress, previous.progress);
  if (urgent || ledgerDue || progressed) accrueCosts(d);
  if (d.status.world && isTraining(d, d.status.world)) d.wake(d.now + (hasReports(d) ? PROGRESS_INTERVAL_MS : LEDGER_INTERVAL_MS));
}

function hasReports(d: Draft): boolean {
  return d.status.world?.members.some((m) => d.state.reports.has(m.pod)) ?? false;
}

function copyProgress(d: Draft): void {
  const { world } = d.status;
  const chief = world?.members.find((m) => m.rank === 0);
  if (!world || !chief) return;
  const report = reportOf(d.state, chief, world.generation)?.report;
  if (!report || report.state === 'starting' || (report.step === 0 && (d.status.progress?.step ?? 0) > 0 && report.state !== 'running'))
    return;
  const { step, totalSteps, epoch, loss, tokensPerSecond, stepSeconds, validation } = report;
  const known = d.status.progress;
  const validated =
    validation ?? (known?.validationLoss === undefined ? null : { step: known.validationStep ?? 0, loss: known.validationLoss });
  const remaining = Math.max(0, totalSteps - step);
  const next = {
    step,
    totalSteps,
    display: `${step}/${totalSteps}`,
    epoch: round(epoch, 3),
    ...(loss === null ? {} : { loss: round(loss, 6), lossDisplay: loss.toFixed(3) }),
    ...(validated === null ? {} : { validationLoss: round(validated.loss, 6), validationStep: validated.step }),
    ...(tokensPerSecond === null ? {} : { tokensPerSecond: Math.round(tokensPerSecond) }),
    ...(stepSeconds === undefined ? {} : { stepSeconds: round(stepSeconds, 4), eta: humanDuration(remaining * stepSeconds) }),
  };
  const { updatedAt: _, ...before } = d.status.progress ?? {};
  if (isDeepStrictEqual(before, next)) return;
  d.status.progress = { ...next, updatedAt: isoTime(d.now) };
}

function round(value: number, digits: number): number {
  return Number(value.toFixed(digits));
}

function phaseOf(d: Draft): NonNullable<Status['phase']> {
  if (d.phase !== null) return d.phase;
  const { world, next } = d.status;
  if (world && isTraining(d, world)) {
    const interrupted = openRecords(d).some((r) => r.replacedAt === undefined);
    return interrupted || world.stopBy !== undefined ? 'Interrupted' : 'Running';
  }
  if (next) return 'Starting';
  return 'Waiting';
}

/** A deadline cannot be refused at the door, where there is no clock: it is shown instead. */
function deadlineNote(d: Draft): string {
  const { deadline } = d.spec.placement;
  if (deadline === undefined || Date.parse(deadline) > d.now) return '';
  return `; spec.placement.deadline (${deadline}) has passed: training goes on, set a later one or remove it`;
}

function settleConditions(d: Draft): void {
  const { phase, world, checkpoint } = d.status;
  if (phase === 'Running') {
    d.condition('Running', 'True', 'Training', `generation ${world?.generation} with ${world?.members.length} workers on ${world?.pool}`);
    d.condition('Placed', 'True', 'Placed', `on ${d.status.pool}${deadlineNote(d)}`);
  } else if (phase === 'Interrupted') {
    d.condition('Running', 'True', 'Interrupted', 'training goes on while its replacement starts');
  } else if (phase === 'Starting') {
    const refusal = d.state.podRefusal === null ? '' : `; the API server refuses the worker pods: ${d.state.podRefusal}`;
    d.condition('Running', 'False', 'Starting', `waiting for ${d.status.next?.members.length} workers on ${d.status.next?.pool}${refusal}`);
  } else if (phase === 'Waiting') {
    d.condition('Running', 'False', 'Waiting', 'no place to run: see condition Placed');
  }
  if (checkpoint) d.condition('CheckpointFresh', 'True', 'Saved', `step ${checkpoint.step} at ${checkpoint.uri}`);
}
