import type {
  CoreV1Event,
  V1ConfigMap,
  V1CustomResourceDefinition,
  V1Deployment,
  V1EndpointSlice,
  V1Lease,
  V1Namespace,
  V1Node,
  V1Pod,
  V1PodDisruptionBudget,
  V1Role,
  V1RoleBinding,
  V1Secret,
  V1Service,
  V1ServiceAccount,
  V1TokenReview,
} from '@kubernetes/client-node';

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
export const NAMESPACE: ResourceType<V1Namespace> = {
  group: '',
  version: 'v1',
  kind: 'Namespace',
  plural: 'namespaces',
  namespaced: false,
};
export const SECRET: ResourceType<V1Secret> = { group: '', version: 'v1', kind: 'Secret', plural: 'secrets', namespaced: true };
export const EVENT: ResourceType<CoreV1Event> = { group: '', version: 'v1', kind: 'Event', plural: 'events', namespaced: true };
export const LEASE: ResourceType<V1Lease> = {
  group: 'coordination.k8s.io',
  version: 'v1',
  kind: 'Lease',
  plural: 'leases',
  namespaced: true,
};
const namespaced = <T extends KubeObject>(group: string, kind: string, plural: string): ResourceType<T> => ({
  group,
  version: 'v1',
  kind,
  plural,
  namespaced: true,
});
export const DEPLOYMENT = namespaced<V1Deployment>('apps', 'Deployment', 'deployments');
export const SERVICE = namespaced<V1Service>('', 'Service', 'services');
export const ENDPOINT_SLICE = namespaced<V1EndpointSlice>('discovery.k8s.io', 'EndpointSlice', 'endpointslices');
export const CONFIG_MAP = namespaced<V1ConfigMap>('', 'ConfigMap', 'configmaps');
export const SERVICE_ACCOUNT = namespaced<V1ServiceAccount>('', 'ServiceAccount', 'serviceaccounts');
export const ROLE = namespaced<V1Role>('rbac.authorization.k8s.io', 'Role', 'roles');
export const ROLE_BINDING = namespaced<V1RoleBinding>('rbac.authorization.k8s.io', 'RoleBinding', 'rolebindings');
export const POD_DISRUPTION_BUDGET = namespaced<V1PodDisruptionBudget>('policy', 'PodDisruptionBudget', 'poddisruptionbudgets');
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
