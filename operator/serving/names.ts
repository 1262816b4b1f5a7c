import { createHash } from 'node:crypto';

export const MODEL_LABEL = 'vicuna.run/model';
/** With a model's name: on pods that answer for several models. */
export const HOLDS_PREFIX = 'holds.vicuna.run/';
export const TRACK_LABEL = 'vicuna.run/track';
export const COMPONENT_LABEL = 'app.kubernetes.io/component';
/** Read by the ReplicaSet when it must choose whom to end: the cheapest first. */
export const DELETION_COST = 'controller.kubernetes.io/pod-deletion-cost';
export const GATEWAY_CONTAINER = 'gateway';
/** Off as soon as a pod's node is about to go: then nothing new is sent there, long before the pod is told to end. */
export const ROUTABLE_GATE = 'vicuna.run/routable';

/** Two versions of a model may be served at the same time. */
export type Track = 'stable' | 'canary';

/** Name of a model's port in a pod that answers for several; a port's name has at most 15 characters, a model's has more. */
export function modelPortName(model: string): string {
  return `m-${createHash('sha256').update(model).digest('hex').slice(0, 8)}`;
}

/** Port of every engine; in a pod with several of them, of the first. */
export const ENGINE_PORT = 8000;
/** Directory of downloaded weights in every replica. */
export const WEIGHTS_DIRECTORY = '/var/cache/vicuna';
/** Ports of the gateway: OpenAI's API and the page, and what only the cluster may see. */
export const GATEWAY_PORT = 8080;
export const GATEWAY_PRIVATE_PORT = 9090;

/** Longest name of a Deployment that leaves its pods, with the ReplicaSet's hash and their own, a name of legal length. */
const LONGEST = 46;

/** Name of the Deployment of a model's track in a pool. */
export function deploymentName(serving: string, model: string, pool: string, track: Track): string {
  const whole = `${serving}-${model}-${pool.replaceAll('.', '-')}${track === 'canary' ? '-canary' : ''}`;
  if (whole.length <= LONGEST && !pool.includes('.')) return whole;
  const hash = createHash('sha256').update(`${model} ${pool} ${track}`).digest('hex').slice(0, 8);
  return `${whole.slice(0, LONGEST - 9).replace(/-+$/, '')}-${hash}`;
}

/** Name of the headless Service of a model's track, and of the model's other objects. */
export function modelObjectName(serving: string, model: string, track: Track = 'stable'): string {
  return `${serving}-${model}${track === 'canary' ? '-canary' : ''}`;
}

export function gatewayName(serving: string): string {
  return `${serving}-gateway`;
}

/** Lease that the gateway renews while requests wait for a model without replicas. */
export function demandLeaseName(serving: string, model: string): string {
  return `${serving}-${model}-demand`;
}
