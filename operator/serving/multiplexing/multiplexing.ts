import { gibOf } from '../../api/forms.ts';
import type { VicunaServing } from '../../api/vicuna-serving.ts';
import type { GpuNodes } from '../../spot/multiplexing/groups.ts';
import type { MultiplexRequest } from '../../spot/multiplexing/multiplex.ts';
import { type Regrouped, regroup } from '../../spot/multiplexing/regroup.ts';
import type { PoolView } from '../../spot/pool-view.ts';
import { type PrometheusOptions, queryPrometheusRange, type Series } from '../autoscaling/prometheus.ts';
import { arrivalsQuery, fillIn } from '../autoscaling/queries.ts';
import type { GroupsState, MetricsState } from '../state.ts';
import { planGroups } from './planner.ts';

/** Requests are counted in windows of so many seconds, for half an hour. */
const WINDOW_SECONDS = 60;
const WINDOWS = 30;
/** Plans are made so often: models are not moved more quickly than they load. */
const INTERVAL_MS = 60_000;
/** Of a GPU's memory the driver and the engine's own buffers take the rest. */
const USABLE_MEMORY = 0.9;

export interface MultiplexingOptions {
  readonly now: () => number;
  /** Value of the Authorization header for a Prometheus, or null; rejects if its Secret is missing. */
  readonly authorize: (namespace: string, prometheus: Prometheus) => Promise<string | null>;
  readonly range?: (options: PrometheusOptions, query: string, windows: { windows: number; windowSeconds: number }) => Promise<Series>;
  readonly plan?: typeof planGroups;
}

type Multiplexed = NonNullable<VicunaServing['spec']['multiplexing']>;
export type Prometheus = NonNullable<Multiplexed['prometheus']>;

interface Known {
  latest: { serving: VicunaServing; gpus: GpuNodes | string };
  /** The newest decision; null = none was made since this process began. */
  decision: Regrouped | null;
  changedAt: number;
  metrics: MetricsState;
  problem: string | null;
  timer: NodeJS.Timeout | null;
  working: boolean;
  /** Generation of the spec that was planned for. */
  generation: number;
}

/** Decides which models share GPUs, by the requests that came lately. */
export class Multiplexing {
  readonly #o: MultiplexingOptions;
  readonly #servings = new Map<string, Known>();
  readonly #handlers: ((key: string) => void)[] = [];

  constructor(options: MultiplexingOptions) {
    this.#o = options;
  }

  /** Called with a serving's key ("namespace/name") when its groups were planned anew. */
  onNews(handler: (key: string) => void): void {
    this.#handlers.push(handler);
  }

  /** The groups for now: those of the newest plan, or, before there is one, those that the status has. */
  decide(serving: VicunaServing, pools: readonly PoolView[]): { groups: GroupsState; metrics: MetricsState } {
    const key = `${serving.metadata.namespace}/${serving.metadata.name}`;
    const kept = serving.status?.multiplexing;
    const known = this.#servings.get(key) ?? {
      latest: { serving, gpus: '' },
      decision: null,
      changedAt: kept === undefined ? this.#o.now() : Date.parse(kept.changedAt),
      metrics: NOT_YET,
      problem: null,
      timer: null,
      working: false,
      generation: -1,
    };
    known.latest = { serving, gpus: nodesOf(serving, pools) };
    this.#servings.set(key, known);
    const isNew = known.generation !== (serving.metadata.generation ?? 0);
    if (!known.working && (known.timer === null || isNew)) void this.#work(key, known);
    const { decision, problem, changedAt } = known;
    const groups = decision?.groups ?? kept?.groups ?? [];
    return {
      groups: {
        groups,
        attainment: decision?.attainment ?? kept?.attainment ?? 0,
        changedAt,
        reason: decision?.reason ?? kept?.reason ?? 'the first plan is being made',
        problem: problem ?? (groups.length === 0 ? 'the first plan is being made' : null),
      },
      metrics: known.metrics,
    };
  }

  forget(key: string): void {
    const known = this.#servings.get(key);
    if (known?.timer) clearTimeout(known.timer);
    this.#servings.delete(key);
  }

  async #work(key: string, known: Known): Promise<void> {
    if (known.timer) clearTimeout(known.timer);
    known.timer = null;
    known.working = true;
    const { serving, gpus } = known.latest;
    known.generation = serving.metadata.generation ?? 0;
    await this.#decide(known, serving, gpus);
    known.working = false;
    if (this.#servings.get(key) !== known) return;
    known.timer = setTimeout(() => void this.#work(key, known), INTERVAL_MS);
    known.timer.unref();
    for (const handler of this.#handlers) handler(key);
  }

  async #decide(known: Known, serving: VicunaServing, gpus: GpuNodes | string): Promise<void> {
    const { multiplexing, models } = serving.spec;
    if (!multiplexing) return;
    const current = known.decision?.groups ?? serving.status?.multiplexing?.groups ?? [];
    const { counts, metrics } = await this.#arrivals(serving, multiplexing);
    known.metrics = metrics;
    // Without knowing the load nothing is changed; but there is no waiting for metrics before there are groups.
    const held = metrics.reason === 'Unavailable' && models.every((m) => current.some((g) => g.models.includes(m.name)));
    known.problem = typeof gpus === 'string' ? gpus : null;
    if (held || typeof gpus === 'string') return;
    const request = requestOf(serving, multiplexing, counts, gpus);
    const output = await (this.#o.plan ?? planGroups)({ request, target: multiplexing.attainment, current });
    if ('problem' in output) {
      known.problem = output.problem;
      return;
    }
    const now = this.#o.now();
    const names = models.map((m) => m.name);
    known.decision = regroup({ models: names, ...output, target: multiplexing.attainment, changedAt: known.changedAt, now });
    if (known.decision.changed) known.changedAt = now;
  }

  /** Requests of each model by window: as Prometheus has counted them, or as the profiles expect them. */
  async #arrivals(
    serving: VicunaServing,
    { prometheus }: Multiplexed,
  ): Promise<{ counts: ReadonlyMap<string, readonly number[]>; metrics: MetricsState }> {
    const { namespace = 'default', name = '' } = serving.metadata;
    const { models } = serving.spec;
    const expected = new Map(
      models.map((m) => [m.name, Array<number>(WINDOWS).fill((m.profile?.requestsPerSecond ?? 0) * WINDOW_SECONDS)]),
    );
    if (!prometheus) return { counts: expected, metrics: NOT_USED };
    const read = await this.#o
      .authorize(namespace, prometheus)
      .then((authorization) =>
        Promise.all(
          models.map((model) => {
            const query = fillIn(arrivalsQuery(WINDOW_SECONDS), { namespace, serving: name, model: model.name });
            return (this.#o.range ?? queryPrometheusRange)({ url: prometheus.url, authorization }, query, {
              windows: WINDOWS,
              windowSeconds: WINDOW_SECONDS,
            });
          }),
        ),
      )
      .catch((error: Error) => models.map(() => ({ problem: error.message })));
    const problems = read.flatMap((series, i) => ('problem' in series ? [`${models[i]?.name}: ${series.problem}`] : []));
    const counts = new Map(read.flatMap((series, i) => ('values' in series ? [[models[i]?.name ?? '', series.values] as const] : [])));
    if (problems.length === 0) return { counts, metrics: { status: 'True', reason: 'Fresh', message: 'every query gave numbers' } };
    const message = `${problems.join('; ')}. The groups are held`;
    return { counts: new Map([...expected, ...counts]), metrics: { status: 'False', reason: 'Unavailable', message } };
  }
}

const NOT_YET: MetricsState = { status: 'False', reason: 'Unavailable', message: 'the metrics were not read yet' };
const NOT_USED: MetricsState = {
  status: 'False',
  reason: 'NotUsed',
  message: 'spec.multiplexing.prometheus is not set: the groups are made for the profiles’ requestsPerSecond',
};

function requestOf(
  { spec }: VicunaServing,
  { slo }: Multiplexed,
  counts: ReadonlyMap<string, readonly number[]>,
  gpus: GpuNodes,
): MultiplexRequest {
  return {
    models: spec.models.flatMap(({ name, profile }) =>
      profile === undefined
        ? []
        : [
            {
              name,
              latencySeconds: profile.latencySeconds,
              weightsGiB: gibOf(profile.weightsMemory),
              workingGiB: gibOf(profile.workingMemory),
              requestsPerWindow: counts.get(name) ?? [],
            },
          ],
    ),
    windowSeconds: WINDOW_SECONDS,
    gpus,
    sloScale: slo.scale,
  };
}

/** GPUs that any of the pools could give: the least of each, since a group must fit whichever it is placed in. Or what is wrong. */
function nodesOf({ spec }: VicunaServing, pools: readonly PoolView[]): GpuNodes | string {
  const { accelerator, capacity } = spec.placement;
  const usable = pools.filter(
    (p) =>
      p.gpusPerNode > 0 && (accelerator === undefined || p.accelerator === accelerator) && (capacity === 'auto' || p.capacity === capacity),
  );
  if (usable.length === 0) return 'no GpuPool with accelerators is selected by spec.placement: add one, or change spec.placement';
  const silent = usable.find((p) => p.gpuMemoryGiB === null);
  if (silent) return `GpuPool ${silent.name} does not say how much memory its accelerators have: set spec.accelerator.memory`;
  const maxGpus = spec.multiplexing?.maxGpus ?? 0;
  // Our own engine computes on one GPU.
  const most = spec.models[0]?.engine === 'transformers' ? 1 : maxGpus;
  const gpusPerNode = Math.min(most, ...usable.map((p) => p.gpusPerNode));
  return {
    nodes: Math.floor(maxGpus / gpusPerNode),
    gpusPerNode,
    memoryGiB: USABLE_MEMORY * Math.min(...usable.map((p) => p.gpuMemoryGiB ?? 0)),
  };
}
