import type { Row } from './table.ts';

const HEAD = [
  'setting',
  'policy',
  'mean',
  'published',
  'spread',
  'available',
  'saves',
  'lost',
  'late',
  'launches',
  'scenarios',
  'seconds',
] as const;

/** The rows as a Markdown table, which reads well as plain text, too. */
export function formatRows(rows: readonly Row[]): string {
  const cells = rows.map((row) => [
    row.setting,
    row.policy,
    row.mean.toFixed(2),
    row.published === null ? '' : row.published.toFixed(2),
    row.spread.toFixed(2),
    row.availability === undefined ? '' : `${row.availability.toFixed(2)} %${published(row)}`,
    row.saveEveryMinutes === undefined ? '' : `${row.saveEveryMinutes} min`,
    row.lostHours === undefined ? '' : `${row.lostHours.toFixed(2)} h`,
    `${row.late}`,
    row.launches.toFixed(1),
    `${row.scenarios}`,
    row.seconds.toFixed(2),
  ]);
  const shown = HEAD.map((_, column) => column).filter((column) => cells.some((line) => line[column] !== ''));
  const width = (column: number) => Math.max((HEAD[column] as string).length, ...cells.map((line) => (line[column] as string).length));
  const isText = (column: number) => column < 2;
  const line = (texts: readonly string[]) =>
    `| ${shown.map((c) => (isText(c) ? (texts[c] as string).padEnd(width(c)) : (texts[c] as string).padStart(width(c)))).join(' | ')} |`;
  const rule = `| ${shown.map((c) => (isText(c) ? '-'.repeat(width(c)) : `${'-'.repeat(width(c) - 1)}:`)).join(' | ')} |`;
  return [line(HEAD), rule, ...cells.map(line)].join('\n');
}

function published(row: Row): string {
  return row.publishedAvailability === undefined ? '' : ` (${row.publishedAvailability.toFixed(2)} %)`;
}
