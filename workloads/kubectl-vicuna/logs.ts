import type { IncomingMessage } from 'node:http';
import type { V1Pod } from '@kubernetes/client-node';
import { durationSeconds } from '../../operator/api/duration.ts';
import { ApiError } from '../../operator/kube/client.ts';
import { LineSplitter } from '../../operator/kube/line-splitter.ts';
import { pause } from '../../operator/kube/pause.ts';
import { POD, pathOf } from '../../operator/kube/types.ts';
import { ATTEMPT_LABEL } from '../../operator/tasks/observe.ts';
import { GENERATION_LABEL, RANK_LABEL } from '../../operator/training/pods.ts';
import { type Command, type Context, integer, only, text, UsageError } from './command.ts';
import { type LoggingPods, type LogSource, logSourceNamed, WORKERS } from './log-sources.ts';
import type { Paint } from './terminal.ts';

/** A pod by what its labels say: a worker of a training, or the pod of a release, dataset or evaluation. */
export interface Worker {
  readonly of: LoggingPods;
  readonly pod: string;
  /** The attempt where there is one pod at a time. */
  readonly generation: number;
  /** Null: there is only one at a time. */
  readonly rank: number | null;
}

export interface LogLine {
  readonly worker: Worker;
  /** RFC 3339 with nanoseconds, as the kubelet has it: such texts sort as the times do. */
  readonly time: string;
  readonly text: string;
}

interface Wanted {
  readonly generation: number | undefined;
  readonly rank: number | undefined;
}

/** The pods of one sort, oldest generation first. */
export function workersOf(of: LoggingPods, pods: readonly V1Pod[], wanted: Partial<Wanted>): Worker[] {
  return pods
    .map((pod) => workerOf(of, pod))
    .filter((w) => (wanted.generation ?? w.generation) === w.generation && (wanted.rank ?? w.rank) === w.rank)
    .sort((a, b) => a.generation - b.generation || (a.rank ?? 0) - (b.rank ?? 0));
}

function workerOf(of: LoggingPods, { metadata }: V1Pod): Worker {
  const { labels = {}, name: pod = '' } = metadata ?? {};
  if (of.mark !== null) return { of, pod, generation: Number(labels[ATTEMPT_LABEL] ?? 0), rank: null };
  return { of, pod, generation: Number(labels[GENERATION_LABEL] ?? 0), rank: Number(labels[RANK_LABEL] ?? 0) };
}

/** "g3/0" is the worker of rank 0 of generation 3, "a2" the second pod of a dataset or evaluation, "r1" the first of a release. */
function nameOf({ of, generation, rank }: Worker): string {
  return of.mark === null ? `g${generation}/${rank}` : `${of.mark}${generation}`;
}

/** Several logs as one, in the order of their times. What has no more lines is left out; nothing is held but one line of each. */
export async function* merged(logs: readonly AsyncIterator<LogLine>[]): AsyncGenerator<LogLine> {
  const heads = await Promise.all(logs.map(async (log) => ({ log, next: await log.next() })));
  for (;;) {
    const open = heads.filter((h) => !h.next.done);
    const first = open.reduce<(typeof open)[number] | undefined>(
      (a, b) => (a && a.next.value.time <= b.next.value.time ? a : b),
      undefined,
    );
    if (first === undefined) return;
    yield first.next.value;
    first.next = await first.log.next();
  }
}

const COLOURS = ['cyan', 'green', 'yellow', 'red'] as const;

/** "g3/0 │ the line", with the pod's name as nameOf has it. */
export function printed({ worker, time, text: line }: LogLine, paint: Paint, timestamps: boolean): string {
  const colour = COLOURS[(worker.rank ?? 0) % COLOURS.length] ?? 'cyan';
  return `${paint[colour](nameOf(worker))} ${paint.dim('│')} ${timestamps ? `${time} ` : ''}${line}`;
}

async function* linesOf(worker: Worker, stream: IncomingMessage): AsyncGenerator<LogLine> {
  const splitter = new LineSplitter();
  for await (const chunk of stream) {
    for (const line of splitter.push(chunk as Buffer)) {
      const space = line.indexOf(' ');
      yield { worker, time: line.slice(0, space), text: line.slice(space + 1) };
    }
  }
}

interface Options {
  readonly source: LogSource;
  readonly follow: boolean;
  readonly since: number | undefined;
  readonly tail: number | undefined;
}

async function open(context: Context, worker: Worker, { follow, since, tail }: Options): Promise<AsyncGenerator<LogLine>> {
  const { session, signal } = context;
  const query = new URLSearchParams({
    container: worker.of.container,
    timestamps: 'true',
    ...(follow ? { follow: 'true' } : {}),
    ...(since === undefined ? {} : { sinceSeconds: String(since) }),
    ...(tail === undefined ? {} : { tailLines: String(tail) }),
  });
  const stream = await session.client.openPath(`${pathOf(POD, session.namespace, worker.pod, 'log')}?${query}`, signal);
  return linesOf(worker, stream);
}

/** New pods appear while a log is followed. */
const LOOK_MS = 2_000;

/** Prints lines as they come, of every pod that there is or will be, until the object is over. */
async function follow(context: Context, name: string, wanted: Wanted, options: Options, print: (l: LogLine) => void) {
  const { aside, signal } = context;
  const { source } = options;
  const followed = new Map<string, Promise<void>>();
  const copy = async (worker: Worker) => {
    const log = await open(context, worker, options);
    for await (const line of log) print(line);
  };
  while (!signal.aborted) {
    // Asked before: whatever was there when it was over has been found.
    const over = await whyOver(context, source, name);
    for (const worker of await workersFor(context, source, name, wanted)) {
      if (followed.has(worker.pod)) continue;
      followed.set(
        worker.pod,
        copy(worker).catch((error: Error) => {
          if (signal.aborted) return;
          // Its container is on its way: it is tried again at the next look.
          if (error instanceof ApiError && error.status === 400) followed.delete(worker.pod);
          else aside.write(`${nameOf(worker)}: ${error.message}\n`);
        }),
      );
    }
    if (over !== null) {
      await Promise.all(followed.values());
      aside.write(`${over}\n`);
      return;
    }
    await pause(LOOK_MS, signal);
  }
}

async function workersFor({ session }: Context, { pods }: LogSource, name: string, wanted: Wanted): Promise<Worker[]> {
  const lists = pods.map(async (of) => {
    const { items } = await session.client.list(POD, { namespace: session.namespace, labelSelector: `${of.label}=${name}` });
    return workersOf(of, items, wanted);
  });
  return (await Promise.all(lists)).flat();
}

async function whyOver({ session }: Context, { type, over }: LogSource, name: string): Promise<string | null> {
  return over(await session.get(type, session.namespace, name));
}

export const logs: Command = {
  name: 'logs',
  usage: 'RUN|vd/NAME|ve/NAME [-n NAMESPACE] [-f] [--since 10m] [--generation N] [--rank N] [--tail N] [--timestamps]',
  summary: 'What the pods of a training, dataset or evaluation print, in one stream however often they are replaced',
  help: [
    'Lines begin with who printed them: g6/0 is rank 0 of a training’s generation 6, r1 the first pod of its release, a2 the second pod of',
    'a dataset or evaluation.',
    'Pods that are gone took their logs with them: a log collector keeps those.',
  ],
  options: {
    follow: { type: 'boolean', short: 'f', meaning: 'go on, through pods that replace others, until it is over' },
    since: { type: 'string', meaning: 'only lines younger than this, such as 10m', value: 'DURATION' },
    generation: { type: 'string', meaning: 'only pods that this generation of the training made', value: 'N' },
    rank: { type: 'string', meaning: 'only the training’s worker of this rank', value: 'N' },
    tail: { type: 'string', meaning: 'only the last so many lines of each pod', value: 'N' },
    timestamps: { type: 'boolean', meaning: 'with the time of each line' },
  },
  completes: 'trainingOrTask',
  async run(context, positionals, values) {
    const { source: all, name } = logSourceNamed(only(positionals, 'name of a training, dataset or evaluation'));
    const wanted = { generation: integer(values, 'generation'), rank: integer(values, 'rank') };
    const isChoice = wanted.generation !== undefined || wanted.rank !== undefined;
    if (isChoice && all.kind !== 'training')
      throw new UsageError(`--generation and --rank choose among a training's workers: the ${all.kind} "${name}" has one pod at a time`);
    const source = isChoice ? WORKERS : all;
    const options = {
      source,
      follow: values.follow === true,
      since: sinceSeconds(text(values, 'since')),
      tail: integer(values, 'tail', 1),
    };
    const print = (line: LogLine) => context.screen.write(`${printed(line, context.paint, values.timestamps === true)}\n`);
    const { status } = await context.session.get(source.type, context.session.namespace, name);
    if (options.follow) {
      await follow(context, name, wanted, options, print);
      return 0;
    }
    const workers = await workersFor(context, source, name, wanted);
    if (workers.length === 0)
      throw new Error(`${source.kind} "${name}" (${status?.phase ?? 'Pending'}) has no such pods now: their logs went with them`);
    const opened = await Promise.all(
      workers.map((worker) =>
        open(context, worker, options).catch((error: Error) => {
          context.aside.write(`${nameOf(worker)}: ${error.message}\n`);
          return null;
        }),
      ),
    );
    for await (const line of merged(opened.filter((log) => log !== null))) print(line);
    return opened.includes(null) ? 1 : 0;
  },
};

function sinceSeconds(said: string | undefined): number | undefined {
  if (said === undefined) return undefined;
  try {
    return Math.max(1, Math.ceil(durationSeconds(said)));
  } catch (error) {
    throw new UsageError(`--since: ${(error as Error).message}`);
  }
}
