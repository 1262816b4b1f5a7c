import { parseArgs } from 'node:util';

const PLAIN = ['up', 'down', 'status'] as const;
const OF_A_NODE = ['interrupt', 'kill', 'restore'] as const;
type Name = (typeof PLAIN)[number] | (typeof OF_A_NODE)[number] | 'help';

export interface Command {
  readonly command: Name;
  readonly node?: string;
  /** Seconds between an interruption's notice and the node's end. */
  readonly notice?: number;
}

/** What a command line asks for, or what is wrong with it. */
export function parseCommand(args: readonly string[]): Command | { readonly mistake: string } {
  try {
    return parse(args);
  } catch (error) {
    return { mistake: (error as Error).message };
  }
}

function parse(args: readonly string[]): Command {
  const { values, positionals } = parseArgs({
    args: [...args],
    allowPositionals: true,
    options: { notice: { type: 'string' }, help: { type: 'boolean', short: 'h' } },
  });
  if (values.help) return { command: 'help' };
  const [word, node, ...rest] = positionals;
  if (word === undefined) throw new Error('Say what to do.');
  const ofANode = OF_A_NODE.find((c) => c === word);
  const command = ofANode ?? PLAIN.find((c) => c === word);
  if (command === undefined) throw new Error(`There is no command "${word}".`);
  if (values.notice !== undefined && command !== 'interrupt') throw new Error(`--notice goes with interrupt, not with ${command}.`);
  if (ofANode === undefined) {
    if (node !== undefined) throw new Error(`${command} takes nothing more, but was given "${node}".`);
    return { command };
  }
  if (node === undefined) throw new Error(`${command} needs a node's name: see \`npm run cluster -- status\`.`);
  if (rest.length > 0) throw new Error(`${command} takes one node at a time, but was also given "${rest.join(' ')}".`);
  return values.notice === undefined ? { command, node } : { command, node, notice: seconds(values.notice) };
}

/** A timer takes no more than 2^31 ms; nobody waits a day for a node. */
const LONGEST_NOTICE = 86_400;

function seconds(text: string): number {
  const value = Number(text);
  if (text.trim() === '' || !(value >= 0 && value <= LONGEST_NOTICE))
    throw new Error(`--notice is a number of seconds from 0 to ${LONGEST_NOTICE}, not "${text}".`);
  return value;
}
