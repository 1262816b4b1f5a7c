import { Counter, collectDefaultMetrics, Gauge, Histogram, Registry } from 'prom-client';

const SECONDS = [0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60, 120, 300, 600];
const TOKEN_SECONDS = [0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10];

export interface Scene {
  /** Requests that wait, by model. */
  queued(): Iterable<readonly [model: string, count: number]>;
  workers(): { readonly ready: number; readonly resting: number };
}

/** The gateway's metrics. */
export class GatewayMetrics {
  readonly registry = new Registry();
  readonly requests = this.#counter('requests_total', 'Requests by their outcome.', ['model', 'code']);
  readonly seconds = this.#histogram('request_seconds', 'Time from a request’s arrival to the end of its answer.', SECONDS);
  readonly firstToken = this.#histogram(
    'time_to_first_token_seconds',
    'Time from a request’s arrival to the first piece of a streamed answer.',
    SECONDS,
  );
  readonly interToken = this.#histogram('inter_token_seconds', 'Mean time between two pieces of a streamed answer.', TOKEN_SECONDS);
  readonly running = this.#gauge('running_requests', 'Requests that workers are answering.');
  readonly queued = this.#gauge('queued_requests', 'Requests that wait for a worker.');
  readonly workers: Gauge<'state'>;
  readonly retries = this.#counter('retries_total', 'Requests that were sent to another worker before the client had seen anything.', [
    'model',
  ]);
  readonly continuations = this.#counter(
    'continuations_total',
    'Answers that broke off and went on at another worker (done), or could not (failed).',
    ['model', 'result'],
  );
  readonly promptTokens = this.#counter('prompt_tokens_total', 'Tokens of questions, where the worker told them.', ['model']);
  readonly completionTokens = this.#counter('completion_tokens_total', 'Tokens of answers; pieces where the worker did not tell.', [
    'model',
  ]);
  readonly moderations = this.#counter('moderations_total', 'Checks by their result: passed, flagged, unavailable.', ['result']);

  constructor(scene: Scene) {
    const { queued } = this;
    this.workers = new Gauge({
      name: 'vicuna_gateway_workers',
      help: 'Workers that take requests (ready), and those left alone after failures (resting).',
      labelNames: ['state'],
      registers: [this.registry],
      collect() {
        const { ready, resting } = scene.workers();
        this.set({ state: 'ready' }, ready);
        this.set({ state: 'resting' }, resting);
        queued.reset();
        for (const [model, count] of scene.queued()) queued.set({ model }, count);
      },
    });
    collectDefaultMetrics({ register: this.registry });
  }

  #counter<L extends string>(name: string, help: string, labelNames: readonly L[]): Counter<L> {
    return new Counter({ name: `vicuna_gateway_${name}`, help, labelNames: [...labelNames], registers: [this.registry] });
  }

  #gauge(name: string, help: string): Gauge<'model'> {
    return new Gauge({ name: `vicuna_gateway_${name}`, help, labelNames: ['model'], registers: [this.registry] });
  }

  #histogram(name: string, help: string, buckets: number[]): Histogram<'model'> {
    return new Histogram({ name: `vicuna_gateway_${name}`, help, labelNames: ['model'], buckets, registers: [this.registry] });
  }
}

export interface GatewayMetric {
  readonly name: string;
  readonly type: 'counter' | 'gauge' | 'histogram';
  readonly labels: readonly string[];
  readonly help: string;
}

/** What a gateway serves, for the reference page: name, type, labels and meaning of each metric that is its own. */
export function gatewayMetricDefinitions(): GatewayMetric[] {
  const { registry } = new GatewayMetrics({ queued: () => [], workers: () => ({ ready: 0, resting: 0 }) });
  const own = registry.getMetricsAsArray().filter(({ name }) => name.startsWith('vicuna_'));
  // prom-client's types leave the labels out of what it returns.
  return own.map((metric) => {
    const { name, type, help, labelNames } = metric as unknown as Omit<GatewayMetric, 'labels'> & { labelNames: string[] };
    return { name, type, labels: labelNames, help };
  });
}
