import type { Arrivals } from './arrivals.ts';
import { type ModelProfile, type Parallelism, stageSeconds } from './profile.ts';

/** GPUs of one node that run the same models together. */
export interface GpuGroup extends Parallelism {
  readonly node: number;
  /** Its first GPU on the node; it has the pipeline × tensor from there. */
  readonly firstGpu: number;
}

export interface PlacedGroup extends GpuGroup {
  /** Models it holds, by their place in the list of models. */
  readonly models: readonly number[];
}

export interface Evaluation {
  /** Share of all requests that were answered within their SLO; 1 without requests. */
  readonly attainment: number;
  readonly requests: Uint32Array;
  /** Of each model's requests, those answered in time. */
  readonly served: Uint32Array;
  /** Seconds that each group's first stage computed. */
  readonly busySeconds: Float64Array;
  /** Mean seconds from arrival to answer of the served; 0 if there are none. */
  readonly meanSeconds: number;
  /** Mean share of its SLO that a served request took. */
  readonly meanSloShare: number;
}

/**
 * Runs the requests through the groups: each goes to the group with the least backlog of those that hold its model, in order of arrival,
 * and occupies one stage after another. One that cannot be answered within sloScale × its latency on one GPU is turned away and costs
 * nothing. Times are exact, as a group's schedule is known when a request arrives.
 */
export function evaluate(
  models: readonly ModelProfile[],
  groups: readonly PlacedGroup[],
  arrivals: Arrivals,
  sloScale: number,
): Evaluation {
  const stages = Math.max(1, ...groups.map((g) => g.pipeline));
  const stageFree = new Float64Array(groups.length * stages);
  const perStage = groups.map((group) => Float64Array.from(models, (model) => stageSeconds(model, group)));
  const holders = models.map((_, model) => Int32Array.from([...groups.keys()].filter((g) => groups[g]?.models.includes(model))));
  const slo = Float64Array.from(models, (model) => model.latencySeconds * sloScale);
  const requests = new Uint32Array(models.length);
  const served = new Uint32Array(models.length);
  const busySeconds = new Float64Array(groups.length);
  let totalServed = 0;
  let totalSeconds = 0;
  let totalShare = 0;
  for (let i = 0; i < arrivals.seconds.length; i++) {
    const now = arrivals.seconds[i] as number;
    const model = arrivals.models[i] as number;
    requests[model] = (requests[model] as number) + 1;
    let group = -1;
    let least = Number.POSITIVE_INFINITY;
    for (const holder of holders[model] as Int32Array) {
      const free = stageFree[holder * stages] as number;
      if (free < least) {
        least = free;
        group = holder;
        if (free <= now) break;
      }
    }
    if (group < 0) continue;
    const duration = perStage[group]?.[model] as number;
    const first = group * stages;
    const end = first + (groups[group] as PlacedGroup).pipeline;
    let time = now;
    for (let stage = first; stage < end; stage++) time = Math.max(time, stageFree[stage] as number) + duration;
    const allowed = slo[model] as number;
    // A request that takes exactly its SLO is in time, however sums round.
    if (time - now > allowed * (1 + 1e-9)) continue;
    const answered = time;
    time = now;
    for (let stage = first; stage < end; stage++) {
      time = Math.max(time, stageFree[stage] as number) + duration;
      stageFree[stage] = time;
    }
    served[model] = (served[model] as number) + 1;
    busySeconds[group] = (busySeconds[group] as number) + duration;
    totalServed++;
    totalSeconds += answered - now;
    totalShare += (answered - now) / allowed;
  }
  const total = arrivals.seconds.length;
  return {
    attainment: total === 0 ? 1 : totalServed / total,
    requests,
    served,
    busySeconds,
    meanSeconds: totalServed === 0 ? 0 : totalSeconds / totalServed,
    meanSloShare: totalServed === 0 ? 0 : totalShare / totalServed,
  };
}
