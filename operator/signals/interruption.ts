import type { V1Node, V1Pod } from '@kubernetes/client-node';
import { type Effect, type InterruptionCause, NODE_NOTICES, POD_NOTICES, type Sign } from './notices.ts';

export type { InterruptionCause } from './notices.ts';

/** A sign that a node or pod is going, or gone. */
export interface Interruption {
  readonly cause: InterruptionCause;
  /** Row of the table of notices that it comes from. */
  readonly source: string;
  readonly node?: string;
  readonly pod?: string;
  /** When it was announced (ms since epoch). */
  readonly noticedAt: number;
  /** When the processes will be killed, if that is known (ms since epoch). */
  readonly deadline: number | null;
  /** Nothing runs there any more, as far as anyone can tell. */
  readonly lost: boolean;
  /** It may happen soon; nothing needs to be done yet. */
  readonly advisory: boolean;
  /** One sentence for people. */
  readonly message: string;
}

/** The most urgent sign on a node, or null. */
export function interruptionOfNode(node: V1Node, now: number): Interruption | null {
  const name = node.metadata?.name ?? '';
  const found: Interruption[] = [];
  for (const notice of NODE_NOTICES) {
    for (const sign of notice.find(node, now))
      found.push({ ...describe(notice.id, notice.cause, notice.effect, notice.words, sign, `node ${name}`, now), node: name });
  }
  return mostUrgent(found);
}

/** The most urgent sign on a pod or the node it runs on, or null. A pod whose node does not exist, or no longer, is lost. */
export function interruptionOfPod(pod: V1Pod, node: V1Node | undefined, now: number): Interruption | null {
  const name = pod.metadata?.name ?? '';
  const nodeName = pod.spec?.nodeName;
  const found: Interruption[] = [];
  for (const notice of POD_NOTICES) {
    for (const sign of notice.find(pod, now))
      found.push({ ...describe(notice.id, notice.cause, notice.effect, notice.words, sign, `pod ${name}`, now), pod: name });
  }
  if (nodeName !== undefined && node === undefined) {
    const sign = { at: now, deadline: null };
    found.push({
      ...describe('node-absent', 'nodeLost', 'lost', 'is gone from the cluster', sign, `node ${nodeName}`, now),
      node: nodeName,
    });
  }
  if (node !== undefined && isNewerThanPod(node, pod)) {
    const sign = { at: now, deadline: null };
    found.push({
      ...describe('node-replaced', 'nodeLost', 'lost', 'is another machine than it was', sign, `node ${nodeName}`, now),
      node: nodeName ?? '',
    });
  }
  const ofNode = node === undefined ? null : interruptionOfNode(node, now);
  if (ofNode !== null) found.push(ofNode);
  const worst = mostUrgent(found);
  return worst === null ? null : { ...worst, pod: name, ...(nodeName === undefined ? {} : { node: nodeName }) };
}

/** Instance groups bring a machine back under its old name: what ran on the old one is gone, though its pods still look as they did. */
function isNewerThanPod(node: V1Node, pod: V1Pod): boolean {
  const made = node.metadata?.creationTimestamp;
  const bound = pod.status?.conditions?.find((c) => c.type === 'PodScheduled' && c.status === 'True')?.lastTransitionTime;
  return made !== undefined && bound !== undefined && bound !== null && new Date(made).getTime() > new Date(bound).getTime();
}

function describe(
  source: string,
  cause: InterruptionCause,
  effect: Effect,
  words: string,
  sign: Sign,
  subject: string,
  now: number,
): Interruption {
  const left = sign.deadline === null ? '' : ` in ${Math.max(0, Math.round((sign.deadline - now) / 1000))} s`;
  return {
    cause,
    source,
    noticedAt: sign.at,
    deadline: sign.deadline,
    lost: effect === 'lost',
    advisory: effect === 'advisory',
    message: `${subject} ${words}${left}`,
  };
}

/** Lost before announced before advisory; among equals the earliest deadline. */
function mostUrgent(found: readonly Interruption[]): Interruption | null {
  const weight = (i: Interruption) => (i.lost ? 0 : i.advisory ? 2 : 1);
  const deadline = (i: Interruption) => i.deadline ?? Number.POSITIVE_INFINITY;
  return found.toSorted((a, b) => weight(a) - weight(b) || deadline(a) - deadline(b))[0] ?? null;
}
