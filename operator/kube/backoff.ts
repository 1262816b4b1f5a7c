/** Delays that double from `firstMs` to `longestMs`, each with ±25 % jitter, until something worked. */
export class Backoff {
  readonly #firstMs: number;
  readonly #longestMs: number;
  readonly #random: () => number;
  #attempts = 0;

  constructor(firstMs: number, longestMs: number, random: () => number = Math.random) {
    this.#firstMs = firstMs;
    this.#longestMs = longestMs;
    this.#random = random;
  }

  next(): number {
    const base = Math.min(this.#longestMs, this.#firstMs * 2 ** this.#attempts++);
    return base * (0.75 + this.#random() / 2);
  }

  reset(): void {
    this.#attempts = 0;
  }
}
