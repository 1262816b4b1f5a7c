import { Worker, type WorkerSpec } from './worker.ts';

/** Every worker that any source tells of. A worker that stays keeps its state; one that goes finishes what it has begun. */
export class Registry {
  readonly #now: () => number;
  readonly #sources = new Map<string, ReadonlyMap<string, Worker>>();
  /** Workers of which no source tells any more, with answers under way. */
  readonly #leaving = new Set<Worker>();
  readonly #byModel = new Map<string, Worker[]>();
  readonly #listeners: (() => void)[] = [];

  constructor(now: () => number) {
    this.#now = now;
  }

  /** Called when workers have come or gone. */
  onChange(listener: () => void): void {
    this.#listeners.push(listener);
  }

  /** Replaces what a source told before. */
  set(source: string, specs: readonly WorkerSpec[]): void {
    const before = this.#sources.get(source);
    const after = new Map<string, Worker>();
    for (const spec of specs) {
      const key = JSON.stringify(spec);
      after.set(key, before?.get(key) ?? new Worker(spec, this.#now));
    }
    for (const [key, worker] of before ?? []) {
      if (after.has(key)) continue;
      worker.close();
      if (worker.running > 0) this.#leaving.add(worker);
    }
    this.#sources.set(source, after);
    this.#index();
    for (const listener of this.#listeners) listener();
  }

  #index(): void {
    this.#byModel.clear();
    for (const worker of this.all()) {
      for (const model of worker.spec.models) {
        const list = this.#byModel.get(model) ?? [];
        list.push(worker);
        this.#byModel.set(model, list);
      }
    }
  }

  of(model: string): readonly Worker[] {
    return this.#byModel.get(model) ?? [];
  }

  /** Names of all models that workers answer for. */
  models(): string[] {
    return [...this.#byModel.keys()];
  }

  /** Those that requests may be sent to, and those that still owe answers. */
  *living(): Iterable<Worker> {
    yield* this.all();
    for (const worker of this.#leaving) {
      if (worker.running === 0) this.#leaving.delete(worker);
      else yield worker;
    }
  }

  all(): Worker[] {
    return [...this.#sources.values()].flatMap((workers) => [...workers.values()]);
  }
}
