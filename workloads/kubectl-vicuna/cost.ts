import type { V1Node, V1Pod } from '@kubernetes/client-node';
import type { GpuPool } from '../../operator/api/gpu-pool.ts';
import type { VicunaEvaluation } from '../../operator/api/vicuna-evaluation.ts';
import { POD } from '../../operator/kube/types.ts';
import { DATASET_LABEL, EVALUATION_LABEL, POOL_LABEL, RELEASE_LABEL } from '../../operator/pods/labels.ts';
import { formatDollars, parseDollars } from '../../operator/spot/ledger.ts';
import { shareOfNode } from '../../operator/tasks/observe.ts';
import { type Command, text, UsageError } from './command.ts';
import type { Fleet } from './fleet.ts';
import { money } from './format.ts';
import { KINDS } from './kinds.ts';
import { type Paint, table } from './terminal.ts';

/** Money as decimal text of US dollars, like the API's own. */
export interface CostItem {
  readonly kind: string;
  readonly namespace: string;
  readonly name: string;
  readonly spent: string;
  readonly onDemand: string;
  readonly saved: string;
  readonly gpuHours: number;
}

export interface PoolCost {
  readonly name: string;
  readonly capacity: string;
  readonly workers: number;
  readonly perHour: string;
  readonly onDemandPerHour: string;
}

export interface CostReport {
  readonly items: readonly CostItem[];
  /** What is being paid for now. */
  readonly pools: readonly PoolCost[];
  readonly totals: Pick<CostItem, 'spent' | 'onDemand' | 'saved' | 'gpuHours'>;
}

export interface CostState extends Fleet {
  /** Workers, replicas and tasks, with what they take. */
  readonly pods: readonly V1Pod[];
  /** Those that tasks are on, as far as they may be read. */
  readonly nodes: readonly V1Node[];
}

/** Adds up what the statuses say was spent, and the rate at which the pods that hold nodes now are paid for. Pure. */
export function costReport({ trainings, servings, datasets, evaluations, pools, pods, nodes }: CostState): CostReport {
  const items = [
    ...trainings.map((t) => itemOf('VicunaTraining', t, t.status?.totals)),
    ...servings.map((s) => itemOf('VicunaServing', s, s.status?.totals)),
    ...datasets.map((d) => itemOf('VicunaDataset', d, d.status?.totals)),
    ...evaluations.map((e) => itemOf('VicunaEvaluation', e, withRequests(e.status))),
  ];
  const sum = (of: (item: CostItem) => string) => formatDollars(items.reduce((total, item) => total + parseDollars(of(item)), 0));
  const nodesByName = new Map(nodes.map((node) => [node.metadata?.name, node]));
  return {
    items,
    pools: pools.map((pool) => poolCost(pool, pods, nodesByName)),
    totals: {
      spent: sum((i) => i.spent),
      onDemand: sum((i) => i.onDemand),
      saved: sum((i) => i.saved),
      gpuHours: Number(items.reduce((total, i) => total + i.gpuHours, 0).toFixed(6)),
    },
  };
}

interface Totals {
  readonly cost?: string | undefined;
  readonly onDemandCost?: string | undefined;
  readonly gpuHours?: number | undefined;
}

function itemOf(kind: string, { metadata }: { metadata: { namespace?: string; name?: string } }, totals: Totals | undefined): CostItem {
  const [spent, onDemand] = [parseDollars(totals?.cost), parseDollars(totals?.onDemandCost)];
  return {
    kind,
    namespace: metadata.namespace ?? '',
    name: metadata.name ?? '',
    spent: formatDollars(spent),
    onDemand: formatDollars(onDemand),
    saved: formatDollars(onDemand - spent),
    gpuHours: totals?.gpuHours ?? 0,
  };
}

/** The answers and reviews that an evaluation has paid for cost the same wherever its pods are. */
function withRequests(status: VicunaEvaluation['status']): Totals {
  const { cost, totals } = status ?? {};
  const requests = parseDollars(cost?.total) - parseDollars(cost?.compute);
  return {
    cost: formatDollars(requests + parseDollars(totals?.cost)),
    onDemandCost: formatDollars(requests + parseDollars(totals?.onDemandCost)),
  };
}

const TASK_LABELS = [DATASET_LABEL, EVALUATION_LABEL, RELEASE_LABEL];

function isTask({ metadata }: V1Pod): boolean {
  return TASK_LABELS.some((label) => metadata?.labels?.[label] !== undefined);
}

/** Workers and replicas pay for their share of a node's GPUs, those without GPUs for the node; tasks for their share of the node. */
function poolCost({ metadata, spec }: GpuPool, pods: readonly V1Pod[], nodesByName: ReadonlyMap<string | undefined, V1Node>): PoolCost {
  const { count, resourceName } = spec.accelerator;
  const holding = pods.filter(
    (p) =>
      p.metadata?.labels?.[POOL_LABEL] === metadata.name &&
      p.spec?.nodeName &&
      (p.status?.phase === 'Running' || p.status?.phase === 'Pending'),
  );
  const nodes = holding.reduce((total, pod) => {
    if (isTask(pod)) return total + shareOfNode(pod, nodesByName.get(pod.spec?.nodeName));
    const gpus = (pod.spec?.containers ?? []).reduce((n, c) => n + Number(c.resources?.limits?.[resourceName] ?? 0), 0);
    return total + (count === 0 || gpus === 0 ? 1 : gpus / count);
  }, 0);
  const price = spec.capacity === 'spot' ? (spec.price.spot ?? spec.price.onDemand) : spec.price.onDemand;
  return {
    name: metadata.name ?? '',
    capacity: spec.capacity,
    workers: holding.length,
    perHour: formatDollars(Math.round(nodes * Number(price) * 1e6)),
    onDemandPerHour: formatDollars(Math.round(nodes * Number(spec.price.onDemand) * 1e6)),
  };
}

/** The report as tables. Pure. */
export function costLines({ items, pools, totals }: CostReport, paint: Paint): string[] {
  if (items.length === 0) return ['No trainings, servings, datasets or evaluations found.'];
  const row = (names: string[], { spent, onDemand, saved, gpuHours }: CostReport['totals']) => [
    ...names,
    gpuHours.toFixed(2),
    money(spent),
    money(onDemand),
    money(saved),
    share(saved, onDemand),
  ];
  const short = (kind: string) => KINDS.find(({ type }) => type.kind === kind)?.kind ?? kind;
  const [header = '', ...rows] = table(
    ['KIND', 'NAMESPACE', 'NAME', 'GPU HOURS', 'SPENT', 'ON DEMAND', 'SAVED', 'SAVED %'],
    [...items.map((i) => row([short(i.kind), i.namespace, i.name], i)), row(['total', '', ''], totals)],
  );
  const last = rows.pop() ?? '';
  const busy = pools.filter((p) => p.workers > 0);
  const [poolHeader = '', ...poolRows] = table(
    ['POOL', 'CAPACITY', 'WORKERS', 'NOW $/H', 'ON DEMAND $/H'],
    busy.map((p) => [p.name, p.capacity, String(p.workers), money(p.perHour), money(p.onDemandPerHour)]),
  );
  return [
    paint.bold(header),
    ...rows,
    paint.bold(last),
    '',
    ...(busy.length === 0 ? ['Nothing is being paid for now.'] : [paint.bold(poolHeader), ...poolRows]),
  ];
}

function share(saved: string, onDemand: string): string {
  return Number(onDemand) === 0 ? '-' : `${Math.round((100 * Number(saved)) / Number(onDemand))}%`;
}

export const cost: Command = {
  name: 'cost',
  usage: '[-n NAMESPACE | -A] [-o json]',
  summary: 'What was spent, what on-demand would have cost, what is saved, and what each pool costs now',
  help: [
    'From the status of the objects that exist: what was deleted is no longer counted.',
    'Evaluations are counted with their requests, once they have ended and where prices are known.',
  ],
  options: { output: { type: 'string', short: 'o', meaning: 'json for programs (default: tables)', value: 'FORMAT' } },
  completes: 'none',
  async run({ session, screen, paint }, _positionals, values) {
    const output = text(values, 'output');
    if (output !== undefined && output !== 'json') throw new UsageError(`-o "${output}" is not known: json is`);
    const inScope = session.scope === undefined ? {} : { namespace: session.scope };
    const [fleet, { items: pods }] = await Promise.all([
      session.fleet(),
      session.client.list(POD, { labelSelector: POOL_LABEL, ...inScope }),
    ]);
    const nodes = pods.some(isTask) ? await session.nodes() : [];
    const report = costReport({ ...fleet, pods, nodes });
    if (output === 'json') screen.write(`${JSON.stringify(report, null, 2)}\n`);
    else for (const line of costLines(report, paint)) screen.write(`${line}\n`);
    return 0;
  },
};
