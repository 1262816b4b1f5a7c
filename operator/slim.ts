import type { V1Deployment, V1Node, V1Pod } from '@kubernetes/client-node';
import { DATASET_LABEL, EVALUATION_LABEL, POOL_LABEL, RELEASE_LABEL, SERVING_LABEL, TRAINING_LABEL } from './pods/labels.ts';
import { ROUTABLE_GATE } from './serving/names.ts';
import { concerningMessage } from './signals/notices.ts';

/** A pod with one of these is ours. */
const OWN_LABELS = [TRAINING_LABEL, SERVING_LABEL, DATASET_LABEL, EVALUATION_LABEL, RELEASE_LABEL, POOL_LABEL];
const OF_WORKERS: readonly string[] = ['PodScheduled', 'DisruptionTarget'];
const OF_REPLICAS: readonly string[] = [...OF_WORKERS, 'Ready', ROUTABLE_GATE];

/**
 * What the caches keep of a pod. A cluster's pods are the operator's largest memory by far, and most of a pod is of no concern here.
 */
export function slimPod(pod: V1Pod): V1Pod {
  const { metadata, spec, status } = pod;
  const labels = metadata?.labels ?? {};
  const serves = labels[SERVING_LABEL] !== undefined;
  const ours = OWN_LABELS.some((label) => labels[label] !== undefined);
  return {
    metadata: {
      name: metadata?.name,
      namespace: metadata?.namespace,
      uid: metadata?.uid,
      resourceVersion: metadata?.resourceVersion,
      creationTimestamp: metadata?.creationTimestamp,
      ...(metadata?.deletionTimestamp
        ? { deletionTimestamp: metadata.deletionTimestamp, deletionGracePeriodSeconds: metadata.deletionGracePeriodSeconds }
        : {}),
      ...(ours
        ? {
            labels,
            ownerReferences: metadata?.ownerReferences?.map(({ apiVersion, kind, name, uid }) => ({ apiVersion, kind, name, uid })),
          }
        : {}),
    },
    spec: {
      ...(spec?.nodeName ? { nodeName: spec.nodeName } : {}),
      containers: (spec?.containers ?? [])
        .filter((c) => c.resources?.limits || c.resources?.requests)
        .map((c) => ({ name: c.name, resources: c.resources })),
    },
    status: {
      phase: status?.phase,
      ...(status?.reason ? { reason: status.reason } : {}),
      ...(ours
        ? {
            podIP: status?.podIP,
            conditions: status?.conditions?.filter((c) => (serves ? OF_REPLICAS : OF_WORKERS).includes(c.type)),
            containerStatuses: status?.containerStatuses?.map(({ name, state }) => ({ name, state })),
          }
        : {}),
    },
  } as V1Pod;
}

/** What the caches keep of a node: no images, no addresses, no annotations. */
export function slimNode(node: V1Node): V1Node {
  const { metadata, spec, status } = node;
  return {
    metadata: {
      name: metadata?.name,
      uid: metadata?.uid,
      resourceVersion: metadata?.resourceVersion,
      labels: metadata?.labels,
      creationTimestamp: metadata?.creationTimestamp,
      ...(metadata?.deletionTimestamp ? { deletionTimestamp: metadata.deletionTimestamp } : {}),
      // When its taints were written: taints other than NoExecute carry no time of their own.
      managedFields: metadata?.managedFields
        ?.filter((f) => JSON.stringify(f.fieldsV1 ?? {}).includes('f:taints'))
        .map(({ time }) => ({ time, fieldsV1: { 'f:taints': {} } })),
    },
    spec: { taints: spec?.taints, unschedulable: spec?.unschedulable },
    status: {
      allocatable: status?.allocatable,
      conditions: status?.conditions?.map(({ type, status: value, reason, message, lastTransitionTime }) => ({
        type,
        status: value,
        reason,
        // Some say only in words what will happen to the node, and when.
        message: concerningMessage({ type, status: value, message: message ?? '' }),
        lastTransitionTime,
      })),
    },
  } as V1Node;
}

/** What the caches keep of a Deployment: whose it is, and how many replicas it has. */
export function slimDeployment({ metadata, spec }: V1Deployment): V1Deployment {
  return {
    metadata: {
      name: metadata?.name,
      namespace: metadata?.namespace,
      uid: metadata?.uid,
      resourceVersion: metadata?.resourceVersion,
      labels: metadata?.labels,
      annotations: metadata?.annotations,
    },
    spec: { replicas: spec?.replicas },
  } as V1Deployment;
}

/** Who owns which field takes more room than the fields. The API server keeps it when an update leaves it out. */
export function withoutManagedFields<T extends { metadata: object }>(object: T): T {
  return { ...object, metadata: { ...object.metadata, managedFields: undefined } };
}
