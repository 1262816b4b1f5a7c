import { Counter, collectDefaultMetrics, Gauge, Histogram, Registry } from 'prom-client';
import type { Report } from '../api/protocol.ts';
import { METRICS, type MetricDefinition } from './metrics-table.ts';

type Table = typeof METRICS;
type LabelsOf<K extends keyof Table> = Table[K]['labels'][number];
type Instruments = {
  [K in keyof Table]: Table[K]['type'] extends 'gauge'
    ? Gauge<LabelsOf<K>>
    : Table[K]['type'] extends 'counter'
      ? Counter<LabelsOf<K>>
      : Histogram<LabelsOf<K>>;
};
type Labels = Record<string, string>;

/** What a training's status says, as numbers: seconds, dollars and fractions; null = not known. */
export type TrainingFigures = {
  phase: string;
  pool: string | null;
  capacity: string | null;
  generation: number;
  worldSize: number;
  progress: { step: number; totalSteps: number } | null;
  /** The last committed one; savedAt in ms since epoch. */
  checkpoint: { step: number; bytes: number; seconds: number; savedAt: number } | null;
  goodput: number | null;
  gpuHours: number;
  cost: number;
  onDemandCost: number;
  interruptions: number;
  lostSteps: number;
};

/** What a serving's status says, as numbers. */
export type ServingFigures = {
  models: readonly {
    name: string;
    desired: number;
    target: number;
    ready: number;
    spotReady: number;
    onDemandReady: number;
    leaving?: number | undefined;
    /** Replicas that are aimed at, by pool. */
    pools?: Readonly<Record<string, number>> | undefined;
  }[];
  /** The reason of condition ScalingLimited. */
  scalingLimit: string;
  gatewaysReady: number;
  /** null = the number of replicas follows none. */
  metricsAvailable: boolean | null;
  interruptions: number;
  cost: number;
  onDemandCost: number;
  gpuHours: number;
};

const TASK_RESULTS = ['datasetRecords', 'evaluationWinRate', 'evaluationQuality', 'evaluationScore'] as const satisfies (keyof Table)[];

/** One figure of what a task found; `labels` are those besides the task's own. */
export type TaskResult = { metric: (typeof TASK_RESULTS)[number]; labels: Labels; value: number };

/** What the status of a VicunaDataset or VicunaEvaluation says, as numbers; null = not known. */
export type TaskFigures = {
  phase: string;
  /** What is missing for its pod to be made, as a condition's reason. */
  missing: string | null;
  progress: { done: number; total: number | null } | null;
  interruptions: number;
  errors: number;
  cost: number;
  onDemandCost: number;
  /** Empty before it has any. */
  results: readonly TaskResult[];
};

/** What a GpuPool's status says, as numbers; null = not known. Interruptions and launches are totals. */
export type PoolFigures = {
  nodes: number;
  /** Names of those that a spot market may take back, and that a notifier could run on. */
  spotNodes: readonly string[];
  gpusUsed: number;
  gpusFree: number;
  pricePerHour: number | null;
  /** Of prices that are read from the cloud; readAt in ms since epoch. null = the spec's are all there is. */
  livePrice: { readAt: number | null; refreshSeconds: number } | null;
  blocked: boolean;
  remainingLifeSeconds: number | null;
  interruptions: number;
  placed: number;
  noCapacity: number;
};

/** What a work queue says of itself. */
export interface QueueFigures {
  readonly depth: number;
  readonly unfinished: number;
  readonly unfinishedSeconds: number;
  readonly longestRunningSeconds: number;
}

export type InterruptionLeg = 'notice_to_directive' | 'notice_to_checkpoint' | 'notice_to_replaced' | 'replaced_to_resumed' | 'total';

/** An interruption that has been dealt with; a leg that did not happen is left out. */
export type InterruptionFigures = {
  cause: string;
  /** Whether it was announced before the node went. */
  notice: boolean;
  lostSteps: number;
  legSeconds: Partial<Record<InterruptionLeg, number>>;
};

/** The operator's metrics: the table's instruments by their keys, and the updates that touch several of them at once. */
export class OperatorMetrics {
  readonly registry: Registry;
  readonly instruments: Instruments;
  readonly #now: () => number;
  /** Trainings whose progress comes from their workers; a report is never older than status. */
  readonly #reported = new Set<string>();
  readonly #queues = new Map<string, QueueFigures>();
  #recorder: { readonly dropped: number } | null = null;
  #droppedBefore = 0;
  readonly #checkpointSavedAt = new Map<string, { labels: TrainingLabels; savedAt: number }>();
  /** Series that a subject (a training or pool) has now, by metric and labels: those to remove when it or a label changes. */
  readonly #series = new Map<string, Map<string, Series>>();

  constructor({ now, registry = new Registry() }: { now: () => number; registry?: Registry }) {
    this.#now = now;
    this.registry = registry;
    this.instruments = createInstruments(registry, {
      trainingCheckpointAge: () => this.#collectAges(),
      queueDepth: () => this.#collectQueues(),
      eventsDropped: () => this.#collectEvents(),
    });
  }

  /** Follows a controller's work queue, at every scrape. Its counters begin at 0: of one that begins at 1, no rate shows the first. */
  watchQueue(name: string, queue: QueueFigures): void {
    this.#queues.set(name, queue);
    this.instruments.reconcileErrors.inc({ controller: name }, 0);
    this.instruments.queueRetries.inc({ name }, 0);
    for (const result of ['success', 'error']) this.instruments.reconciles.inc({ controller: name, result }, 0);
  }

  /** Follows the events that were not written, at every scrape. */
  watchEvents(recorder: { readonly dropped: number }): void {
    this.#recorder = recorder;
  }

  /** Adds the metrics of the process: CPU seconds, memory, event loop lag, garbage collection. Once per process. */
  collectProcess(): void {
    collectDefaultMetrics({ register: this.registry });
  }

  /** Follows a worker's report at once; progress and checkpoints are rank 0's. */
  reported(training: string, report: Report): void {
    if (report.rank !== 0 || report.generation === 0) return;
    this.#reported.add(training);
    const labels = trainingLabels(training);
    const set = (key: TrainingGauge, value: number | null) => this.#set(training, key, labels, value);
    set('trainingStep', report.step);
    if (report.totalSteps > 0) set('trainingTotalSteps', report.totalSteps);
    set('trainingEpoch', report.epoch);
    if (report.loss !== null) set('trainingLoss', report.loss);
    if (report.validation) set('trainingValidationLoss', report.validation.loss);
    set('trainingTokensPerSecond', report.state === 'running' ? (report.tokensPerSecond ?? 0) : 0);
    const { checkpoint } = report;
    if (checkpoint === undefined) return;
    set('trainingCheckpointStep', checkpoint.step);
    set('trainingCheckpointBytes', checkpoint.bytes);
    set('trainingCheckpointSeconds', checkpoint.seconds);
    set('trainingCheckpointStall', checkpoint.stallSeconds);
    this.#checkpointSavedAt.set(training, { labels, savedAt: Date.parse(checkpoint.savedAt) });
  }

  /** Follows a training's status. */
  setTraining(training: string, figures: TrainingFigures): void {
    const labels = trainingLabels(training);
    this.#setOnly(training, 'trainingPhase', { ...labels, phase: figures.phase });
    this.#setOnly(training, 'trainingInfo', { ...labels, pool: figures.pool ?? '', capacity: figures.capacity ?? '' });
    this.#set(training, 'trainingGeneration', labels, figures.generation);
    this.#set(training, 'trainingWorldSize', labels, figures.worldSize);
    this.#set(training, 'trainingGoodput', labels, figures.goodput);
    if (!this.#reported.has(training)) this.#setProgress(training, labels, figures);
    if (figures.worldSize === 0) this.#set(training, 'trainingTokensPerSecond', labels, 0);
    this.#mirror(training, 'trainingGpuHours', labels, figures.gpuHours);
    this.#mirror(training, 'trainingCost', labels, figures.cost);
    this.#mirror(training, 'trainingOnDemandCost', labels, figures.onDemandCost);
    this.#mirror(training, 'trainingInterruptions', labels, figures.interruptions);
    this.#mirror(training, 'trainingLostSteps', labels, figures.lostSteps);
  }

  #setProgress(training: string, labels: TrainingLabels, { progress, checkpoint }: TrainingFigures): void {
    this.#set(training, 'trainingStep', labels, progress?.step ?? null);
    this.#set(training, 'trainingTotalSteps', labels, progress?.totalSteps ?? null);
    if (checkpoint === null) return;
    this.#set(training, 'trainingCheckpointStep', labels, checkpoint.step);
    this.#set(training, 'trainingCheckpointBytes', labels, checkpoint.bytes);
    this.#set(training, 'trainingCheckpointSeconds', labels, checkpoint.seconds);
    this.#checkpointSavedAt.set(training, { labels, savedAt: checkpoint.savedAt });
  }

  /** Removes every series of a deleted training. */
  forgetTraining(training: string): void {
    this.#reported.delete(training);
    this.#checkpointSavedAt.delete(training);
    this.instruments.trainingCheckpointAge.remove(trainingLabels(training));
    this.#forget(training);
  }

  /** Follows a serving's status. */
  setServing(serving: string, figures: ServingFigures): void {
    const labels = servingLabels(serving);
    const subject = servingSubject(serving);
    for (const { name: model, ...replicas } of figures.models) {
      const own = { ...labels, model };
      this.#set(subject, 'servingDesired', own, replicas.desired);
      this.#set(subject, 'servingTarget', own, replicas.target);
      this.#set(subject, 'servingReady', { ...own, capacity: 'spot' }, replicas.spotReady);
      this.#set(subject, 'servingReady', { ...own, capacity: 'onDemand' }, replicas.onDemandReady);
      this.#set(subject, 'servingLeaving', own, replicas.leaving ?? 0);
    }
    this.#setAll(
      subject,
      'servingPoolReplicas',
      figures.models.flatMap(({ name: model, pools = {} }) =>
        Object.entries(pools).map(([pool, replicas]) => [{ ...labels, model, pool }, replicas] as const),
      ),
    );
    this.#setOnly(subject, 'servingScalingLimit', { ...labels, reason: figures.scalingLimit });
    this.#set(subject, 'servingGateways', labels, figures.gatewaysReady);
    this.#set(subject, 'servingMetricsAvailable', labels, figures.metricsAvailable === null ? null : Number(figures.metricsAvailable));
    this.#mirror(subject, 'servingInterruptions', labels, figures.interruptions);
    this.#mirror(subject, 'servingCost', labels, figures.cost);
    this.#mirror(subject, 'servingOnDemandCost', labels, figures.onDemandCost);
    this.#mirror(subject, 'servingGpuHours', labels, figures.gpuHours);
  }

  /** Counts a decision to change the number of a serving's replicas. */
  scaled(serving: string, decision: 'ScaledUp' | 'ScaledDown'): void {
    const labels = { ...servingLabels(serving), decision };
    this.instruments.servingScaled.inc(labels);
    this.#remember(servingSubject(serving), 'servingScaled', labels);
  }

  /** Removes every series of a deleted serving. */
  forgetServing(serving: string): void {
    this.#forget(servingSubject(serving));
  }

  /** Follows the status of a task ("namespace/name") of a kind. */
  setTask(kind: string, task: string, figures: TaskFigures): void {
    const subject = `${kind} ${task}`;
    const slash = task.indexOf('/');
    const labels = { namespace: task.slice(0, slash), kind, name: task.slice(slash + 1) };
    this.#setOnly(subject, 'taskPhase', { ...labels, phase: figures.phase });
    this.#setAll(subject, 'taskPending', figures.missing === null ? [] : [[{ ...labels, reason: figures.missing }, 1]]);
    this.#set(subject, 'taskDone', labels, figures.progress?.done ?? null);
    this.#set(subject, 'taskTotal', labels, figures.progress?.total ?? null);
    this.#mirror(subject, 'taskInterruptions', labels, figures.interruptions);
    this.#mirror(subject, 'taskErrors', labels, figures.errors);
    this.#mirror(subject, 'taskCost', labels, figures.cost);
    this.#mirror(subject, 'taskOnDemandCost', labels, figures.onDemandCost);
    for (const metric of TASK_RESULTS) {
      const found = figures.results.filter((result) => result.metric === metric);
      this.#setAll(
        subject,
        metric,
        found.map((result) => [{ ...labels, ...result.labels }, result.value]),
      );
    }
  }

  /** Removes every series of a deleted task. */
  forgetTask(kind: string, task: string): void {
    this.#forget(`${kind} ${task}`);
  }

  /** Follows a GpuPool's status. */
  setPool(pool: string, figures: PoolFigures): void {
    const subject = poolSubject(pool);
    this.#set(subject, 'poolNodes', { pool }, figures.nodes);
    this.#setAll(
      subject,
      'poolSpotNode',
      figures.spotNodes.map((node) => [{ pool, node }, 1]),
    );
    this.#set(subject, 'poolGpus', { pool, state: 'used' }, figures.gpusUsed);
    this.#set(subject, 'poolGpus', { pool, state: 'free' }, figures.gpusFree);
    this.#set(subject, 'poolPrice', { pool }, figures.pricePerHour);
    this.#set(subject, 'poolPriceReadAt', { pool }, figures.livePrice && (figures.livePrice.readAt ?? 0) / 1000);
    this.#set(subject, 'poolPriceRefresh', { pool }, figures.livePrice?.refreshSeconds ?? null);
    this.#set(subject, 'poolBlocked', { pool }, figures.blocked ? 1 : 0);
    this.#set(subject, 'poolRemainingLife', { pool }, figures.remainingLifeSeconds);
    this.#mirror(subject, 'poolInterruptions', { pool }, figures.interruptions);
    this.#mirror(subject, 'poolLaunches', { pool, result: 'placed' }, figures.placed);
    this.#mirror(subject, 'poolLaunches', { pool, result: 'noCapacity' }, figures.noCapacity);
  }

  /** Removes every series of a deleted GpuPool. */
  forgetPool(pool: string): void {
    this.#forget(poolSubject(pool));
  }

  /** Counts an interruption once it has been dealt with. */
  interrupted({ cause, notice, lostSteps, legSeconds }: InterruptionFigures): void {
    this.instruments.interruptions.inc({ cause, notice: String(notice) });
    this.instruments.lostSteps.inc(lostSteps);
    for (const [leg, seconds] of Object.entries(legSeconds)) this.instruments.interruptionLeg.observe({ leg }, seconds);
  }

  #collectQueues(): void {
    const { queueDepth, queueUnfinished, queueLongest, activeWorkers } = this.instruments;
    for (const [name, queue] of this.#queues) {
      queueDepth.set({ name }, queue.depth);
      queueUnfinished.set({ name }, queue.unfinishedSeconds);
      queueLongest.set({ name }, queue.longestRunningSeconds);
      activeWorkers.set({ controller: name }, queue.unfinished);
    }
  }

  #collectEvents(): void {
    const dropped = this.#recorder?.dropped ?? 0;
    this.instruments.eventsDropped.inc(dropped - this.#droppedBefore);
    this.#droppedBefore = dropped;
  }

  #collectAges(): void {
    const now = this.#now();
    for (const { labels, savedAt } of this.#checkpointSavedAt.values())
      this.instruments.trainingCheckpointAge.set(labels, Math.max(0, now - savedAt) / 1000);
  }

  #set(subject: string, key: keyof Table, labels: Labels, value: number | null): void {
    const gauge = this.instruments[key] as unknown as Gauge;
    if (value === null) {
      gauge.remove(labels);
      return;
    }
    gauge.set(labels, value);
    this.#remember(subject, key, labels);
  }

  /** Sets the series to 1 and removes the subject's others of the metric: a training is in one phase at a time. */
  #setOnly(subject: string, key: keyof Table, labels: Labels): void {
    this.#setAll(subject, key, [[labels, 1]]);
  }

  /** Sets these series of the metric, and removes the subject's others. */
  #setAll(subject: string, key: keyof Table, values: readonly (readonly [Labels, number])[]): void {
    const ids = new Set(values.map(([labels]) => seriesId(key, labels)));
    for (const [other, series] of this.#series.get(subject) ?? []) {
      if (series.key !== key || ids.has(other)) continue;
      (this.instruments[key] as unknown as Gauge).remove(series.labels);
      this.#series.get(subject)?.delete(other);
    }
    for (const [labels, value] of values) this.#set(subject, key, labels, value);
  }

  /** Makes a counter show a total that is kept in status; a total that shrank (the object was made anew) starts it again. */
  #mirror(subject: string, key: keyof Table, labels: Labels, total: number): void {
    const counter = this.instruments[key] as unknown as Counter;
    const series = this.#remember(subject, key, labels);
    if (total < series.total) {
      counter.remove(labels);
      series.total = 0;
    }
    counter.inc(labels, total - series.total);
    series.total = total;
  }

  #remember(subject: string, key: keyof Table, labels: Labels): Series {
    const all = this.#series.get(subject) ?? new Map<string, Series>();
    this.#series.set(subject, all);
    const id = seriesId(key, labels);
    const series = all.get(id) ?? { key, labels, total: 0 };
    all.set(id, series);
    return series;
  }

  #forget(subject: string): void {
    for (const { key, labels } of this.#series.get(subject)?.values() ?? []) (this.instruments[key] as unknown as Gauge).remove(labels);
    this.#series.delete(subject);
  }
}

type TrainingGauge = Extract<keyof Table, `training${string}`>;
type TrainingLabels = { namespace: string; training: string };
type Series = { key: keyof Table; labels: Labels; total: number };

function trainingLabels(key: string): TrainingLabels {
  const slash = key.indexOf('/');
  return { namespace: key.slice(0, slash), training: key.slice(slash + 1) };
}

function servingLabels(key: string): { namespace: string; serving: string } {
  const slash = key.indexOf('/');
  return { namespace: key.slice(0, slash), serving: key.slice(slash + 1) };
}

/** Apart from a training of the same name. */
function servingSubject(serving: string): string {
  return `serving ${serving}`;
}

/** Apart from every training's key, which has its slash after a namespace. */
function poolSubject(pool: string): string {
  return `/${pool}`;
}

function seriesId(key: string, labels: Labels): string {
  return [key, ...Object.values(labels)].join('\u0000');
}

function createInstruments(registry: Registry, collect: Partial<Record<keyof Table, () => void>>): Instruments {
  const create = ([key, definition]: [string, MetricDefinition]) => {
    const { name, help, type } = definition;
    const labelNames = [...definition.labels];
    const registers = [registry];
    const collector = collect[key as keyof Table];
    if (type === 'histogram') return [key, new Histogram({ name, help, labelNames, registers, buckets: [...(definition.buckets ?? [])] })];
    const options = { name, help, labelNames, registers, ...(collector === undefined ? {} : { collect: collector }) };
    return [key, type === 'counter' ? new Counter(options) : new Gauge(options)];
  };
  return Object.fromEntries(Object.entries<MetricDefinition>(METRICS).map(create)) as Instruments;
}
