import config from '../../../vitest.config.ts';
import { missing, parsed, type Rule } from './rule.ts';

interface Project {
  readonly test?: { readonly name?: unknown };
}

export const vitest: Rule = ([command, ...args], place) => {
  if (command !== 'run') return null;
  const result = parsed(args, { project: { type: 'string', multiple: true } });
  if ('problem' in result) return [`vitest run: ${result.problem}`];
  const known = ((config.test?.projects ?? []) as Project[]).map(({ test }) => test?.name);
  const projects = (result.values.project ?? []) as string[];
  return [
    ...projects.filter((name) => !known.includes(name)).map((name) => `vitest.config.ts has no project "${name}"`),
    ...result.positionals.flatMap((file) => missing(file, place)),
  ];
};
