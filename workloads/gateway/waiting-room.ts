import { unavailable } from './api-error.ts';
import type { Worker } from './worker.ts';

interface Waiting {
  readonly since: number;
  readonly tryAgain: () => boolean;
  readonly moved: (position: number) => void;
}

export interface WaitOptions {
  readonly model: string;
  /** A worker, if there is one now. Who has waited takes also one that failed the request before: it may have been a passing fault. */
  readonly choose: (waited: boolean) => Worker | null;
  readonly signal: AbortSignal;
  /** Told each second which place in the queue the request has (1 = next). */
  readonly onWait?: (position: number, waitedSeconds: number) => void;
}

export interface WaitingRoomOptions {
  readonly length: number;
  readonly seconds: number;
  readonly now: () => number;
  /** Called at once and then every second while requests wait for a model. */
  readonly onDemand: (model: string) => void;
}

const TICK_MS = 1_000;

/** Requests that wait for a worker, first come first served per model. */
export class WaitingRoom {
  readonly #o: () => WaitingRoomOptions;
  readonly #queues = new Map<string, Waiting[]>();
  #timer: NodeJS.Timeout | null = null;

  constructor(options: () => WaitingRoomOptions) {
    this.#o = options;
  }

  /** Requests that wait for a model now. */
  size(model: string): number {
    return this.#queues.get(model)?.length ?? 0;
  }

  models(): string[] {
    return [...this.#queues.keys()];
  }

  /** A worker, at once or when there is one. Rejects with 503 when the queue is full or the wait too long. */
  worker({ model, choose, signal, onWait }: WaitOptions): Promise<Worker> {
    const queue = this.#queues.get(model) ?? [];
    if (queue.length === 0) {
      const worker = choose(false);
      if (worker !== null) return Promise.resolve(worker);
    }
    const { length, seconds, now, onDemand } = this.#o();
    if (queue.length >= length)
      return Promise.reject(unavailable(`No worker for ${model} is ready, and ${queue.length} requests wait for one already.`, 5));
    const { promise, resolve, reject } = Promise.withResolvers<Worker>();
    const since = now();
    const waiting: Waiting = {
      since,
      tryAgain: () => {
        const worker = choose(true);
        if (worker === null) return false;
        resolve(worker);
        return true;
      },
      moved: (position) => onWait?.(position, Math.round((now() - since) / 1000)),
    };
    queue.push(waiting);
    this.#queues.set(model, queue);
    onDemand(model);
    onWait?.(queue.length, 0);
    const timer = setTimeout(() => reject(unavailable(`No worker for ${model} became ready within ${seconds} s.`, 10)), seconds * 1000);
    const abort = () => reject(new Error('the client has gone'));
    signal.addEventListener('abort', abort, { once: true });
    this.#timer ??= setInterval(() => this.#tick(), TICK_MS);
    return promise.finally(() => {
      clearTimeout(timer);
      signal.removeEventListener('abort', abort);
      this.#remove(model, waiting);
    });
  }

  /** Workers have come, or have room again. */
  wake(): void {
    for (const queue of this.#queues.values()) {
      // Whoever waits longest is asked first; whom one worker cannot help, another behind may not overtake.
      for (const waiting of [...queue]) if (!waiting.tryAgain()) break;
    }
  }

  #tick(): void {
    const { onDemand } = this.#o();
    this.wake();
    for (const [model, queue] of this.#queues) {
      if (queue.length > 0) onDemand(model);
      queue.forEach((waiting, i) => {
        waiting.moved(i + 1);
      });
    }
  }

  #remove(model: string, waiting: Waiting): void {
    const queue = (this.#queues.get(model) ?? []).filter((w) => w !== waiting);
    if (queue.length > 0) this.#queues.set(model, queue);
    else this.#queues.delete(model);
    if (this.#queues.size > 0 || this.#timer === null) return;
    clearInterval(this.#timer);
    this.#timer = null;
  }
}
