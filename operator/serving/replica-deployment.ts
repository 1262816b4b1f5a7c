import type { V1Container, V1Deployment, V1PodSpec, V1PodTemplateSpec, V1Toleration, V1Volume } from '@kubernetes/client-node';
import type { GpuPool } from '../api/gpu-pool.ts';
import type { VicunaServing } from '../api/vicuna-serving.ts';
import { claimVolumes } from '../pods/claims.ts';
import { MANAGED_BY, OPERATOR, POOL_LABEL, SERVING_LABEL } from '../pods/labels.ts';
import { CONTAINER_SECURITY, POD_SECURITY } from '../pods/restricted.ts';
import { applyDelta } from './delta.ts';
import type { EngineContainer } from './engine-container.ts';
import { GRACE_SECONDS, ROUTING_DELAY_SECONDS } from './engines.ts';
import { COMPONENT_LABEL, deploymentName, MODEL_LABEL, ROUTABLE_GATE, TRACK_LABEL, type Track, WEIGHTS_DIRECTORY } from './names.ts';
import { awayLabels, metadataOf } from './owner.ts';

export const ENGINE_CONTAINER = 'engine';

export interface ReplicaRequest {
  readonly serving: VicunaServing;
  readonly engine: EngineContainer;
  readonly track: Track;
  readonly pool: GpuPool;
  readonly replicas: number;
  /** Whether the pool has room for one more replica while a new version is rolled out. */
  readonly roomToSurge: boolean;
  /** Uid of the operator's own cluster, for a pool in another one; null = the pool is in the own one. */
  readonly home: string | null;
}

/** The Deployment of a model's track, or of a group of models, in a pool. */
export function replicaDeployment(request: ReplicaRequest): V1Deployment {
  const { serving, engine, track, pool, replicas, roomToSurge, home } = request;
  const poolName = pool.metadata.name ?? '';
  const labels = replicaLabels(serving, engine.name, track);
  return {
    apiVersion: 'apps/v1',
    kind: 'Deployment',
    metadata: metadataOf(
      serving,
      deploymentName(serving.metadata.name ?? '', engine.name, poolName, track),
      { ...labels, [POOL_LABEL]: poolName },
      home,
    ),
    spec: {
      replicas,
      selector: { matchLabels: { ...labels, [POOL_LABEL]: poolName } },
      // A start takes minutes; only one that never ends is worth a word.
      progressDeadlineSeconds: 3_600,
      revisionHistoryLimit: 2,
      // No answer is lost either way, but without a spare GPU a new version can start only where an old one has gone.
      strategy: {
        type: 'RollingUpdate',
        rollingUpdate: roomToSurge || replicas <= 1 ? { maxSurge: 1, maxUnavailable: 0 } : { maxSurge: 0, maxUnavailable: 1 },
      },
      template: podTemplate(request, { ...labels, ...engine.labels, [POOL_LABEL]: poolName, ...awayLabels(serving, home) }),
    },
  };
}

/** Labels by which a model's Services find its replicas. */
export function replicaLabels(serving: VicunaServing, model: string, track: Track): Record<string, string> {
  return {
    [MANAGED_BY]: OPERATOR,
    [SERVING_LABEL]: serving.metadata.name ?? '',
    [COMPONENT_LABEL]: 'engine',
    [MODEL_LABEL]: model,
    [TRACK_LABEL]: track,
  };
}

function podTemplate({ serving, engine, pool }: ReplicaRequest, labels: Record<string, string>): V1PodTemplateSpec {
  const template = (engine.template ?? {}) as { metadata?: V1PodTemplateSpec['metadata']; spec?: Partial<V1PodSpec> };
  const spec = template.spec ?? {};
  const containers = spec.containers ?? [];
  const own: Partial<V1Container> = containers.find((c) => c.name === ENGINE_CONTAINER) ?? {};
  const resourceName = pool.spec.accelerator.resourceName ?? 'nvidia.com/gpu';
  const gpus = engine.gpus > 0 ? { [resourceName]: String(engine.gpus) } : {};
  const claims = claimVolumes([...engine.weights]);
  const mounts = claims.mounts.map((mount) => ({ ...mount, readOnly: true }));
  const first = [
    ...(serving.spec.weightsCache ? [ownCache(engine.image ?? own.image)] : []),
    ...engine.deltas.map((source, i) => applyDelta(serving, source, i, mounts)),
  ];
  // A check that starts a process needs more time than one over HTTP.
  const health = engine.health.exec ? 5 : 2;
  return {
    metadata: {
      labels: { ...template.metadata?.labels, ...labels },
      annotations: {
        'prometheus.io/scrape': 'true',
        'prometheus.io/port': String(engine.ports[0]?.containerPort),
        ...template.metadata?.annotations,
      },
    },
    spec: {
      automountServiceAccountToken: false,
      enableServiceLinks: false,
      terminationGracePeriodSeconds: GRACE_SECONDS,
      securityContext: POD_SECURITY,
      ...(serving.spec.priorityClassName ? { priorityClassName: serving.spec.priorityClassName } : {}),
      ...spec,
      readinessGates: [...(spec.readinessGates ?? []), { conditionType: ROUTABLE_GATE }],
      nodeSelector: { ...spec.nodeSelector, ...pool.spec.nodeSelector },
      tolerations: [
        { key: resourceName, operator: 'Exists', effect: 'NoSchedule' },
        ...((pool.spec.tolerations ?? []) as V1Toleration[]),
        ...(spec.tolerations ?? []),
      ],
      ...(first.length > 0 ? { initContainers: [...first, ...(spec.initContainers ?? [])] } : {}),
      containers: [
        {
          securityContext: CONTAINER_SECURITY,
          startupProbe: { ...engine.health, periodSeconds: 2, failureThreshold: 3_600, timeoutSeconds: health },
          readinessProbe: { ...engine.health, periodSeconds: 2, failureThreshold: 2, timeoutSeconds: health },
          livenessProbe: { ...engine.health, periodSeconds: 10, failureThreshold: 6, timeoutSeconds: 10 },
          // The end of a pod and its removal from every gateway's list begin at the same moment; the second takes a little longer.
          lifecycle: { preStop: { sleep: { seconds: ROUTING_DELAY_SECONDS } } },
          ...own,
          ...(engine.command ? { command: [...engine.command] } : {}),
          args: [...engine.args],
          name: ENGINE_CONTAINER,
          terminationMessagePolicy: 'FallbackToLogsOnError',
          ...(engine.image === null ? {} : { image: engine.image }),
          ports: [...engine.ports],
          resources: {
            ...own.resources,
            requests: { ...gpus, ...engine.requests, ...own.resources?.requests },
            limits: { ...gpus, ...own.resources?.limits },
          },
          env: [...Object.entries(engine.env).map(([name, value]) => ({ name, value: escaped(value) })), ...(own.env ?? [])],
          envFrom: [...serving.spec.credentials.map(({ name }) => ({ secretRef: { name } })), ...(own.envFrom ?? [])],
          volumeMounts: [
            { name: 'tmp', mountPath: '/tmp' },
            { name: 'weights', mountPath: WEIGHTS_DIRECTORY },
            ...(engine.gpus > 0 ? [{ name: 'shared-memory', mountPath: '/dev/shm' }] : []),
            ...mounts,
            ...(own.volumeMounts ?? []),
          ],
        },
        ...containers.filter((c) => c.name !== ENGINE_CONTAINER),
      ],
      volumes: [
        { name: 'tmp', emptyDir: {} },
        weightsVolume(serving),
        // Processes of one replica that share a model pass tensors through it.
        ...(engine.gpus > 0 ? [{ name: 'shared-memory', emptyDir: { medium: 'Memory' } }] : []),
        ...claims.volumes,
        ...(spec.volumes ?? []),
      ],
    },
  };
}

/** The kubelet makes the directory of a cache as root's: it is handed to the engine's user, whatever was in it before. */
function ownCache(image: string | undefined): V1Container {
  return {
    name: 'own-cache',
    ...(image === undefined ? {} : { image }),
    command: ['chown', `${POD_SECURITY.runAsUser}:${POD_SECURITY.runAsGroup}`, WEIGHTS_DIRECTORY],
    securityContext: {
      ...CONTAINER_SECURITY,
      runAsUser: 0,
      runAsGroup: 0,
      runAsNonRoot: false,
      capabilities: { drop: ['ALL'], add: ['CHOWN'] },
    },
    volumeMounts: [{ name: 'weights', mountPath: WEIGHTS_DIRECTORY }],
  };
}

/** What was downloaded stays on the node where the spec gives it a place there: the next replica starts without a download. */
function weightsVolume(serving: VicunaServing): V1Volume {
  const cache = serving.spec.weightsCache;
  return cache ? { name: 'weights', hostPath: { path: cache.hostPath, type: 'DirectoryOrCreate' } } : { name: 'weights', emptyDir: {} };
}

/** The kubelet would take "$(NAME)" for a reference. */
function escaped(value: string): string {
  return value.replaceAll('$(', '$$(');
}
