import type { V1OwnerReference } from '@kubernetes/client-node';
import { API_VERSION } from '../api/meta.ts';
import type { VicunaServing } from '../api/vicuna-serving.ts';
import { MANAGED_BY, OPERATOR, SERVING_LABEL } from '../pods/labels.ts';

/** Ties what is made for a serving to it: it is removed with it. */
export function ownerOf({ metadata }: VicunaServing): V1OwnerReference {
  return {
    apiVersion: API_VERSION,
    kind: 'VicunaServing',
    name: metadata.name ?? '',
    uid: metadata.uid ?? '',
    controller: true,
    blockOwnerDeletion: true,
  };
}

/** Metadata of an object of a serving. */
export function metadataOf(serving: VicunaServing, name: string, labels: Readonly<Record<string, string>> = {}) {
  return {
    name,
    namespace: serving.metadata.namespace ?? 'default',
    labels: { [MANAGED_BY]: OPERATOR, [SERVING_LABEL]: serving.metadata.name ?? '', ...labels },
    ownerReferences: [ownerOf(serving)],
  };
}
