import type { V1EnvVar, V1OwnerReference, V1Pod, V1PodSpec, V1Toleration } from '@kubernetes/client-node';
import type { GpuPool } from '../api/gpu-pool.ts';
import { claimVolumes } from '../pods/claims.ts';
import { MANAGED_BY, OPERATOR, POOL_LABEL } from '../pods/labels.ts';
import { CONTAINER_SECURITY, POD_SECURITY } from '../pods/restricted.ts';
import { MOUNTS, TOKEN_FILE, VOLUMES } from '../pods/worker-volumes.ts';
import { ATTEMPT_LABEL, CONTAINER } from './observe.ts';
import type { PlannedTaskPod } from './state.ts';

/** A program that is told to stop does so at the next point from which it can go on. */
const GRACE_SECONDS = 30;

/** What runs in a task's pod. */
export interface TaskProgram {
  readonly image?: string | undefined;
  /** Default: the image's own. */
  readonly command?: readonly string[];
  /** Goes into VICUNA_TASK as it is; pvc:// URIs are already paths in it. */
  readonly config: object;
  readonly env?: readonly V1EnvVar[];
  /** URIs of everything that is read or written: the claims among them are mounted. */
  readonly uris: readonly string[];
  readonly cpu?: string | number | undefined;
  readonly memory?: string | undefined;
  readonly credentials: readonly { readonly name: string }[];
  /** A PodTemplateSpec below it; `container` names its container that is the program. */
  readonly template?: Record<string, unknown> | undefined;
  readonly templateContainer?: string;
}

export interface TaskPodRequest {
  readonly planned: PlannedTaskPod;
  readonly namespace: string;
  /** What it belongs to, by label. */
  readonly label: readonly [key: string, value: string];
  readonly owner: V1OwnerReference;
  readonly pool: GpuPool | null;
  readonly program: TaskProgram;
  /** Base URL under which pods reach the operator. */
  readonly operatorUrl: string;
}

/** The pod of a task: the user's template below, what its contract needs above it. */
export function taskPod({ planned, namespace, label, owner, pool, program, operatorUrl }: TaskPodRequest): V1Pod {
  const template = (program.template ?? {}) as { metadata?: V1Pod['metadata']; spec?: Partial<V1PodSpec> };
  const spec = template.spec ?? {};
  const ownName = program.templateContainer ?? CONTAINER;
  const own = spec.containers?.find((c) => c.name === ownName);
  const others = spec.containers?.filter((c) => c.name !== ownName) ?? [];
  const claims = claimVolumes(program.uris);
  const requests = {
    ...(program.cpu ? { cpu: String(program.cpu) } : {}),
    ...(program.memory ? { memory: String(program.memory) } : {}),
  };
  const image = program.image ?? own?.image;
  return {
    apiVersion: 'v1',
    kind: 'Pod',
    metadata: {
      name: planned.name,
      namespace,
      labels: {
        ...template.metadata?.labels,
        [MANAGED_BY]: OPERATOR,
        [label[0]]: label[1],
        [ATTEMPT_LABEL]: String(planned.attempt),
        ...(pool === null ? {} : { [POOL_LABEL]: pool.metadata.name ?? '' }),
      },
      annotations: {
        // It can go on elsewhere, but what it was at is done again: the autoscalers must not take the node for tidiness' sake.
        'cluster-autoscaler.kubernetes.io/safe-to-evict': 'false',
        'karpenter.sh/do-not-disrupt': 'true',
        ...template.metadata?.annotations,
      },
      ownerReferences: [owner],
    },
    spec: {
      automountServiceAccountToken: false,
      enableServiceLinks: false,
      terminationGracePeriodSeconds: GRACE_SECONDS,
      securityContext: POD_SECURITY,
      ...spec,
      restartPolicy: 'Never',
      ...(pool === null ? {} : placedIn(pool, spec)),
      containers: [
        {
          securityContext: CONTAINER_SECURITY,
          ...own,
          name: CONTAINER,
          ...(image ? { image } : {}),
          ...(program.command ? { command: [...program.command] } : {}),
          resources: { ...own?.resources, requests: { ...requests, ...own?.resources?.requests } },
          env: [...environment(planned.name, namespace, program, operatorUrl), ...(own?.env ?? [])],
          envFrom: [...program.credentials.map(({ name }) => ({ secretRef: { name } })), ...(own?.envFrom ?? [])],
          volumeMounts: [...MOUNTS, ...claims.mounts, ...(own?.volumeMounts ?? [])],
        },
        ...others,
      ],
      volumes: [...VOLUMES, ...claims.volumes, ...(spec.volumes ?? [])],
    },
  };
}

function placedIn({ spec }: GpuPool, template: Partial<V1PodSpec>): Pick<V1PodSpec, 'nodeSelector' | 'tolerations'> {
  return {
    nodeSelector: { ...template.nodeSelector, ...spec.nodeSelector },
    tolerations: [
      { key: spec.accelerator.resourceName ?? 'nvidia.com/gpu', operator: 'Exists', effect: 'NoSchedule' },
      ...((spec.tolerations ?? []) as V1Toleration[]),
      ...(template.tolerations ?? []),
    ],
  };
}

function environment(pod: string, namespace: string, { config, env = [] }: TaskProgram, operatorUrl: string): V1EnvVar[] {
  const task = { name: `${namespace}/${pod}`, operatorUrl, tokenFile: TOKEN_FILE, config };
  return [
    // The kubelet would take "$(NAME)" for a reference, and "$$" for an escaped "$".
    { name: 'VICUNA_TASK', value: JSON.stringify(task).replaceAll('$', '\\u0024') },
    { name: 'HOME', value: '/tmp' },
    // The uid need not be in the image's passwd.
    { name: 'USER', value: 'vicuna' },
    ...env,
  ];
}
