import type { Report, World } from '../api/protocol.ts';
import type { Worker } from './authenticator.ts';
import { countsSteps, implausible } from './report-plausibility.ts';

/** A pod's latest report, when it came, and since when its state has been the same in this generation (ms since epoch). */
export type ReceivedReport = { pod: string; podUid: string; report: Report; receivedAt: number; stateSince: number };

/** Why a report deserves the controller's attention at once. */
export type ChangeReason = 'new pod' | 'new generation' | 'state' | 'failure' | 'resumed' | 'checkpoint';

export type ReportChange = { training: string; pod: string; reasons: ChangeReason[]; received: ReceivedReport };

export type ReportInboxOptions = {
  now: () => number;
  /** The published world of a training: reports are judged by it. */
  worldOf: (training: string) => World | null;
  /** Told of every accepted report, for gauges: unlike the controller, metrics follow at once. */
  onReport?: (training: string, report: Report) => void;
};

type Entry = ReceivedReport & { reachedStep: number };
type Training = { pods: Map<string, Entry>; newestCheckpoint: { generation: number; step: number } | undefined };

/** A pod that has been silent for so long is gone; replacements have other names, so a long training would gather them. */
const FORGET_AFTER_MS = 10 * 60_000;

/**
 * The latest report of every pod of every training ("namespace/name").
 *
 * Handlers hear of what the controller must act on, within the call, and of nothing else: mere progress is there to be read when
 * the controller next looks.
 */
export class ReportInbox {
  readonly #now: () => number;
  readonly #worldOf: (training: string) => World | null;
  readonly #onReport: ((training: string, report: Report) => void) | undefined;
  readonly #trainings = new Map<string, Training>();
  readonly #handlers = new Map<string, Set<(change: ReportChange) => void>>();

  constructor({ now, worldOf, onReport }: ReportInboxOptions) {
    this.#now = now;
    this.#worldOf = worldOf;
    this.#onReport = onReport;
  }

  /** Takes a worker's report, or throws ProtocolError 409 or 422 with what the worker should do. */
  receive(key: string, worker: Worker, report: Report): void {
    const now = this.#now();
    const training: Training = this.#trainings.get(key) ?? { pods: new Map(), newestCheckpoint: undefined };
    const known = training.pods.get(worker.pod);
    // A pod's name is reused when a training is made anew: what the earlier pod of that name said says nothing of this one.
    const before = known?.podUid === worker.podUid ? known : undefined;
    const reachedStep = before?.report.generation === report.generation ? before.reachedStep : 0;
    const error = implausible({ training: key, worker, report, world: this.#worldOf(key), reachedStep });
    if (error !== undefined) throw error;

    const entry: Entry = {
      pod: worker.pod,
      podUid: worker.podUid,
      report,
      receivedAt: now,
      stateSince: before?.report.state === report.state && before.report.generation === report.generation ? before.stateSince : now,
      reachedStep: countsSteps(report) ? report.step : reachedStep,
    };
    const reasons = reasonsToAct(before, entry, training);
    if (known === undefined) forgetSilent(training.pods, now);
    training.pods.set(worker.pod, entry);
    if (reasons.includes('checkpoint')) training.newestCheckpoint = report.checkpoint;
    this.#trainings.set(key, training);
    this.#onReport?.(key, report);
    if (reasons.length === 0) return;
    for (const handler of [...(this.#handlers.get(key) ?? [])]) handler({ training: key, pod: worker.pod, reasons, received: entry });
  }

  /** The pod's latest accepted report. */
  get(key: string, pod: string): ReceivedReport | null {
    return this.#trainings.get(key)?.pods.get(pod) ?? null;
  }

  /** The latest accepted report of every pod of the training. */
  list(key: string): ReceivedReport[] {
    return [...(this.#trainings.get(key)?.pods.values() ?? [])];
  }

  /** Milliseconds since the pod's last accepted report; null when it has not reported to this copy of the operator. */
  silentSince(key: string, pod: string, now: number): number | null {
    const entry = this.#trainings.get(key)?.pods.get(pod);
    return entry === undefined ? null : now - entry.receivedAt;
  }

  /** Calls `handler` within `receive` whenever a report of the training asks for action; returns how to stop that. */
  onChange(key: string, handler: (change: ReportChange) => void): () => void {
    const handlers = this.#handlers.get(key) ?? new Set();
    handlers.add(handler);
    this.#handlers.set(key, handlers);
    return () => {
      handlers.delete(handler);
      if (handlers.size === 0 && this.#handlers.get(key) === handlers) this.#handlers.delete(key);
    };
  }

  /** Forgets a pod that is gone, or (without `pod`) the whole training. Handlers stay until they are removed. */
  forget(key: string, pod?: string): void {
    if (pod === undefined) this.#trainings.delete(key);
    else this.#trainings.get(key)?.pods.delete(pod);
  }
}

function forgetSilent(pods: Map<string, Entry>, now: number): void {
  for (const [pod, { receivedAt }] of pods) if (now - receivedAt > FORGET_AFTER_MS) pods.delete(pod);
}

function reasonsToAct(before: ReceivedReport | undefined, { report }: ReceivedReport, training: Training): ChangeReason[] {
  const reasons: ChangeReason[] = [];
  if (before === undefined) reasons.push('new pod');
  else if (before.report.generation !== report.generation) reasons.push('new generation');
  if (before !== undefined && before.report.state !== report.state) reasons.push('state');
  if (report.state === 'failed' && before?.report.state !== 'failed') reasons.push('failure');
  if (report.resumedStep !== undefined && (before?.report.resumedStep !== report.resumedStep || reasons.includes('new generation')))
    reasons.push('resumed');
  if (report.checkpoint !== undefined && isNewer(report.checkpoint, training.newestCheckpoint)) reasons.push('checkpoint');
  return reasons;
}

type CheckpointMark = { generation: number; step: number };

/** Every rank repeats the last checkpoint in every report: only the first to name a newer one brings news. */
function isNewer(checkpoint: CheckpointMark, newest: CheckpointMark | undefined): boolean {
  if (newest === undefined) return true;
  if (checkpoint.generation !== newest.generation) return checkpoint.generation > newest.generation;
  return checkpoint.step > newest.step;
}
