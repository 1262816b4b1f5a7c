import { isDeepStrictEqual } from 'node:util';
import { humanDuration } from '../api/duration.ts';
import type { TaskDraft } from './draft.ts';
import { isoTime, milliseconds } from './time.ts';

/** Progress reaches the status at most so often, however often pods report. */
export const PROGRESS_INTERVAL_MS = 10_000;

/** Copies the current pod's last report. */
export function copyProgress({ run, state, now }: TaskDraft, urgent: boolean): void {
  const report = run.pod === undefined ? undefined : state.reports.get(run.pod);
  if (report === undefined) return;
  const { updatedAt, ...before } = run.progress ?? {};
  if (!urgent && now - (milliseconds(updatedAt) ?? 0) < PROGRESS_INTERVAL_MS) return;
  const { stage, done, total, unit, etaSeconds } = report;
  const next = {
    stage,
    done,
    ...(total === null ? {} : { total }),
    unit,
    display: total === null ? String(done) : `${done}/${total}`,
    ...(etaSeconds === null ? {} : { eta: humanDuration(etaSeconds) }),
  };
  if (!isDeepStrictEqual(before, next)) run.progress = { ...next, updatedAt: isoTime(now) };
}

/** Its last report was some seconds before its end. */
export function completeProgress({ run, now }: TaskDraft): void {
  const { progress } = run;
  if (progress === undefined) return;
  const { eta: _, ...rest } = progress;
  const { total } = rest;
  run.progress = { ...rest, ...(total === undefined ? {} : { done: total, display: `${total}/${total}` }), updatedAt: isoTime(now) };
}
