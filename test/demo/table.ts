import type { VicunaTraining } from '../../operator/api/vicuna-training.ts';
import type { Output } from '../cluster/progress.ts';

const HEADER = ['RUN', 'PHASE', 'POOL', 'STEP', 'LOSS', 'SAVED', 'INTERRUPTIONS', 'COST', 'SAVED $'];
const WIDTHS = [9, 12, 26, 9, 7, 9, 14, 10, 8];
const PLAIN_EVERY_MS = 5_000;

/** One training as a row that is drawn over on a terminal; elsewhere a line now and then, and one at each change of phase. */
export class LiveTable {
  readonly #output: Output;
  readonly #clock: () => number;
  #headed = false;
  #row = '';
  #lastPlain = 0;
  #lastPhase = '';

  constructor(output: Output, clock: () => number = Date.now) {
    this.#output = output;
    this.#clock = clock;
  }

  show(training: VicunaTraining): void {
    const now = this.#clock();
    this.#row = tableRow(training, now);
    if (this.#output.isTTY) {
      if (!this.#headed) this.#output.write(`  ${cells(HEADER)}\n`);
      this.#headed = true;
      this.#output.write(`\r\u001b[2K  ${this.#row}`);
      return;
    }
    const phase = training.status?.phase ?? '';
    if (phase === this.#lastPhase && now - this.#lastPlain < PLAIN_EVERY_MS) return;
    if (!this.#headed) this.#output.write(`  ${cells(HEADER)}\n`);
    this.#headed = true;
    this.#lastPlain = now;
    this.#lastPhase = phase;
    this.#output.write(`  ${this.#row}\n`);
  }

  /** A line of news above the row. */
  say(line: string): void {
    const time = new Date(this.#clock()).toTimeString().slice(0, 8);
    this.#output.write(this.#output.isTTY ? `\r\u001b[2K  ${time}  ${line}\n  ${this.#row}` : `  ${time}  ${line}\n`);
  }

  end(): void {
    if (this.#output.isTTY) this.#output.write('\n');
  }
}

/** The row of a training, as `kubectl get vt` shows it. */
export function tableRow({ metadata, status = {} }: VicunaTraining, now: number): string {
  const saved = status.checkpoint ? `${Math.max(0, Math.round((now - Date.parse(status.checkpoint.savedAt)) / 1000))}s ago` : '-';
  return cells([
    metadata.name ?? '',
    status.phase ?? 'Pending',
    status.pool ?? '-',
    status.progress?.display ?? '-',
    status.progress?.lossDisplay ?? '-',
    saved,
    String(status.totals?.interruptions ?? 0),
    status.totals?.cost === undefined ? '-' : `$${Number(status.totals.cost).toFixed(4)}`,
    status.totals?.savedPercent ?? '-',
  ]);
}

function cells(values: readonly string[]): string {
  return values
    .map((value, i) => value.padEnd(WIDTHS[i] ?? 0))
    .join(' ')
    .trimEnd();
}
