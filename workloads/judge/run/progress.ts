import type { Clock } from './clock.ts';

export interface Step {
  readonly stage: string;
  readonly done: number;
  readonly total: number | null;
  readonly unit: string;
  readonly etaSeconds: number | null;
}

/** Takes a step; called for each, so it must limit itself. */
export type StepListener = (step: Step) => void;

/** Counts what is done in one stage; the time left follows from what this run did itself, not from what it found. */
export class Progress {
  readonly #clock: Clock;
  readonly #listeners: readonly StepListener[];
  #step: Step = { stage: '', done: 0, total: null, unit: '', etaSeconds: null };
  #startedAt = 0;
  #own = 0;

  constructor(clock: Clock, listeners: readonly StepListener[]) {
    this.#clock = clock;
    this.#listeners = listeners;
  }

  begin(stage: string, unit: string, total: number): void {
    this.#startedAt = this.#clock.now();
    this.#own = 0;
    this.#tell({ stage, unit, total, done: 0, etaSeconds: null });
  }

  /** One more is done; `found`: it lay there already. */
  advance(found = false): void {
    const done = this.#step.done + 1;
    if (!found) this.#own++;
    const seconds = (this.#clock.now() - this.#startedAt) / 1_000;
    const left = (this.#step.total ?? done) - done;
    this.#tell({ ...this.#step, done, etaSeconds: this.#own === 0 ? null : Math.ceil((seconds / this.#own) * left) });
  }

  #tell(step: Step): void {
    this.#step = step;
    for (const listener of this.#listeners) listener(step);
  }
}

const LINE_MS = 10_000;
const REDRAW_MS = 100;

/** A line that is rewritten on a terminal; elsewhere one now and then. */
export function progressLine(clock: Clock, out: NodeJS.WriteStream): StepListener {
  let shownAt = Number.NEGATIVE_INFINITY;
  return (step) => {
    const finished = step.done === step.total;
    const every = out.isTTY ? REDRAW_MS : LINE_MS;
    if (!finished && step.done > 0 && clock.now() - shownAt < every) return;
    shownAt = clock.now();
    const text = describe(step);
    if (out.isTTY) out.write(`\r\u001b[K${text}${finished ? '\n' : ''}`);
    else out.write(`${text}\n`);
  };
}

export function describe({ stage, done, total, unit, etaSeconds }: Step): string {
  const share = total === null || total === 0 ? '' : ` (${Math.floor((done / total) * 100)} %)`;
  const left = etaSeconds === null || done === total ? '' : `, about ${duration(etaSeconds)} left`;
  return `${stage}: ${done}${total === null ? '' : ` of ${total}`} ${unit}${share}${left}`;
}

const duration = (seconds: number) =>
  seconds < 90 ? `${seconds} s` : seconds < 5_400 ? `${Math.round(seconds / 60)} min` : `${(seconds / 3_600).toFixed(1)} h`;
