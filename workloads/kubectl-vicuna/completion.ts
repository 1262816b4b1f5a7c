import { SERVING } from '../../operator/api/vicuna-serving.ts';
import { TRAINING } from '../../operator/api/vicuna-training.ts';
import type { KubeObject, ResourceType } from '../../operator/kube/types.ts';
import { metadataOf, NODE } from '../../operator/kube/types.ts';
import type { Command } from './command.ts';
import { KINDS, kindCalled } from './kinds.ts';
import { LOG_SOURCES } from './log-sources.ts';
import type { Session } from './session.ts';

/** Candidates for the last word, "text" or "text\tmeaning". */
export async function candidates(
  words: readonly string[],
  commands: readonly Command[],
  globals: Command['options'],
  open: () => Promise<Session>,
): Promise<string[]> {
  const last = words.at(-1) ?? '';
  const before = words.slice(0, -1);
  const command = commands.find((c) => c.name === before[0]);
  if (before.length === 0) return starting(last, [...commands.map((c) => `${c.name}\t${c.summary}`), 'completion\tScripts for shells']);
  if (before[0] === 'completion') return starting(last, before.length === 1 ? ['bash', 'zsh', 'fish'] : []);
  if (command === undefined) return [];
  if (last.startsWith('-')) {
    const options = Object.entries({ ...command.options, ...globals });
    return starting(
      last,
      options.map(([name, { meaning }]) => `--${name}\t${meaning}`),
    );
  }
  const flag = before.at(-1) ?? '';
  const takesValue = Object.entries({ ...command.options, ...globals }).some(
    ([name, o]) => o.type === 'string' && (flag === `--${name}` || (o.short !== undefined && flag === `-${o.short}`)),
  );
  if (takesValue) return flag === '-o' || flag === '--output' ? starting(last, ['json']) : [];
  return starting(last, await named(command, last, open));
}

async function named({ completes }: Command, last: string, open: () => Promise<Session>): Promise<string[]> {
  if (completes === 'none') return [];
  const session = await open();
  try {
    const names = async <T extends KubeObject>(type: ResourceType<T>, prefix = '') => {
      const options = type.namespaced ? { namespace: session.namespace } : {};
      const limits = { limit: 200, attempts: 1, signal: AbortSignal.timeout(3_000) };
      // What may not be listed hides nothing else.
      const { items } = await session.client.list(type, { ...options, ...limits }).catch(() => ({ items: [] }));
      return items.map((item) => prefix + (metadataOf(item).name ?? ''));
    };
    if (completes === 'training') return await names(TRAINING);
    if (completes === 'interruptible') return (await Promise.all([names(TRAINING), names(SERVING, 'vs/'), names(NODE, 'node/')])).flat();
    const bare = completes === 'trainingOrTask' ? names(TRAINING) : [];
    return (await Promise.all([bare, ...kindsFor(completes, last).map(([type, prefix]) => names(type, prefix))])).flat();
  } finally {
    session.close();
  }
}

/** The kinds that the word may name, with the prefix of their names: as it was typed, or else the short one. */
function kindsFor(completes: 'trainingOrTask' | 'object', last: string): (readonly [ResourceType<KubeObject>, string])[] {
  const allowed = KINDS.filter(({ kind }) => completes === 'object' || LOG_SOURCES[kind] !== undefined);
  const slash = last.indexOf('/');
  if (slash < 0) return allowed.map(({ names: [short], type }) => [type, `${short}/`]);
  const typed = last.slice(0, slash);
  const found = kindCalled(typed);
  return allowed.filter((kind) => kind === found).map(({ type }) => [type, `${typed}/`]);
}

function starting(prefix: string, words: readonly string[]): string[] {
  return words.filter((word) => word.startsWith(prefix));
}

/** What a shell evaluates to complete `kubectl-vicuna`. kubectl itself completes `kubectl vicuna` by kubectl_complete-vicuna. */
export const SCRIPTS: Readonly<Record<string, string>> = {
  bash: `# Load with: source <(kubectl vicuna completion bash)
_kubectl_vicuna() {
  local IFS=$'\\n'
  COMPREPLY=($(kubectl-vicuna __complete "\${COMP_WORDS[@]:1:COMP_CWORD}" 2>/dev/null | grep -v '^:' | cut -f1))
}
complete -F _kubectl_vicuna kubectl-vicuna
`,
  zsh: `#compdef kubectl-vicuna
# Load with: source <(kubectl vicuna completion zsh)
_kubectl_vicuna() {
  local -a found
  local line
  while IFS= read -r line; do
    [[ $line == :* ]] && continue
    found+=("\${\${line%%$'\\t'*}//:/\\\\:}:\${line#*$'\\t'}")
  done < <(kubectl-vicuna __complete "\${(@)words[2,CURRENT]}" 2>/dev/null)
  _describe 'kubectl-vicuna' found
}
compdef _kubectl_vicuna kubectl-vicuna
`,
  fish: `# Load with: kubectl vicuna completion fish | source
complete -c kubectl-vicuna -f -a '(kubectl-vicuna __complete (commandline -opc)[2..-1] (commandline -ct) 2>/dev/null | string match -v ":*")'
`,
};
