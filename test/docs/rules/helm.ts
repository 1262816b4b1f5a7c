import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import type { ParseArgsOptionsConfig } from 'node:util';
import { parse } from 'yaml';
import { CHART } from '../../cluster/chart.ts';
import { missing, type Place, parsed, type Rule, type Verdict } from './rule.ts';

const FLAG = { type: 'boolean' } as const;
const VALUES: ParseArgsOptionsConfig = {
  set: { type: 'string', multiple: true },
  'set-string': { type: 'string', multiple: true },
  values: { type: 'string', short: 'f', multiple: true },
  version: { type: 'string' },
};
const GLOBALS: ParseArgsOptionsConfig = { namespace: { type: 'string', short: 'n' }, wait: FLAG, timeout: { type: 'string' } };

/** What the documentation uses of Helm's commands and their flags. */
const VERBS: Readonly<Record<string, ParseArgsOptionsConfig>> = {
  install: { ...VALUES, 'create-namespace': FLAG, 'take-ownership': FLAG },
  upgrade: { ...VALUES, install: FLAG, 'reset-then-reuse-values': FLAG, 'take-ownership': FLAG },
  template: VALUES,
  rollback: {},
  uninstall: {},
  history: {},
};

interface Schema {
  readonly properties?: Readonly<Record<string, Schema>>;
  readonly items?: Schema;
}

const schema: Schema = JSON.parse(readFileSync(join(CHART, 'values.schema.json'), 'utf8'));

/** A complaint when the chart's schema has no such value: "a.b[0].c". What has no properties of its own takes any. */
function unknownValue(path: string): string[] {
  let at: Schema = schema;
  for (const step of path.replaceAll(/\[\d+\]/g, '.[]').split('.')) {
    const next: Schema | undefined = step === '[]' ? (at.items ?? {}) : at.properties?.[step];
    if (next === undefined) return at.properties === undefined ? [] : [`the chart has no value ${path}`];
    at = next;
  }
  return [];
}

/** "a.b=1,c={d,e}": the paths that it sets. */
function pathsOf(settings: string): string[] {
  return settings
    .replaceAll(/\{[^}]*\}/g, '')
    .split(/(?<!\\),/)
    .map((setting) => setting.split('=')[0] ?? '');
}

/** The chart's address in the registry of its images, to which the release pushes it. */
function published(): string {
  const about = parse(readFileSync(join(CHART, 'Chart.yaml'), 'utf8')) as { name: string };
  const values = parse(readFileSync(join(CHART, 'values.yaml'), 'utf8')) as { images: { registry: string } };
  return `oci://${values.images.registry}/charts/${about.name}`;
}

function notTheChart(chart: string, place: Place): string[] {
  if (!chart.includes('://')) return missing(join(chart, 'Chart.yaml'), place);
  return chart === published() ? [] : [`the chart is at ${published()}, not at ${chart}`];
}

export const helm: Rule = ([verb = '', ...args], place): Verdict => {
  const options = VERBS[verb];
  if (options === undefined) return null;
  const result = parsed(args, { ...GLOBALS, ...options });
  if ('problem' in result) return [`helm ${verb}: ${result.problem}`];
  const { values, positionals } = result;
  const list = (name: string) => (values[name] ?? []) as string[];
  const takesChart = 'set' in options;
  const chart = positionals[1];
  return [
    ...(takesChart ? (chart === undefined ? [`helm ${verb} needs a release and a chart`] : notTheChart(chart, place)) : []),
    ...list('values').flatMap((file) => missing(file, place)),
    ...[...list('set'), ...list('set-string')].flatMap((settings) => pathsOf(settings).flatMap(unknownValue)),
  ];
};
