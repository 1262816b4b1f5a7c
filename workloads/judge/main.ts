#!/usr/bin/env node
// Reads the command line or the task, starts what is asked for, and says how it ended; nothing else.
import { parseArgs } from 'node:util';
import { EXIT, Failure } from './failure.ts';

const HELP = `Usage: npm run judge -- COMMAND [OPTIONS]

  run --config FILE                 answers, reviews, report and viewer page of an evaluation; goes on where it stopped
  estimate --config FILE [--json FILE]
                                    what run would ask for and cost, without a request
  report --reviews DIR [--json FILE] [--markdown FILE]
                                    totals, wins, ties, losses, intervals, bias and ranking from stored reviews;
                                    without FILE as Markdown on standard output
  viewer --data DIR --out DIR       a static page to look at questions, answers and reviews; open its index.html

FILE and DIR may be paths, file:// or s3:// URIs (AWS_* from the environment). docs/evaluation.md has the configuration.
API keys are read from the environment variables that the configuration names.`;

/** The commands, each with its options; those with true must be given. */
const COMMANDS: Readonly<Record<string, Readonly<Record<string, boolean>>>> = {
  run: { config: true, json: false },
  estimate: { config: true, json: false },
  report: { reviews: true, json: false, markdown: false },
  viewer: { data: true, out: true },
};

type Options = Readonly<Record<string, string | undefined>>;

async function main(): Promise<void> {
  if (process.env.VICUNA_TASK !== undefined && process.argv.length <= 2)
    return (await import('./task.ts')).runTask(process.env.VICUNA_TASK);
  const [command = '--help', ...rest] = process.argv.slice(2);
  if (command === '--help' || command === '-h' || command === 'help' || rest.includes('--help')) return console.log(HELP);
  const known = COMMANDS[command];
  if (known === undefined) throw usage(`No command "${command}".`);
  const options = optionsOf(command, known, rest);
  const commands = await import('./commands.ts');
  if (command === 'report') return commands.report(options.reviews ?? '', options);
  if (command === 'viewer') return commands.viewer(options.data ?? '', options.out ?? '');
  if (command === 'estimate') return commands.estimate(options.config ?? '', options);
  return commands.run(options.config ?? '', options);
}

function optionsOf(command: string, known: Readonly<Record<string, boolean>>, words: readonly string[]): Options {
  const given = (() => {
    try {
      const options = Object.fromEntries(Object.keys(known).map((name) => [name, { type: 'string' as const }]));
      return parseArgs({ args: [...words], options, strict: true }).values as Options;
    } catch (error) {
      throw usage(`${command}: ${(error as Error).message}`);
    }
  })();
  const missing = Object.entries(known).find(([name, needed]) => needed && !given[name]);
  if (missing) throw usage(`${command} needs --${missing[0]}.`);
  return given;
}

const usage = (message: string) => new Failure(EXIT.configuration, `${message} See: npm run judge -- --help`);

try {
  await main();
} catch (error) {
  console.error(error instanceof Failure ? error.message : (error as Error).stack);
  process.exitCode = error instanceof Failure ? error.exitCode : EXIT.other;
}
