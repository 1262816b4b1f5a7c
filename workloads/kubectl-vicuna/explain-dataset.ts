import type { VicunaDataset } from '../../operator/api/vicuna-dataset.ts';
import { mishaps, taskPage } from './explain-task.ts';
import { costs, type ExplainOptions, type Page } from './page.ts';
import { plain } from './terminal.ts';

/** Why a dataset is where it is, what it waits for, and what it has made. Pure. */
export function explainDataset(dataset: VicunaDataset, options: ExplainOptions): string[] {
  const { spec, status } = dataset;
  const page = taskPage('VicunaDataset', dataset, terms(spec), options);
  if (status?.result) resultOf(page, status.result);
  mishaps(page, status, options.now);
  costs(page, status?.totals);
  return page.lines;
}

/** A dataset may have a hundred sources. */
const SOURCES_NAMED = 3;

function terms({ sources, tokenizer, split, output }: VicunaDataset['spec']): string {
  const named = sources.slice(0, SOURCES_NAMED).map((s) => s.uri);
  const others = sources.length > named.length ? ` and ${sources.length - named.length} more` : '';
  return `Makes pieces of at most ${split.maxTokens} tokens (${tokenizer}) from ${named.join(', ')}${others}, into ${output}.`;
}

function resultOf(page: Page, result: NonNullable<NonNullable<VicunaDataset['status']>['result']>): void {
  const { read, kept, rejectedTotal, rejected, edited, identity = 0, train, validation, card } = result;
  page.head('Result');
  const share = read > 0 ? ` (${Math.floor((100 * kept) / read)}%)` : '';
  page.say(`${read} records read, ${kept} kept${share}, ${rejectedTotal} set aside${listed(rejected)}.`);
  const changed = listed(edited);
  if (changed !== '') page.say(`Edited${changed}.`);
  if (identity > 0) page.say(`${identity} conversations about the model’s identity mixed in.`);
  const parts = [['train', train] as const, ...(validation ? [['validation', validation] as const] : [])];
  page.table(
    ['SET', 'CONVERSATIONS', 'PIECES', 'TOKENS', 'WHERE'],
    parts.map(([name, p]) => [name, String(p.conversations), String(p.pieces), String(p.tokens), plain(p.uri)]),
  );
  page.say(`Data card: ${plain(card)}`);
}

/** ": 5 tooShort, 3 html", the most frequent first. */
function listed(reasons: Readonly<Record<string, number>>): string {
  const found = Object.entries(reasons).filter(([, count]) => count > 0);
  if (found.length === 0) return '';
  return `: ${found
    .toSorted(([, a], [, b]) => b - a)
    .map(([reason, count]) => `${count} ${plain(reason)}`)
    .join(', ')}`;
}
