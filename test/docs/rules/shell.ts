import { existsSync } from 'node:fs';
import { join } from 'node:path';
import { ROOT } from '../../cluster/paths.ts';
import { missing, type Rule } from './rule.ts';

/** What the shell itself and small tools do on the way. */
export const cd: Rule = ([directory = ''], place) => {
  const problems = missing(directory, place);
  if (problems.length === 0) place.directory = join(place.directory, directory);
  return problems;
};

/** Directories of this repository must be there; anything else is the reader's. */
export const exported: Rule = (assignments, place) =>
  assignments.flatMap((assignment) =>
    [...assignment.matchAll(/\$PWD\/((?:\w|[./-])+)/g)]
      .map(([, path = '']) => path)
      .filter((path) => !existsSync(join(ROOT, place.directory, path)) && !/\.(json|yaml)$/.test(path))
      .map((path) => `there is no ${join(place.directory, path)}`),
  );

export const copy: Rule = ([from = ''], place) => missing(from, place);

/** Reads what comes to it, changes nothing. */
export const filter: Rule = () => [];
