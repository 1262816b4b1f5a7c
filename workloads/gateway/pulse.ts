import { connect } from 'node:net';
import type { Worker } from './worker.ts';

/** How often workers are looked at. */
export const TICK_MS = 1_000;
/** A machine that is there completes a connection within this, however busy its engine is: its kernel does. */
const CONNECT_MS = 1_500;
/** Attempts in a row that must fail: a single packet may be lost. */
const MISSES = 2;

/**
 * Finds workers whose machine has vanished. One that is cut off its power or its network closes no connection, so what was sent to it
 * would wait for the system's own limit of many minutes. A worker that owes answers and is silent is asked for a new connection; when
 * it completes none its connections are cut, which sends its requests elsewhere, and it is given none until it can be reached again.
 */
export class Pulse {
  readonly #workers: () => Iterable<Worker>;
  readonly #reach: (worker: Worker) => Promise<boolean>;
  readonly #watched = new WeakMap<Worker, { heard: number; misses: number; asking: boolean }>();

  constructor(workers: () => Iterable<Worker>, reach: (worker: Worker) => Promise<boolean> = canConnect) {
    this.#workers = workers;
    this.#reach = reach;
  }

  /** Looks after everybody; call it every `TICK_MS`. Resolves when what it began to ask is known. */
  async tick(): Promise<void> {
    await Promise.all([...this.#workers()].map((worker) => this.#look(worker)));
  }

  async #look(worker: Worker): Promise<void> {
    const known = this.#watched.get(worker) ?? { heard: -1, misses: 0, asking: false };
    this.#watched.set(worker, known);
    const silent = worker.running > 0 && worker.heard === known.heard;
    known.heard = worker.heard;
    if (known.asking || (!silent && !worker.breaker.lost)) return;
    known.asking = true;
    const reached = await this.#reach(worker);
    known.asking = false;
    known.misses = reached ? 0 : known.misses + 1;
    if (reached) worker.breaker.found();
    else if (known.misses >= MISSES && worker.heard === known.heard) worker.vanished();
  }
}

/** Whether the worker's machine completes a connection. */
export function canConnect({ address }: Worker): Promise<boolean> {
  const { promise, resolve } = Promise.withResolvers<boolean>();
  const socket = connect({ ...address, timeout: CONNECT_MS });
  const end = (reached: boolean) => {
    socket.destroy();
    resolve(reached);
  };
  socket.once('connect', () => end(true));
  socket.once('timeout', () => end(false));
  socket.once('error', () => end(false));
  return promise;
}
