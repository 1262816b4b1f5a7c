import type { World } from '../api/protocol.ts';

type Waiter = { after: string | undefined; answer: (world: World | null) => void };

export type WaitOptions = {
  /** How long to wait for another world, in milliseconds. */
  timeoutMs: number;
  /** Aborted when whoever waits has gone away. */
  signal?: AbortSignal;
};

/**
 * The published world of every training ("namespace/name"), and those who wait for the next one.
 *
 * It holds nothing that matters beyond this process: after a restart the controller publishes again from status, and a
 * revision follows from its content, so workers that know it already are not disturbed.
 */
export class WorldBoard {
  readonly #worlds = new Map<string, { world: World; publishedAt: number }>();
  readonly #waiters = new Map<string, Set<Waiter>>();
  readonly #now: () => number;

  constructor({ now }: { now: () => number }) {
    this.#now = now;
  }

  /** Makes `world` the current one and wakes, within this call, everyone who waits for something else than its revision. */
  publish(key: string, world: World): void {
    const before = this.#worlds.get(key);
    // Publishing the same again, as a controller does at every turn, is not news and keeps its time.
    const publishedAt = before?.world.revision === world.revision ? before.publishedAt : this.#now();
    this.#worlds.set(key, { world, publishedAt });
    for (const waiter of this.#waiters.get(key) ?? []) if (waiter.after !== world.revision) waiter.answer(world);
  }

  /** Forgets the training's world (it was deleted or suspended) and lets those go who waited for its successor. */
  withdraw(key: string): void {
    // Those who wait for the first world go on waiting: a controller says at every turn that there is none.
    if (!this.#worlds.delete(key)) return;
    for (const waiter of this.#waiters.get(key) ?? []) waiter.answer(null);
  }

  get(key: string): World | null {
    return this.#worlds.get(key)?.world ?? null;
  }

  /** When the current world was first published, in ms since epoch. */
  publishedAt(key: string): number | null {
    return this.#worlds.get(key)?.publishedAt ?? null;
  }

  /**
   * The training's world as soon as its revision differs from `after` (any world when `after` is undefined);
   * null when the time is up, the signal aborts, or the world is withdrawn.
   */
  wait(key: string, after: string | undefined, { timeoutMs, signal }: WaitOptions): Promise<World | null> {
    const current = this.get(key);
    if (current !== null && current.revision !== after) return Promise.resolve(current);
    if (timeoutMs <= 0 || signal?.aborted) return Promise.resolve(null);
    return new Promise((resolve) => {
      const waiters = this.#waiters.get(key) ?? new Set<Waiter>();
      const giveUp = () => waiter.answer(null);
      const timer = setTimeout(giveUp, timeoutMs);
      const waiter: Waiter = {
        after,
        answer: (world) => {
          clearTimeout(timer);
          signal?.removeEventListener('abort', giveUp);
          waiters.delete(waiter);
          if (waiters.size === 0) this.#waiters.delete(key);
          resolve(world);
        },
      };
      signal?.addEventListener('abort', giveUp, { once: true });
      waiters.add(waiter);
      this.#waiters.set(key, waiters);
    });
  }

  /** Lets every waiter go with null: this copy is closing or no longer leads, and they should ask another. */
  release(): void {
    for (const waiters of [...this.#waiters.values()]) for (const waiter of waiters) waiter.answer(null);
  }

  /** How many requests are waiting now. */
  get waiting(): number {
    let count = 0;
    for (const waiters of this.#waiters.values()) count += waiters.size;
    return count;
  }
}
