import { type Arrivals, arrivalsOf } from './arrivals.ts';
import { evaluate } from './evaluate.ts';
import { formGroups, type GpuNodes, type GpuRange, parallelisms } from './groups.ts';
import { gibPerGpu, type ModelProfile, type Parallelism } from './profile.ts';
import { type Placed, placeReplicas } from './replicas.ts';

export interface PlacementRequest {
  readonly models: readonly ModelProfile[];
  readonly gpus: GpuNodes;
  /** Requests to plan for. */
  readonly arrivals: Arrivals;
  /** A request's SLO is this times its latency on one GPU. */
  readonly sloScale: number;
}

/** Models whose latencies differ by no more may share groups even when models are kept apart: a long request delays a short one. */
const BUCKET_SPREAD = 0.38;
/** Enough requests to tell placements apart; more only take time. */
const MOST_REQUESTS = 10_000;

/** The models do not fit the GPUs; the message says what to change. */
export class NoRoomError extends Error {}

/** AlpaServe's placement: the best of groups for all models together, and of groups for models of like latency. */
export function planPlacement(request: PlacementRequest): Placed {
  refuseTooLarge(request);
  const sampled = { ...request, arrivals: sample(request.arrivals) };
  const { models, gpus } = request;
  const all = [...models.keys()];
  const whole = { from: 0, to: gpus.nodes * gpus.gpusPerNode };
  const candidates = [best(sampled, [{ models: all, range: whole }]), best(sampled, apart(sampled))];
  return measured(request, candidates, 'Every model fits some group, but all of them do not fit together');
}

/** Selective replication: groups of one GPU, the same greedy choice of replicas. */
export function selectiveReplication(request: PlacementRequest): Placed {
  refuseTooLarge(request, 1);
  const { models, gpus } = request;
  const groups = formGroups({ from: 0, to: gpus.nodes * gpus.gpusPerNode }, gpus.gpusPerNode, { pipeline: 1, tensor: 1 });
  const placed = placeReplicas(models, groups, gpus.memoryGiB, sample(request.arrivals), request.sloScale);
  return measured(request, [placed], 'Each model fits a GPU, but all of them do not fit together');
}

/** Each GPU holds one model; GPUs beyond the first of each model go one by one to the model with the most work per GPU. */
export function oneModelPerGpu(request: PlacementRequest): Placed {
  refuseTooLarge(request, 1);
  const { models, gpus, arrivals } = request;
  const groups = formGroups({ from: 0, to: gpus.nodes * gpus.gpusPerNode }, gpus.gpusPerNode, { pipeline: 1, tensor: 1 });
  if (groups.length < models.length)
    throw new NoRoomError(`${models.length} models need a GPU each, and there are ${groups.length}: add GPUs`);
  const work = models.map((model, m) => model.latencySeconds * countOf(arrivals, m));
  const dealt = [...models.keys()];
  const replicas = models.map(() => 1);
  const need = (m: number) => (work[m] as number) / (replicas[m] as number);
  while (dealt.length < groups.length) {
    const model = [...models.keys()].reduce((most, m) => (need(m) > need(most) ? m : most), 0);
    replicas[model] = (replicas[model] as number) + 1;
    dealt.push(model);
  }
  const placed = groups.map((group, g) => ({ ...group, models: [dealt[g] as number] }));
  return { groups: placed, evaluation: evaluate(models, placed, arrivals, request.sloScale) };
}

interface Part {
  readonly models: readonly number[];
  readonly range: GpuRange;
}

/** The best groups for each part, together; null where a part has no room for its models. */
function best({ models, gpus, arrivals, sloScale }: PlacementRequest, parts: readonly Part[] | null): Placed | null {
  if (parts === null) return null;
  const groups: Placed['groups'][number][] = [];
  for (const part of parts) {
    const own = part.models.map((m) => models[m] as ModelProfile);
    const asked = parts.length === 1 ? arrivals : arrivalsOf(arrivals, part.models);
    const found = parallelisms(Math.min(gpus.gpusPerNode, part.range.to - part.range.from))
      .map((kind) => placeReplicas(own, formGroups(part.range, gpus.gpusPerNode, kind), gpus.memoryGiB, asked, sloScale))
      .reduce(better, null);
    if (found === null) return null;
    groups.push(...found.groups.map((group) => ({ ...group, models: group.models.map((m) => part.models[m] as number) })));
  }
  return { groups, evaluation: evaluate(models, groups, arrivals, sloScale) };
}

/** The one that serves more; of equals, the one that is further from its SLOs; of equals, the first. */
function better(a: Placed | null, b: Placed | null): Placed | null {
  if (a === null || b === null) return a ?? b;
  const difference = b.evaluation.attainment - a.evaluation.attainment;
  return difference > 0 || (difference === 0 && b.evaluation.meanSloShare < a.evaluation.meanSloShare) ? b : a;
}

/** Models of like latency, and GPUs in proportion to their work; null where there is one bucket, or fewer GPUs than they need. */
function apart({ models, gpus, arrivals }: PlacementRequest): Part[] | null {
  const buckets: number[][] = [];
  const latency = (m: number) => models[m]?.latencySeconds ?? 0;
  for (const model of [...models.keys()].sort((a, b) => latency(a) - latency(b))) {
    const bucket = buckets.at(-1);
    if (bucket && latency(model) <= latency(bucket[0] as number) * (1 + BUCKET_SPREAD)) bucket.push(model);
    else buckets.push([model]);
  }
  const total = gpus.nodes * gpus.gpusPerNode;
  const least = buckets.map((bucket) =>
    leastGpus(
      bucket.map((m) => models[m] as ModelProfile),
      gpus,
    ),
  );
  const spare = total - least.reduce((sum, n) => sum + n, 0);
  if (buckets.length === 1 || spare < 0) return null;
  const work = buckets.map((bucket) => bucket.reduce((sum, m) => sum + latency(m) * countOf(arrivals, m), 0));
  const shares = [...least];
  for (let gpu = 0; gpu < spare; gpu++) {
    const need = (b: number) => (work[b] as number) / (shares[b] as number);
    const neediest = shares.reduce((most, _, b) => (need(b) > need(most) ? b : most), 0);
    shares[neediest] = (shares[neediest] as number) + 1;
  }
  // The largest part first: it begins at a node's first GPU, where large groups fit.
  let from = 0;
  return [...buckets.keys()]
    .sort((a, b) => (shares[b] as number) - (shares[a] as number))
    .map((b) => {
      const range = { from, to: from + (shares[b] as number) };
      from = range.to;
      return { models: buckets[b] as number[], range };
    });
}

/** GPUs without which the models do not fit: enough memory for all, and a group for the largest. */
function leastGpus(models: readonly ModelProfile[], gpus: GpuNodes): number {
  const sum = models.reduce((gib, m) => gib + m.weightsGiB + m.workingGiB, 0);
  const largest = Math.max(...models.map((model) => smallestGroup(model, gpus)?.pipeline ?? 1));
  return Math.max(largest, Math.ceil(sum / gpus.memoryGiB));
}

/** Fewest GPUs that hold the model, as stages; null if a node does not. */
function smallestGroup(model: ModelProfile, { gpusPerNode, memoryGiB }: GpuNodes, most = gpusPerNode): Parallelism | null {
  for (let pipeline = 1; pipeline <= most; pipeline *= 2)
    if (gibPerGpu(model, { pipeline, tensor: 1 }) <= memoryGiB) return { pipeline, tensor: 1 };
  return null;
}

function refuseTooLarge({ models, gpus }: PlacementRequest, most = gpus.gpusPerNode): void {
  if (models.length === 0) throw new Error('There is no model to place');
  const tooLarge = models.find((model) => smallestGroup(model, gpus, most) === null);
  if (tooLarge === undefined) return;
  const largest = 2 ** Math.floor(Math.log2(most));
  throw new NoRoomError(
    `Model ${tooLarge.name} fits no group: it needs ${tooLarge.weightsGiB + tooLarge.workingGiB} GiB, and the largest group has ${largest} of ` +
      `${gpus.memoryGiB} GiB: take larger GPUs, more of them per node, or a smaller model`,
  );
}

function countOf(arrivals: Arrivals, model: number): number {
  return arrivals.models.reduce((count, m) => count + (m === model ? 1 : 0), 0);
}

/** The latest requests, as many as are enough. */
function sample({ seconds, models }: Arrivals): Arrivals {
  return { seconds: seconds.subarray(-MOST_REQUESTS), models: models.subarray(-MOST_REQUESTS) };
}

/** The best candidate, measured with all requests. */
function measured({ models, gpus, arrivals, sloScale }: PlacementRequest, candidates: readonly (Placed | null)[], refusal: string): Placed {
  const chosen = candidates.reduce(better, null);
  if (chosen !== null) return { groups: chosen.groups, evaluation: evaluate(models, chosen.groups, arrivals, sloScale) };
  const needed = models.reduce((gib, m) => gib + m.weightsGiB + m.workingGiB, 0);
  const there = gpus.nodes * gpus.gpusPerNode * gpus.memoryGiB;
  throw new NoRoomError(`${refusal}: they need ${needed} GiB of the ${there} GiB that there are, in whole models per group: add GPUs`);
}
