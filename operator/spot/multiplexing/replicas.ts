import type { Arrivals } from './arrivals.ts';
import { type Evaluation, evaluate, type GpuGroup, type PlacedGroup } from './evaluate.ts';
import { gibPerGpu, type ModelProfile, stageSeconds } from './profile.ts';

export interface Placed {
  readonly groups: readonly PlacedGroup[];
  readonly evaluation: Evaluation;
}

interface FillingGroup extends GpuGroup {
  readonly models: number[];
  freeGiB: number;
}

/** Sums of GiB round; a model that fills a GPU to the last byte fits. */
const ROUNDING_GIB = 1e-6;

function fits(model: ModelProfile, index: number, group: FillingGroup): boolean {
  return !group.models.includes(index) && gibPerGpu(model, group) <= group.freeGiB + ROUNDING_GIB;
}

function hold(model: ModelProfile, index: number, group: FillingGroup): void {
  group.models.push(index);
  group.freeGiB -= gibPerGpu(model, group);
}

function empty(groups: readonly GpuGroup[], memoryGiB: number): FillingGroup[] {
  return groups.map((group) => ({ ...group, models: [], freeGiB: memoryGiB }));
}

/** Seconds of work that a model's requests bring to a group. */
function workSeconds(model: ModelProfile, requests: number, group: GpuGroup): number {
  return stageSeconds(model, group) * requests;
}

/** Each model's first replica, the largest first; null where one finds no room. */
function firstReplicas(
  models: readonly ModelProfile[],
  requests: readonly number[],
  filling: FillingGroup[],
  prefer: 'least work' | 'tightest',
): FillingGroup[] | null {
  const work = new Map(filling.map((group) => [group, 0]));
  const total = (m: number) => (models[m]?.weightsGiB ?? 0) + (models[m]?.workingGiB ?? 0);
  const load = (m: number) => (models[m]?.latencySeconds ?? 0) * (requests[m] ?? 0);
  for (const index of [...models.keys()].sort((a, b) => total(b) - total(a) || load(b) - load(a))) {
    const model = models[index] as ModelProfile;
    const price = (group: FillingGroup) => (prefer === 'tightest' ? group.freeGiB : (work.get(group) ?? 0));
    const [best] = filling.filter((group) => fits(model, index, group)).sort((a, b) => price(a) - price(b));
    if (best === undefined) return null;
    hold(model, index, best);
    work.set(best, (work.get(best) ?? 0) + workSeconds(model, requests[index] ?? 0, best));
  }
  return filling;
}

/** Replicas where memory is left although every request is served: for the models with the most work per replica. */
function useLeftMemory(models: readonly ModelProfile[], requests: readonly number[], filling: FillingGroup[]): void {
  const replicas = models.map((_, index) => filling.filter((g) => g.models.includes(index)).length);
  const need = (m: number) => ((models[m]?.latencySeconds ?? 0) * (requests[m] ?? 0)) / (replicas[m] as number);
  for (;;) {
    const next = [...models.keys()]
      .sort((a, b) => need(b) - need(a))
      .find((m) => filling.some((group) => fits(models[m] as ModelProfile, m, group)));
    if (next === undefined) return;
    const model = models[next] as ModelProfile;
    const [group] = filling.filter((g) => fits(model, next, g)).sort((a, b) => b.freeGiB - a.freeGiB);
    hold(model, next, group as FillingGroup);
    replicas[next] = (replicas[next] as number) + 1;
  }
}

/**
 * AlpaServe's fast greedy placement (OSDI'23): runs the requests, gives the model with the most unserved ones another replica in the group
 * with the least work that has room, and again, until nothing fits. Every model has one replica first; null if the groups have no room
 * for that.
 */
export function placeReplicas(
  models: readonly ModelProfile[],
  groups: readonly GpuGroup[],
  memoryGiB: number,
  arrivals: Arrivals,
  sloScale: number,
): Placed | null {
  const requests = models.map(() => 0);
  for (const model of arrivals.models) requests[model] = (requests[model] as number) + 1;
  const filling =
    firstReplicas(models, requests, empty(groups, memoryGiB), 'least work') ??
    firstReplicas(models, requests, empty(groups, memoryGiB), 'tightest');
  if (filling === null) return null;
  for (;;) {
    const evaluation = evaluate(models, filling, arrivals, sloScale);
    const unserved = (m: number) => (evaluation.requests[m] as number) - (evaluation.served[m] as number);
    const byLoad = [...filling.keys()].sort((a, b) => (evaluation.busySeconds[a] as number) - (evaluation.busySeconds[b] as number));
    const wanting = [...models.keys()].filter((m) => unserved(m) > 0).sort((a, b) => unserved(b) - unserved(a));
    let added = false;
    for (const index of wanting) {
      const model = models[index] as ModelProfile;
      const group = byLoad.map((g) => filling[g] as FillingGroup).find((g) => fits(model, index, g));
      if (group === undefined) continue;
      hold(model, index, group);
      added = true;
      break;
    }
    if (added) continue;
    useLeftMemory(models, requests, filling);
    const placed = filling.map(({ freeGiB: _, ...group }) => ({ ...group, models: group.models.toSorted((a, b) => a - b) }));
    return { groups: placed, evaluation: evaluate(models, placed, arrivals, sloScale) };
  }
}
