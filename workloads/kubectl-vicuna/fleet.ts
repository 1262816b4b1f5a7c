import type { GpuPool } from '../../operator/api/gpu-pool.ts';
import type { TaskObject } from '../../operator/api/task.ts';
import type { VicunaDataset } from '../../operator/api/vicuna-dataset.ts';
import type { VicunaEvaluation } from '../../operator/api/vicuna-evaluation.ts';
import type { VicunaServing } from '../../operator/api/vicuna-serving.ts';
import type { VicunaTraining } from '../../operator/api/vicuna-training.ts';
import { clock, money, progressWords, since } from './format.ts';
import { type Paint, plain, table } from './terminal.ts';

export interface Fleet {
  readonly trainings: readonly VicunaTraining[];
  readonly servings: readonly VicunaServing[];
  readonly datasets: readonly VicunaDataset[];
  readonly evaluations: readonly VicunaEvaluation[];
  readonly pools: readonly GpuPool[];
}

export interface TopOptions {
  readonly now: number;
  readonly paint: Paint;
  /** Whether objects of several namespaces are shown. */
  readonly namespaces: boolean;
}

/** Everything that runs, one table for each kind. Pure. */
export function topLines({ trainings, servings, datasets, evaluations, pools }: Fleet, options: TopOptions): string[] {
  const { paint } = options;
  const sections = [
    trainingTable(trainings, options),
    servingTable(servings, options),
    datasetTable(datasets, options),
    evaluationTable(evaluations, options),
    poolTable(pools, options),
  ];
  const shown = sections.filter((lines) => lines.length > 1);
  if (shown.length === 0) return ['No trainings, servings, datasets, evaluations or pools found.'];
  return shown.flatMap(([header = '', ...rows], i) => [...(i === 0 ? [] : ['']), paint.bold(header), ...rows]);
}

const PHASE_COLOURS: Readonly<Record<string, keyof Paint>> = {
  Running: 'green',
  Complete: 'green',
  Interrupted: 'yellow',
  Starting: 'yellow',
  Waiting: 'yellow',
  Pending: 'yellow',
  Failed: 'red',
};

function phaseWord(phase = 'Pending', paint: Paint): string {
  const colour = PHASE_COLOURS[phase];
  return colour ? paint[colour](phase) : phase;
}

function named<T extends { metadata: { namespace?: string; name?: string } }>({ metadata }: T, namespaces: boolean): string[] {
  return [...(namespaces ? [metadata.namespace ?? ''] : []), metadata.name ?? ''];
}

function trainingTable(trainings: readonly VicunaTraining[], { now, paint, namespaces }: TopOptions): string[] {
  const header = ['RUN', 'PHASE', 'POOL', 'STEP', 'LOSS', 'ETA', 'SAVED', 'INTERRUPTIONS', 'COST', 'SAVED $'];
  const rows = sorted(trainings).map((training) => {
    const { status } = training;
    return [
      ...named(training, namespaces),
      phaseWord(status?.phase, paint),
      status?.pool ?? '-',
      status?.progress?.display ?? '-',
      status?.progress?.lossDisplay ?? '-',
      status?.progress?.eta ?? '-',
      status?.checkpoint ? `${since(status.checkpoint.savedAt, now)} ago` : '-',
      String(status?.totals?.interruptions ?? 0),
      money(status?.totals?.cost ?? 0),
      status?.totals?.savedPercent ?? '-',
    ];
  });
  return table([...(namespaces ? ['NAMESPACE'] : []), ...header], rows);
}

function servingTable(servings: readonly VicunaServing[], { paint, namespaces }: TopOptions): string[] {
  const header = ['SERVING', 'READY', 'MODEL', 'SPOT', 'ON-DEMAND', 'QUEUE', 'TTFT P99', 'POOLS', 'COST', 'SAVED $'];
  const rows = sorted(servings).flatMap((serving) => {
    const models = serving.status?.models ?? [];
    // The name and what is counted for the serving as a whole stand in its first row.
    return (models.length === 0 ? [undefined] : models).map((model, i) => {
      const isShort = (model?.ready ?? 0) < (model?.desired ?? 1);
      const ready = `${model?.ready ?? 0}/${model?.desired ?? 0}`;
      const totals = i === 0 ? serving.status?.totals : undefined;
      return [
        ...(i === 0 ? named(serving, namespaces) : named({ metadata: {} }, namespaces)),
        isShort ? paint.yellow(ready) : paint.green(ready),
        model?.name ?? '-',
        String(model?.spotReady ?? 0),
        String(model?.onDemandReady ?? 0),
        model?.queue === undefined ? '-' : String(Math.round(model.queue * 10) / 10),
        model?.ttftP99 === undefined ? '-' : `${model.ttftP99.toFixed(2)}s`,
        poolMix(model?.pools),
        i === 0 ? money(totals?.cost ?? 0) : '',
        i === 0 ? (totals?.savedPercent ?? '-') : '',
      ];
    });
  });
  return table([...(namespaces ? ['NAMESPACE'] : []), ...header], rows);
}

/** "aws-a 2, gcp-b 1". */
export function poolMix(pools: Readonly<Record<string, number>> | undefined): string {
  const used = Object.entries(pools ?? {}).filter(([, replicas]) => replicas > 0);
  return used.length === 0 ? '-' : used.map(([pool, replicas]) => `${pool} ${replicas}`).join(', ');
}

function datasetTable(datasets: readonly VicunaDataset[], options: TopOptions): string[] {
  const header = [...TASK_HEADER, 'KEPT', 'REJECTED', 'INTERRUPTIONS', 'COST', 'SAVED $'];
  const rows = sorted(datasets).map((dataset) => {
    const { result, totals } = dataset.status ?? {};
    return [
      ...taskCells(dataset, options),
      result ? String(result.kept) : '-',
      result ? String(result.rejectedTotal) : '-',
      String(totals?.interruptions ?? 0),
      money(totals?.cost ?? 0),
      totals?.savedPercent ?? '-',
    ];
  });
  return table([...(options.namespaces ? ['NAMESPACE'] : []), 'DATASET', ...header], rows);
}

/** Wins, ties and losses have one number for each baseline; the cost has that of requests in it, once they are counted. */
function evaluationTable(evaluations: readonly VicunaEvaluation[], options: TopOptions): string[] {
  const header = [...TASK_HEADER, 'WIN', 'TIE', 'LOSS', 'QUALITY', 'INTERRUPTIONS', 'COST'];
  const rows = sorted(evaluations).map((evaluation) => {
    const { summary, totals, cost } = evaluation.status ?? {};
    return [
      ...taskCells(evaluation, options),
      summary?.wins || '-',
      summary?.ties || '-',
      summary?.losses || '-',
      summary?.quality || '-',
      String(totals?.interruptions ?? 0),
      money(cost?.total ?? 0),
    ];
  });
  return table([...(options.namespaces ? ['NAMESPACE'] : []), 'EVALUATION', ...header], rows);
}

const TASK_HEADER = ['PHASE', 'POOL', 'STAGE', 'DONE', 'ETA'];

/** What datasets and evaluations have in common: one pod at a time that works through stages. */
function taskCells(task: TaskObject, { paint, namespaces }: TopOptions): string[] {
  const { phase, pool, progress } = task.status ?? {};
  return [
    ...named(task, namespaces),
    phaseWord(phase, paint),
    pool ?? '-',
    progress ? plain(progress.stage) : '-',
    progress ? progressWords(progress) : '-',
    // Of a pod that is gone it means nothing.
    (phase === 'Running' && progress?.eta) || '-',
  ];
}

function poolTable(pools: readonly GpuPool[], { now, paint }: TopOptions): string[] {
  const header = ['POOL', 'CLOUD', 'ZONE', 'CAPACITY', 'GPU', '$/H', 'NODES', 'GPUS FREE', 'LASTS', 'INTERRUPTIONS', 'BLOCKED'];
  const rows = sorted(pools).map((pool) => {
    const { spec, status, metadata } = pool;
    const blocked = status?.blockedUntil !== undefined && Date.parse(status.blockedUntil) > now;
    return [
      metadata.name ?? '',
      spec.cloud,
      spec.zone ?? '-',
      spec.capacity,
      spec.accelerator.count === 0 ? '-' : `${spec.accelerator.count}×${spec.accelerator.type}`,
      money(spec.capacity === 'spot' ? spec.price.spot : spec.price.onDemand),
      String(status?.nodes ?? 0),
      status?.gpus === undefined ? '-' : `${status.gpus.free}/${status.gpus.total}`,
      status?.estimatedLifeHours === undefined ? '-' : `${status.estimatedLifeHours.toFixed(1)}h`,
      String(status?.interruptions ?? 0),
      blocked ? paint.yellow(`until ${clock(Date.parse(status?.blockedUntil ?? ''), now)}`) : '-',
    ];
  });
  return table(header, rows);
}

function sorted<T extends { metadata: { namespace?: string; name?: string } }>(objects: readonly T[]): T[] {
  const key = ({ metadata }: T) => `${metadata.namespace}/${metadata.name}`;
  return objects.toSorted((a, b) => (key(a) < key(b) ? -1 : 1));
}
