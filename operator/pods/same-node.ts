import type { V1Node } from '@kubernetes/client-node';

/** Kubelets touch their nodes all the time; only taints, readiness, capacity and deletion concern what runs on them. */
export function sameNode(a: V1Node, b: V1Node): boolean {
  return nodeFace(a) === nodeFace(b);
}

function nodeFace(node: V1Node): string {
  const conditions = (node.status?.conditions ?? []).map((c) => `${c.type}=${c.status}/${c.reason}/${c.message ?? ''}`);
  return JSON.stringify([
    node.spec?.taints,
    node.spec?.unschedulable,
    node.metadata?.deletionTimestamp,
    conditions,
    node.status?.allocatable,
  ]);
}
