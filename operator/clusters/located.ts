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

/** An object of a remote cluster as the caches keep it: it names where it is. */
export function located<T extends { metadata?: { labels?: Record<string, string> } }>(cluster: string, object: T): T {
  const { metadata } = object;
  return { ...object, metadata: { ...metadata, labels: { ...metadata?.labels, [CLUSTER_LABEL]: cluster } } };
}

/** A pod of a remote cluster as the caches keep it: and its node's name cannot be mistaken. */
export function locatedPod(cluster: string, pod: V1Pod): V1Pod {
  const { spec } = pod;
  return {
    ...located(cluster, pod),
    spec: { containers: [], ...spec, ...(spec?.nodeName ? { nodeName: nodeIn(cluster, spec.nodeName) } : {}) },
  };
}

/** A node of a remote cluster as others see it. */
export function locatedNode(cluster: string, node: V1Node): V1Node {
  const there = located(cluster, node);
  return { ...there, metadata: { ...there.metadata, name: nodeIn(cluster, node.metadata?.name ?? '') } };
}
