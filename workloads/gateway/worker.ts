import { Agent as HttpAgent, type RequestOptions } from 'node:http';
import { Agent as HttpsAgent } from 'node:https';
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
  readonly secure: boolean;
  readonly #options: RequestOptions;
  readonly #path: string;
  /** Requests that this gateway has under way there. */
  running = 0;
  /** Counts what came from it: while it owes answers and this stays, it is silent. */
  heard = 0;

  constructor(spec: WorkerSpec, now: () => number) {
    this.spec = spec;
    this.breaker = new Breaker(now);
    this.hash = hashOf(spec.name);
    const url = new URL(spec.url);
    this.secure = url.protocol === 'https:';
    const agent = this.secure ? new HttpsAgent(KEPT) : new HttpAgent(KEPT);
    this.#path = url.pathname.replace(/\/$/, '');
    this.#options = { host: url.hostname.replace(/^\[|\]$/g, ''), port: url.port || (this.secure ? 443 : 80), agent };
  }

  get address(): { readonly host: string; readonly port: number } {
    return { host: String(this.#options.host), port: Number(this.#options.port) };
  }

  /** Its machine is gone: what waits for it fails now. */
  vanished(): void {
    this.breaker.lost = true;
    const { sockets, freeSockets } = this.#options.agent as HttpAgent;
    const gone = new Error('its machine has vanished');
    for (const list of [...Object.values(sockets), ...Object.values(freeSockets)])
      for (const socket of [...(list ?? [])]) socket.destroy(gone);
  }

  /** Options of a request to the worker. */
  request(method: string, path: string): RequestOptions {
    return { ...this.#options, method, path: this.#path + path };
  }

  /** Lets its idle connections go, and those in use when their answers are finished: destroying the agent would cut these off. */
  close(): void {
    const agent = this.#options.agent as HttpAgent;
    agent.maxFreeSockets = 0;
    for (const sockets of Object.values(agent.freeSockets)) for (const socket of sockets ?? []) socket.destroy();
  }
}

/** Connections are kept: to open one costs more than a short answer. */
const KEPT = { keepAlive: true, maxSockets: Number.POSITIVE_INFINITY, maxFreeSockets: 256, scheduling: 'lifo', timeout: 0 } as const;

/** FNV-1a, 32 bits: the same in every copy of the gateway. */
export function hashOf(text: string): number {
  let hash = 0x811c9dc5;
  for (let i = 0; i < text.length; i++) hash = Math.imul(hash ^ text.charCodeAt(i), 0x01000193);
  return hash >>> 0;
}
