import type { GpuPool } from '../../operator/api/gpu-pool.ts';
import type { VicunaServing } from '../../operator/api/vicuna-serving.ts';
import type { VicunaTraining } from '../../operator/api/vicuna-training.ts';
import { pause } from '../../operator/kube/pause.ts';
import { type Command, type Context, integer } from './command.ts';
import { clock, money, since } from './format.ts';
import { fitted, type Paint, table } from './terminal.ts';

export interface Fleet {
  readonly trainings: readonly VicunaTraining[];
  readonly servings: readonly VicunaServing[];
  readonly pools: readonly GpuPool[];
}

export interface TopOptions {
  readonly now: number;
  readonly paint: Paint;
  /** Whether objects of several namespaces are shown. */
  readonly namespaces: boolean;
}

/** Everything that runs, one table for each kind. Pure. */
export function topLines({ trainings, servings, pools }: Fleet, options: TopOptions): string[] {
  const { paint } = options;
  const sections = [trainingTable(trainings, options), servingTable(servings, options), poolTable(pools, options)];
  const shown = sections.filter((lines) => lines.length > 1);
  if (shown.length === 0) return ['No trainings, servings or pools found.'];
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

function named<T extends { metadata: { namespace?: string; name?: string } }>({ metadata }: T, namespaces: boolean): string[] {
  return [...(namespaces ? [metadata.namespace ?? ''] : []), metadata.name ?? ''];
}

function trainingTable(trainings: readonly VicunaTraining[], { now, paint, namespaces }: TopOptions): string[] {
  const header = ['RUN', 'PHASE', 'POOL', 'STEP', 'LOSS', 'ETA', 'SAVED', 'INTERRUPTIONS', 'COST', 'SAVED $'];
  const rows = sorted(trainings).map((training) => {
    const { status } = training;
    const phase = status?.phase ?? 'Pending';
    const colour = PHASE_COLOURS[phase];
    return [
      ...named(training, namespaces),
      colour ? paint[colour](phase) : phase,
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

const HIDE_CURSOR = '\u001b[?25l';
const SHOW_CURSOR = '\u001b[?25h';
const OTHER_SCREEN = '\u001b[?1049h';
const OWN_SCREEN = '\u001b[?1049l';
const HOME = '\u001b[H';
const CLEAR_LINE = '\u001b[K';
const CLEAR_BELOW = '\u001b[J';

async function look(context: Context): Promise<string[]> {
  const { session, paint } = context;
  const [trainings, servings, pools] = await Promise.all([session.trainings(), session.servings(), session.pools()]);
  return topLines({ trainings, servings, pools }, { now: context.now(), paint, namespaces: session.scope === undefined });
}

/** Draws over what was there, so that nothing flickers. A look that fails keeps the last picture and says why it is old. */
async function live(context: Context, intervalMs: number): Promise<void> {
  const { screen, session, paint, signal, now } = context;
  let lines = await look(context);
  screen.write(OTHER_SCREEN + HIDE_CURSOR);
  try {
    let fault = '';
    for (;;) {
      const scope = session.scope === undefined ? 'all namespaces' : `namespace ${session.namespace}`;
      const head = `${paint.bold('Vicuna')} · ${session.client.server} · ${scope} · ${clock(now(), now())} · Ctrl-C ends`;
      const shown = [head, fault, ...lines].slice(0, Math.max(1, screen.rows - 1)).map((line) => fitted(line, screen.columns) + CLEAR_LINE);
      screen.write(`${HOME}${shown.join('\r\n')}\r\n${CLEAR_BELOW}`);
      await pause(intervalMs, signal);
      if (signal.aborted) return;
      try {
        lines = await look(context);
        fault = '';
      } catch (error) {
        fault = paint.red(`This is old: ${(error as Error).message}`);
      }
    }
  } finally {
    screen.write(SHOW_CURSOR + OWN_SCREEN);
  }
}

export const top: Command = {
  name: 'top',
  usage: '[-n NAMESPACE | -A] [--once] [--interval SECONDS]',
  summary: 'Trainings, servings and pools as they are now, live',
  help: ['Draws anew every few seconds until Ctrl-C; once where the output is no terminal.'],
  options: {
    once: { type: 'boolean', meaning: 'print once and end' },
    interval: { type: 'string', meaning: 'seconds between two looks (default 2)', value: 'SECONDS' },
  },
  completes: 'none',
  async run(context, _positionals, values) {
    const seconds = integer(values, 'interval', 1) ?? 2;
    if (values.once || !context.screen.isTTY) {
      for (const line of await look(context)) context.screen.write(`${line}\n`);
    } else await live(context, seconds * 1_000);
    return 0;
  },
};
