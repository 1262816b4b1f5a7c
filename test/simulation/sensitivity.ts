import { spawnSync } from 'node:child_process';
import { cpSync, mkdtempSync, readFileSync, rmSync, symlinkSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { average, type Row } from './table.ts';

const ROOT = join(import.meta.dirname, '..', '..');

/** A number in the operator's sources that the figures depend on. */
interface Parameter {
  readonly name: string;
  readonly file: string;
  /** The text with the number, and texts with others in its place. */
  readonly now: string;
  readonly instead: readonly string[];
  readonly tables: readonly string[];
}

const PARAMETERS: readonly Parameter[] = [
  {
    name: 'usual hazard of losing spot, per hour at the age of one',
    file: 'availability.ts',
    now: 'up: { perHour: 0.72',
    instead: ['up: { perHour: 0.5', 'up: { perHour: 1'],
    tables: ['T1', 'T3', 'T4', 'T5'],
  },
  {
    name: 'usual hazard of spot coming back',
    file: 'availability.ts',
    now: 'down: { perHour: 0.7',
    instead: ['down: { perHour: 0.5', 'down: { perHour: 1'],
    tables: ['T1', 'T3', 'T4', 'T5'],
  },
  {
    name: 'weight of the usual process, in ends of spot',
    file: 'availability.ts',
    now: 'PRIOR_ENDS = 8',
    instead: ['PRIOR_ENDS = 5', 'PRIOR_ENDS = 12'],
    tables: ['T1', 'T3', 'T4', 'T5'],
  },
  {
    name: 'power by which slack loses its worth',
    file: 'multi-pool-policy.ts',
    now: 'SLACK_POWER = 3',
    instead: ['SLACK_POWER = 2', 'SLACK_POWER = 4'],
    tables: ['T3', 'T4'],
  },
  {
    name: 'share of unknown regions that have spot',
    file: 'multi-pool-policy.ts',
    now: 'REGION_SHARE = 0.5',
    instead: ['REGION_SHARE = 0.4', 'REGION_SHARE = 0.6'],
    tables: ['T3', 'T4'],
  },
  {
    name: 'price of a missing replica, in prices of a spot replica',
    file: 'fleet-mix.ts',
    now: 'SHORTAGE_PRICE = 33',
    instead: ['SHORTAGE_PRICE = 20', 'SHORTAGE_PRICE = 50'],
    tables: ['T5'],
  },
  {
    name: 'starts of a replica that are looked ahead',
    file: 'fleet-mix.ts',
    now: 'STARTS_AHEAD = 2',
    instead: ['STARTS_AHEAD = 1', 'STARTS_AHEAD = 3'],
    tables: ['T5'],
  },
];

export interface Variation {
  readonly parameter: string;
  readonly value: string;
  /** By table: the mean cost, and for T5 the availability in percent, too. */
  readonly figures: Readonly<Record<string, string>>;
}

/** Ours with each parameter as it is, and with others in its place: the sources are copied, changed and run. */
export function sensitivity(dir: string, tell: (what: string) => void): Variation[] {
  const base = measure(dir, ['T1', 'T3', 'T4', 'T5'], null);
  const rows: Variation[] = [{ parameter: 'as it is', value: '', figures: base }];
  for (const parameter of PARAMETERS)
    for (const instead of parameter.instead) {
      tell(`${parameter.name}: ${valueIn(instead)} instead of ${valueIn(parameter.now)}`);
      const figures = measure(dir, parameter.tables, { ...parameter, instead });
      rows.push({ parameter: parameter.name, value: `${valueIn(instead)} for ${valueIn(parameter.now)}`, figures });
    }
  return rows;
}

function valueIn(text: string): string {
  return /[0-9.]+$/.exec(text)?.[0] ?? text;
}

function measure(
  dir: string,
  tables: readonly string[],
  change: { readonly file: string; readonly now: string; readonly instead: string } | null,
): Record<string, string> {
  const copy = mkdtempSync(join(tmpdir(), 'vicuna-sensitivity-'));
  try {
    for (const part of ['operator/spot', 'test/simulation', 'package.json'])
      cpSync(join(ROOT, part), join(copy, part), { recursive: true });
    symlinkSync(join(ROOT, 'node_modules'), join(copy, 'node_modules'));
    if (change !== null) {
      const file = join(copy, 'operator', 'spot', change.file);
      const text = readFileSync(file, 'utf8');
      if (!text.includes(change.now)) throw new Error(`operator/spot/${change.file} no longer says "${change.now}"`);
      writeFileSync(file, text.replace(change.now, change.instead));
    }
    const out = join(copy, 'rows.json');
    const args = tables.flatMap((table) => ['--table', table]);
    const script = join(copy, 'test', 'simulation', 'policies.ts');
    const run = spawnSync(process.execPath, [script, '--data', dir, '--policy', 'vicuna', '--json', out, ...args], { encoding: 'utf8' });
    if (run.status !== 0) throw new Error(run.stderr);
    return figuresOf(JSON.parse(readFileSync(out, 'utf8')) as Row[]);
  } finally {
    rmSync(copy, { recursive: true });
  }
}

function figuresOf(rows: readonly Row[]): Record<string, string> {
  const late = rows.some((row) => row.late > 0) ? ' late!' : '';
  return Object.fromEntries(
    [...Map.groupBy(rows, (row) => row.table)].map(([table, own]) => {
      if (table === 'T5') return [table, own.map((row) => `${row.availability?.toFixed(2)} % at ${row.mean.toFixed(1)} %`).join('; ')];
      const all = own.filter((row) => row.setting === 'all');
      return [table, `${average((all.length > 0 ? all : own).map((row) => row.mean)).toFixed(2)}${late}`];
    }),
  );
}
