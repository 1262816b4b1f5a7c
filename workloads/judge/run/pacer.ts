import type { Clock } from './clock.ts';

/** Spreads requests to one server: no more a minute than it takes, and none while it asks for a pause. */
export class Pacer {
  readonly #clock: Clock;
  readonly #intervalMs: number;
  #next = 0;
  #pausedUntil = 0;

  constructor(clock: Clock, requestsPerMinute: number | undefined) {
    this.#clock = clock;
    this.#intervalMs = requestsPerMinute === undefined ? 0 : 60_000 / requestsPerMinute;
  }

  /** Resolves when the next request may go out. */
  async turn(signal: AbortSignal): Promise<void> {
    const slot = Math.max(this.#clock.now(), this.#next);
    this.#next = slot + this.#intervalMs;
    for (;;) {
      const ms = Math.max(slot, this.#pausedUntil) - this.#clock.now();
      if (ms <= 0) break;
      await this.#clock.sleep(ms, signal);
    }
    signal.throwIfAborted();
  }

  /** All wait: the server said so to one. */
  pause(ms: number): void {
    this.#pausedUntil = Math.max(this.#pausedUntil, this.#clock.now() + ms);
  }
}
