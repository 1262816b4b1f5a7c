import type { V1Lease } from '@kubernetes/client-node';
import { durationSeconds } from '../api/duration.ts';
import type { ServedModel, VicunaServing } from '../api/vicuna-serving.ts';
import type { KubeClient } from '../kube/client.ts';
import type { Informer } from '../kube/informer.ts';
import { prometheusAuthorization } from './autoscaling/authorization.ts';
import { decideReplicas, EMPTY_MEMORY, type Rate, type Sample, type ScalingMemory, type ScalingSettings } from './autoscaling/decide.ts';
import { type PrometheusOptions, queryPrometheus } from './autoscaling/prometheus.ts';
import { defaultQuery, FIRST_TOKEN_P99, fillIn } from './autoscaling/queries.ts';
import { demandLeaseName } from './names.ts';
import { ASSUMED_START_SECONDS } from './plan.ts';
import type { MetricsState, Replica, ScaleDecision } from './state.ts';

type Autoscaling = NonNullable<VicunaServing['spec']['autoscaling']>;

export interface ScalingOptions {
  readonly client: Pick<KubeClient, 'get'>;
  readonly leases: Pick<Informer<V1Lease>, 'get'>;
  readonly now: () => number;
  readonly query?: (options: PrometheusOptions, query: string) => Promise<Sample>;
}

/** What is known of one model. */
interface ModelState {
  memory: ScalingMemory;
  decision: ScaleDecision | null;
}

/** What is known of one serving. */
interface ServingScale {
  readonly models: Map<string, ModelState>;
  /** Newest samples by model and metric; null = none were taken yet. */
  samples: ReadonlyMap<string, readonly Sample[]> | null;
  /** Models that had replicas which answer when they were last decided on. */
  readonly answering: Set<string>;
  /** Seconds, by model; what could not be read is not there. */
  firstTokenP99: ReadonlyMap<string, number>;
  /** Samples that no decision was made of yet. */
  fresh: boolean;
  polling: boolean;
  timer: NodeJS.Timeout | null;
  latest: VicunaServing;
}

interface Reading {
  readonly samples: ReadonlyMap<string, readonly Sample[]>;
  readonly firstTokenP99: ReadonlyMap<string, number>;
}

/** Decides how many replicas each model needs, by what Prometheus says. */
export class Scaling {
  readonly #o: ScalingOptions;
  readonly #servings = new Map<string, ServingScale>();
  readonly #handlers: ((key: string) => void)[] = [];

  constructor(options: ScalingOptions) {
    this.#o = options;
  }

  /** Called with a serving's key ("namespace/name") when its metrics were read anew. */
  onNews(handler: (key: string) => void): void {
    this.#handlers.push(handler);
  }

  decide(
    serving: VicunaServing,
    replicas: readonly Replica[],
    now: number,
  ): { scale: ReadonlyMap<string, ScaleDecision>; metrics: MetricsState; firstTokenP99: ReadonlyMap<string, number> } {
    const key = `${serving.metadata.namespace}/${serving.metadata.name}`;
    const { autoscaling } = serving.spec;
    if (!autoscaling) {
      this.forget(key);
      return { scale: new Map(serving.spec.models.map((m) => [m.name, fixed(serving)])), metrics: NOT_USED, firstTokenP99: new Map() };
    }
    const known = this.#follow(key, serving);
    const scale = new Map(serving.spec.models.map((m) => [m.name, this.#decideModel(known, serving, autoscaling, m, replicas, now)]));
    known.fresh = false;
    return { scale, metrics: metricsState(known, autoscaling), firstTokenP99: known.firstTokenP99 };
  }

  forget(key: string): void {
    const known = this.#servings.get(key);
    if (known?.timer) clearTimeout(known.timer);
    this.#servings.delete(key);
  }

  #decideModel(
    known: ServingScale,
    serving: VicunaServing,
    autoscaling: Autoscaling,
    model: ServedModel,
    replicas: readonly Replica[],
    now: number,
  ): ScaleDecision {
    const ready = replicas.filter((r) => r.model === model.name && r.readyAt !== null && r.interruption === null).length;
    if (ready > 0) known.answering.add(model.name);
    else known.answering.delete(model.name);
    const state = known.models.get(model.name) ?? { memory: EMPTY_MEMORY, decision: null };
    known.models.set(model.name, state);
    const status = serving.status?.models?.find((m) => m.name === model.name);
    const settings = settingsOf(serving, autoscaling);
    const current = state.decision?.replicas ?? status?.desired ?? Math.max(settings.min, 1);
    const demandedAt = this.#demandedAt(serving, model.name);
    const woken = current === 0 && demandedAt !== null && now - demandedAt < 5_000;
    const outside = current < settings.min || current > settings.max;
    // One decision for each reading: between two there is nothing new to decide on.
    if (state.decision !== null && !known.fresh && !woken && !outside) return state.decision;
    const samples = known.samples?.get(model.name);
    const { decision, memory } = decideReplicas(
      {
        settings,
        current,
        ready,
        startSeconds: model.startSeconds ?? status?.startSeconds ?? ASSUMED_START_SECONDS,
        metrics: autoscaling.metrics.map(({ name, target, type, activation }, i) => ({
          name,
          target,
          type,
          activation,
          sample: samples?.[i] ?? { problem: 'it was not read yet' },
        })),
        demandedAt,
      },
      state.memory,
      now,
    );
    known.models.set(model.name, { memory, decision });
    return decision;
  }

  #demandedAt(serving: VicunaServing, model: string): number | null {
    const lease = this.#o.leases.get(serving.metadata.namespace, demandLeaseName(serving.metadata.name ?? '', model));
    return lease?.spec?.renewTime ? new Date(lease.spec.renewTime).getTime() : null;
  }

  #follow(key: string, serving: VicunaServing): ServingScale {
    const known = this.#servings.get(key) ?? {
      models: new Map(),
      samples: null,
      answering: new Set(),
      firstTokenP99: new Map(),
      fresh: false,
      polling: false,
      timer: null,
      latest: serving,
    };
    known.latest = serving;
    this.#servings.set(key, known);
    if (known.timer === null && !known.polling) void this.#poll(key, known);
    return known;
  }

  async #poll(key: string, known: ServingScale): Promise<void> {
    known.polling = true;
    const { autoscaling } = known.latest.spec;
    if (autoscaling) {
      const { samples, firstTokenP99 } = await this.#read(known.latest, autoscaling, known.answering);
      known.samples = samples;
      known.firstTokenP99 = firstTokenP99;
      known.fresh = true;
    }
    known.polling = false;
    if (this.#servings.get(key) !== known) return;
    const interval = durationSeconds(autoscaling?.interval ?? '15s') * 1000;
    known.timer = setTimeout(() => {
      known.timer = null;
      void this.#poll(key, known);
    }, interval);
    for (const handler of this.#handlers) handler(key);
  }

  /** All metrics of all models, at the same time. */
  async #read(serving: VicunaServing, autoscaling: Autoscaling, answering: ReadonlySet<string>): Promise<Reading> {
    const { namespace = 'default', name = '' } = serving.metadata;
    const query = this.#o.query ?? queryPrometheus;
    let authorization: string | null = null;
    try {
      authorization = await prometheusAuthorization(this.#o.client, namespace, autoscaling.prometheus, 'spec.autoscaling.prometheus');
    } catch (error) {
      const problem = { problem: (error as Error).message };
      const samples = new Map(serving.spec.models.map((m) => [m.name, autoscaling.metrics.map(() => problem)]));
      return { samples, firstTokenP99: new Map() };
    }
    const options = { url: autoscaling.prometheus.url, authorization };
    const samples = new Map<string, readonly Sample[]>();
    const firstTokenP99 = new Map<string, number>();
    await Promise.all(
      serving.spec.models.map(async (model) => {
        const context = { namespace, serving: name, model: model.name };
        const queries = autoscaling.metrics.map((m) => m.query ?? defaultQuery(model.engine, answering.has(model.name)));
        const [first, ...list] = await Promise.all([FIRST_TOKEN_P99, ...queries].map((q) => query(options, fillIn(q, context))));
        samples.set(model.name, list);
        if (first && 'value' in first) firstTokenP99.set(model.name, first.value);
      }),
    );
    return { samples, firstTokenP99 };
  }
}

const NOT_USED: MetricsState = {
  status: 'False',
  reason: 'NotUsed',
  message: 'spec.autoscaling is not set: the number of replicas is spec.replicas.min',
};

function fixed(serving: VicunaServing): ScaleDecision {
  return { replicas: serving.spec.replicas.min, reason: 'spec.replicas.min says so', limitedBy: null, queue: null };
}

function metricsState({ samples }: ServingScale, { metrics }: Autoscaling): MetricsState {
  if (samples === null) return { status: 'False', reason: 'Unavailable', message: 'the metrics were not read yet' };
  const problems = [...samples].flatMap(([model, list]) =>
    list.flatMap((sample, i) => ('problem' in sample ? [`${model}: ${metrics[i]?.name ?? ''}: ${sample.problem}`] : [])),
  );
  if (problems.length === 0) return { status: 'True', reason: 'Fresh', message: 'every query gave a number' };
  return { status: 'False', reason: 'Unavailable', message: `${problems.join('; ')}. The number of replicas is held` };
}

/** The spec's settings, with the defaults that depend on the direction. */
function settingsOf({ spec }: VicunaServing, { behavior, schedule }: Autoscaling): ScalingSettings {
  const rate = (given: Autoscaling['behavior']['scaleUp'], stabilization: string): Rate => ({
    stabilizationSeconds: durationSeconds(given.stabilization ?? stabilization),
    percent: given.percent ?? 100,
    replicas: given.replicas ?? 4,
    periodSeconds: durationSeconds(given.period ?? '15s'),
  });
  return {
    min: spec.replicas.min,
    max: Math.max(1, spec.replicas.max ?? spec.replicas.min),
    tolerance: behavior.tolerance,
    scaleUp: rate(behavior.scaleUp, '0s'),
    scaleDown: rate(behavior.scaleDown, '300s'),
    panic: { windowSeconds: durationSeconds(behavior.panic.window), threshold: behavior.panic.threshold },
    schedule: schedule.map((w) => ({ ...w, days: w.days ?? [] })),
  };
}
