import { type Arrivals, mergeArrivals, timesFromCounts } from './arrivals.ts';
import { type Evaluation, evaluate } from './evaluate.ts';
import type { GpuNodes } from './groups.ts';
import { NoRoomError, planPlacement } from './planner.ts';
import type { ModelProfile, Parallelism } from './profile.ts';
import { seededRandom } from './random.ts';

/** A model, and the requests it had in equal windows, the latest last. The windows of all models are the same. */
export interface SharedModel extends ModelProfile {
  readonly requestsPerWindow: readonly number[];
}

export interface MultiplexRequest {
  readonly models: readonly SharedModel[];
  readonly windowSeconds: number;
  readonly gpus: GpuNodes;
  /** A request's SLO is this times its latency on one GPU. */
  readonly sloScale: number;
}

/** GPUs of one node, and the models that share them. */
export interface ModelGroup extends Parallelism {
  readonly node: number;
  /** Numbers of its GPUs on the node. */
  readonly gpus: readonly number[];
  readonly models: readonly string[];
}

/** How past requests would have fared. */
export interface Attainment {
  /** Share of them answered within their SLO. */
  readonly attainment: number;
  /** The same for each model. */
  readonly attainmentOf: ReadonlyMap<string, number>;
}

export interface MultiplexPlan extends Attainment {
  readonly groups: readonly ModelGroup[];
}

/**
 * Which models share which GPUs, for requests as they came lately. The same request has the same plan. Throws if a model fits no group or
 * all do not fit together; the message says what to change.
 */
export function multiplex(request: MultiplexRequest): MultiplexPlan {
  const { models, gpus, sloScale } = request;
  const { groups, evaluation } = planPlacement({ models, gpus, arrivals: arrivalsOfHistory(request), sloScale });
  const named = groups
    .filter((group) => group.models.length > 0)
    .map(({ node, firstGpu, pipeline, tensor, models: held }) => ({
      node,
      gpus: Array.from({ length: pipeline * tensor }, (_, i) => firstGpu + i),
      pipeline,
      tensor,
      models: held.map((m) => (models[m] as SharedModel).name),
    }));
  return { groups: named, ...attainmentFrom(models, evaluation) };
}

/** How the requests would have fared in groups that there are: a new plan is worth moving models only if it is better than that. */
export function attainmentIn(request: MultiplexRequest, groups: readonly ModelGroup[]): Attainment {
  const { models, sloScale } = request;
  const placed = groups.map(({ node, gpus, pipeline, tensor, models: held }) => ({
    node,
    firstGpu: gpus[0] ?? 0,
    pipeline,
    tensor,
    models: [...models.keys()].filter((m) => held.includes((models[m] as SharedModel).name)),
  }));
  return attainmentFrom(models, evaluate(models, placed, arrivalsOfHistory(request), sloScale));
}

function arrivalsOfHistory({ models, windowSeconds }: MultiplexRequest): Arrivals {
  return mergeArrivals(models.map((model, m) => timesFromCounts(model.requestsPerWindow, windowSeconds, seededRandom(m + 1))));
}

function attainmentFrom(models: readonly SharedModel[], { attainment, requests, served }: Evaluation): Attainment {
  const share = (m: number) => (requests[m] === 0 ? 1 : (served[m] as number) / (requests[m] as number));
  return { attainment, attainmentOf: new Map(models.map(({ name }, m) => [name, share(m)])) };
}

/**
 * The plan with the fewest nodes, at most `gpus.nodes`, that reaches the attainment; that of all nodes if none does. Throws like
 * `multiplex` if not even all nodes have room.
 */
export function multiplexOnFewestNodes(request: MultiplexRequest, attainment: number): MultiplexPlan & { readonly nodes: number } {
  const on = (nodes: number) => ({ nodes, ...multiplex({ ...request, gpus: { ...request.gpus, nodes } }) });
  let chosen = on(request.gpus.nodes);
  const { memoryGiB, gpusPerNode } = request.gpus;
  const needed = request.models.reduce((gib, model) => gib + model.weightsGiB + model.workingGiB, 0);
  let low = Math.max(1, Math.ceil(needed / (memoryGiB * gpusPerNode)));
  while (low < chosen.nodes && chosen.attainment >= attainment) {
    const middle = Math.floor((low + chosen.nodes) / 2);
    const tried = roomOrNull(() => on(middle));
    if (tried !== null && tried.attainment >= attainment) chosen = tried;
    else low = middle + 1;
  }
  return chosen;
}

function roomOrNull<T>(plan: () => T): T | null {
  try {
    return plan();
  } catch (error) {
    if (error instanceof NoRoomError) return null;
    throw error;
  }
}
