import { readFileSync, statSync } from 'node:fs';
import type { V1Node, V1Pod } from '@kubernetes/client-node';
import { parseAllDocuments } from 'yaml';
import { TRAINING, type VicunaTraining, withDefaults } from '../../operator/api/vicuna-training.ts';
import { isAlreadyExists, type KubeClient } from '../../operator/kube/client.ts';
import { type KubeObject, NODE, POD, type ResourceType } from '../../operator/kube/types.ts';
import { PoolBook } from '../../operator/pools/book.ts';
import type { PoolView } from '../../operator/spot/pool-view.ts';
import type { Status } from '../../operator/training/draft.ts';
import { planTraining } from '../../operator/training/plan.ts';
import { type Command, only, text, UsageError } from './command.ts';
import { alternativesTable } from './explain.ts';
import { counted, money } from './format.ts';
import { type Paint, table, wrapped } from './terminal.ts';

/** What is shown of an estimate: whether the training fits a pool's GPUs, and what it would take there. */
export interface Estimate {
  readonly message: string;
  readonly pools: readonly {
    readonly pool: string;
    /** Null = the pool does not say how much memory its GPUs have. */
    readonly fits: boolean | null;
    readonly neededGiB: number;
    readonly gpuMemoryGiB: number | null;
    /** Null = not known. */
    readonly hours: number | null;
    readonly dollars: number | null;
  }[];
}

/** Null where nothing is known of the model. */
export type Estimator = (training: VicunaTraining, pools: readonly PoolView[]) => Estimate | null;

/** What the operator would decide for a training that was created now: its own function, asked with the cluster as it is. Pure. */
export function decisionFor(training: VicunaTraining, pools: readonly PoolView[], now: number): Status {
  const state = { pods: new Map(), reports: new Map(), dataset: null, release: null, problem: null, podRefusal: null };
  return planTraining({ ...state, training: { ...training, status: {} }, pools, listeningSince: now }, now).status;
}

/** Whether it would start, and fits where it would. */
export function wouldRun({ next }: Status, estimate: Estimate | null): boolean {
  if (next === undefined) return false;
  return estimate?.pools.find((p) => p.pool === next.pool)?.fits !== false;
}

/** The decision and the estimate for people. Pure. */
export function planLines(
  training: VicunaTraining,
  status: Status,
  estimate: Estimate | null,
  { paint, columns }: { paint: Paint; columns: number },
): string[] {
  const { metadata } = training;
  const lines = [paint.bold(`VicunaTraining ${metadata.namespace}/${metadata.name}`)];
  const { next, placement, conditions } = status;
  const answer =
    next === undefined
      ? `${paint.yellow('It would wait')}: ${conditions?.find((c) => c.type === 'Placed')?.message ?? 'there is no place'}`
      : `${paint.green('It would start now')} with ${counted(next.members.length, 'worker')} on ${next.pool} (${next.capacity}): ${placement?.message ?? ''}`;
  lines.push(...wrapped(answer, columns, '  '));
  if (placement && placement.alternatives.length > 0) lines.push('', ...alternativesTable(placement.alternatives, paint));
  if (estimate === null) return lines;
  lines.push('', ...wrapped(`Estimate: ${estimate.message}`, columns, '  '));
  if (estimate.pools.length === 0) return lines;
  const [header = '', ...rows] = table(
    ['POOL', 'FITS', 'NEEDS A GPU', 'HAS', 'TAKES', 'COSTS'],
    estimate.pools.map((p) => [
      p.pool,
      p.fits === null ? 'unknown' : p.fits ? paint.green('yes') : paint.red('no'),
      `${p.neededGiB.toFixed(1)} GiB`,
      p.gpuMemoryGiB === null ? '-' : `${p.gpuMemoryGiB} GiB`,
      p.hours === null ? '-' : `${p.hours.toFixed(1)}h`,
      p.dollars === null ? '-' : money(p.dollars),
    ]),
    '  ',
  );
  return [...lines, '', paint.dim(header), ...rows];
}

/** Larger than any sensible manifest. */
const LARGEST_FILE = 1024 * 1024;

/** The trainings in a YAML text; other kinds in it are no concern. Throws a sentence when there are none. */
export function trainingsIn(yaml: string, file: string, namespace: string): VicunaTraining[] {
  const objects = [...parseAllDocuments(yaml)].map((document) => {
    const [error] = document.errors;
    if (error) throw new Error(`${file} is no YAML: ${error.message.split('\n')[0]}`);
    return document.toJS({ maxAliasCount: 100 }) as Partial<VicunaTraining> | null;
  });
  const trainings = objects.filter((o): o is VicunaTraining => o?.kind === 'VicunaTraining' && typeof o.metadata?.name === 'string');
  if (trainings.length === 0) throw new Error(`there is no VicunaTraining in ${file}`);
  return trainings.map((t) => ({ ...t, metadata: { ...t.metadata, namespace: t.metadata.namespace ?? namespace } }));
}

function textOf(file: string): string {
  if (file === '-') return readFileSync(0, 'utf8');
  const size = statSync(file, { throwIfNoEntry: false })?.size;
  if (size === undefined) throw new Error(`there is no file ${file}`);
  if (size > LARGEST_FILE) throw new Error(`${file} is larger than ${LARGEST_FILE} bytes`);
  return readFileSync(file, 'utf8');
}

/** As the API server would store it, with its defaults; throws its sentence when it would refuse it. */
async function admitted(client: KubeClient, training: VicunaTraining): Promise<VicunaTraining> {
  try {
    return withDefaults(await client.create(TRAINING, training, { dryRun: true }));
  } catch (error) {
    // What it is asked to store was found good: it is there already.
    if (isAlreadyExists(error)) return withDefaults(training);
    throw error;
  }
}

const PAGE = 500;

async function* all<T extends KubeObject>(client: KubeClient, type: ResourceType<T>): AsyncGenerator<T> {
  let next: string | undefined;
  do {
    const page = await client.list(type, { limit: PAGE, ...(next ? { continue: next } : {}) });
    yield* page.items;
    next = page.metadata.continue;
  } while (next);
}

/** `estimate`: what memory and time a training takes; null = that is not said. */
export function planCommand(estimate: Estimator | null): Command {
  return {
    name: 'plan',
    usage: '-f FILE [-n NAMESPACE]',
    summary: 'Would a training start now, where, and at what price: asked of the same function that the operator asks',
    help: [
      'Nothing is created. The API server checks the manifest; nodes, pods and pools are read to see what is free.',
      'Exit code 0: every training in the file would start now; 1: one would wait, does not fit, or is refused.',
    ],
    options: { filename: { type: 'string', short: 'f', meaning: 'manifest with VicunaTrainings, - for standard input', value: 'FILE' } },
    completes: 'none',
    async run({ session, screen, paint, now }, positionals, values) {
      const file = text(values, 'filename') ?? only(positionals, 'manifest (-f FILE)');
      if (text(values, 'filename') !== undefined && positionals.length > 0)
        throw new UsageError(`"${positionals.join(' ')}" is too much: -f names the manifest`);
      const { client } = session;
      const trainings = trainingsIn(textOf(file), file, session.namespace);
      const book = new PoolBook(now);
      // Nodes before pools: to a pool that is there already, a node is news, and ends what the pool is blocked for.
      for await (const node of all<V1Node>(client, NODE)) book.setNode(node);
      for (const pool of await session.pools()) book.setPool(pool);
      for await (const pod of all<V1Pod>(client, POD)) book.setPod(pod, false);
      let good = true;
      for (const [i, asked] of trainings.entries()) {
        const training = await admitted(client, asked);
        const pools = book.viewsFor(training);
        const status = decisionFor(training, pools, now());
        const estimated = estimate?.(training, pools) ?? null;
        const columns = Math.min(screen.columns, 140);
        for (const line of [...(i === 0 ? [] : ['']), ...planLines(training, status, estimated, { paint, columns })])
          screen.write(`${line}\n`);
        good &&= wouldRun(status, estimated);
      }
      return good ? 0 : 1;
    },
  };
}
