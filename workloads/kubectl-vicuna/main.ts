// The command line of `kubectl vicuna`: which command, with what, and how it ends.

import { createInterface } from 'node:readline/promises';
import { parseArgs } from 'node:util';
import { checkpoint } from './checkpoint.ts';
import { type Command, type Context, text, UsageError, type Values } from './command.ts';
import { candidates, SCRIPTS } from './completion.ts';
import { cost } from './cost.ts';
import { explain } from './explain.ts';
import { interrupt } from './interrupt.ts';
import { logs } from './logs.ts';
import { Session } from './session.ts';
import { paintFor, type Screen } from './terminal.ts';
import { top } from './top.ts';

const COMMANDS: readonly Command[] = [top, explain, logs, checkpoint, interrupt, cost];

/** As kubectl's own. */
const GLOBALS: Command['options'] = {
  namespace: { type: 'string', short: 'n', meaning: 'namespace (default: that of the context)', value: 'NAMESPACE' },
  'all-namespaces': { type: 'boolean', short: 'A', meaning: 'objects of all namespaces' },
  kubeconfig: { type: 'string', meaning: 'kubeconfig file (default: $KUBECONFIG or ~/.kube/config)', value: 'FILE' },
  context: { type: 'string', meaning: 'context of the kubeconfig', value: 'NAME' },
  help: { type: 'boolean', short: 'h', meaning: 'this help' },
};

const EXIT = { ok: 0, failed: 1, usage: 2 } as const;

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

function overview(): string {
  const width = Math.max(...COMMANDS.map((c) => c.name.length), 'completion'.length);
  const line = (name: string, summary: string) => `  ${name.padEnd(width)}  ${summary}`;
  return [
    'Trainings and servings on spot GPUs: what kubectl alone cannot say well.',
    '',
    'Usage: kubectl vicuna COMMAND [flags]',
    '',
    ...COMMANDS.map((c) => line(c.name, c.summary)),
    line('completion', 'Scripts for bash, zsh and fish'),
    '',
    'kubectl vicuna COMMAND --help says more.',
  ].join('\n');
}

function helpOf(command: Command): string {
  const options = Object.entries({ ...command.options, ...GLOBALS }).map(([name, { short, value, meaning }]) => {
    const flag = `${short ? `-${short}, ` : '    '}--${name}${value ? ` ${value}` : ''}`;
    return [flag, meaning] as const;
  });
  const width = Math.max(...options.map(([flag]) => flag.length));
  return [
    `${command.summary}.`,
    '',
    `Usage: kubectl vicuna ${command.name} ${command.usage}`,
    '',
    ...command.help,
    ...(command.help.length > 0 ? [''] : []),
    ...options.map(([flag, meaning]) => `  ${flag.padEnd(width)}  ${meaning}`),
  ].join('\n');
}

function open(values: Values): Promise<Session> {
  return Session.open({
    kubeconfig: text(values, 'kubeconfig'),
    context: text(values, 'context'),
    namespace: text(values, 'namespace'),
    allNamespaces: values['all-namespaces'] === true,
  });
}

function parsed(command: Command, args: readonly string[]): { positionals: readonly string[]; values: Values } {
  try {
    const { positionals, values } = parseArgs({
      args: [...args],
      options: { ...command.options, ...GLOBALS },
      allowPositionals: true,
      strict: true,
    });
    return { positionals, values: values as Values };
  } catch (error) {
    throw new UsageError((error as Error).message);
  }
}

/** The flags in a line that is still being typed, as far as they can be understood. */
function typedSoFar(args: readonly string[]): Values {
  return parseArgs({ args: args.slice(0, -1), options: GLOBALS, allowPositionals: true, strict: false }).values as Values;
}

async function complete(args: readonly string[]): Promise<number> {
  // Completion never disturbs the line with an error.
  const found = await candidates(args, COMMANDS, GLOBALS, () => open(typedSoFar(args))).catch(() => []);
  // As kubectl expects it: one candidate a line, then the directive "no file names".
  process.stdout.write([...found, ':4'].map((line) => `${line}\n`).join(''));
  return EXIT.ok;
}

async function main(args: readonly string[]): Promise<number> {
  const [name = '', ...rest] = args;
  if (name === '' || name === 'help' || name === '--help' || name === '-h') {
    console.log(overview());
    return name === '' ? EXIT.usage : EXIT.ok;
  }
  if (name === '__complete') return complete(rest);
  if (name === 'completion') {
    const script = SCRIPTS[rest[0] ?? ''];
    if (script === undefined || rest.length !== 1) throw new UsageError('say for which shell: bash, zsh or fish');
    process.stdout.write(script);
    return EXIT.ok;
  }
  const command = COMMANDS.find((c) => c.name === name);
  if (command === undefined) throw new UsageError(`there is no command "${name}"; kubectl vicuna --help lists them`);
  const { positionals, values } = parsed(command, rest);
  if (values.help) {
    console.log(helpOf(command));
    return EXIT.ok;
  }
  if (values.namespace !== undefined && values['all-namespaces'])
    throw new UsageError('--namespace and --all-namespaces exclude each other');
  const stop = new AbortController();
  process.once('SIGINT', () => stop.abort());
  const session = await open(values);
  try {
    const screen = screenOf(process.stdout);
    const context: Context = {
      session,
      screen,
      aside: screenOf(process.stderr),
      paint: paintFor(screen, process.env),
      now: () => Date.now(),
      signal: stop.signal,
      ask: process.stdin.isTTY && process.stderr.isTTY ? ask : null,
    };
    return await command.run(context, positionals, values);
  } finally {
    session.client.close();
  }
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
process.stdout.on('error', (error: NodeJS.ErrnoException) => process.exit(error.code === 'EPIPE' ? EXIT.ok : EXIT.failed));

main(process.argv.slice(2)).then(
  (code) => {
    process.exitCode = code;
  },
  (error: Error) => {
    console.error(`Error: ${error.message}`);
    process.exitCode = error instanceof UsageError ? EXIT.usage : EXIT.failed;
  },
);
