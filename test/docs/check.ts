// What is wrong with the commands of a block or a span, and whether a machine could tell.
import type { Block, Span } from './markdown.ts';
import { helm } from './rules/helm.ts';
import { kubectl } from './rules/kubectl.ts';
import { npm } from './rules/npm.ts';
import { pulumi } from './rules/pulumi.ts';
import { python } from './rules/python.ts';
import type { Place, Rule } from './rules/rule.ts';
import { cd, copy, exported, filter } from './rules/shell.ts';
import { vitest } from './rules/vitest.ts';
import { commandsIn } from './shell.ts';

const RULES: Readonly<Record<string, Rule>> = {
  npm,
  kubectl,
  helm,
  pulumi,
  python3: python,
  vitest,
  cd,
  cp: copy,
  export: exported,
  grep: filter,
};

/** Programs that the documentation has its readers run; a block that runs one is a block of commands. */
const PROGRAMS = [...Object.keys(RULES), 'aws', 'gcloud', 'az', 'docker', 'git', 'node', 'sh'];

const COMMANDS = ['sh', 'bash', 'console'];
const OTHERS = ['text', 'yaml', 'json', 'ts', 'python', 'promql', 'mermaid'];

interface Findings {
  readonly problems: string[];
  /** Commands of which nothing here can tell whether they are right. */
  readonly untested: string[];
}

/** Everything that is wrong with a block. */
export async function problemsOfBlock({ language, text, notTested }: Block): Promise<string[]> {
  if (OTHERS.includes(language)) return hiddenCommands(language, text);
  if (!COMMANDS.includes(language))
    return [`say what the block holds: ${COMMANDS.join(', ')} for commands, or ${OTHERS.join(', ')}; it has "${language}"`];
  const { problems, untested } = await findings(language === 'console' ? typed(text) : text);
  if (notTested === null)
    return [
      ...problems,
      ...untested.map((c) => `nothing checks "${c}": write a rule in test/docs/rules, or "<!-- not tested: why -->" before the block`),
    ];
  return untested.length > 0 ? problems : [...problems, `all of it is checked: take "not tested: ${notTested}" away`];
}

/** What is wrong with a span that is a command line; one that nothing can tell of is none of ours. */
export async function problemsOfSpan({ text }: Span): Promise<string[]> {
  const [program = '', ...rest] = text.split(' ');
  // A name alone is a word, as is `helm upgrade` or `kubectl apply -f`; "…", <…> and A|B stand for something else.
  if (rest.length === 0 || !PROGRAMS.includes(program) || /^(helm|kubectl) [\w-]+( -f)?$|…|<|[A-Z]\|[A-Z]/.test(text)) return [];
  return (await findings(text)).problems;
}

async function findings(text: string): Promise<Findings> {
  const place: Place = { directory: '.' };
  const problems: string[] = [];
  const untested: string[] = [];
  for (const words of commandsIn(text)) {
    const [program = '', ...args] = words;
    const verdict = (await RULES[program]?.(args, place)) ?? null;
    if (verdict === null) untested.push(words.join(' '));
    else problems.push(...verdict);
  }
  return { problems, untested };
}

/** What a person typed in a console; the rest is what came back. */
function typed(text: string): string {
  return text
    .split('\n')
    .filter((line) => line.startsWith('$ '))
    .map((line) => line.slice(2))
    .join('\n');
}

function hiddenCommands(language: string, text: string): string[] {
  const program = text
    .split('\n')
    .map((line) => line.replace(/^\$ /, '').split(' ')[0] ?? '')
    .find((word) => PROGRAMS.includes(word));
  return language === 'text' && program !== undefined ? [`it runs ${program}: call the block sh or console`] : [];
}
