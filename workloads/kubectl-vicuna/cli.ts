import { parseArgs } from 'node:util';
import { estimateTraining } from '../../operator/training/estimate.ts';
import { checkpoint } from './checkpoint.ts';
import { type Command, type Context, text, UsageError, type Values } from './command.ts';
import { candidates, SCRIPTS } from './completion.ts';
import { cost } from './cost.ts';
import { explain } from './explain.ts';
import { interrupt } from './interrupt.ts';
import { logs } from './logs.ts';
import { planCommand } from './plan.ts';
import type { Session, Where } from './session.ts';
import { paintFor, type Screen } from './terminal.ts';
import { top } from './top.ts';

const COMMANDS: readonly Command[] = [top, explain, logs, checkpoint, interrupt, cost, planCommand(estimateTraining)];

/** As kubectl's own. */
const GLOBALS: Command['options'] = {
  namespace: { type: 'string', short: 'n', meaning: 'namespace (default: that of the context)', value: 'NAMESPACE' },
  'all-namespaces': { type: 'boolean', short: 'A', meaning: 'objects of all namespaces' },
  kubeconfig: { type: 'string', meaning: 'kubeconfig file (default: $KUBECONFIG or ~/.kube/config)', value: 'FILE' },
  context: { type: 'string', meaning: 'context of the kubeconfig', value: 'NAME' },
  help: { type: 'boolean', short: 'h', meaning: 'this help' },
};

const EXIT = { ok: 0, failed: 1, usage: 2 } as const;

/** What the command line reads from and writes to. */
export interface Io {
  readonly out: Screen;
  /** For errors, notes and questions. */
  readonly err: Screen;
  readonly env: NodeJS.ProcessEnv;
  readonly now: () => number;
  /** Aborted by Ctrl-C. */
  readonly signal: AbortSignal;
  readonly ask: Context['ask'];
  readonly open: (where: Where) => Promise<Session>;
}

function overview(): string {
  const width = Math.max(...COMMANDS.map((c) => c.name.length), 'completion'.length);
  const line = (name: string, summary: string) => `  ${name.padEnd(width)}  ${summary}`;
  return [
    'Language models on spot GPUs, from data to serving: what kubectl alone cannot say well.',
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

function whereIn(values: Values): Where {
  return {
    kubeconfig: text(values, 'kubeconfig'),
    context: text(values, 'context'),
    namespace: text(values, 'namespace'),
    allNamespaces: values['all-namespaces'] === true,
  };
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

async function complete(args: readonly string[], { out, open }: Io): Promise<number> {
  // Completion never disturbs the line with an error.
  const found = await candidates(args, COMMANDS, GLOBALS, () => open(whereIn(typedSoFar(args)))).catch(() => []);
  // As kubectl expects it: one candidate a line, then the directive "no file names".
  for (const line of [...found, ':4']) out.write(`${line}\n`);
  return EXIT.ok;
}

async function execute(args: readonly string[], io: Io): Promise<number> {
  const { out, err, env, now, signal, ask, open } = io;
  const [name = '', ...rest] = args;
  if (name === '' || name === 'help' || name === '--help' || name === '-h') {
    out.write(`${overview()}\n`);
    return name === '' ? EXIT.usage : EXIT.ok;
  }
  if (name === '__complete') return complete(rest, io);
  if (name === 'completion') {
    const script = SCRIPTS[rest[0] ?? ''];
    if (script === undefined || rest.length !== 1) throw new UsageError('say for which shell: bash, zsh or fish');
    out.write(script);
    return EXIT.ok;
  }
  const command = COMMANDS.find((c) => c.name === name);
  if (command === undefined) throw new UsageError(`there is no command "${name}"; kubectl vicuna --help lists them`);
  const { positionals, values } = parsed(command, rest);
  if (values.help) {
    out.write(`${helpOf(command)}\n`);
    return EXIT.ok;
  }
  if (values.namespace !== undefined && values['all-namespaces'])
    throw new UsageError('--namespace and --all-namespaces exclude each other');
  const session = await open(whereIn(values));
  try {
    return await command.run({ session, screen: out, aside: err, paint: paintFor(out, env), now, signal, ask }, positionals, values);
  } finally {
    session.close();
  }
}

/** Runs one command line to its end; resolves to the exit code. What goes wrong is one sentence. */
export async function kubectlVicuna(args: readonly string[], io: Io): Promise<number> {
  try {
    return await execute(args, io);
  } catch (error) {
    io.err.write(`Error: ${(error as Error).message}\n`);
    return error instanceof UsageError ? EXIT.usage : EXIT.failed;
  }
}
