import { once } from 'node:events';
import type { Server } from 'node:http';
import type { AddressInfo } from 'node:net';
import pino from 'pino';
import { gatewayConfigSchema } from '../../../operator/api/gateway-config.ts';
import { Gateway } from '../gateway.ts';
import { createGatewayServer, type Handler } from '../server.ts';
import { FakeWorker, type FakeWorkerOptions } from './fake-worker.ts';

export interface StageOptions {
  readonly config?: Record<string, unknown>;
  readonly workers?: readonly Partial<FakeWorkerOptions>[];
  readonly handlers?: readonly Handler[];
}

export interface Answered {
  readonly status: number;
  readonly headers: Headers;
  readonly text: string;
}

/** A gateway in this process before fake workers, on real sockets. */
export class GatewayStage {
  readonly gateway: Gateway;
  readonly workers: FakeWorker[];
  readonly demanded: string[] = [];
  readonly logged: Record<string, unknown>[] = [];
  /** Added to the real time. */
  later = 0;
  readonly #server: Server;

  private constructor(workers: FakeWorker[], { config = {}, handlers = [] }: StageOptions) {
    this.workers = workers;
    const parsed = gatewayConfigSchema.parse({ models: [{ name: 'tiny', aliases: ['vicuna'], demandLease: 'tiny-demand' }], ...config });
    const now = () => Date.now() + this.later;
    this.gateway = new Gateway(parsed, {
      now,
      random: () => 0.5,
      onDemand: ({ name }) => this.demanded.push(name),
      onWorkerFailed: () => undefined,
    });
    const log = pino({ level: 'info' }, { write: (line: string) => this.logged.push(JSON.parse(line) as Record<string, unknown>) });
    this.#server = createGatewayServer({ gateway: this.gateway, log, now, handlers });
    this.seat();
  }

  static async start(options: StageOptions = {}): Promise<GatewayStage> {
    const wanted = options.workers ?? [{}, {}];
    const workers = await Promise.all(wanted.map((w) => FakeWorker.start({ model: 'tiny', ...w })));
    const stage = new GatewayStage(workers, options);
    stage.#server.listen(0, '127.0.0.1');
    await once(stage.#server, 'listening');
    return stage;
  }

  /** Tells the gateway of these workers, as a cluster's EndpointSlices would. */
  seat(workers: readonly FakeWorker[] = this.workers, engine: 'vllm' | 'transformers' | 'sglang' = 'vllm'): void {
    this.gateway.registry.set(
      'cluster',
      workers.map((w) => ({
        name: `worker-${this.workers.indexOf(w)}`,
        url: w.url,
        models: ['tiny'],
        track: 'stable' as const,
        protocol: 'openai' as const,
        engine,
        zone: 'zone-a',
        keyFile: null,
      })),
    );
  }

  get url(): string {
    return `http://127.0.0.1:${(this.#server.address() as AddressInfo).port}`;
  }

  async post(path: string, body: unknown, headers: Record<string, string> = {}, signal?: AbortSignal): Promise<Answered> {
    const response = await fetch(this.url + path, {
      method: 'POST',
      headers: { 'content-type': 'application/json', ...headers },
      body: typeof body === 'string' ? body : JSON.stringify(body),
      ...(signal ? { signal } : {}),
    });
    return { status: response.status, headers: response.headers, text: await response.text() };
  }

  /** A streamed chat's text, finish reason and usage; throws when the stream does not end as it should. */
  async chat(content: string, more: Record<string, unknown> = {}, headers: Record<string, string> = {}): Promise<Streamed> {
    const body = { model: 'tiny', messages: [{ role: 'user', content }], stream: true, ...more };
    return readStream(await this.post('/v1/chat/completions', body, headers));
  }

  async stop(): Promise<void> {
    this.#server.closeAllConnections();
    this.#server.close();
    for (const worker of this.gateway.registry.all()) worker.close();
    await Promise.all(this.workers.map((w) => w.kill().catch(() => undefined)));
  }
}

export interface Streamed {
  readonly text: string;
  readonly finishReason: string | null;
  readonly usage: unknown;
  readonly ids: ReadonlySet<string>;
  readonly comments: readonly string[];
  readonly done: boolean;
  readonly error: { message: string; code: string | null } | null;
  readonly headers: Headers;
}

/** Reads a stream as a strict client would. */
export function readStream({ status, text: body, headers }: Answered): Streamed {
  if (status !== 200) throw new Error(`status ${status}: ${body}`);
  let text = '';
  let finishReason: string | null = null;
  let usage: unknown = null;
  let done = false;
  let error: Streamed['error'] = null;
  const ids = new Set<string>();
  const comments: string[] = [];
  if (!body.endsWith('\n\n')) throw new Error('the stream ends in the middle of an event');
  for (const event of body.slice(0, -2).split('\n\n')) {
    if (event.startsWith(':')) {
      comments.push(event.slice(2));
      continue;
    }
    if (done) throw new Error('there is more after [DONE]');
    const data = event.slice('data: '.length);
    if (data === '[DONE]') {
      done = true;
      continue;
    }
    const chunk = JSON.parse(data);
    if (chunk.error) {
      error = chunk.error;
      continue;
    }
    ids.add(chunk.id);
    if (chunk.usage) usage = chunk.usage;
    for (const choice of chunk.choices) {
      if (finishReason !== null) throw new Error('there is more after the finish');
      text += choice.delta?.content ?? choice.text ?? '';
      finishReason = choice.finish_reason ?? finishReason;
    }
  }
  return { text, finishReason, usage, ids, comments, done, error, headers };
}
