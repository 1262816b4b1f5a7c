import type { TaskStatus } from '../api/task.ts';
import type { OperatorMetrics, TaskResult } from '../server/metrics.ts';
import { parseDollars } from '../spot/ledger.ts';

/** Brings tasks' statuses into the operator's metrics. */
export class TaskMetrics {
  readonly #metrics: OperatorMetrics;

  constructor(metrics: OperatorMetrics) {
    this.#metrics = metrics;
  }

  update(kind: string, key: string, { phase, progress, totals, retries }: TaskStatus, results: readonly TaskResult[] = []): void {
    this.#metrics.setTask(kind, key, {
      phase: phase ?? 'Pending',
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
