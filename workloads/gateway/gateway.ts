import type { GatewayConfig, ModelConfig } from '../../operator/api/gateway-config.ts';
import { ApiError } from './api-error.ts';
import { chooseWorker } from './choose.ts';
import type { ClientStream } from './client-stream.ts';
import type { Backend } from './generation.ts';
import { ApiKeys } from './keys.ts';
import { GatewayMetrics } from './metrics.ts';
import { Moderation } from './moderation.ts';
import { Registry } from './registry.ts';
import type { ModelRequest } from './request.ts';
import type { WorkerFailed } from './upstream.ts';
import { WaitingRoom } from './waiting-room.ts';
import type { Worker } from './worker.ts';

export interface GatewayOptions {
  readonly now: () => number;
  readonly random: () => number;
  /** Called while requests wait for a model that has no worker. */
  readonly onDemand: (model: ModelConfig) => void;
  readonly onWorkerFailed: (error: WorkerFailed) => void;
}

/** What all requests share: configuration, workers, the queue, keys and metrics. */
export class Gateway {
  readonly registry: Registry;
  readonly keys: ApiKeys;
  readonly metrics: GatewayMetrics;
  readonly waitingRoom: WaitingRoom;
  moderation: Moderation | null = null;
  readonly #o: GatewayOptions;
  #config: GatewayConfig;
  #names = new Map<string, ModelConfig>();

  constructor(config: GatewayConfig, options: GatewayOptions) {
    this.#o = options;
    this.#config = config;
    this.registry = new Registry(options.now);
    this.keys = new ApiKeys(options.now);
    this.waitingRoom = new WaitingRoom(() => ({
      length: this.#config.limits.queueLength,
      seconds: this.#config.limits.queueSeconds,
      now: options.now,
      onDemand: (model) => this.#demand(model),
    }));
    this.metrics = new GatewayMetrics({
      queued: () => [...this.#config.models.map((m) => m.name)].map((name) => [name, this.waitingRoom.size(name)] as const),
      workers: () => {
        const all = this.registry.all();
        const ready = all.filter((w) => w.breaker.closed).length;
        return { ready, resting: all.length - ready };
      },
    });
    this.registry.onChange(() => this.waitingRoom.wake());
    this.configure(config);
  }

  get config(): GatewayConfig {
    return this.#config;
  }

  /** Takes another configuration. Throws, and keeps the one before, when keys cannot be read. */
  configure(config: GatewayConfig): void {
    this.keys.load(config.apiKeys?.directory ?? null, config.copies);
    this.#config = config;
    this.#names = new Map(config.models.flatMap((m) => [m.name, ...m.aliases].map((name) => [name, m] as const)));
    this.moderation = config.moderation ? new Moderation(config.moderation, (result) => this.metrics.moderations.inc({ result })) : null;
    this.registry.set(
      'configuration',
      config.workers.map((w) => ({
        name: w.url,
        url: w.url.replace(/\/$/, ''),
        models: w.models,
        track: 'stable',
        protocol: 'openai',
        engine: w.engine,
        zone: null,
        keyFile: w.keyFile ?? null,
      })),
    );
  }

  /** The model that a client means. Models that registered workers bring need no configuration. Throws 404. */
  model(name: string): { readonly name: string; readonly config: ModelConfig | null } {
    const config = this.#names.get(name);
    if (config) return { name: config.name, config };
    if (this.registry.of(name).length > 0) return { name, config: null };
    throw new ApiError(404, `The model ${JSON.stringify(name.slice(0, 100))} does not exist here. GET /v1/models lists those that do.`, {
      param: 'model',
      code: 'model_not_found',
    });
  }

  /** Names of the models, first those of the configuration. */
  modelNames(): string[] {
    const configured = this.#config.models.flatMap((m) => [m.name, ...m.aliases]);
    return [...new Set([...configured, ...this.registry.models()])];
  }

  /** The flow of one request's way to workers. */
  backend(model: string, config: ModelConfig | null, onFirstToken: () => void): Backend {
    const { registry, waitingRoom, metrics } = this;
    return {
      limits: this.#config.limits,
      continuation: this.#config.continuation,
      worker: (request: ModelRequest, exclude: ReadonlySet<Worker>, signal: AbortSignal, stream: ClientStream | null) =>
        waitingRoom.worker({
          model,
          signal,
          choose: (waited) =>
            chooseWorker(registry.of(model), {
              prefix: request.prefix,
              canaryPercent: config?.canaryPercent ?? 0,
              exclude: waited ? NOBODY : exclude,
              random: this.#o.random,
            }),
          ...(stream ? { onWait: (position, waitedSeconds) => stream.tell('queued', { position, waitedSeconds }) } : {}),
        }),
      onRetry: (_, error) => {
        metrics.retries.inc({ model });
        this.#o.onWorkerFailed(error);
      },
      onContinuation: (_, result, error) => {
        metrics.continuations.inc({ model, result });
        this.#o.onWorkerFailed(error);
      },
      onFirstToken,
    };
  }

  #demand(name: string): void {
    const model = this.#names.get(name);
    if (model && this.registry.of(name).length === 0) this.#o.onDemand(model);
  }
}

const NOBODY: ReadonlySet<Worker> = new Set();
