import { existsSync, mkdirSync, readFileSync, writeFileSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { parseArgs } from 'node:util';
import { formatRows } from './format.ts';
import { fits, splits } from './generalize.ts';
import { type Figures, policyDocs } from './policy-docs.ts';
import { sensitivity } from './sensitivity.ts';
import type { Row } from './table.ts';
import { TABLES } from './tables.ts';

const USAGE = `npm run policies -- [--data DIR] [--table T1]… [--policy NAME]… [--json FILE]

Runs spot policies over availability and price traces and prints their cost beside the published figure.
  --data DIR      traces (default: ../shared/data/spot); the directory's own README says its format
  --table ID      ${TABLES.map((t) => `${t.id} ${t.what}`).join('\n                  ')}
  --policy NAME   default: all of the table
  --json FILE     the rows as JSON, too
  --fit           instead: how spot usually comes and goes, fitted to the single-pool traces, and with each series left out
  --docs          instead: measures everything and writes docs/policies.md with its pictures; takes a quarter of an hour
  --docs=text     instead: writes them anew from the figures of the last time`;

const { values } = parseArgs({
  args: process.argv.slice(2).map((arg) => (arg === '--docs' ? '--docs=all' : arg)),
  options: {
    data: { type: 'string', default: join(dirname(import.meta.dirname), '..', '..', 'shared', 'data', 'spot') },
    table: { type: 'string', multiple: true },
    policy: { type: 'string', multiple: true },
    json: { type: 'string' },
    fit: { type: 'boolean', default: false },
    docs: { type: 'string' },
    help: { type: 'boolean', default: false },
  },
});

const DOCS = join(import.meta.dirname, '..', '..', 'docs');
const FIGURES = join(DOCS, 'policies', 'figures.json');

function writeDocs(figures: Figures): void {
  for (const [path, text] of policyDocs(figures)) {
    mkdirSync(dirname(join(DOCS, path)), { recursive: true });
    writeFileSync(join(DOCS, path), text);
  }
}

function fail(message: string): never {
  console.error(`${message}\n\n${USAGE}`);
  process.exit(2);
}

if (values.help) {
  console.log(USAGE);
  process.exit(0);
}
if (values.docs === 'text') {
  writeDocs(JSON.parse(readFileSync(FIGURES, 'utf8')) as Figures);
  process.exit(0);
}
if (!existsSync(values.data)) fail(`There are no traces in ${values.data}: name their directory with --data`);
if (values.fit) {
  for (const { without, process: fitted } of fits(values.data)) console.log(`without ${without}: ${JSON.stringify(fitted)}`);
  process.exit(0);
}
const tables = values.table?.map((id) => TABLES.find((t) => t.id === id) ?? fail(`There is no table ${id}`)) ?? TABLES;
const runs = tables.flatMap((table) =>
  table.policies.filter((name) => values.policy?.includes(name) ?? true).map((policy) => ({ table, policy })),
);
if (runs.length === 0) fail(`None of ${values.policy?.join(', ')} is a policy of ${tables.map((t) => t.id).join(', ')}`);

const rows: Row[] = [];
for (const [i, { table, policy }] of runs.entries()) {
  process.stderr.write(`${table.id} ${policy}: ${i + 1} of ${runs.length} … `);
  const start = performance.now();
  rows.push(...table.run(values.data, policy));
  process.stderr.write(`${((performance.now() - start) / 1_000).toFixed(1)} s\n`);
}
for (const table of tables) {
  const own = rows.filter((row) => row.table === table.id);
  if (own.length > 0) console.log(`\n${table.id}: ${table.what}\n\n${formatRows(own)}`);
}
if (values.json !== undefined) writeFileSync(values.json, `${JSON.stringify(rows, null, 2)}\n`);
if (values.docs === 'all') {
  const tell = (what: string) => process.stderr.write(`${what}\n`);
  tell('windows that nothing was chosen by');
  const figures = { rows, splits: splits(values.data), fits: fits(values.data), variations: sensitivity(values.data, tell) };
  mkdirSync(dirname(FIGURES), { recursive: true });
  writeFileSync(FIGURES, `${JSON.stringify(figures, null, 2)}\n`);
  writeDocs(figures);
}
