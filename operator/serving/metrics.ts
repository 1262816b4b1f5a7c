import type { OperatorMetrics } from '../server/metrics.ts';
import { parseDollars } from '../spot/ledger.ts';
import type { ServingPlan } from './draft.ts';
import type { ServingState } from './state.ts';

/** Brings what a plan has decided into the operator's metrics. */
export class ServingMetrics {
  readonly #metrics: OperatorMetrics;

  constructor(metrics: OperatorMetrics) {
    this.#metrics = metrics;
  }

  update(key: string, { status, events }: ServingPlan, state: ServingState): void {
    this.#metrics.setServing(key, {
      models: status.models ?? [],
      gatewaysReady: state.gateways.filter((g) => g.ready).length,
      scalingLimit: status.conditions?.find((c) => c.type === 'ScalingLimited')?.reason ?? 'WithinLimits',
      metricsAvailable: state.metrics.reason === 'NotUsed' ? null : state.metrics.status === 'True',
      interruptions: status.totals?.interruptions ?? 0,
      cost: parseDollars(status.totals?.cost) / 1e6,
      onDemandCost: parseDollars(status.totals?.onDemandCost) / 1e6,
      gpuHours: status.totals?.gpuHours ?? 0,
    });
    for (const { reason } of events) if (reason === 'ScaledUp' || reason === 'ScaledDown') this.#metrics.scaled(key, reason);
  }

  forget(key: string): void {
    this.#metrics.forgetServing(key);
  }
}
