import { Fifo } from './fifo.ts';

/** What a queue tells about itself, for metrics by controller-runtime's names. */
export interface QueueHooks {
  /** workqueue_adds_total */
  onAdd?(): void;
  /** workqueue_queue_duration_seconds: how long the key has waited since it was added. */
  onStart?(waitedSeconds: number): void;
  /** workqueue_work_duration_seconds */
  onDone?(seconds: number, failed: boolean): void;
  /** workqueue_retries_total */
  onRetry?(): void;
}

export interface WorkQueueOptions {
  readonly hooks?: QueueHooks;
  readonly onError?: (key: string, error: unknown) => void;
  /** Monotonic milliseconds. */
  readonly clock?: () => number;
  readonly random?: () => number;
}

interface Item {
  readonly key: string;
  readonly priority: number;
  readonly addedAt: number;
  /** It has risen to another level: what stays behind is passed over. */
  moved?: true;
}

const FIRST_RETRY_MS = 5;
const LONGEST_RETRY_MS = 1_000_000;
/** setTimeout cannot wait longer. */
const LONGEST_TIMER_MS = 2 ** 31 - 1;
/** For each so many milliseconds of waiting a key counts one priority higher: nothing starves. */
const AGEING_MS = 1_000;

/**
 * Keys to be worked on. A key waits at most once, is never worked on twice at the same time, and one that is added while it is
 * worked on comes again afterwards. Failures come back after 5 ms, doubling to 1,000 s, per key.
 */
export class WorkQueue {
  /** By priority, each level in the order of addition. */
  readonly #levels = new Map<number, Fifo<Item>>();
  readonly #ready = new Map<string, Item>();
  /** When work on the key began. */
  readonly #processing = new Map<string, number>();
  /** Added while being worked on. */
  readonly #dirty = new Map<string, Item>();
  readonly #delayed = new Map<string, { readonly at: number; readonly timer: NodeJS.Timeout }>();
  readonly #failures = new Map<string, number>();
  readonly #idle: (() => void)[] = [];
  readonly #hooks: QueueHooks;
  readonly #onError: ((key: string, error: unknown) => void) | undefined;
  readonly #clock: () => number;
  readonly #random: () => number;
  #stopped = false;

  constructor({ hooks = {}, onError, clock = () => performance.now(), random = Math.random }: WorkQueueOptions = {}) {
    this.#hooks = hooks;
    this.#onError = onError;
    this.#clock = clock;
    this.#random = random;
  }

  /** workqueue_depth: keys waiting to be worked on now. */
  get depth(): number {
    return this.#ready.size + this.#dirty.size;
  }

  /** Keys being worked on. */
  get unfinished(): number {
    return this.#processing.size;
  }

  /** workqueue_unfinished_work_seconds: seconds spent so far on all keys being worked on. A growing value means workers are stuck. */
  get unfinishedSeconds(): number {
    const now = this.#clock();
    return [...this.#processing.values()].reduce((sum, startedAt) => sum + (now - startedAt) / 1000, 0);
  }

  /** workqueue_longest_running_processor_seconds */
  get longestRunningSeconds(): number {
    const now = this.#clock();
    return [...this.#processing.values()].reduce((longest, startedAt) => Math.max(longest, (now - startedAt) / 1000), 0);
  }

  /** Has the key worked on as soon as there is a worker; the higher priority first. A key that waits already may only rise. */
  add(key: string, { priority = 0 }: { readonly priority?: number } = {}): void {
    if (this.#stopped) return;
    const waiting = this.#dirty.get(key) ?? this.#ready.get(key);
    if (waiting === undefined) {
      this.#hooks.onAdd?.();
      this.#accept({ key, priority, addedAt: this.#clock() });
    } else if (waiting.priority < priority) {
      waiting.moved = true;
      this.#accept({ key, priority, addedAt: waiting.addedAt });
    }
  }

  /** Adds the key after `ms`; of several such wishes the earliest counts. */
  addAfter(key: string, ms: number): void {
    if (this.#stopped) return;
    if (ms <= 0) {
      this.add(key);
      return;
    }
    const at = this.#clock() + ms;
    const waiting = this.#delayed.get(key);
    if (waiting && waiting.at <= at) return;
    clearTimeout(waiting?.timer);
    const ring = () => {
      this.#delayed.delete(key);
      const left = at - this.#clock();
      if (ms > LONGEST_TIMER_MS && left > 0) this.addAfter(key, left);
      else this.add(key);
    };
    this.#delayed.set(key, { at, timer: setTimeout(ring, Math.min(ms, LONGEST_TIMER_MS)) });
  }

  /** Adds the key after its back-off, which doubles each time until `forget`. */
  addRateLimited(key: string): void {
    const failures = this.#failures.get(key) ?? 0;
    this.#failures.set(key, failures + 1);
    const base = Math.min(LONGEST_RETRY_MS, FIRST_RETRY_MS * 2 ** failures);
    this.#hooks.onRetry?.();
    this.addAfter(key, base * (1 + this.#random() / 10));
  }

  /** The key's next failure is its first again. */
  forget(key: string): void {
    this.#failures.delete(key);
  }

  /** Works on keys, `workers` at a time, until `signal` aborts; resolves when the last of them is done. The queue ends with it. */
  async run(workers: number, handler: (key: string) => Promise<void>, signal: AbortSignal): Promise<void> {
    const stop = () => {
      this.#stopped = true;
      for (const { timer } of this.#delayed.values()) clearTimeout(timer);
      this.#delayed.clear();
      for (const wake of this.#idle.splice(0)) wake();
    };
    if (signal.aborted) stop();
    signal.addEventListener('abort', stop, { once: true });
    await Promise.all(Array.from({ length: workers }, () => this.#work(handler)));
  }

  async #work(handler: (key: string) => Promise<void>): Promise<void> {
    while (!this.#stopped) {
      const next = this.#take();
      if (next === null) await new Promise<void>((resolve) => this.#idle.push(resolve));
      else await this.#handle(next, handler);
    }
  }

  async #handle({ key, addedAt }: Item, handler: (key: string) => Promise<void>): Promise<void> {
    const startedAt = this.#clock();
    this.#processing.set(key, startedAt);
    this.#hooks.onStart?.((startedAt - addedAt) / 1000);
    let failed = false;
    try {
      await handler(key);
      this.forget(key);
    } catch (error) {
      failed = true;
      this.#onError?.(key, error);
    }
    this.#processing.delete(key);
    this.#hooks.onDone?.((this.#clock() - startedAt) / 1000, failed);
    const again = this.#dirty.get(key);
    this.#dirty.delete(key);
    if (again) this.#accept(again);
    if (failed) this.addRateLimited(key);
  }

  #accept(item: Item): void {
    if (this.#processing.has(item.key)) {
      this.#dirty.set(item.key, item);
      return;
    }
    const level = this.#levels.get(item.priority) ?? new Fifo<Item>();
    level.push(item);
    this.#levels.set(item.priority, level);
    this.#ready.set(item.key, item);
    this.#idle.shift()?.();
  }

  /** The key with the highest priority, age included. Within a level the first is the oldest, so only the heads are compared. */
  #take(): Item | null {
    const now = this.#clock();
    let best: Fifo<Item> | null = null;
    let bestScore = Number.NEGATIVE_INFINITY;
    for (const [priority, level] of this.#levels) {
      while (level.head?.moved) level.shift();
      if (level.head === undefined) continue;
      const score = priority + (now - level.head.addedAt) / AGEING_MS;
      if (score > bestScore) [best, bestScore] = [level, score];
    }
    const item = best?.shift();
    if (item === undefined) return null;
    this.#ready.delete(item.key);
    return item;
  }
}
