/** Failures in a row after which a worker is left alone. */
const FAILURES = 3;
/** How long it is left alone at first, doubling with every further failure. */
const FIRST_MS = 1_000;
const LONGEST_MS = 30_000;

/** Leaves a worker alone that fails again and again; after a while a request may try it. */
export class Breaker {
  readonly #now: () => number;
  #failures = 0;
  #openUntil = 0;
  /** Its machine cannot be reached: no request tries it before that has changed. */
  lost = false;

  constructor(now: () => number) {
    this.#now = now;
  }

  /** Whether requests may be sent. */
  get closed(): boolean {
    return !this.lost && this.#openUntil <= this.#now();
  }

  succeeded(): void {
    this.#failures = 0;
    this.#openUntil = 0;
  }

  failed(): void {
    this.#failures++;
    const over = this.#failures - FAILURES;
    if (over >= 0) this.#openUntil = this.#now() + Math.min(LONGEST_MS, FIRST_MS * 2 ** over);
  }

  /** Its machine can be reached again. */
  found(): void {
    this.lost = false;
  }

  /** The worker itself asks to be left alone: it is shutting down. */
  rest(ms: number): void {
    this.#openUntil = Math.max(this.#openUntil, this.#now() + ms);
  }
}
