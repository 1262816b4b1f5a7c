interface Notice {
  readonly timer: NodeJS.Timeout;
  readonly gone: PromiseWithResolvers<void>;
}

/** Nodes whose end is announced. However a node ends (at its deadline, earlier, with the cluster), whoever waits for it hears of it. */
export class Notices {
  readonly #notices = new Map<string, Notice>();

  /** Ends the node by `end` after the notice; resolves when it is gone. A second notice moves the deadline, the first one's waiters wait on. */
  give(node: string, seconds: number, end: () => Promise<void>): Promise<void> {
    const earlier = this.#notices.get(node);
    clearTimeout(earlier?.timer);
    const gone = earlier?.gone ?? Promise.withResolvers<void>();
    // Whoever does not wait for the end shall not be brought down by its failure.
    gone.promise.catch(() => undefined);
    const timer = setTimeout(() => void this.ending(node, end).catch(() => undefined), seconds * 1000);
    this.#notices.set(node, { timer, gone });
    return gone.promise;
  }

  /** Runs the node's end, announced or not. */
  async ending(node: string, end: () => Promise<void>): Promise<void> {
    const notice = this.#notices.get(node);
    this.#notices.delete(node);
    clearTimeout(notice?.timer);
    try {
      await end();
      notice?.gone.resolve();
    } catch (error) {
      notice?.gone.reject(error);
      throw error;
    }
  }

  /** The cluster ends: no node will be ended by its notice any more. */
  withdraw(reason: Error): void {
    for (const { timer, gone } of this.#notices.values()) {
      clearTimeout(timer);
      gone.reject(reason);
    }
    this.#notices.clear();
  }
}
