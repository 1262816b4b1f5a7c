import type { IncomingMessage } from 'node:http';
import type { V1Pod } from '@kubernetes/client-node';
import { durationSeconds } from '../../operator/api/duration.ts';
import { ApiError } from '../../operator/kube/client.ts';
import { LineSplitter } from '../../operator/kube/line-splitter.ts';
import { pause } from '../../operator/kube/pause.ts';
import { POD, pathOf } from '../../operator/kube/types.ts';
import { TRAINING_LABEL } from '../../operator/pods/labels.ts';
import { CONTAINER, GENERATION_LABEL, RANK_LABEL } from '../../operator/training/pods.ts';
import { type Command, type Context, integer, only, text, UsageError } from './command.ts';
import type { Paint } from './terminal.ts';

/** A worker pod of a run, by what its labels say. */
export interface Worker {
  readonly pod: string;
  readonly generation: number;
  readonly rank: number;
}

export interface LogLine {
  readonly worker: Worker;
  /** RFC 3339 with nanoseconds, as the kubelet has it: such texts sort as the times do. */
  readonly time: string;
  readonly text: string;
}

/** The run's pods, oldest generation first. */
export function workersOf(pods: readonly V1Pod[], wanted: { generation?: number | undefined; rank?: number | undefined }): Worker[] {
  return pods
    .map(({ metadata }) => ({
      pod: metadata?.name ?? '',
      generation: Number(metadata?.labels?.[GENERATION_LABEL] ?? 0),
      rank: Number(metadata?.labels?.[RANK_LABEL] ?? 0),
    }))
    .filter((w) => (wanted.generation ?? w.generation) === w.generation && (wanted.rank ?? w.rank) === w.rank)
    .sort((a, b) => a.generation - b.generation || a.rank - b.rank);
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

/** "g3/0 │ the line". */
export function printed({ worker, time, text: line }: LogLine, paint: Paint, timestamps: boolean): string {
  const name = `g${worker.generation}/${worker.rank}`;
  return `${paint[COLOURS[worker.rank % COLOURS.length] ?? 'cyan'](name)} ${paint.dim('│')} ${timestamps ? `${time} ` : ''}${line}`;
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
  readonly follow: boolean;
  readonly since: number | undefined;
  readonly tail: number | undefined;
}

async function open(context: Context, worker: Worker, { follow, since, tail }: Options): Promise<AsyncGenerator<LogLine>> {
  const { session, signal } = context;
  const query = new URLSearchParams({
    container: CONTAINER,
    timestamps: 'true',
    ...(follow ? { follow: 'true' } : {}),
    ...(since === undefined ? {} : { sinceSeconds: String(since) }),
    ...(tail === undefined ? {} : { tailLines: String(tail) }),
  });
  const stream = await session.client.openPath(`${pathOf(POD, session.namespace, worker.pod, 'log')}?${query}`, signal);
  return linesOf(worker, stream);
}

/** New generations appear while a log is followed. */
const LOOK_MS = 2_000;

/** Prints lines as they come, of every pod that there is or will be, until the run is over. */
async function follow(
  context: Context,
  run: string,
  wanted: Parameters<typeof workersOf>[1],
  options: Options,
  print: (l: LogLine) => void,
) {
  const { session, aside, signal } = context;
  const followed = new Map<string, Promise<void>>();
  const copy = async (worker: Worker) => {
    const log = await open(context, worker, options);
    for await (const line of log) print(line);
  };
  while (!signal.aborted) {
    for (const worker of workersOf(await podsOf(context, run), wanted)) {
      if (followed.has(worker.pod)) continue;
      followed.set(
        worker.pod,
        copy(worker).catch((error: Error) => {
          if (signal.aborted) return;
          // Its container is on its way: it is tried again at the next look.
          if (error instanceof ApiError && error.status === 400) followed.delete(worker.pod);
          else aside.write(`g${worker.generation}/${worker.rank}: ${error.message}\n`);
        }),
      );
    }
    const { status } = await session.training(run);
    if (status?.phase === 'Complete' || status?.phase === 'Failed') {
      await Promise.all(followed.values());
      aside.write(`The training is ${status.phase === 'Complete' ? 'complete' : 'failed'}.\n`);
      return;
    }
    await pause(LOOK_MS, signal);
  }
}

async function podsOf({ session }: Context, run: string): Promise<V1Pod[]> {
  return (await session.client.list(POD, { namespace: session.namespace, labelSelector: `${TRAINING_LABEL}=${run}` })).items;
}

export const logs: Command = {
  name: 'logs',
  usage: 'RUN [-n NAMESPACE] [-f] [--since 10m] [--generation N] [--rank N] [--tail N] [--timestamps]',
  summary: 'What the workers of a training print, all ranks and generations in one stream',
  help: ['Each line begins with gGENERATION/RANK. Pods that are gone took their logs with them: a log collector keeps those.'],
  options: {
    follow: { type: 'boolean', short: 'f', meaning: 'go on, through new generations, until the training is over' },
    since: { type: 'string', meaning: 'only lines younger than this, such as 10m', value: 'DURATION' },
    generation: { type: 'string', meaning: 'only pods that this generation made', value: 'N' },
    rank: { type: 'string', meaning: 'only the worker of this rank', value: 'N' },
    tail: { type: 'string', meaning: 'only the last so many lines of each pod', value: 'N' },
    timestamps: { type: 'boolean', meaning: 'with the time of each line' },
  },
  completes: 'training',
  async run(context, positionals, values) {
    const run = only(positionals, 'name of a training');
    const wanted = { generation: integer(values, 'generation'), rank: integer(values, 'rank') };
    const options = { follow: values.follow === true, since: sinceSeconds(text(values, 'since')), tail: integer(values, 'tail', 1) };
    const print = (line: LogLine) => context.screen.write(`${printed(line, context.paint, values.timestamps === true)}\n`);
    const training = await context.session.training(run);
    if (options.follow) {
      await follow(context, run, wanted, options, print);
      return 0;
    }
    const workers = workersOf(await podsOf(context, run), wanted);
    if (workers.length === 0) {
      const phase = training.status?.phase ?? 'Pending';
      throw new Error(`training "${run}" (${phase}) has no such pods now: their logs went with them`);
    }
    const opened = await Promise.all(
      workers.map((worker) =>
        open(context, worker, options).catch((error: Error) => {
          context.aside.write(`g${worker.generation}/${worker.rank}: ${error.message}\n`);
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
