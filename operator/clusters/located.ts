import type { V1Node, V1Pod } from '@kubernetes/client-node';
import { CLUSTER_LABEL } from '../pods/labels.ts';

/** A node's name, told apart from one of the same name in another cluster. */
export function nodeIn(cluster: string | null, node: string): string {
  return cluster === null ? node : `${cluster}/${node}`;
}

/** The remote cluster that an object of the caches is in; null = the operator's own. */
export function clusterOf(object: { metadata?: { labels?: Record<string, string> } }): string | null {
  return object.metadata?.labels?.[CLUSTER_LABEL] ?? null;
}

/** A pod of a remote cluster as the caches keep it: it names where it is, and its node so that it cannot be mistaken. */
export function locatedPod(cluster: string, pod: V1Pod): V1Pod {
  const { metadata, spec } = pod;
  return {
    ...pod,
    metadata: { ...metadata, labels: { ...metadata?.labels, [CLUSTER_LABEL]: cluster } },
    spec: { containers: [], ...spec, ...(spec?.nodeName ? { nodeName: nodeIn(cluster, spec.nodeName) } : {}) },
  };
}

/** A node of a remote cluster as others see it. */
export function locatedNode(cluster: string, node: V1Node): V1Node {
  const { metadata } = node;
  return {
    ...node,
    metadata: {
      ...metadata,
      name: nodeIn(cluster, metadata?.name ?? ''),
      labels: { ...metadata?.labels, [CLUSTER_LABEL]: cluster },
    },
  };
}
