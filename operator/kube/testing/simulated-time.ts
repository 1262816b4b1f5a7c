import { setImmediate as turn } from 'node:timers/promises';
import type { LeaderClock } from '../leader-elector.ts';

/** Time that passes only when told to, from one sleeper's end to the next. */
export class SimulatedTime implements LeaderClock {
  #now = 0;
  readonly #sleepers = new Set<{ readonly at: number; readonly wake: () => void }>();

  readonly now = (): number => this.#now;

  readonly sleep = (ms: number, signal?: AbortSignal): Promise<void> =>
    new Promise((resolve) => {
      const sleeper = { at: this.#now + Math.max(0, ms), wake: () => end() };
      const end = () => {
        this.#sleepers.delete(sleeper);
        signal?.removeEventListener('abort', end);
        resolve();
      };
      if (signal?.aborted) return resolve();
      signal?.addEventListener('abort', end);
      this.#sleepers.add(sleeper);
    });

  /** Lets `ms` pass; `look` is called whenever something has happened. */
  async pass(ms: number, look: () => void = () => undefined): Promise<void> {
    const end = this.#now + ms;
    for (;;) {
      await turn();
      look();
      const next = Math.min(...[...this.#sleepers].map((s) => s.at));
      if (next > end) break;
      this.#now = next;
      for (const sleeper of [...this.#sleepers]) if (sleeper.at <= next) sleeper.wake();
    }
    this.#now = end;
    look();
  }

  /** The process is held up: nobody wakes. */
  jump(ms: number): void {
    this.#now += ms;
  }
}
