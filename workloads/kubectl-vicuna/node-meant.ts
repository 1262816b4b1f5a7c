import type { V1Node, V1Pod } from '@kubernetes/client-node';
import { SERVING } from '../../operator/api/vicuna-serving.ts';
import { TRAINING, type VicunaTraining } from '../../operator/api/vicuna-training.ts';
import { ignoreNotFound } from '../../operator/kube/client.ts';
import { NODE, POD } from '../../operator/kube/types.ts';
import { POOL_LABEL, SERVING_LABEL } from '../../operator/pods/labels.ts';
import { COMPONENT_LABEL } from '../../operator/serving/names.ts';
import { UsageError } from './command.ts';
import { kindCalled } from './kinds.ts';
import type { Session } from './session.ts';

export interface NodeMeant {
  readonly node: V1Node;
  /** Why this one, where there was a choice that the user has not made. */
  readonly why: string | null;
}

interface Options {
  /** Of the training's worker; default 0. */
  readonly rank: number | undefined;
  /** Whether it is to be taken back what was done to the node. */
  readonly undo: boolean;
}

/** The node that was named, that of a training's worker, or that of a replica of a serving. */
export async function nodeMeant(session: Session, target: string, { rank, undo }: Options): Promise<NodeMeant> {
  const { namespace } = session;
  const slash = target.indexOf('/');
  const word = slash < 0 ? null : target.slice(0, slash);
  const name = target.slice(slash + 1);
  const kind = word === null ? null : word.toLowerCase() === 'node' ? 'node' : kindCalled(word)?.kind;
  if (name === '' || (kind !== null && kind !== 'node' && kind !== 'training' && kind !== 'serving'))
    throw new UsageError(`"${target}" is no training (vt/NAME), serving (vs/NAME) or node (node/NAME)`);
  if (rank !== undefined && (kind === 'node' || kind === 'serving'))
    throw new UsageError(`--rank chooses among a training's workers: ${target} has none`);
  if (kind === 'node') return { node: await session.get(NODE, undefined, name), why: null };
  if (kind === 'serving') {
    if (undo) throw new UsageError('the replica has moved: name the node whose mark is to be taken back, --undo node/NAME');
    return replicaNode(session, name);
  }
  if (kind === 'training') return { node: await workerNode(session, await session.get(TRAINING, namespace, name), rank ?? 0), why: null };
  const training = await session.client.get(TRAINING, namespace, name).catch(ignoreNotFound);
  if (training) return { node: await workerNode(session, training, rank ?? 0), why: null };
  const node = await session.client.get(NODE, undefined, name).catch(ignoreNotFound);
  if (!node) throw new Error(`there is neither a training "${name}" in namespace ${namespace} nor a node of that name`);
  return { node, why: null };
}

async function workerNode({ client, namespace }: Session, { metadata, status }: VicunaTraining, rank: number): Promise<V1Node> {
  const member = status?.world?.members.find((m) => m.rank === rank);
  if (!member) throw new Error(`training "${metadata.name}" (${status?.phase ?? 'Pending'}) has no worker of rank ${rank} now`);
  const node = (await client.get(POD, namespace, member.pod)).spec?.nodeName;
  if (!node) throw new Error(`worker ${member.pod} has no node yet`);
  return client.get(NODE, undefined, node);
}

async function replicaNode(session: Session, name: string): Promise<NodeMeant> {
  const { client, namespace } = session;
  await session.get(SERVING, namespace, name);
  const labelSelector = `${SERVING_LABEL}=${name},${COMPONENT_LABEL}=engine`;
  const [{ items }, pools] = await Promise.all([client.list(POD, { namespace, labelSelector }), session.pools()]);
  const spot = new Set(pools.flatMap((p) => (p.spec.capacity === 'spot' ? [p.metadata.name ?? ''] : [])));
  const chosen = replicaToMove(items, spot);
  if (chosen === null) throw new Error(`serving "${name}" has no replica that answers now: kubectl vicuna explain vs/${name} says why`);
  return { node: await client.get(NODE, undefined, chosen.node), why: `Serving ${name}: ${chosen.why}.` };
}

/**
 * The replica whose move shows most: it answers, so that what it has begun is seen to go on elsewhere; it is on spot, which is what clouds
 * take back; and it is the longest at work, with the fullest caches. Pure.
 */
export function replicaToMove(
  pods: readonly V1Pod[],
  spotPools: ReadonlySet<string>,
): { readonly node: string; readonly why: string } | null {
  const answering = pods.flatMap(({ metadata, spec, status }) => {
    const ready = status?.conditions?.find((c) => c.type === 'Ready' && c.status === 'True');
    if (ready === undefined || spec?.nodeName === undefined || metadata?.deletionTimestamp !== undefined) return [];
    const isSpot = spotPools.has(metadata?.labels?.[POOL_LABEL] ?? '');
    return [{ pod: metadata?.name ?? '', node: spec.nodeName, isSpot, since: new Date(ready.lastTransitionTime ?? 0).getTime() }];
  });
  const [first] = answering.toSorted((a, b) => Number(b.isSpot) - Number(a.isSpot) || a.since - b.since || a.pod.localeCompare(b.pod));
  if (first === undefined) return null;
  const which = `${first.isSpot ? 'on spot' : 'on demand, since none is on spot'}, and there the longest at work`;
  return { node: first.node, why: `replica ${first.pod} on node ${first.node}, of ${answering.length} that answer (${which})` };
}
