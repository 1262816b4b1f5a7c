/** Where progress is shown: a terminal gets lines that are drawn over, everything else plain lines. */
export interface Output {
  readonly isTTY?: boolean;
  readonly columns?: number;
  write(text: string): unknown;
}

const BAR_CELLS = 10;
/** Without a terminal the same thing is told again at most so often. */
const PLAIN_EVERY_MS = 15_000;

/** Numbered steps, each with what goes on in it, how much of it is done and how long it will take. */
export class StepDisplay {
  readonly #output: Output;
  readonly #steps: readonly string[];
  readonly #clock: () => number;
  readonly #colours: boolean;
  #current = -1;
  #startedAt = 0;
  #lastPlain = 0;
  #lastDetail = '';
  #open = false;

  constructor(
    output: Output,
    steps: readonly string[],
    { env = process.env, clock = Date.now }: { env?: NodeJS.ProcessEnv; clock?: () => number } = {},
  ) {
    this.#output = output;
    this.#steps = steps;
    this.#clock = clock;
    this.#colours = output.isTTY === true && !env.NO_COLOR;
  }

  /** Begins the next step; the one before is done. */
  begin(detail = ''): void {
    this.#current++;
    this.#startedAt = this.#clock();
    this.#lastPlain = 0;
    this.update(detail);
  }

  /** What is going on in the step; `share` 0..1 and seconds left where they are known. */
  update(detail: string, share?: number, secondsLeft?: number): void {
    const line = this.#line(detail, share, secondsLeft);
    if (this.#output.isTTY) {
      const width = (this.#output.columns ?? 120) - 1;
      this.#output.write(`\r\u001b[2K${line.slice(0, width)}`);
      this.#open = true;
      return;
    }
    const now = this.#clock();
    if (detail === this.#lastDetail && now - this.#lastPlain < PLAIN_EVERY_MS) return;
    this.#lastPlain = now;
    this.#lastDetail = detail;
    this.#output.write(`${line}\n`);
  }

  /** Ends the step with what came of it. */
  end(result: string): void {
    const seconds = (this.#clock() - this.#startedAt) / 1000;
    const took = seconds >= 1 ? this.#dim(`  ${humanSeconds(seconds)}`) : '';
    this.#output.write(`${this.#output.isTTY ? '\r\u001b[2K' : ''}${this.#label()}${result}${took}\n`);
    this.#open = false;
  }

  /** Writes a line of its own, below or between steps. */
  say(text: string): void {
    this.#output.write(`${this.#open ? '\r\u001b[2K' : ''}${text}\n`);
    this.#open = false;
  }

  #line(detail: string, share?: number, secondsLeft?: number): string {
    const done = share === undefined ? '' : `  ${bar(share)} ${Math.round(share * 100)} %`;
    const left = secondsLeft === undefined ? '' : this.#dim(`  about ${humanSeconds(secondsLeft)} left`);
    return `${this.#label()}${detail}${done}${left}`;
  }

  #label(): string {
    const number = `${this.#current + 1}/${this.#steps.length}`;
    return `  ${this.#dim(number)}  ${(this.#steps[this.#current] ?? '').padEnd(14)} `;
  }

  #dim(text: string): string {
    return this.#colours ? `\u001b[2m${text}\u001b[0m` : text;
  }
}

/** "███████░░░" */
export function bar(share: number): string {
  const full = Math.max(0, Math.min(BAR_CELLS, Math.round(share * BAR_CELLS)));
  return '█'.repeat(full) + '░'.repeat(BAR_CELLS - full);
}

/** "8 s", "2 min", "1 h 5 min". */
export function humanSeconds(seconds: number): string {
  if (seconds < 90) return `${Math.max(1, Math.round(seconds))} s`;
  const minutes = Math.round(seconds / 60);
  return minutes < 60 ? `${minutes} min` : `${Math.floor(minutes / 60)} h ${minutes % 60} min`;
}
