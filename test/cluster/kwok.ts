import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import type { V1Node } from '@kubernetes/client-node';
import { isNotFound, type KubeClient } from '../../operator/kube/client.ts';
import { NODE } from '../../operator/kube/types.ts';
import type { ControlPlane } from './control-plane.ts';
import { freePorts } from './control-plane.ts';
import { type Daemon, endAll, startDaemon, until } from './run.ts';
import { ensureTools } from './tools.ts';

export interface KwokNodes {
  readonly names: readonly string[];
  stop(): Promise<void>;
}

/** Nodes without machines: kwok answers for their kubelets, pods on them run at once. For tests of scale. */
export async function startKwokNodes(
  controlPlane: Pick<ControlPlane, 'kubeconfig' | 'directory'>,
  client: KubeClient,
  { count, gpus, labels }: { count: number; gpus: number; labels: Record<string, string> },
): Promise<KwokNodes> {
  const tools = await ensureTools(['kwok']);
  const [port = 0] = await freePorts(1);
  const names = Array.from({ length: count }, (_, i) => `kwok-${String(i).padStart(4, '0')}`);
  await Promise.all(names.map((name) => client.create(NODE, kwokNode(name, gpus, labels))));
  const stagesFile = join(controlPlane.directory, 'kwok-stages.yaml');
  writeFileSync(stagesFile, STAGES);
  const args = [
    `--kubeconfig=${controlPlane.kubeconfig}`,
    '--manage-all-nodes=true',
    '--cidr=10.0.0.1/16',
    `--server-address=127.0.0.1:${port}`,
    '--node-lease-duration-seconds=200',
    '--enable-crds=',
    `--config=${stagesFile}`,
  ];
  const daemon: Daemon = startDaemon('kwok', tools.kwok, args, join(controlPlane.directory, 'kwok.log'));
  await until('kwok nodes ready', 60_000, async () => {
    const { items } = await client.list(NODE);
    return items.length >= count && items.every((n) => n.status?.conditions?.some((c) => c.type === 'Ready' && c.status === 'True'));
  });
  const stop = async () => {
    await endAll([daemon.pid], 2_000);
    await Promise.all(names.map((name) => client.delete(NODE, undefined, name, { gracePeriodSeconds: 0 }).catch(ignoreNotFound)));
  };
  return { names, stop };
}

/** A test may have taken nodes away. */
function ignoreNotFound(error: unknown): void {
  if (!isNotFound(error)) throw error;
}

/**
 * What happens to nodes and pods, without delay: nodes get ready, pods run with an address, deleted pods go. Kubelets do not wait for
 * each other: with kwok's usual 4 at a time, pods would wait for it, and not for what is measured.
 */
const STAGES = `apiVersion: config.kwok.x-k8s.io/v1alpha1
kind: KwokConfiguration
options: { nodeLeaseParallelism: 4, nodePlayStageParallelism: 4, podPlayStageParallelism: 64 }
---
apiVersion: kwok.x-k8s.io/v1alpha1
kind: Stage
metadata: { name: node-ready }
spec:
  resourceRef: { apiGroup: v1, kind: Node }
  selector:
    matchExpressions:
      - { key: '.status.conditions.[] | select( .type == "Ready" ) | .status', operator: NotIn, values: ["True"] }
  next:
    statusTemplate: |
      conditions:
      - { type: Ready, status: "True", reason: KubeletReady, message: ready, lastHeartbeatTime: {{ Now | Quote }}, lastTransitionTime: {{ Now | Quote }} }
---
apiVersion: kwok.x-k8s.io/v1alpha1
kind: Stage
metadata: { name: pod-running }
spec:
  resourceRef: { apiGroup: v1, kind: Pod }
  selector:
    matchExpressions:
      - { key: .metadata.deletionTimestamp, operator: DoesNotExist }
      - { key: .status.phase, operator: In, values: [Pending] }
  next:
    statusTemplate: |
      phase: Running
      startTime: {{ Now | Quote }}
      podIP: {{ index ( PodIPsWith .spec.nodeName false .metadata.uid .metadata.name .metadata.namespace ) 0 | Quote }}
      conditions:
      - { type: Ready, status: "True", lastTransitionTime: {{ Now | Quote }} }
      containerStatuses:
      {{ range .spec.containers }}
      - { name: {{ .name | Quote }}, image: {{ .image | Quote }}, imageID: "", ready: true, restartCount: 0, state: { running: { startedAt: {{ Now | Quote }} } } }
      {{ end }}
---
apiVersion: kwok.x-k8s.io/v1alpha1
kind: Stage
metadata: { name: pod-deleted }
spec:
  resourceRef: { apiGroup: v1, kind: Pod }
  selector:
    matchExpressions:
      - { key: .metadata.deletionTimestamp, operator: Exists }
  next: { delete: true }
`;

function kwokNode(name: string, gpus: number, labels: Record<string, string>): V1Node {
  const capacity = { cpu: '64', memory: '256Gi', pods: '110', 'nvidia.com/gpu': String(gpus) };
  return {
    metadata: { name, labels: { ...labels, 'kubernetes.io/hostname': name, type: 'kwok' }, annotations: { 'kwok.x-k8s.io/node': 'fake' } },
    status: { allocatable: capacity, capacity },
  };
}
