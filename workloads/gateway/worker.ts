import { type Dispatcher, Pool } from 'undici';
import type { ModelConfig } from '../../operator/api/gateway-config.ts';
import { Breaker } from './breaker.ts';

/** What a worker speaks. */
export type Protocol = 'openai' | 'fastchat';

/** A worker as a source tells of it. */
export interface WorkerSpec {
  /** What it is called in logs and headers: a pod's name, or an address. */
  readonly name: string;
  /** Base URL, without a slash at its end. */
  readonly url: string;
  readonly models: readonly string[];
  readonly track: 'stable' | 'canary';
  readonly protocol: Protocol;
  /** A worker of this serving's own engine; null for one from outside. */
  readonly engine: ModelConfig['engine'] | null;
  readonly zone: string | null;
  /** File with a key to be sent, or null. */
  readonly keyFile: string | null;
}

/** A worker, and what the gateway knows of its state. */
export class Worker {
  readonly spec: WorkerSpec;
  readonly breaker: Breaker;
  readonly hash: number;
  readonly address: { readonly host: string; readonly port: number };
  readonly #origin: string;
  readonly #path: string;
  #connections: Pool;
  /** Requests that this gateway has under way there. */
  running = 0;
  /** Counts what came from it: while it owes answers and this stays, it is silent. */
  heard = 0;

  constructor(spec: WorkerSpec, now: () => number) {
    this.spec = spec;
    this.breaker = new Breaker(now);
    this.hash = hashOf(spec.name);
    const url = new URL(spec.url);
    this.address = { host: url.hostname.replace(/^\[|\]$/g, ''), port: Number(url.port || (url.protocol === 'https:' ? 443 : 80)) };
    this.#origin = url.origin;
    this.#path = url.pathname.replace(/\/$/, '');
    this.#connections = new Pool(this.#origin, KEPT);
  }

  /** Posts to the worker over a connection that is kept. */
  dispatch(path: string, headers: Readonly<Record<string, string>>, body: Buffer, handler: Dispatcher.DispatchHandler): void {
    this.#connections.dispatch({ method: 'POST', path: this.#path + path, headers, body }, handler);
  }

  /** Its machine is gone: what waits for it fails now. */
  vanished(): void {
    this.breaker.lost = true;
    const gone = this.#connections;
    this.#connections = new Pool(this.#origin, KEPT);
    void gone.destroy(new Error('its machine has vanished'));
  }

  /** Lets its connections go as their answers are finished. */
  close(): void {
    if (!this.#connections.closed && !this.#connections.destroyed) void this.#connections.close();
  }
}

/**
 * Connections are kept, since to open one costs more than a short answer, but not for as long as uvicorn keeps its own (5 s): it would
 * close one just as a request is sent. The times that an answer may take are the gateway's affair.
 */
const KEPT = {
  connections: null,
  pipelining: 1,
  keepAliveTimeout: 4_000,
  headersTimeout: 0,
  bodyTimeout: 0,
  connect: { timeout: 5_000 },
  allowH2: false,
} as const;

/** FNV-1a, 32 bits: the same in every copy of the gateway. */
export function hashOf(text: string): number {
  let hash = 0x811c9dc5;
  for (let i = 0; i < text.length; i++) hash = Math.imul(hash ^ text.charCodeAt(i), 0x01000193);
  return hash >>> 0;
}
