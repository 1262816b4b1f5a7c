import { SAVE_AFTER_ANNOTATION, TRAINING, type VicunaTraining } from '../../operator/api/vicuna-training.ts';
import { pause } from '../../operator/kube/pause.ts';
import { type Command, type Context, integer, only } from './command.ts';
import { bytes, clock, since } from './format.ts';
import { type Paint, table } from './terminal.ts';

/** The checkpoints that the status knows of: the last committed one, and those that were made for interruptions. Pure. */
export function checkpointLines({ metadata, spec, status }: VicunaTraining, { now, paint }: { now: number; paint: Paint }): string[] {
  const { checkpoint, interruptions = [], progress } = status ?? {};
  const rows = interruptions
    .filter((r) => r.checkpointAckedAt !== undefined && r.checkpointStep !== checkpoint?.step)
    .map((r) => [
      String(r.checkpointStep),
      `${since(r.checkpointAckedAt, now)} ago`,
      '-',
      '-',
      `for the interruption of ${clock(Date.parse(r.noticedAt), now)}`,
    ]);
  if (checkpoint)
    rows.push([
      String(checkpoint.step),
      `${since(checkpoint.savedAt, now)} ago`,
      bytes(checkpoint.bytes),
      checkpoint.seconds === undefined ? '-' : `${checkpoint.seconds.toFixed(1)} s`,
      checkpoint.uri,
    ]);
  const { storage, interval, keep } = spec.checkpoint;
  if (rows.length === 0)
    return [`Training "${metadata.name}" has no committed checkpoint yet (step ${progress?.step ?? 0}; it saves to ${storage}).`];
  const [header = '', ...lines] = table(['STEP', 'SAVED', 'SIZE', 'TOOK', 'WHERE'], rows);
  const behind = progress && checkpoint ? progress.step - checkpoint.step : 0;
  return [
    paint.bold(header),
    ...lines,
    '',
    `Saves to ${storage}, interval ${interval}, keeping ${keep}.${behind > 0 ? ` ${behind} steps are not saved yet.` : ''}`,
  ];
}

const POLL_MS = 500;

/** Has the workers save, and waits until a later checkpoint than the last one is committed. */
async function saveNow({ session, screen, aside, signal, now }: Context, training: VicunaTraining, timeoutMs: number): Promise<number> {
  const name = training.metadata.name ?? '';
  const { phase = 'Pending', checkpoint } = training.status ?? {};
  if (phase !== 'Running' && phase !== 'Interrupted')
    throw new Error(
      `training "${name}" is ${phase}: only one that trains can save${checkpoint ? `; the last checkpoint is of step ${checkpoint.step}` : ''}`,
    );
  const after = checkpoint?.step ?? 0;
  const patch = { metadata: { annotations: { [SAVE_AFTER_ANNOTATION]: String(after) } } };
  await session.client.mergePatch(TRAINING, session.namespace, name, patch);
  aside.write(`Asked for a checkpoint after step ${after}; waiting ${timeoutMs / 1_000} s at most.\n`);
  const startedAt = now();
  while (!signal.aborted) {
    const { status } = await session.training(name);
    const saved = status?.checkpoint;
    if (saved && saved.step > after) {
      screen.write(`Step ${saved.step} is saved at ${saved.uri} (${((now() - startedAt) / 1_000).toFixed(1)} s)\n`);
      return 0;
    }
    if (now() - startedAt > timeoutMs)
      throw new Error(
        `no checkpoint after step ${after} within ${timeoutMs / 1_000} s; the request stands, see kubectl vicuna explain vt/${name}`,
      );
    await pause(POLL_MS, signal);
  }
  return 130;
}

export const checkpoint: Command = {
  name: 'checkpoint',
  usage: 'RUN [-n NAMESPACE] [--now [--timeout SECONDS]]',
  summary: 'The checkpoints of a training, or a new one now',
  help: ['With --now the workers save at their next step, and the command waits until that is committed.'],
  options: {
    now: { type: 'boolean', meaning: 'save now and wait for it' },
    timeout: { type: 'string', meaning: 'longest wait with --now (default 300)', value: 'SECONDS' },
  },
  completes: 'training',
  async run(context, positionals, values) {
    const training = await context.session.training(only(positionals, 'name of a training'));
    if (values.now) return saveNow(context, training, (integer(values, 'timeout', 1) ?? 300) * 1_000);
    for (const line of checkpointLines(training, { now: context.now(), paint: context.paint })) context.screen.write(`${line}\n`);
    return 0;
  },
};
