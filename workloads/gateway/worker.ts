import type { ModelConfig } from '../../operator/api/gateway-config.ts';
import { Breaker } from './breaker.ts';
import { type Address, addressOf, Connections, type Exchange, type ExchangeHandler } from './http/connections.ts';
import type { Headers } from './http/response-parser.ts';

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
  /** What it runs; null for one that has registered itself. */
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
  readonly address: Address;
  readonly #path: string;
  readonly #connections: Connections;
  /** Requests that this gateway has under way there. */
  running = 0;
  /** Counts what came from it: while it owes answers and this stays, it is silent. */
  heard = 0;

  constructor(spec: WorkerSpec, now: () => number) {
    this.spec = spec;
    this.breaker = new Breaker(now);
    this.hash = hashOf(spec.name);
    const url = new URL(spec.url);
    this.address = addressOf(url);
    this.#path = url.pathname.replace(/\/$/, '');
    this.#connections = new Connections(url.origin);
  }

  /** Posts to the worker over a connection that is kept. The times that an answer may take are the caller's affair. */
  post(path: string, headers: Headers, body: Buffer, handler: ExchangeHandler): Exchange {
    return this.#connections.post(this.#path + path, headers, body, handler);
  }

  /** Its machine is gone: what waits for it fails now. */
  vanished(): void {
    this.breaker.lost = true;
    this.#connections.destroy(new Error('its machine has vanished'));
  }

  /** Lets its connections go as their answers are finished. */
  close(): void {
    this.#connections.close();
  }
}

/** FNV-1a, 32 bits: the same in every copy of the gateway. */
export function hashOf(text: string): number {
  let hash = 0x811c9dc5;
  for (let i = 0; i < text.length; i++) hash = Math.imul(hash ^ text.charCodeAt(i), 0x01000193);
  return hash >>> 0;
}
