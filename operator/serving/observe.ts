import type { V1Deployment, V1Node, V1Pod } from '@kubernetes/client-node';
import { interruptionIn } from '../clusters/lost.ts';
import { POOL_LABEL } from '../pods/labels.ts';
import { startProblem, unschedulable } from '../pods/problems.ts';
import { DELETION_COST, GATEWAY_CONTAINER, HOLDS_PREFIX, MODEL_LABEL, ROUTABLE_GATE, TRACK_LABEL, type Track } from './names.ts';
import { ENGINE_CONTAINER } from './replica-deployment.ts';
import type { ExistingDeployment, GatewayCopy, Replica } from './state.ts';

/** Reduces a replica's pod and its node to what the plan needs to know. */
export function observeReplica(
  pod: V1Pod,
  node: V1Node | undefined,
  now: number,
  { counted, neighbours = 0, lostSince = null }: { counted: boolean; neighbours?: number; lostSince?: number | null },
): Replica {
  const { metadata, spec, status } = pod;
  const labels = metadata?.labels ?? {};
  const condition = (type: string) => status?.conditions?.find((c) => c.type === type);
  const ready = condition('Ready');
  const gate = condition(ROUTABLE_GATE);
  const interruption = interruptionIn(pod, node, lostSince, now);
  return {
    name: metadata?.name ?? '',
    uid: metadata?.uid ?? '',
    model: labels[MODEL_LABEL] ?? '',
    models: modelsOf(labels),
    gpus: gpusOf(pod),
    track: trackOf(labels),
    pool: labels[POOL_LABEL] ?? '',
    node: spec?.nodeName ?? null,
    createdAt: new Date(metadata?.creationTimestamp ?? now).getTime(),
    readyAt: ready?.status === 'True' ? new Date(ready.lastTransitionTime ?? now).getTime() : null,
    routable: gate?.status === 'True',
    gateKnown: gate !== undefined,
    ending: metadata?.deletionTimestamp !== undefined || status?.phase === 'Succeeded' || status?.phase === 'Failed',
    interruption: ofItsNode(interruption),
    advised: interruption?.advisory ?? false,
    neighbours,
    deletionCost: Number(metadata?.annotations?.[DELETION_COST] ?? 0),
    unschedulable: unschedulable(pod),
    startProblem: startProblem(pod, ENGINE_CONTAINER),
    counted,
  };
}

/** A group's pod has a label for each of its models. */
function modelsOf(labels: Readonly<Record<string, string>>): string[] {
  const held = Object.keys(labels).flatMap((key) => (key.startsWith(HOLDS_PREFIX) ? [key.slice(HOLDS_PREFIX.length)] : []));
  return held.length > 0 ? held : [labels[MODEL_LABEL] ?? ''];
}

/** Extended resources have a domain in their names. */
function gpusOf(pod: V1Pod): number {
  const limits = pod.spec?.containers.find((c) => c.name === ENGINE_CONTAINER)?.resources?.limits ?? {};
  return Object.entries(limits).reduce((sum, [name, count]) => (name.includes('/') ? sum + Number(count) : sum), 0);
}

/** That a pod is being deleted is mostly our own doing, or its Deployment's; and nothing need be done yet on a mere advice. */
function ofItsNode(interruption: Replica['interruption']): Replica['interruption'] {
  if (interruption === null || interruption.advisory) return null;
  return interruption.source === 'pod-deleted' || interruption.source === 'pod-force-deleted' ? null : interruption;
}

export function observeGateway(pod: V1Pod, node: V1Node | undefined, now: number): GatewayCopy {
  const { name, uid, readyAt, ending, interruption } = observeReplica(pod, node, now, { counted: true });
  return { name, uid, ready: readyAt !== null, startProblem: startProblem(pod, GATEWAY_CONTAINER), ending, interruption };
}

export function observeDeployment(deployment: V1Deployment): ExistingDeployment {
  const labels = deployment.metadata?.labels ?? {};
  return {
    name: deployment.metadata?.name ?? '',
    model: labels[MODEL_LABEL] ?? '',
    track: trackOf(labels),
    pool: labels[POOL_LABEL] ?? '',
    replicas: deployment.spec?.replicas ?? 0,
  };
}

function trackOf(labels: Readonly<Record<string, string>>): Track {
  return labels[TRACK_LABEL] === 'canary' ? 'canary' : 'stable';
}
