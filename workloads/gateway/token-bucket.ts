/** So many a minute, all of a minute's at once if need be. It may be overdrawn, and then takes time to recover. */
export class TokenBucket {
  readonly #perMinute: number;
  readonly #now: () => number;
  #level: number;
  #at: number;

  constructor(perMinute: number, now: () => number) {
    this.#perMinute = perMinute;
    this.#now = now;
    this.#level = Math.max(1, perMinute);
    this.#at = now();
  }

  #fill(): void {
    const now = this.#now();
    this.#level = Math.min(Math.max(1, this.#perMinute), this.#level + (this.#perMinute * Math.max(0, now - this.#at)) / 60_000);
    this.#at = now;
  }

  /** Seconds until there are `count`; 0 = there are. */
  secondsUntil(count: number): number {
    this.#fill();
    return this.#level >= count ? 0 : ((count - this.#level) / this.#perMinute) * 60;
  }

  take(count: number): void {
    this.#fill();
    this.#level -= count;
  }
}
