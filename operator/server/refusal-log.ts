import type { Request } from 'express';
import type { Logger } from 'pino';
import { BoundedCache } from './bounded-cache.ts';
import type { ProtocolError } from './protocol-error.ts';

const REFUSAL_LOG_MS = 60_000;

/** Logs refusals without their tokens, each code of a path once a minute: a worker that repeats itself does not fill the log. */
export class RefusalLog {
  readonly #log: Logger;
  readonly #now: () => number;
  readonly #told = new BoundedCache<true>(1_000);

  constructor(log: Logger, now: () => number) {
    this.#log = log;
    this.#now = now;
  }

  add(refusal: ProtocolError, error: unknown, request: Request): void {
    const path = request.path.slice(0, 200);
    if (refusal.code === 'Internal') {
      this.#log.error({ err: error, method: request.method, path }, 'a request failed');
      return;
    }
    const id = `${refusal.code} ${path}`;
    const now = this.#now();
    if (this.#told.get(id, now)) return;
    this.#told.set(id, true, now + REFUSAL_LOG_MS);
    this.#log.info({ code: refusal.code, method: request.method, path, from: request.socket.remoteAddress }, refusal.message);
  }
}
