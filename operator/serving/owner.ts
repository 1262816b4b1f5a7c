import type { V1OwnerReference } from '@kubernetes/client-node';
import { API_VERSION } from '../api/meta.ts';
import type { VicunaServing } from '../api/vicuna-serving.ts';
import { HOME_LABEL, MANAGED_BY, OPERATOR, OWNER_UID_LABEL, SERVING_LABEL } from '../pods/labels.ts';

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

/**
 * Metadata of an object of a serving. In another cluster, where an owner would be taken for deleted, labels say whose it is: `home` is the
 * uid of the operator's own; null = it is in the own one.
 */
export function metadataOf(
  serving: VicunaServing,
  name: string,
  labels: Readonly<Record<string, string>> = {},
  home: string | null = null,
) {
  return {
    name,
    namespace: serving.metadata.namespace ?? 'default',
    labels: { [MANAGED_BY]: OPERATOR, [SERVING_LABEL]: serving.metadata.name ?? '', ...labels, ...awayLabels(serving, home) },
    ...(home === null ? { ownerReferences: [ownerOf(serving)] } : {}),
  };
}

/** Labels by which what is in another cluster is known to be this serving's. */
export function awayLabels({ metadata }: VicunaServing, home: string | null): Record<string, string> {
  return home === null ? {} : { [HOME_LABEL]: home, [OWNER_UID_LABEL]: metadata.uid ?? '' };
}
