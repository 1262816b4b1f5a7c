import type { ParseArgsOptionsConfig } from 'node:util';
import { customResourceDefinition } from '../../../operator/api/crd.ts';
import { KINDS } from '../../../operator/api/kinds.ts';
import { kubectlVicuna } from '../../../workloads/kubectl-vicuna/cli.ts';
import type { Session } from '../../../workloads/kubectl-vicuna/session.ts';
import { isPlaceholder, missing, type Place, parsed, type Rule, type Verdict } from './rule.ts';

const FLAG = { type: 'boolean' } as const;
const VALUE = { type: 'string' } as const;
const ALL_NAMESPACES = { 'all-namespaces': { ...FLAG, short: 'A' } } as const;
const SELECTOR = { selector: { ...VALUE, short: 'l' } } as const;
const FILES = { filename: { ...VALUE, short: 'f', multiple: true } } as const;
const GLOBALS: ParseArgsOptionsConfig = { namespace: { ...VALUE, short: 'n' }, kubeconfig: VALUE, context: VALUE };

/** What the documentation uses of kubectl's commands and their flags. */
const VERBS: Readonly<Record<string, ParseArgsOptionsConfig>> = {
  annotate: {},
  apply: FILES,
  delete: { ...ALL_NAMESPACES, ...SELECTOR, ...FILES, all: FLAG },
  describe: { ...ALL_NAMESPACES, ...SELECTOR },
  get: { ...ALL_NAMESPACES, ...SELECTOR, 'field-selector': VALUE, output: { ...VALUE, short: 'o' }, watch: { ...FLAG, short: 'w' } },
  logs: { ...SELECTOR, prefix: FLAG, tail: VALUE, since: VALUE, 'all-pods': FLAG },
  patch: { type: VALUE, patch: { ...VALUE, short: 'p' } },
  'port-forward': {},
  rollout: {},
  scale: { replicas: VALUE },
  wait: { for: VALUE, timeout: VALUE },
};

/** Kinds of Kubernetes itself, as the documentation writes them. */
const BUILT_IN = [
  'crd',
  'crds',
  'daemonset',
  'deployment',
  'lease',
  'leases',
  'namespace',
  'node',
  'nodes',
  'pod',
  'pods',
  'secret',
  'svc',
];

const ownKind = (word: string) =>
  KINDS.find(({ kind, plural, shortName }) => [kind.toLowerCase(), plural, shortName, `${plural}.vicuna.run`].includes(word));

/** "vt", "vt,vs", "vt/NAME": the kinds that are spoken of. */
function kindsIn(word: string): string[] {
  return (word.split('/')[0] ?? '').split(',');
}

function unknownKinds(words: readonly string[]): string[] {
  const kinds = kindsIn(words[0] ?? '').filter((kind) => kind !== '' && !kind.startsWith('$('));
  return kinds.filter((kind) => !ownKind(kind) && !BUILT_IN.includes(kind)).map((kind) => `there is no kind "${kind}"`);
}

/** Fields of a merge patch that the kind's definition does not have. */
function unknownFields(word: string, patch: string): string[] {
  const kind = ownKind(kindsIn(word)[0] ?? '');
  if (kind === undefined) return [];
  const { spec } = customResourceDefinition(kind) as { spec: { versions: { schema: { openAPIV3Schema: Schema } }[] } };
  return unknownKeys(JSON.parse(patch), spec.versions[0]?.schema.openAPIV3Schema ?? {}, '');
}

interface Schema {
  readonly properties?: Readonly<Record<string, Schema>>;
}

function unknownKeys(value: unknown, { properties }: Schema, path: string): string[] {
  if (value === null || typeof value !== 'object' || properties === undefined) return [];
  return Object.entries(value).flatMap(([key, inner]) => {
    const schema = properties[key];
    return schema === undefined ? [`there is no field ${path}.${key}`] : unknownKeys(inner, schema, `${path}.${key}`);
  });
}

function unknownCondition(word: string, waitFor: string): string[] {
  const [, condition] = /^condition=(\w+)$/.exec(waitFor) ?? [];
  const kind = ownKind(kindsIn(word)[0] ?? '');
  if (condition === undefined || kind === undefined || Object.hasOwn(kind.conditions ?? {}, condition)) return [];
  return [`a ${kind.kind} has no condition ${condition}`];
}

/** The plugin takes the command line when it gets as far as asking the cluster, which is not there. */
async function plugin(args: readonly string[]): Promise<Verdict> {
  const said: string[] = [];
  const silent = { isTTY: false, columns: 80, rows: 24, write: () => {} };
  const nowhere = new Proxy({} as Session, {
    get: (_, name) => {
      if (name === 'then') return undefined;
      return () => {
        if (name !== 'close') throw new Error('there is no cluster');
      };
    },
  });
  const code = await kubectlVicuna(args, {
    out: silent,
    err: { ...silent, write: (text: string) => void said.push(text) },
    env: {},
    now: () => 0,
    signal: AbortSignal.abort(),
    ask: null,
    open: async () => nowhere,
  });
  return code === 2 ? [`kubectl vicuna: ${said.join('').trim()}`] : [];
}

function builtIn(verb: string, args: readonly string[], place: Place): Verdict {
  const options = VERBS[verb];
  if (options === undefined) return null;
  const result = parsed(args, { ...GLOBALS, ...options });
  if ('problem' in result) return [`kubectl ${verb}: ${result.problem}`];
  const { values, positionals } = result;
  const files = (values.filename ?? []) as string[];
  const [first = ''] = verb === 'rollout' ? positionals.slice(1) : positionals;
  // Of logs the argument is a pod, unless it names the kind.
  const kinds = verb === 'logs' && !first.includes('/') ? [] : unknownKinds([first]);
  return [
    ...kinds.filter(() => !isPlaceholder(first)),
    ...files.flatMap((file) => missing(file, place)),
    ...(typeof values.for === 'string' ? unknownCondition(first, values.for) : []),
    ...(typeof values.patch === 'string' ? unknownFields(first, values.patch) : []),
  ];
}

export const kubectl: Rule = (args, place): Verdict | Promise<Verdict> => {
  // Flags for all commands may come first.
  const start = args.findIndex((word, i) => !word.startsWith('-') && !['-n', '--namespace'].includes(args[i - 1] ?? ''));
  const [verb = '', ...rest] = args.slice(Math.max(start, 0));
  if (verb === 'vicuna') return plugin(rest);
  return builtIn(verb, [...args.slice(0, Math.max(start, 0)), ...rest], place);
};
