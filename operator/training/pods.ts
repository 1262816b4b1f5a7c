import type { V1EnvVar, V1Pod, V1PodSpec, V1Toleration, V1Volume, V1VolumeMount } from '@kubernetes/client-node';
import { durationSeconds } from '../api/duration.ts';
import type { GpuPool } from '../api/gpu-pool.ts';
import type { VicunaTraining } from '../api/vicuna-training.ts';
import { resolveRecipe } from './recipe.ts';

export const TRAINING_LABEL = 'vicuna.run/training';
export const GENERATION_LABEL = 'vicuna.run/generation';
export const RANK_LABEL = 'vicuna.run/rank';
export const POOL_LABEL = 'vicuna.run/pool';
export const CONTAINER = 'trainer';
export const TOKEN_AUDIENCE = 'vicuna.run';
const TOKEN_DIRECTORY = '/var/run/secrets/vicuna.run';
const QUEUE_LABEL = 'kueue.x-k8s.io/queue-name';

export interface WorkerPodRequest {
  readonly training: VicunaTraining;
  readonly name: string;
  readonly generation: number;
  readonly rank: number;
  readonly pool: GpuPool;
  readonly datasetUri: string;
  /** Base URL under which pods reach the operator. */
  readonly operatorUrl: string;
}

export function workerPodName(training: string, generation: number, rank: number): string {
  return `${training}-g${generation}-${rank}`;
}

/** GPUs that the worker takes on its node. */
export function gpusPerWorker(training: VicunaTraining): number {
  return training.spec.workers.gpusPerWorker;
}

/** The pod of one worker: the user's template below, what the contract with the supervisor needs above it. */
export function workerPod(request: WorkerPodRequest): V1Pod {
  const { training, pool } = request;
  const { workers } = training.spec;
  const template = (workers.template ?? {}) as { metadata?: V1Pod['metadata']; spec?: Partial<V1PodSpec> };
  const templateSpec = template.spec ?? {};
  const [own = { name: CONTAINER }, others] = splitContainers(templateSpec.containers ?? []);
  const queue = training.metadata.labels?.[QUEUE_LABEL];
  const resources = workerResources(training, pool);
  return {
    apiVersion: 'v1',
    kind: 'Pod',
    metadata: {
      name: request.name,
      namespace: training.metadata.namespace ?? 'default',
      labels: {
        ...template.metadata?.labels,
        'app.kubernetes.io/managed-by': 'vicuna-operator',
        [TRAINING_LABEL]: training.metadata.name ?? '',
        [GENERATION_LABEL]: String(request.generation),
        [RANK_LABEL]: String(request.rank),
        [POOL_LABEL]: pool.metadata.name ?? '',
        ...(queue ? { [QUEUE_LABEL]: queue } : {}),
      },
      annotations: {
        // A worker that is moved by a scale-down saves first; the autoscalers must ask before they take the node for tidiness' sake.
        'cluster-autoscaler.kubernetes.io/safe-to-evict': 'false',
        'karpenter.sh/do-not-disrupt': 'true',
        ...template.metadata?.annotations,
      },
      ownerReferences: [
        {
          apiVersion: 'vicuna.run/v1alpha1',
          kind: 'VicunaTraining',
          name: training.metadata.name ?? '',
          uid: training.metadata.uid ?? '',
          controller: true,
          blockOwnerDeletion: true,
        },
      ],
    },
    spec: {
      automountServiceAccountToken: false,
      enableServiceLinks: false,
      terminationGracePeriodSeconds: Math.max(30, durationSeconds(pool.spec.notice ?? '30s')),
      securityContext: { runAsNonRoot: true, runAsUser: 1000, runAsGroup: 1000, fsGroup: 1000, seccompProfile: { type: 'RuntimeDefault' } },
      ...(training.spec.priorityClassName ? { priorityClassName: training.spec.priorityClassName } : {}),
      ...templateSpec,
      restartPolicy: 'Never',
      nodeSelector: { ...templateSpec.nodeSelector, ...pool.spec.nodeSelector },
      tolerations: [
        { key: pool.spec.accelerator.resourceName ?? 'nvidia.com/gpu', operator: 'Exists', effect: 'NoSchedule' },
        ...((pool.spec.tolerations ?? []) as V1Toleration[]),
        ...(templateSpec.tolerations ?? []),
      ],
      containers: [
        {
          command: ['python3', '-m', 'vicuna_trainer.supervisor'],
          securityContext: {
            allowPrivilegeEscalation: false,
            readOnlyRootFilesystem: true,
            capabilities: { drop: ['ALL'] },
          },
          ...own,
          name: CONTAINER,
          ...(workers.image ? { image: workers.image } : {}),
          resources: {
            ...own.resources,
            requests: { ...resources, ...own.resources?.requests },
            limits: { ...gpusOnly(resources, pool), ...own.resources?.limits },
          },
          env: [...environment(request), ...(own.env ?? [])],
          envFrom: [...(training.spec.credentials ?? []).map(({ name }) => ({ secretRef: { name } })), ...(own.envFrom ?? [])],
          volumeMounts: [...MOUNTS, ...(own.volumeMounts ?? [])],
        },
        ...others,
      ],
      volumes: [...VOLUMES, ...(templateSpec.volumes ?? [])],
    },
  };
}

type Container = V1PodSpec['containers'][number];

function splitContainers(containers: Container[]): [Container | undefined, Container[]] {
  return [containers.find((c) => c.name === CONTAINER), containers.filter((c) => c.name !== CONTAINER)];
}

function workerResources(training: VicunaTraining, pool: GpuPool): Record<string, string> {
  const { workers } = training.spec;
  const gpus = gpusPerWorker(training);
  return {
    ...(gpus > 0 ? { [pool.spec.accelerator.resourceName ?? 'nvidia.com/gpu']: String(gpus) } : {}),
    ...(workers.cpu ? { cpu: String(workers.cpu) } : {}),
    ...(workers.memory ? { memory: String(workers.memory) } : {}),
  };
}

/** Extended resources need limit = request; CPU and memory stay burstable unless the template limits them. */
function gpusOnly(resources: Record<string, string>, pool: GpuPool): Record<string, string> {
  const name = pool.spec.accelerator.resourceName ?? 'nvidia.com/gpu';
  const gpus = resources[name];
  return gpus === undefined ? {} : { [name]: gpus };
}

function environment(request: WorkerPodRequest): V1EnvVar[] {
  const { training, datasetUri, operatorUrl } = request;
  const { spec } = training;
  const config = {
    model: spec.model,
    dataset: { uri: datasetUri },
    recipe: resolveRecipe(training),
    checkpoint: { storage: spec.checkpoint.storage, keep: spec.checkpoint.keep },
  };
  const field = (fieldPath: string): V1EnvVar['valueFrom'] => ({ fieldRef: { fieldPath } });
  return [
    { name: 'VICUNA_TRAINING', value: `${training.metadata.namespace}/${training.metadata.name}` },
    { name: 'VICUNA_OPERATOR_URL', value: operatorUrl },
    { name: 'VICUNA_TOKEN_FILE', value: `${TOKEN_DIRECTORY}/token` },
    { name: 'VICUNA_POD_NAME', valueFrom: field('metadata.name') as NonNullable<V1EnvVar['valueFrom']> },
    { name: 'VICUNA_POD_IP', valueFrom: field('status.podIP') as NonNullable<V1EnvVar['valueFrom']> },
    { name: 'VICUNA_PROCESSES', value: String(Math.max(1, gpusPerWorker(training))) },
    { name: 'VICUNA_CONFIG', value: JSON.stringify(config) },
    ...(spec.workers.command ? [{ name: 'VICUNA_COMMAND', value: JSON.stringify(spec.workers.command) }] : []),
    { name: 'HOME', value: '/tmp' },
    // PyTorch asks for the user's name, and the uid need not be in the image's passwd.
    { name: 'USER', value: 'vicuna' },
  ];
}

const MOUNTS: V1VolumeMount[] = [
  { name: 'vicuna-token', mountPath: TOKEN_DIRECTORY, readOnly: true },
  { name: 'tmp', mountPath: '/tmp' },
];

const VOLUMES: V1Volume[] = [
  {
    name: 'vicuna-token',
    projected: { sources: [{ serviceAccountToken: { audience: TOKEN_AUDIENCE, expirationSeconds: 3600, path: 'token' } }] },
  },
  { name: 'tmp', emptyDir: {} },
];
