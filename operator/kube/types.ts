import type { CoreV1Event, V1CustomResourceDefinition, V1Lease, V1Node, V1Pod, V1Secret, V1TokenReview } from '@kubernetes/client-node';

/** What every Kubernetes object has. Times are strings here: objects are the API's own JSON, not converted. */
export interface KubeObject {
  apiVersion?: string;
  kind?: string;
  metadata?: object;
}

export interface Metadata {
  name?: string;
  namespace?: string;
  uid?: string;
  resourceVersion?: string;
}

/** Where a kind lives in the API, and the TypeScript type of its objects. */
export interface ResourceType<T extends KubeObject> {
  readonly group: string;
  readonly version: string;
  readonly kind: string;
  readonly plural: string;
  readonly namespaced: boolean;
  /** Carries T; never set. */
  readonly _object?: T;
}

export const POD: ResourceType<V1Pod> = { group: '', version: 'v1', kind: 'Pod', plural: 'pods', namespaced: true };
export const NODE: ResourceType<V1Node> = { group: '', version: 'v1', kind: 'Node', plural: 'nodes', namespaced: false };
export const SECRET: ResourceType<V1Secret> = { group: '', version: 'v1', kind: 'Secret', plural: 'secrets', namespaced: true };
export const EVENT: ResourceType<CoreV1Event> = { group: '', version: 'v1', kind: 'Event', plural: 'events', namespaced: true };
export const LEASE: ResourceType<V1Lease> = {
  group: 'coordination.k8s.io',
  version: 'v1',
  kind: 'Lease',
  plural: 'leases',
  namespaced: true,
};
export const TOKEN_REVIEW: ResourceType<V1TokenReview> = {
  group: 'authentication.k8s.io',
  version: 'v1',
  kind: 'TokenReview',
  plural: 'tokenreviews',
  namespaced: false,
};
export const CUSTOM_RESOURCE_DEFINITION: ResourceType<V1CustomResourceDefinition> = {
  group: 'apiextensions.k8s.io',
  version: 'v1',
  kind: 'CustomResourceDefinition',
  plural: 'customresourcedefinitions',
  namespaced: false,
};

export function metadataOf(object: KubeObject): Metadata {
  return (object.metadata ?? {}) as Metadata;
}

export function apiVersionOf(type: ResourceType<KubeObject>): string {
  return type.group === '' ? type.version : `${type.group}/${type.version}`;
}

/** Path of the collection, or of one object in it. */
export function pathOf(type: ResourceType<KubeObject>, namespace?: string, name?: string, subresource?: string): string {
  const root = type.group === '' ? `/api/${type.version}` : `/apis/${type.group}/${type.version}`;
  const scope = type.namespaced && namespace !== undefined ? `/namespaces/${encodeURIComponent(namespace)}` : '';
  const object = name === undefined ? '' : `/${encodeURIComponent(name)}`;
  return `${root}${scope}/${type.plural}${object}${subresource === undefined ? '' : `/${subresource}`}`;
}
