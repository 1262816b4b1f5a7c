import type { TaskStatus } from '../api/task.ts';
import type { OperatorMetrics, TaskResult } from '../server/metrics.ts';
import { parseDollars } from '../spot/ledger.ts';

/** Brings tasks' statuses into the operator's metrics. */
export class TaskMetrics {
  readonly #metrics: OperatorMetrics;

  constructor(metrics: OperatorMetrics) {
    this.#metrics = metrics;
  }

  /** `placed`: the condition that says what is missing while it is Pending. */
  update(
    kind: string,
    key: string,
    { phase = 'Pending', progress, totals, retries, conditions }: TaskStatus,
    results: readonly TaskResult[] = [],
    placed = conditions?.find((c) => c.type === 'Placed'),
  ): void {
    this.#metrics.setTask(kind, key, {
      phase,
      missing: (phase === 'Pending' ? placed?.reason : undefined) ?? null,
      progress: progress ? { done: progress.done, total: progress.total ?? null } : null,
      interruptions: totals?.interruptions ?? 0,
      errors: retries?.find((r) => r.cause === 'error')?.count ?? 0,
      cost: parseDollars(totals?.cost) / 1e6,
      onDemandCost: parseDollars(totals?.onDemandCost) / 1e6,
      results,
    });
  }

  forget(kind: string, key: string): void {
    this.#metrics.forgetTask(kind, key);
  }
}
