/** What a queue tells about itself, for metrics. */
export interface QueueHooks {
  onAdd?(): void;
  /** Seconds the key has waited since it was added. */
  onStart?(waitedSeconds: number): void;
  onDone?(seconds: number, failed: boolean): void;
  onRetry?(): void;
}

export interface WorkQueueOptions {
  readonly hooks?: QueueHooks;
  readonly onError?: (key: string, error: unknown) => void;
  readonly clock?: () => number;
  readonly random?: () => number;
}

interface Item {
  priority: number;
  addedAt: number;
}

const FIRST_RETRY_MS = 5;
const LONGEST_RETRY_MS = 1_000_000;
/** For each so many milliseconds of waiting a key counts one priority higher: nothing starves. */
const AGEING_MS = 1_000;

/**
 * Keys to be worked on. A key waits at most once, is never worked on twice at the same time, and one that is added while it is
 * worked on comes again afterwards. Failures come back after 5 ms, doubling to 1,000 s, per key.
 */
export class WorkQueue {
  /** By priority, each level in the order of addition. */
  readonly #ready = new Map<number, Map<string, Item>>();
  readonly #levelOf = new Map<string, number>();
  readonly #processing = new Set<string>();
  /** Added while being worked on. */
  readonly #dirty = new Map<string, Item>();
  readonly #delayed = new Map<string, { at: number; timer: NodeJS.Timeout }>();
  readonly #failures = new Map<string, number>();
  readonly #idle: (() => void)[] = [];
  readonly #o: WorkQueueOptions;
  readonly #clock: () => number;
  #stopped = false;

  constructor(options: WorkQueueOptions = {}) {
    this.#o = options;
    this.#clock = options.clock ?? Date.now;
  }

  /** Keys waiting to be worked on now. */
  get depth(): number {
    return this.#levelOf.size + this.#dirty.size;
  }

  get unfinished(): number {
    return this.#processing.size;
  }

  add(key: string, { priority = 0 }: { priority?: number } = {}): void {
    if (this.#stopped) return;
    if (this.#processing.has(key)) {
      const waiting = this.#dirty.get(key);
      if (waiting) waiting.priority = Math.max(waiting.priority, priority);
      else this.#dirty.set(key, { priority, addedAt: this.#clock() });
      return;
    }
    const level = this.#levelOf.get(key);
    if (level === undefined) {
      this.#o.hooks?.onAdd?.();
      this.#enqueue(key, { priority, addedAt: this.#clock() });
    } else if (level < priority) {
      const addedAt = this.#ready.get(level)?.get(key)?.addedAt ?? this.#clock();
      this.#ready.get(level)?.delete(key);
      this.#enqueue(key, { priority, addedAt });
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
    // setTimeout cannot wait longer than 2^31 ms.
    const timer = setTimeout(
      () => {
        this.#delayed.delete(key);
        this.add(key);
      },
      Math.min(ms, 2_147_000_000),
    );
    this.#delayed.set(key, { at, timer });
  }

  addRateLimited(key: string): void {
    const failures = this.#failures.get(key) ?? 0;
    this.#failures.set(key, failures + 1);
    const base = Math.min(LONGEST_RETRY_MS, FIRST_RETRY_MS * 2 ** failures);
    this.#o.hooks?.onRetry?.();
    this.addAfter(key, base * (1 + (this.#o.random ?? Math.random)() / 10));
  }

  /** The key's next failure is its first again. */
  forget(key: string): void {
    this.#failures.delete(key);
  }

  /** Works on keys, `workers` at a time, until `signal` aborts; resolves when the last of them is done. */
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
      if (next === null) {
        await new Promise<void>((resolve) => this.#idle.push(resolve));
        continue;
      }
      await this.#handle(next, handler);
    }
  }

  async #handle([key, item]: [string, Item], handler: (key: string) => Promise<void>): Promise<void> {
    const { hooks, onError } = this.#o;
    hooks?.onStart?.((this.#clock() - item.addedAt) / 1000);
    const startedAt = performance.now();
    let failed = false;
    try {
      await handler(key);
      this.forget(key);
    } catch (error) {
      failed = true;
      onError?.(key, error);
    }
    hooks?.onDone?.((performance.now() - startedAt) / 1000, failed);
    this.#processing.delete(key);
    const again = this.#dirty.get(key);
    this.#dirty.delete(key);
    if (again) this.#enqueue(key, again);
    if (failed) this.addRateLimited(key);
  }

  /** The key with the highest priority, age included. Within a level the first is the oldest, so only the heads are compared. */
  #take(): [string, Item] | null {
    const now = this.#clock();
    let best: [string, Item] | null = null;
    let bestScore = Number.NEGATIVE_INFINITY;
    for (const level of this.#ready.values()) {
      for (const head of level) {
        const score = head[1].priority + (now - head[1].addedAt) / AGEING_MS;
        if (score > bestScore) [best, bestScore] = [head, score];
        break;
      }
    }
    if (best === null) return null;
    this.#ready.get(best[1].priority)?.delete(best[0]);
    this.#levelOf.delete(best[0]);
    this.#processing.add(best[0]);
    return best;
  }

  #enqueue(key: string, item: Item): void {
    const level = this.#ready.get(item.priority) ?? new Map<string, Item>();
    level.set(key, item);
    this.#ready.set(item.priority, level);
    this.#levelOf.set(key, item.priority);
    this.#idle.shift()?.();
  }
}
