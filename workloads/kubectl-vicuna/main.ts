// `kubectl vicuna` as a process.

import { createInterface } from 'node:readline/promises';
import { kubectlVicuna } from './cli.ts';
import { Session } from './session.ts';
import type { Screen } from './terminal.ts';

function screenOf(stream: NodeJS.WriteStream): Screen {
  return {
    isTTY: stream.isTTY === true,
    get columns() {
      return stream.isTTY ? stream.columns : Number.POSITIVE_INFINITY;
    },
    get rows() {
      return stream.isTTY ? stream.rows : Number.POSITIVE_INFINITY;
    },
    write: (out) => void stream.write(out),
  };
}

async function ask(question: string): Promise<string> {
  const terminal = createInterface({ input: process.stdin, output: process.stderr });
  try {
    return await terminal.question(question);
  } finally {
    terminal.close();
  }
}

/** Whoever reads the output has had enough, as `head` does: no error. */
process.stdout.on('error', (error: NodeJS.ErrnoException) => process.exit(error.code === 'EPIPE' ? 0 : 1));

const stop = new AbortController();
process.once('SIGINT', () => stop.abort());
process.exitCode = await kubectlVicuna(process.argv.slice(2), {
  out: screenOf(process.stdout),
  err: screenOf(process.stderr),
  env: process.env,
  now: () => Date.now(),
  signal: stop.signal,
  ask: process.stdin.isTTY && process.stderr.isTTY ? ask : null,
  open: Session.open,
});
