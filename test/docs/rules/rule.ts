// What is known of one program's command lines.
import { existsSync } from 'node:fs';
import { join } from 'node:path';
import { type ParseArgsOptionsConfig, parseArgs } from 'node:util';
import { ROOT } from '../../cluster/paths.ts';

/** Where a block's commands run: below the project's root, until a `cd` says otherwise. */
export interface Place {
  directory: string;
}

/** What is wrong with a command line; null when nothing here can tell. */
export type Verdict = readonly string[] | null;

export type Rule = (args: readonly string[], place: Place) => Verdict | Promise<Verdict>;

/** Stands for what the reader puts in, such as NAME, FILE, vt/NAME or KEY=VALUE. */
export const isPlaceholder = (word: string) => /^[A-Z][A-Z_]+$/.test(word);

/** A complaint when there is no such file or directory. */
export function missing(path: string, { directory }: Place): string[] {
  return isPlaceholder(path) || existsSync(join(ROOT, directory, path)) ? [] : [`there is no ${join(directory, path)}`];
}

type Parsed = ReturnType<typeof parseArgs<{ options: ParseArgsOptionsConfig; allowPositionals: true; strict: true }>>;

/** Options and the rest of a command line, or what is wrong with it. */
export function parsed(args: readonly string[], options: ParseArgsOptionsConfig): Parsed | { readonly problem: string } {
  try {
    return parseArgs({ args: [...args], options, allowPositionals: true, strict: true });
  } catch (error) {
    return { problem: (error as Error).message };
  }
}
