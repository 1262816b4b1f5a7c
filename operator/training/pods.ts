import type { V1EnvVar, V1Pod, V1PodSpec, V1Toleration } from '@kubernetes/client-node';
import { durationSeconds } from '../api/duration.ts';
import type { GpuPool } from '../api/gpu-pool.ts';
import type { VicunaTraining } from '../api/vicuna-training.ts';
import { claimVolumes, workerUri } from '../pods/claims.ts';
import { HOME_LABEL, MANAGED_BY, OPERATOR, OWNER_UID_LABEL, POOL_LABEL, TRAINING_LABEL } from '../pods/labels.ts';
import { CONTAINER_SECURITY, POD_SECURITY } from '../pods/restricted.ts';
import { MOUNTS, TOKEN_FILE, VOLUMES } from '../pods/worker-volumes.ts';
import { resolveRecipe } from './recipe.ts';

export const GENERATION_LABEL = 'vicuna.run/generation';
export const RANK_LABEL = 'vicuna.run/rank';
export const CONTAINER = 'trainer';
const QUEUE_LABEL = 'kueue.x-k8s.io/queue-name';

export interface WorkerPodRequest {
  readonly training: VicunaTraining;
  readonly name: string;
  readonly generation: number;
  readonly rank: number;
  readonly pool: GpuPool;
  /** Name of the PodGroup that the pod is scheduled with, or null. */
  readonly group: string | null;
  /** Base URL under which pods reach the operator. */
  readonly operatorUrl: string;
  /** Uid of the operator's own cluster, for a pod in another one; null = it is in the own one. */
  readonly home: string | null;
}

/** Name of the group of the pods that a generation adds. */
export function podGroupName(training: string, generation: number): string {
  return `${training}-g${generation}`;
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
  const { model, checkpoint } = training.spec;
  const { uri, validation } = datasetOf(training);
  const claims = claimVolumes([model.base, model.tokenizer ?? '', uri, validation?.uri ?? '', checkpoint.storage]);
  return {
    apiVersion: 'v1',
    kind: 'Pod',
    metadata: {
      name: request.name,
      namespace: training.metadata.namespace ?? 'default',
      labels: {
        ...template.metadata?.labels,
        [MANAGED_BY]: OPERATOR,
        [TRAINING_LABEL]: training.metadata.name ?? '',
        [GENERATION_LABEL]: String(request.generation),
        [RANK_LABEL]: String(request.rank),
        [POOL_LABEL]: pool.metadata.name ?? '',
        ...(queue ? { [QUEUE_LABEL]: queue } : {}),
        ...(request.home === null ? {} : { [HOME_LABEL]: request.home, [OWNER_UID_LABEL]: training.metadata.uid ?? '' }),
      },
      annotations: {
        // A worker that is moved by a scale-down saves first; the autoscalers must ask before they take the node for tidiness' sake.
        'cluster-autoscaler.kubernetes.io/safe-to-evict': 'false',
        'karpenter.sh/do-not-disrupt': 'true',
        ...template.metadata?.annotations,
      },
      // An owner that is not in the same cluster would be taken for deleted.
      ...(request.home === null ? { ownerReferences: [ownerOf(training)] } : {}),
    },
    spec: {
      automountServiceAccountToken: false,
      enableServiceLinks: false,
      terminationGracePeriodSeconds: Math.max(30, durationSeconds(pool.spec.notice ?? '30s')),
      securityContext: POD_SECURITY,
      ...(training.spec.priorityClassName ? { priorityClassName: training.spec.priorityClassName } : {}),
      ...(request.group === null ? {} : { schedulingGroup: { podGroupName: request.group } }),
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
          securityContext: CONTAINER_SECURITY,
          ...own,
          name: CONTAINER,
          ...(workers.image ? { image: workers.image } : {}),
          resources: {
            ...own.resources,
            requests: { ...resources, ...own.resources?.requests },
            limits: { ...gpusOnly(resources, pool), ...own.resources?.limits },
          },
          env: [...environment(request, own.env ?? []), ...(own.env ?? [])],
          envFrom: [...(training.spec.credentials ?? []).map(({ name }) => ({ secretRef: { name } })), ...(own.envFrom ?? [])],
          volumeMounts: [...MOUNTS, ...claims.mounts, ...(own.volumeMounts ?? [])],
        },
        ...others,
      ],
      volumes: [...VOLUMES, ...claims.volumes, ...(templateSpec.volumes ?? [])],
    },
  };
}

interface TrainedOn {
  readonly uri: string;
  readonly validation?: { readonly uri: string; readonly everySteps: number } | undefined;
}

/** Where the spec names no other number. */
const VALIDATE_EVERY_STEPS = 100;

/** What to train on, and to validate by: the spec's own URIs, or what its VicunaDataset has made, as the status keeps it. */
function datasetOf({ spec, status }: VicunaTraining): TrainedOn {
  const { uri = status?.dataset?.uri ?? '', validation } = spec.dataset;
  const made = status?.dataset?.validationUri;
  return { uri, validation: validation ?? (made === undefined ? undefined : { uri: made, everySteps: VALIDATE_EVERY_STEPS }) };
}

/** Ties what is made for a training to it: it is removed with it. */
export function ownerOf({ metadata }: VicunaTraining) {
  return {
    apiVersion: 'vicuna.run/v1alpha1',
    kind: 'VicunaTraining',
    name: metadata.name ?? '',
    uid: metadata.uid ?? '',
    controller: true,
    blockOwnerDeletion: true,
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

/**
 * What the supervisor is told, in one variable: the API server pays for each one in every write of the pod, a third of a launch in all.
 * Variables of the user's own come before those in it.
 */
function environment(request: WorkerPodRequest, own: readonly V1EnvVar[]): V1EnvVar[] {
  const { training, operatorUrl } = request;
  const { spec } = training;
  const { base, tokenizer } = spec.model;
  const { uri, validation } = datasetOf(training);
  const config = {
    model: { base: workerUri(base), ...(tokenizer === undefined ? {} : { tokenizer: workerUri(tokenizer) }) },
    dataset: {
      uri: workerUri(uri),
      ...(validation === undefined ? {} : { validation: { ...validation, uri: workerUri(validation.uri) } }),
    },
    recipe: resolveRecipe(training),
    checkpoint: { storage: workerUri(spec.checkpoint.storage), keep: spec.checkpoint.keep, owner: training.metadata.uid },
  };
  const variables: Record<string, string> = {
    VICUNA_TRAINING: `${training.metadata.namespace}/${training.metadata.name}`,
    VICUNA_OPERATOR_URL: operatorUrl,
    VICUNA_TOKEN_FILE: TOKEN_FILE,
    VICUNA_POD_NAME: request.name,
    VICUNA_PROCESSES: String(Math.max(1, gpusPerWorker(training))),
    VICUNA_CONFIG: JSON.stringify(config),
    ...(spec.workers.command ? { VICUNA_COMMAND: JSON.stringify(spec.workers.command) } : {}),
    HOME: '/tmp',
    // PyTorch asks for the user's name, and the uid need not be in the image's passwd.
    USER: 'vicuna',
  };
  for (const { name } of own) delete variables[name];
  // The kubelet would take "$(NAME)" for a reference, and "$$" for an escaped "$".
  return [{ name: 'VICUNA_WORKER', value: JSON.stringify(variables).replaceAll('$', '\\u0024') }];
}
