import type { V1Node, V1Pod } from '@kubernetes/client-node';
import { durationSeconds } from '../../operator/api/duration.ts';
import { isConflict } from '../../operator/kube/client.ts';
import { NODE, POD } from '../../operator/kube/types.ts';
import { DATASET_LABEL, EVALUATION_LABEL, POOL_LABEL, RELEASE_LABEL, SERVING_LABEL, TRAINING_LABEL } from '../../operator/pods/labels.ts';
import { interruptionOfNode } from '../../operator/signals/interruption.ts';
import { INTERRUPTION_TAINT } from '../../operator/signals/notices.ts';
import { type Command, type Context, integer, only, text, UsageError } from './command.ts';
import { clock } from './format.ts';
import { nodeMeant } from './node-meant.ts';

/** On a node whose taint is a rehearsal: the taint's value. So that only rehearsals are taken back, and only by who knows them. */
export const REHEARSAL_ANNOTATION = 'vicuna.run/simulated-interruption';

type Taint = NonNullable<NonNullable<V1Node['spec']>['taints']>[number];

/** The change that announces the node's end at `deadline` (ms since epoch), as the notifier would. Pure; throws why not. */
export function rehearsal(node: V1Node, deadline: number, now: number): object {
  const name = node.metadata?.name;
  const real = interruptionOfNode(node, now);
  if (real !== null && !real.advisory) throw new Error(`node ${name} is being interrupted already: ${real.message}`);
  const value = String(Math.floor(deadline / 1_000));
  const taints: Taint[] = [...(node.spec?.taints ?? []), { key: INTERRUPTION_TAINT, value, effect: 'NoSchedule' }];
  return {
    metadata: { resourceVersion: node.metadata?.resourceVersion, annotations: { [REHEARSAL_ANNOTATION]: value } },
    spec: { taints },
  };
}

/** The change that takes a rehearsal back, or null when there is none. Pure; throws when the taint is somebody else's. */
export function takenBack(node: V1Node): object | null {
  const value = node.metadata?.annotations?.[REHEARSAL_ANNOTATION];
  const taints = node.spec?.taints ?? [];
  const isOurs = (t: Taint) => t.key === INTERRUPTION_TAINT && t.value === value;
  if (value === undefined) {
    if (taints.some((t) => t.key === INTERRUPTION_TAINT))
      throw new Error(`the interruption of node ${node.metadata?.name} is no simulation: its cloud has announced it`);
    return null;
  }
  const rest = taints.filter((t) => !isOurs(t));
  return {
    metadata: { resourceVersion: node.metadata?.resourceVersion, annotations: { [REHEARSAL_ANNOTATION]: null } },
    spec: { taints: rest.length === 0 ? null : rest },
  };
}

const OWNERS: Readonly<Record<string, string>> = {
  [TRAINING_LABEL]: 'training',
  [SERVING_LABEL]: 'serving',
  [DATASET_LABEL]: 'dataset',
  [EVALUATION_LABEL]: 'evaluation',
  [RELEASE_LABEL]: 'release of training',
};

/** What of ours runs on the node, in words. */
export function tenants(pods: readonly V1Pod[]): string[] {
  return pods.flatMap(({ metadata, status }) => {
    if (status?.phase === 'Succeeded' || status?.phase === 'Failed') return [];
    const [owner] = Object.entries(OWNERS).flatMap(([label, kind]) => {
      const name = metadata?.labels?.[label];
      return name === undefined ? [] : [`${kind} ${name}`];
    });
    return owner === undefined ? [] : [`${owner} in ${metadata?.namespace} (pod ${metadata?.name})`];
  });
}

/** Other writers touch nodes too: the change is made onto what is there then. */
const ATTEMPTS = 5;

async function write({ session }: Context, name: string, change: (node: V1Node) => object | null): Promise<boolean> {
  for (let attempt = 1; ; attempt++) {
    const patch = change(await session.get(NODE, undefined, name));
    if (patch === null) return false;
    try {
      await session.client.mergePatch(NODE, undefined, name, patch);
      return true;
    } catch (error) {
      if (!isConflict(error) || attempt === ATTEMPTS) throw error;
    }
  }
}

export const interrupt: Command = {
  name: 'interrupt',
  usage: '--simulate RUN|vs/NAME|NODE [--notice 30s] [--rank N] [--yes] | --undo RUN|NODE',
  summary: 'Rehearse that a cloud takes a node back: see what runs there move while you watch',
  help: [
    'Marks the node as the notifier would, with a deadline. What Vicuna runs there moves; the node itself and other pods are left alone.',
    'Of a serving it is the node of the replica that has answered longest, on spot if one is: there most is seen to move.',
    'The mark stays, and nothing new is placed on the node, until --undo takes it back.',
  ],
  options: {
    simulate: { type: 'boolean', meaning: 'required: this command does nothing else' },
    notice: { type: 'string', meaning: 'time until the node would go (default 30s)', value: 'DURATION' },
    rank: { type: 'string', meaning: "which worker's node, for a training (default 0)", value: 'N' },
    yes: { type: 'boolean', short: 'y', meaning: 'do not ask' },
    undo: { type: 'boolean', meaning: 'take the mark of a simulation back' },
  },
  completes: 'interruptible',
  async run(context, positionals, values) {
    if (!values.simulate && !values.undo)
      throw new UsageError('say --simulate: clouds interrupt nodes, this only rehearses it (or --undo)');
    const { session, screen, aside, now } = context;
    const { node, why } = await nodeMeant(session, only(positionals, 'training, serving or node'), {
      rank: integer(values, 'rank'),
      undo: values.undo === true,
    });
    const name = node.metadata?.name ?? '';
    if (why !== null) aside.write(`${why}\n`);
    if (values.undo) {
      const done = await write(context, name, takenBack);
      screen.write(done ? `node/${name}: the simulated interruption is taken back\n` : `node/${name} has no simulated interruption\n`);
      return 0;
    }
    const notice = noticeSeconds(text(values, 'notice') ?? '30s');
    rehearsal(node, now() + notice * 1_000, now());
    const pods = await session.client.list(POD, { fieldSelector: `spec.nodeName=${name}`, labelSelector: POOL_LABEL });
    const affected = tenants(pods.items);
    const words = affected.length === 0 ? 'nothing of Vicuna runs there' : `these move: ${affected.join('; ')}`;
    if (!values.yes) {
      if (context.ask === null) throw new UsageError(`node ${name} would be marked as going in ${notice} s (${words}): say --yes to do it`);
      const answer = await context.ask(`Mark node ${name} as going in ${notice} s (${words})? [y/N] `);
      if (!/^y(es)?$/i.test(answer.trim())) {
        aside.write('Nothing was changed.\n');
        return 1;
      }
    }
    const deadline = now() + notice * 1_000;
    await write(context, name, (fresh) => rehearsal(fresh, deadline, now()));
    screen.write(`node/${name} goes at ${clock(deadline, now())} (simulated); ${words}\n`);
    aside.write(`Take it back with: kubectl vicuna interrupt --undo node/${name}\n`);
    return 0;
  },
};

function noticeSeconds(said: string): number {
  try {
    const seconds = durationSeconds(said);
    if (seconds >= 1 && seconds <= 3_600) return seconds;
  } catch {
    // Said below, together with what is out of range.
  }
  throw new UsageError(`--notice "${said}" must be a duration from 1s to 1h, such as 30s or 2m`);
}
