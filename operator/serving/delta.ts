import { createHash } from 'node:crypto';
import type { V1Container, V1VolumeMount } from '@kubernetes/client-node';
import type { ServedModel, VicunaServing } from '../api/vicuna-serving.ts';
import { workerUri } from '../pods/claims.ts';
import { CONTAINER_SECURITY } from '../pods/restricted.ts';
import { type Track, WEIGHTS_DIRECTORY } from './names.ts';

/** A model that is published as its difference from another: what each pod does before its engines start. */
export interface DeltaSource {
  readonly base: string;
  readonly delta: string;
  /** With the release tool. */
  readonly image: string;
  /** Where the restored model lies then. */
  readonly directory: string;
}

/** The weights that a model's track starts from, and the delta that is added to them first, or null. */
export function sourceOf(model: ServedModel, track: Track, ownImage: string): { weights: string; delta: DeltaSource | null } {
  const canary = track === 'canary' ? model.canary : undefined;
  const weights = canary?.weights ?? model.weights;
  // Weights of the canary's own are whole, unless it says otherwise.
  const delta = canary?.delta ?? (canary?.weights === undefined ? model.delta : undefined);
  if (delta === undefined) return { weights, delta: null };
  const name = createHash('sha256')
    .update(JSON.stringify([weights, delta.uri]))
    .digest('hex')
    .slice(0, 16);
  return {
    weights,
    delta: { base: weights, delta: delta.uri, image: delta.image ?? ownImage, directory: `${WEIGHTS_DIRECTORY}/restored/${name}` },
  };
}

/**
 * Restores one model. What an interrupted one has finished is kept, and a model that is there complete, in a cache on the node, is left as
 * it is; every checksum is compared, so that an engine starts with the very model that was published or not at all.
 */
export function applyDelta(serving: VicunaServing, source: DeltaSource, number: number, mounts: readonly V1VolumeMount[]): V1Container {
  return {
    name: `apply-delta-${number}`,
    image: source.image,
    command: ['python3', '-m', 'vicuna_trainer.release', 'apply'],
    args: ['--base', workerUri(source.base), '--delta', workerUri(source.delta), '--output', `file://${source.directory}`].map((arg) =>
      arg.replaceAll('$(', '$$('),
    ),
    env: [
      { name: 'HOME', value: '/tmp' },
      { name: 'USER', value: 'vicuna' },
      { name: 'HF_HOME', value: WEIGHTS_DIRECTORY },
    ],
    envFrom: serving.spec.credentials.map(({ name }) => ({ secretRef: { name } })),
    securityContext: CONTAINER_SECURITY,
    terminationMessagePolicy: 'FallbackToLogsOnError',
    // As measured, with room for an object store's buffers; a 13B model takes minutes of one core.
    resources: { requests: { cpu: '500m', memory: '512Mi' } },
    volumeMounts: [{ name: 'tmp', mountPath: '/tmp' }, { name: 'weights', mountPath: WEIGHTS_DIRECTORY }, ...mounts],
  };
}
