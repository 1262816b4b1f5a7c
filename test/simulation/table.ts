import { existsSync } from 'node:fs';
import { join } from 'node:path';
import { readJson } from './traces.ts';

/** One policy's result in one setting of a table. Costs in US dollars a job; in table T5 in percent of on-demand. */
export interface Row {
  readonly table: string;
  /** What the scenarios share besides the table, such as a deadline; "all" = everything. */
  readonly setting: string;
  readonly policy: string;
  readonly mean: number;
  /** Standard deviation over scenarios. */
  readonly spread: number;
  readonly scenarios: number;
  /** Scenarios that finished after their deadline. */
  readonly late: number;
  /** Mean over scenarios. */
  readonly launches: number;
  /** Training time between two saves that suits the policy best of all that were tried, minutes; table T6. */
  readonly saveEveryMinutes?: number;
  /** Training time lost with spot, mean over scenarios, hours; table T6. */
  readonly lostHours?: number;
  /** Share of time with enough ready replicas, percent; table T5. */
  readonly availability?: number;
  /** Published, or reproduced with the authors' own program, on the same inputs; null where there is none. */
  readonly published: number | null;
  readonly publishedAvailability?: number;
  /** Time it took here. */
  readonly seconds: number;
}

export interface Table {
  readonly id: string;
  readonly what: string;
  readonly policies: readonly string[];
  /** The rows of one policy, over whatever scenarios the directory holds; none if it holds none for this table. */
  run(dir: string, policy: string): Row[];
}

export interface Measured {
  readonly setting: string;
  readonly cost: number;
  readonly late: boolean;
  readonly launches: number;
}

/** Rows by setting, in the order in which the settings first came. */
export function rowsOf(
  table: string,
  policy: string,
  measured: readonly Measured[],
  seconds: number,
  published: (setting: string) => number | null,
): Row[] {
  return [...Map.groupBy(measured, (m) => m.setting)].map(([setting, group]) => {
    const mean = average(group.map((m) => m.cost));
    return {
      table,
      setting,
      policy,
      mean,
      spread: Math.sqrt(average(group.map((m) => (m.cost - mean) ** 2))),
      scenarios: group.length,
      late: group.filter((m) => m.late).length,
      launches: average(group.map((m) => m.launches)),
      published: published(setting),
      seconds: (seconds * group.length) / measured.length,
    };
  });
}

export function average(numbers: readonly number[]): number {
  return numbers.reduce((sum, n) => sum + n, 0) / Math.max(1, numbers.length);
}

type Reference = Readonly<Record<string, { readonly rows: readonly Readonly<Record<string, unknown>>[] }>>;

/** A figure of the directory's reference.json: of the table's first row that has these values. */
export function referenceFigure(dir: string, table: string, where: Readonly<Record<string, unknown>>, figure: string): number | null {
  const file = join(dir, 'reference.json');
  if (!existsSync(file)) return null;
  const rows = readJson<Reference>(file)[table]?.rows ?? [];
  const row = rows.find((r) => Object.entries(where).every(([key, value]) => r[key] === value));
  const value = row?.[figure];
  return typeof value === 'number' ? value : null;
}

/** Seconds that the work took, and its result. */
export function timed<T>(work: () => T): { result: T; seconds: number } {
  const start = performance.now();
  const result = work();
  return { result, seconds: (performance.now() - start) / 1_000 };
}
