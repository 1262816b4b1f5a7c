import type { Price } from '../config.ts';

export interface Usage {
  readonly input: number;
  readonly output: number;
}

export const NO_USAGE: Usage = { input: 0, output: 0 };
export const plus = (a: Usage, b: Usage): Usage => ({ input: a.input + b.input, output: a.output + b.output });

/** Dollars. */
export const costOf = ({ input, output }: Usage, price: Price) => (input * price.input + output * price.output) / 1e6;

/** No text has more tokens than bytes. */
export const mostTokens = (text: string) => Buffer.byteLength(text) + 16;

/** The next request might exceed the budget. */
export class BudgetReached extends Error {}

/** Dollars spent and promised. What is promised is a request's largest cost, so that the budget is never exceeded. */
export class Ledger {
  readonly #budget: number;
  #spent: number;
  #promised = 0;
  #waiting: (() => void)[] = [];

  /** `spent`: by earlier runs. */
  constructor(budget: number | undefined, spent: number) {
    this.#budget = budget ?? Number.POSITIVE_INFINITY;
    this.#spent = spent;
  }

  /** Resolves when so much may be spent: requests under way may turn out cheaper. Rejects with BudgetReached. */
  async promise(dollars: number): Promise<void> {
    while (this.#spent + this.#promised + dollars > this.#budget) {
      if (this.#promised === 0) throw new BudgetReached();
      await new Promise<void>((resolve) => this.#waiting.push(resolve));
    }
    this.#promised += dollars;
  }

  /** A request that had been promised so much has cost so much. */
  settle(promised: number, dollars: number): void {
    this.#promised = Math.max(0, this.#promised - promised);
    if (this.#promised < 1e-12) this.#promised = 0; // what sums of fractions leave
    this.#spent += dollars;
    const waiting = this.#waiting;
    this.#waiting = [];
    for (const resolve of waiting) resolve();
  }
}
