import type { TaskStatus } from '../api/task.ts';
import type { TaskPlan, Verdict } from './draft.ts';
import type { Problem, TaskEvent } from './state.ts';
import { isoTime } from './time.ts';

/** Sets one condition; the time of its last transition changes only with its status. */
export function setCondition(
  status: Pick<TaskStatus, 'conditions' | 'observedGeneration'>,
  type: string,
  { status: value, reason, message }: Verdict,
  now: number,
): void {
  status.conditions ??= [];
  const previous = status.conditions.find((c) => c.type === type);
  const lastTransitionTime = previous?.status === value ? previous.lastTransitionTime : isoTime(now);
  const observedGeneration = status.observedGeneration ?? 0;
  const next = { type, status: value, reason, message: message.slice(0, 1024), lastTransitionTime, observedGeneration };
  if (previous === undefined) status.conditions.push(next);
  else Object.assign(previous, next);
}

/** The status that follows from a plan, and the events that tell of its end. `problem`: why what the program left is no success. */
export function taskStatus(
  before: TaskStatus | undefined,
  generation: number,
  plan: TaskPlan,
  problem: Problem | null,
  now: number,
): { status: TaskStatus; events: TaskEvent[] } {
  const kept = structuredClone(before ?? {});
  const status: TaskStatus = { ...withoutRun(kept), ...plan.run, observedGeneration: generation };
  const events: TaskEvent[] = [];
  if (plan.placed) setCondition(status, 'Placed', plan.placed, now);
  if (plan.running) setCondition(status, 'Running', plan.running, now);
  const { ending } = plan;
  const failure = problem ?? (ending !== null && 'reason' in ending ? ending : null);
  if (failure !== null) {
    status.phase = 'Failed';
    setCondition(status, 'Failed', { status: 'True', ...failure }, now);
    events.push({ type: 'Warning', reason: 'Failed', message: failure.message });
  } else if (ending !== null) {
    setCondition(status, 'Complete', { status: 'True', reason: 'Finished', message: `done by pod ${plan.run.pod}` }, now);
    events.push({ type: 'Normal', reason: 'Completed', message: `done by pod ${plan.run.pod}` });
  }
  return { status, events };
}

const RUN_FIELDS = [
  'phase',
  'attempt',
  'pod',
  'pool',
  'capacity',
  'notBefore',
  'progress',
  'retries',
  'totals',
  'accruedUntil',
  'startedAt',
  'finishedAt',
] as const;

function withoutRun(status: TaskStatus): TaskStatus {
  const rest = { ...status };
  for (const field of RUN_FIELDS) delete rest[field];
  return rest;
}

/** The part of a status that a task's plan reads and writes. */
export function runOf(status: TaskStatus | undefined): TaskStatus {
  return Object.fromEntries(RUN_FIELDS.flatMap((f) => (status?.[f] === undefined ? [] : [[f, status[f]]])));
}
