import { existsSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { ROOT } from '../../cluster/paths.ts';
import { missing, type Place, type Rule, type Verdict } from './rule.ts';

const ROOMS = ['trainer', 'data', 'engine'].map((room) => join('workloads', room));

/** The file that `python3 -m MODULE` runs. */
function fileOf(module: string): string | null {
  const path = module.replaceAll('.', '/');
  return (
    ROOMS.flatMap((room) => [join(room, `${path}.py`), join(room, path, '__main__.py')]).find((f) => existsSync(join(ROOT, f))) ?? null
  );
}

/** Commands and flags as the program's argparse declares them: running it would need its packages. */
function undeclared(file: string, args: readonly string[]): string[] {
  const source = readFileSync(join(ROOT, file), 'utf8');
  const declared = (call: string) => [...source.matchAll(new RegExp(`${call}\\(\\s*"([\\w-]+)"`, 'g'))].map(([, name = '']) => name);
  const commands = declared('add_parser');
  const flags = declared('add_argument');
  const [first = ''] = args;
  return [
    ...(commands.length > 0 && !first.startsWith('-') && !commands.includes(first) ? [`${file} has no command "${first}"`] : []),
    ...args.filter((word) => word.startsWith('--') && !flags.includes(word.split('=')[0] ?? '')).map((flag) => `${file} has no ${flag}`),
  ];
}

export const python: Rule = (args, place: Place): Verdict => {
  const [first = '', second = ''] = args;
  const rest = args.slice(first === '-m' ? 2 : 1);
  // Models and buckets of the reader's own.
  if (rest.some((word) => /^(s3|gs|hf):\/\//.test(word))) return unlessWrong(check(first, second, rest, place));
  return check(first, second, rest, place);
};

function check(first: string, second: string, rest: readonly string[], place: Place): string[] {
  if (first !== '-m') return missing(first, place).length > 0 ? missing(first, place) : undeclared(join(place.directory, first), rest);
  const file = fileOf(second);
  return file === null ? [`there is no Python module ${second}`] : undeclared(file, rest);
}

/** A command line of which the rest cannot be known. */
const unlessWrong = (problems: string[]): Verdict => (problems.length > 0 ? problems : null);
