import type { VicunaServing } from '../api/vicuna-serving.ts';
import type { MetricsState, Replica, ScaleDecision } from './state.ts';

/** Decides how many replicas each model needs. */
export class Scaling {
  readonly #handlers: ((key: string) => void)[] = [];

  /** Called with a serving's key ("namespace/name") when its numbers may have changed. */
  onNews(handler: (key: string) => void): void {
    this.#handlers.push(handler);
  }

  decide(
    serving: VicunaServing,
    _replicas: readonly Replica[],
    _now: number,
  ): { scale: ReadonlyMap<string, ScaleDecision>; metrics: MetricsState } {
    const { min } = serving.spec.replicas;
    const fixed = { replicas: min, reason: 'spec.replicas.min says so', limitedBy: null, queue: null };
    return {
      scale: new Map(serving.spec.models.map((m) => [m.name, fixed])),
      metrics: { status: 'False', reason: 'NotUsed', message: 'spec.autoscaling is not set: the number of replicas is spec.replicas.min' },
    };
  }

  forget(_key: string): void {}
}
