import { join } from 'node:path';
import { gammaArrivals } from '../../operator/spot/multiplexing/arrivals.ts';
import { planPlacement } from '../../operator/spot/multiplexing/planner.ts';
import type { ModelProfile } from '../../operator/spot/multiplexing/profile.ts';
import {
  attainment,
  gammaWorkload,
  largestRate,
  PLACEMENTS,
  type PlacementName,
  type Setting,
  SMALLEST_RATE,
  traceWorkloads,
} from '../simulation/multiplexing.ts';

/** As AlpaServe's (OSDI'23) case of equal models: 32 of 1.3 billion parameters on 32 GPUs of 16 GB. The latency is assumed. */
export const MULTIPLEXING_SETTINGS = {
  models: 32,
  latencySeconds: 0.15,
  weightsGiB: 2.4,
  nodes: 4,
  gpusPerNode: 8,
  memoryGiB: 13,
  sloScale: 5,
  planRequests: 10_000,
  measureRequests: 30_000,
  cvs: [1, 2, 3, 4, 6, 8],
  /** Requests a second of all models together: 47 % of what the GPUs can compute. */
  rate: 100,
  attainment: 0.99,
  planner: { models: 32, nodes: 8, rates: [150, 300, 450], cv: 8 },
};

const TRACES = join(import.meta.dirname, '..', '..', '..', 'shared', 'data', 'arrivals');
const TITLES: Readonly<Record<PlacementName, string>> = {
  shared: 'shared groups',
  replicated: 'selective replication',
  alone: 'one per GPU',
};

export interface MultiplexingRow {
  readonly workload: string;
  readonly placement: PlacementName;
  readonly attainment: number;
  /** Requests a second; null = below the smallest looked for. */
  readonly largestRate: number | null;
}

function equalModels(count: number): ModelProfile[] {
  const { latencySeconds, weightsGiB } = MULTIPLEXING_SETTINGS;
  return Array.from({ length: count }, (_, i) => ({ name: `model-${i}`, latencySeconds, weightsGiB, workingGiB: 0 }));
}

/** The longest of plans for 32 models on 64 GPUs, seconds. */
function plannerSeconds(): number {
  const { planner, gpusPerNode, memoryGiB, sloScale } = MULTIPLEXING_SETTINGS;
  const models = equalModels(planner.models);
  const gpus = { nodes: planner.nodes, gpusPerNode, memoryGiB };
  return Math.max(
    ...planner.rates.map((rate) => {
      const arrivals = gammaArrivals(Array(planner.models).fill(rate / planner.models), planner.cv, 120, 1);
      const start = performance.now();
      planPlacement({ models, gpus, arrivals, sloScale });
      return (performance.now() - start) / 1_000;
    }),
  );
}

/** SLO attainment and the largest rate at 99 % of three placements, over bursts and traces, and the planner's time. */
export function benchMultiplexing(): { plannerSeconds: number; rows: MultiplexingRow[] } {
  const { models, nodes, gpusPerNode, memoryGiB, cvs, rate, attainment: wanted, ...rest } = MULTIPLEXING_SETTINGS;
  const setting: Setting = { models: equalModels(models), gpus: { nodes, gpusPerNode, memoryGiB }, ...rest };
  const traces = traceWorkloads(TRACES);
  if (traces.length === 0) console.error(`There are no arrival traces in ${TRACES}: only Gamma arrivals are measured`);
  const workloads = [...cvs.map(gammaWorkload), ...traces];
  const placements = Object.keys(PLACEMENTS) as PlacementName[];
  const begun = performance.now();
  const rows: MultiplexingRow[] = [];
  for (const workload of workloads) {
    for (const placement of placements) {
      rows.push({
        workload: workload.name,
        placement,
        attainment: attainment(setting, workload, rate, placement),
        largestRate: largestRate(setting, workload, placement, wanted),
      });
    }
    const done = rows.length / placements.length / workloads.length;
    const seconds = (performance.now() - begun) / 1_000;
    console.error(`${workload.name}: ${Math.round(100 * done)} % done, about ${Math.ceil((seconds * (1 - done)) / done)} s left`);
  }
  console.log(table(rows, rate, wanted));
  return { plannerSeconds: plannerSeconds(), rows };
}

function table(rows: readonly MultiplexingRow[], rate: number, wanted: number): string {
  const placements = Object.keys(TITLES) as PlacementName[];
  const cells = [...new Set(rows.map((row) => row.workload))].map((workload) => {
    const own = placements.map((placement) => rows.find((row) => row.workload === workload && row.placement === placement));
    return [
      workload,
      ...own.map((row) => `${(100 * (row?.attainment ?? 0)).toFixed(1)} %`),
      ...own.map((row) => (row?.largestRate == null ? `< ${SMALLEST_RATE}/s` : `${row.largestRate.toFixed(0)}/s`)),
    ];
  });
  const at = (title: string) => placements.map((placement) => `${TITLES[placement]}, ${title}`);
  const all = [['arrivals', ...at(`at ${rate}/s`), ...at(`largest at ${100 * wanted} %`)], ...cells];
  const widths = (all[0] ?? []).map((_, column) => Math.max(...all.map((line) => line[column]?.length ?? 0)));
  const lines = all.map((line) => `| ${line.map((cell, column) => cell.padEnd(widths[column] ?? 0)).join(' | ')} |`);
  return [lines[0], `| ${widths.map((width) => '-'.repeat(width)).join(' | ')} |`, ...lines.slice(1)].join('\n');
}
