import type { InterruptionLeg, OperatorMetrics } from '../server/metrics.ts';
import { parseDollars } from '../spot/ledger.ts';
import { TaskMetrics } from '../tasks/metrics.ts';
import type { Plan } from './draft.ts';
import type { InterruptionRecord } from './interruptions.ts';
import type { TrainingState } from './state.ts';

/** Brings what a plan has decided into the operator's metrics. */
export class TrainingMetrics {
  readonly #metrics: OperatorMetrics;
  readonly #releases: TaskMetrics;

  constructor(metrics: OperatorMetrics) {
    this.#metrics = metrics;
    this.#releases = new TaskMetrics(metrics);
  }

  update(key: string, plan: Plan, state: TrainingState): void {
    const { status } = plan;
    this.#metrics.setTraining(key, {
      phase: status.phase ?? 'Pending',
      pool: status.pool ?? null,
      capacity: status.capacity ?? null,
      generation: status.generation ?? 0,
      worldSize: status.world?.members.length ?? 0,
      progress: status.progress ? { step: status.progress.step, totalSteps: status.progress.totalSteps } : null,
      checkpoint: status.checkpoint
        ? {
            step: status.checkpoint.step,
            bytes: status.checkpoint.bytes,
            seconds: status.checkpoint.seconds ?? 0,
            savedAt: Date.parse(status.checkpoint.savedAt),
          }
        : null,
      goodput: status.totals?.goodput ?? null,
      gpuHours: status.totals?.gpuHours ?? 0,
      cost: parseDollars(status.totals?.cost) / 1e6,
      onDemandCost: parseDollars(status.totals?.onDemandCost) / 1e6,
      interruptions: status.totals?.interruptions ?? 0,
      lostSteps: status.totals?.lostSteps ?? 0,
    });
    const released = status.conditions?.find((c) => c.type === 'Released');
    if (status.release) this.#releases.update('Release', key, status.release, [], released);
    const before = new Set((state.training.status?.interruptions ?? []).filter((r) => r.resumedAt).map((r) => r.pods[0]));
    for (const record of status.interruptions ?? []) {
      if (record.resumedAt === undefined || before.has(record.pods[0])) continue;
      this.#metrics.interrupted({
        cause: record.cause,
        notice: record.notice,
        lostSteps: record.lostSteps ?? 0,
        legSeconds: legSeconds(record),
      });
    }
  }

  forget(key: string): void {
    this.#metrics.forgetTraining(key);
    this.#releases.forget('Release', key);
  }
}

/** Seconds of each leg that happened. */
export function legSeconds(record: InterruptionRecord): Partial<Record<InterruptionLeg, number>> {
  const between = (from: string | undefined, to: string | undefined) =>
    from === undefined || to === undefined ? undefined : Math.max(0, (Date.parse(to) - Date.parse(from)) / 1000);
  const legs = {
    notice_to_checkpoint: between(record.noticedAt, record.checkpointAckedAt),
    notice_to_replaced: between(record.noticedAt, record.replacedAt),
    replaced_to_resumed: between(record.replacedAt, record.resumedAt),
    total: between(record.noticedAt, record.resumedAt),
  };
  return Object.fromEntries(Object.entries(legs).filter(([, seconds]) => seconds !== undefined));
}
