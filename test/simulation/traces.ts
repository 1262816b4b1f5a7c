import { readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import type { SinglePoolScenario } from './single-pool.ts';

/** The file's JSON, whose shape the data's own README describes. */
export function readJson<T>(...path: string[]): T {
  return JSON.parse(readFileSync(join(...path), 'utf8')) as T;
}

/** "0110" → one byte a tick, 1 where the digit is `one`. */
export function ticks(digits: string, one: '0' | '1'): Uint8Array {
  return Uint8Array.from(digits, (digit) => (digit === one ? 1 : 0));
}

/** The price in force at every tick, from steps [first tick, price]. */
export function pricesPerTick(steps: readonly (readonly [number, number])[], length: number): Float64Array {
  const prices = new Float64Array(length);
  steps.forEach(([from, price], i) => {
    prices.fill(price, from, steps[i + 1]?.[0] ?? length);
  });
  return prices;
}

export interface SinglePoolCase extends SinglePoolScenario {
  readonly series: string;
  readonly overheadHours: number;
  readonly deadlineHours: number;
  readonly window: string;
  /** Where in its series the window begins. */
  readonly startTick: number;
}

interface SeriesFile {
  readonly series: string;
  readonly overheadHours: number;
  readonly gapSeconds: number;
  readonly windows: readonly { readonly id: string; readonly startTick?: number; readonly preempted: string }[];
}

export const SINGLE_POOL = { durationHours: 48, deadlineHours: [52, 70], spotPrice: 0.9731, onDemandPrice: 3.06 } as const;

/** Every scenario of table T1 in the directory: each window of each series of each overhead, with both deadlines. */
export function singlePoolCases(dir: string): SinglePoolCase[] {
  const root = join(dir, 'single-region');
  const cases: SinglePoolCase[] = [];
  for (const folder of readdirSync(root)
    .filter((name) => /^d[0-9.]+$/.test(name))
    .sort()) {
    for (const name of readdirSync(join(root, folder))
      .filter((file) => file.endsWith('.json'))
      .sort()) {
      const file = readJson<SeriesFile>(root, folder, name);
      for (const window of file.windows) {
        const available = ticks(window.preempted, '0');
        for (const deadlineHours of SINGLE_POOL.deadlineHours) {
          cases.push({
            name: `${file.series} window ${window.id}, change-over ${file.overheadHours} h, deadline ${deadlineHours} h`,
            series: file.series,
            overheadHours: file.overheadHours,
            deadlineHours,
            window: window.id,
            startTick: window.startTick ?? 0,
            gapSeconds: file.gapSeconds,
            durationSeconds: SINGLE_POOL.durationHours * 3_600,
            deadlineSeconds: deadlineHours * 3_600,
            changeoverSeconds: Math.round(file.overheadHours * 3_600),
            spotPrice: SINGLE_POOL.spotPrice,
            onDemandPrice: SINGLE_POOL.onDemandPrice,
            available,
          });
        }
      }
    }
  }
  return cases;
}
