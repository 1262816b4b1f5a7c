import type { ParseArgsOptionsConfig } from 'node:util';
import type { Session } from './session.ts';
import type { Paint, Screen } from './terminal.ts';

export interface Context {
  readonly session: Session;
  readonly screen: Screen;
  /** For what is not the answer: progress, notes, questions. */
  readonly aside: Screen;
  readonly paint: Paint;
  readonly now: () => number;
  /** Aborted by Ctrl-C. */
  readonly signal: AbortSignal;
  /** Asks the user; resolves to what they typed. Only where there is a terminal to ask on. */
  readonly ask: ((question: string) => Promise<string>) | null;
}

export type Values = Readonly<Record<string, string | boolean | undefined>>;

/** What the command's first argument names, for the shell's completion. */
export type Completes = 'training' | 'trainingOrTask' | 'interruptible' | 'object' | 'none';

export interface Command {
  readonly name: string;
  /** What follows the name in the usage line. */
  readonly usage: string;
  readonly summary: string;
  /** More for --help: one line each. */
  readonly help: readonly string[];
  readonly options: ParseArgsOptionsConfig & Readonly<Record<string, { readonly meaning: string; readonly value?: string }>>;
  readonly completes: Completes;
  /** Does it; resolves to the exit code. */
  run(context: Context, positionals: readonly string[], values: Values): Promise<number>;
}

/** The command line is wrong: exit code 2. */
export class UsageError extends Error {}

export function text(values: Values, name: string): string | undefined {
  const value = values[name];
  return typeof value === 'string' ? value : undefined;
}

/** A whole number of at least `min`. */
export function integer(values: Values, name: string, min = 0): number | undefined {
  const said = text(values, name);
  if (said === undefined) return undefined;
  const value = Number(said);
  if (!/^[0-9]{1,9}$/.test(said) || value < min) throw new UsageError(`--${name} "${said}" must be a whole number of at least ${min}`);
  return value;
}

/** The only argument there must be. */
export function only(positionals: readonly string[], what: string): string {
  const [first, ...others] = positionals;
  if (first === undefined) throw new UsageError(`${what} is missing`);
  if (others.length > 0) throw new UsageError(`only one ${what} can be given, not also "${others.join(' ')}"`);
  return first;
}
