// Multiplexing against the placements it is meant to beat: what share of requests keeps its SLO, and up to which rate 99 % do.
import { existsSync } from 'node:fs';
import { join } from 'node:path';
import { type Arrivals, gammaArrivals, mergeArrivals, timesFromCounts } from '../../operator/spot/multiplexing/arrivals.ts';
import { evaluate } from '../../operator/spot/multiplexing/evaluate.ts';
import type { GpuNodes } from '../../operator/spot/multiplexing/groups.ts';
import { oneModelPerGpu, planPlacement, selectiveReplication } from '../../operator/spot/multiplexing/planner.ts';
import type { ModelProfile } from '../../operator/spot/multiplexing/profile.ts';
import { seededRandom } from '../../operator/spot/multiplexing/random.ts';
import { readMinuteCounts, readRequestTimes } from './arrival-traces.ts';

export const PLACEMENTS = {
  shared: planPlacement,
  replicated: selectiveReplication,
  alone: oneModelPerGpu,
} as const;
export type PlacementName = keyof typeof PLACEMENTS;

export interface Setting {
  readonly models: readonly ModelProfile[];
  readonly gpus: GpuNodes;
  readonly sloScale: number;
  /** Requests that placements are made for, and others that they are measured with: about as many, at every rate. */
  readonly planRequests: number;
  readonly measureRequests: number;
}

/** Equal models with the same rate each. */
export interface Workload {
  readonly name: string;
  /** Requests for `models` models that together have `rate` a second; part 0 is planned for, part 1 measured, and they do not overlap. */
  arrivals(models: number, rate: number, seconds: number, part: 0 | 1): Arrivals;
}

export function gammaWorkload(cv: number): Workload {
  return {
    name: `Gamma, CV ${cv}`,
    arrivals: (models, rate, seconds, part) => gammaArrivals(Array(models).fill(rate / models), cv, seconds, part + 1),
  };
}

/** One trace for many models: each is given another stretch of it, played faster or slower so that the trace's mean is the model's rate. */
export function timesWorkload(name: string, times: readonly number[]): Workload {
  const period = (times.at(-1) ?? 0) + 1e-6;
  return {
    name,
    arrivals: (models, rate, seconds, part) => {
      const speed = (rate / models) * (period / times.length);
      return mergeArrivals(
        Array.from({ length: models }, (_, model) => {
          // Measured is what comes half a trace after what is planned for.
          const from = (model / models + part / 2) * period;
          const length = Math.min(seconds * speed, period / 2);
          return times
            .map((time) => (time - from + 2 * period) % period)
            .filter((time) => time < length)
            .map((time) => time / speed);
        }),
      );
    },
  };
}

/** As above for counts per window: each window is played in a second, with counts in proportion to the model's rate. */
export function countsWorkload(name: string, counts: readonly number[], cap: number): Workload {
  const capped = counts.map((count) => Math.min(count, cap));
  const mean = capped.reduce((sum, count) => sum + count, 0) / capped.length;
  return {
    name,
    arrivals: (models, rate, seconds, part) =>
      mergeArrivals(
        Array.from({ length: models }, (_, model) => {
          const from = Math.floor((model / models + part / 2) * capped.length);
          const stretch = Array.from(
            { length: Math.ceil(Math.min(seconds, capped.length / 2)) },
            (_, i) => capped[(from + i) % capped.length] as number,
          );
          const scaled = stretch.map((count) => (count * rate) / models / mean);
          return timesFromCounts(scaled, 1, seededRandom(model * 2 + part));
        }),
      ),
  };
}

/** The minute counts have single minutes of 180 million, 17,000 times the median; the published use of them caps at this many a minute. */
const MINUTE_CAP = 900_000;

/** The traces that are there; none where the directory is not. */
export function traceWorkloads(directory: string): Workload[] {
  const conversations = join(directory, 'azure-llm-2023-conv.csv.gz');
  const functions = join(directory, 'maf1-minute-counts.csv.gz');
  return [
    ...(existsSync(conversations) ? [timesWorkload('Azure LLM 2023, conversations', readRequestTimes(conversations))] : []),
    ...(existsSync(functions) ? [countsWorkload('Azure Functions 2019, a minute a second', readMinuteCounts(functions), MINUTE_CAP)] : []),
  ];
}

/** Share of requests within their SLO, of requests that the placement was not made for. */
export function attainment(setting: Setting, workload: Workload, rate: number, placement: PlacementName): number {
  const { models, gpus, sloScale, planRequests, measureRequests } = setting;
  const arrivals = workload.arrivals(models.length, rate, planRequests / rate, 0);
  const { groups } = PLACEMENTS[placement]({ models, gpus, arrivals, sloScale });
  return evaluate(models, groups, workload.arrivals(models.length, rate, measureRequests / rate, 1), sloScale).attainment;
}

/** Below it a rate is not looked for, requests a second. */
export const SMALLEST_RATE = 2;

/**
 * Largest rate (requests a second, all models together, to 2 %) at which the placement made for it keeps `wanted` of the requests in time:
 * from what the GPUs can compute downwards, as attainment need not fall steadily with the rate. Null if there is none.
 */
export function largestRate(setting: Setting, workload: Workload, placement: PlacementName, wanted: number): number | null {
  const { models, gpus } = setting;
  const meanLatency = models.reduce((sum, model) => sum + model.latencySeconds, 0) / models.length;
  const keeps = (rate: number) => attainment(setting, workload, rate, placement) >= wanted;
  let high = (gpus.nodes * gpus.gpusPerNode) / meanLatency;
  if (keeps(high)) return high;
  let low = high / 1.25;
  while (!keeps(low)) {
    high = low;
    low = high / 1.25;
    if (low < SMALLEST_RATE) return null;
  }
  while (high / low > 1.02) {
    const middle = Math.sqrt(low * high);
    if (keeps(middle)) low = middle;
    else high = middle;
  }
  return low;
}
