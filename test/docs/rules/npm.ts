import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { parseCommand } from '../../cluster/command.ts';
import { ROOT } from '../../cluster/paths.ts';
import type { Rule, Verdict } from './rule.ts';

const SCRIPTS: Readonly<Record<string, string>> = JSON.parse(readFileSync(join(ROOT, 'package.json'), 'utf8')).scripts;

// Programs are read and never run: one that takes a command line otherwise than expected would do what it says, such as start a cluster.
const read = (path: string) => readFileSync(join(ROOT, path), 'utf8');

/** Flags that the program of a script gives to parseArgs. */
function declared(program: string): string[] {
  return [...read(program).matchAll(/'?([a-z][\w-]*)'?: \{ type: '(?:string|boolean)'/g)].map(([, name = '']) => `--${name}`);
}

const flagsOf = (args: readonly string[]) => args.filter((word) => word.startsWith('--')).map((word) => word.split('=')[0] ?? '');

function unknownFlags(program: string, args: readonly string[]): string[] {
  const known = declared(program);
  return flagsOf(args)
    .filter((flag) => !known.includes(flag))
    .map((flag) => `${program} has no ${flag}`);
}

/** What the usage in a program's source says of a command: its line and those further in below. */
function usageOf(program: string, command: string): string | null {
  const lines = read(program).split('\n');
  const start = lines.findIndex((line) => line.startsWith(`  ${command} `) || line === `  ${command}`);
  if (start < 0) return null;
  const end = lines.findIndex((line, i) => i > start && !line.startsWith('    '));
  return lines.slice(start, end).join('\n');
}

const BENCH = 'test/bench/bench.ts';
const JUDGE = 'workloads/judge/main.ts';

/** What the programs take that are given more than their name. */
const PROGRAMS: Readonly<Record<string, (args: readonly string[]) => string[]>> = {
  demo: (args) => unknownFlags('test/demo/demo.ts', args),
  policies: (args) => unknownFlags('test/simulation/policies.ts', args),
  simulate: (args) => unknownFlags('test/simulation/simulate.ts', args),
  bench: ([name = '', ...args]) => [
    ...(usageOf(BENCH, name) === null ? [`there is no bench "${name}"`] : []),
    ...unknownFlags(BENCH, args),
  ],
  judge: ([command = '', ...args]) => {
    const usage = usageOf(JUDGE, command);
    if (usage === null) return [`npm run judge has no command "${command}"`];
    return flagsOf(args)
      .filter((flag) => !usage.includes(flag))
      .map((flag) => `npm run judge -- ${command} has no ${flag}`);
  },
  cluster: (args) => {
    const command = parseCommand(args);
    return 'mistake' in command ? [command.mistake] : [];
  },
};

/** The names in the table of `npm test`. */
function suites(): string[] {
  return [...read('test/run.ts').matchAll(/^ {2}\{ name: '(\w+)', run/gm)].map(([, name = '']) => name);
}

export const npm: Rule = ([command = '', ...rest]): Verdict => {
  if (command === 'install' && rest.length === 0) return [];
  if (command === 'test') return rest.filter((name) => !suites().includes(name)).map((name) => `npm test has no suite "${name}"`);
  if (command !== 'run') return null;
  const [script = '', separator, ...args] = rest;
  if (SCRIPTS[script] === undefined) return [`package.json has no script "${script}"`];
  if (separator === undefined) return [];
  if (separator !== '--') return [`npm keeps ${separator} for itself: arguments come after --`];
  return PROGRAMS[script]?.(args) ?? [`no rule knows what npm run ${script} takes`];
};
