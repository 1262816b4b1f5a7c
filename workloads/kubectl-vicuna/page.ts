import type { TaskStatus } from '../../operator/api/task.ts';
import { counted, money, percent, since } from './format.ts';
import { type Paint, plain, table, wrapped } from './terminal.ts';

export interface ExplainOptions {
  readonly now: number;
  readonly paint: Paint;
  readonly columns: number;
}

/** Paragraphs under headings. */
export class Page {
  readonly lines: string[] = [];
  readonly #options: ExplainOptions;

  constructor(title: string, options: ExplainOptions) {
    this.#options = options;
    this.lines.push(...wrapped(title, options.columns, '').map(options.paint.bold));
  }

  head(title: string): void {
    this.lines.push('', this.#options.paint.bold(title));
  }

  /** A paragraph; its further lines stand a little to the right of the first. */
  say(text: string, indent = '  '): void {
    const [first = '', ...rest] = wrapped(text, this.#options.columns - 2, indent);
    this.lines.push(first, ...rest.map((line) => `  ${line}`));
  }

  table(header: readonly string[], rows: readonly (readonly string[])[]): void {
    const [head = '', ...rest] = table(header, rows, '  ');
    this.lines.push(this.#options.paint.dim(head), ...rest);
  }
}

export function conditions(page: Page, list: TaskStatus['conditions'], { now, paint }: ExplainOptions): void {
  page.head('Conditions');
  if (!list?.length) page.say('None yet: the operator has not looked at it. Is it running?');
  for (const c of list ?? []) {
    const status = c.status === 'True' ? paint.green(c.status) : c.status === 'False' ? paint.yellow(c.status) : c.status;
    page.say(`${c.type} is ${status} (${c.reason}) for ${since(c.lastTransitionTime, now)}: ${plain(c.message)}`);
  }
}

export function retries(page: Page, list: TaskStatus['retries'], now: number): void {
  if (!list?.length) return;
  page.head('Retries charged');
  for (const { cause, count, times } of list) page.say(`${cause}: ${count}, the last one ${since(times.at(-1), now)} ago`);
}

interface Totals {
  readonly cost?: string | undefined;
  readonly onDemandCost?: string | undefined;
  readonly savedPercent?: string | undefined;
  readonly gpuHours?: number | undefined;
  readonly goodput?: number | undefined;
  readonly lostSteps?: number | undefined;
}

export function costs(page: Page, totals: Totals | undefined, budget?: string): void {
  page.head('Money');
  if (totals?.cost === undefined) {
    page.say('Nothing was paid yet.');
    return;
  }
  const hours = totals.gpuHours === undefined ? '' : ` for ${totals.gpuHours.toFixed(2)} GPU hours`;
  const left = budget === undefined ? '' : `, ${money(Number(budget) - Number(totals.cost))} of the budget left`;
  page.say(
    `${money(totals.cost)} spent${hours}; on demand ${money(totals.onDemandCost)}${totals.savedPercent ? `: ${totals.savedPercent} saved` : ''}${left}.`,
  );
  if (totals.goodput !== undefined)
    page.say(
      `Goodput ${percent(totals.goodput)}: the share of time in steps that count; ${counted(totals.lostSteps ?? 0, 'step')} lost in all.`,
    );
}
