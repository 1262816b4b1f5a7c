import { pause } from '../../operator/kube/pause.ts';
import { type Command, type Context, integer } from './command.ts';
import { topLines } from './fleet.ts';
import { clock } from './format.ts';
import { fitted } from './terminal.ts';

const HIDE_CURSOR = '\u001b[?25l';
const SHOW_CURSOR = '\u001b[?25h';
const OTHER_SCREEN = '\u001b[?1049h';
const OWN_SCREEN = '\u001b[?1049l';
const HOME = '\u001b[H';
const CLEAR_LINE = '\u001b[K';
const CLEAR_BELOW = '\u001b[J';

async function look(context: Context): Promise<string[]> {
  const { session, paint } = context;
  return topLines(await session.fleet(), { now: context.now(), paint, namespaces: session.scope === undefined });
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
  summary: 'Trainings, servings, datasets, evaluations and pools as they are now, live',
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
