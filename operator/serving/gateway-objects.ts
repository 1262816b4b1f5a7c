import type {
  V1ConfigMap,
  V1Container,
  V1Deployment,
  V1PodDisruptionBudget,
  V1PodSpec,
  V1PodTemplateSpec,
  V1Role,
  V1RoleBinding,
  V1Service,
  V1ServiceAccount,
  V1Volume,
  V1VolumeMount,
} from '@kubernetes/client-node';
import type { z } from 'zod';
import { durationSeconds } from '../api/duration.ts';
import type { gatewayConfigSchema } from '../api/gateway-config.ts';
import type { VicunaServing } from '../api/vicuna-serving.ts';
import { MANAGED_BY, OPERATOR, SERVING_LABEL } from '../pods/labels.ts';
import { CONTAINER_SECURITY, POD_SECURITY } from '../pods/restricted.ts';
import { COMPONENT_LABEL, demandLeaseName, GATEWAY_CONTAINER, GATEWAY_PORT, GATEWAY_PRIVATE_PORT, gatewayName } from './names.ts';
import { metadataOf } from './owner.ts';

const SECRETS = '/etc/vicuna';
/** By which the clouds' own tools mark spot nodes. */
const SPOT_LABELS = [
  ['karpenter.sh/capacity-type', 'spot'],
  ['eks.amazonaws.com/capacityType', 'SPOT'],
  ['cloud.google.com/gke-spot', 'true'],
  ['kubernetes.azure.com/scalesetpriority', 'spot'],
] as const;
/** An answer that is under way when its gateway is told to end gets so long; then its client is cut off. */
const GRACE_SECONDS = 630;

export type GatewayObject = V1ServiceAccount | V1Role | V1RoleBinding | V1ConfigMap | V1Service | V1PodDisruptionBudget | V1Deployment;

/** All that a serving's gateway consists of, in the order in which one needs the other. */
export function gatewayObjects(serving: VicunaServing, image: string): GatewayObject[] {
  const name = gatewayName(serving.metadata.name ?? '');
  const labels = { [COMPONENT_LABEL]: 'gateway' };
  const metadata = metadataOf(serving, name, labels);
  const selector = { [MANAGED_BY]: OPERATOR, [SERVING_LABEL]: serving.metadata.name ?? '', ...labels };
  return [
    { apiVersion: 'v1', kind: 'ServiceAccount', metadata, automountServiceAccountToken: false },
    role(serving, metadata),
    {
      apiVersion: 'rbac.authorization.k8s.io/v1',
      kind: 'RoleBinding',
      metadata,
      roleRef: { apiGroup: 'rbac.authorization.k8s.io', kind: 'Role', name },
      subjects: [{ kind: 'ServiceAccount', name, namespace: metadata.namespace }],
    },
    { apiVersion: 'v1', kind: 'ConfigMap', metadata, data: { 'config.json': JSON.stringify(gatewayConfig(serving)) } },
    {
      apiVersion: 'v1',
      kind: 'Service',
      metadata,
      spec: { selector, ports: [{ name: 'http', port: 80, targetPort: GATEWAY_PORT }] },
    },
    {
      apiVersion: 'policy/v1',
      kind: 'PodDisruptionBudget',
      metadata,
      spec: { maxUnavailable: 1, selector: { matchLabels: selector }, unhealthyPodEvictionPolicy: 'AlwaysAllow' },
    },
    deployment(serving, metadata, selector, image),
  ];
}

/** What the gateway may see and do: its own configuration, where workers are, and to say that requests wait. */
function role(serving: VicunaServing, metadata: ReturnType<typeof metadataOf>): V1Role {
  const leases = serving.spec.models.map((m) => demandLeaseName(serving.metadata.name ?? '', m.name));
  return {
    apiVersion: 'rbac.authorization.k8s.io/v1',
    kind: 'Role',
    metadata,
    rules: [
      { apiGroups: [''], resources: ['configmaps'], resourceNames: [metadata.name], verbs: ['get', 'list', 'watch'] },
      { apiGroups: ['discovery.k8s.io'], resources: ['endpointslices'], verbs: ['get', 'list', 'watch'] },
      { apiGroups: ['coordination.k8s.io'], resources: ['leases'], resourceNames: leases, verbs: ['patch'] },
    ],
  };
}

/** The gateway's configuration. */
export function gatewayConfig(serving: VicunaServing): z.input<typeof gatewayConfigSchema> {
  const { models, workers, gateway } = serving.spec;
  const { limits, moderation } = gateway;
  const name = serving.metadata.name ?? '';
  return {
    serving: `${serving.metadata.namespace}/${name}`,
    models: models.map((m) => ({
      name: m.name,
      aliases: m.aliases,
      engine: m.engine,
      canaryPercent: m.canary?.percent ?? 0,
      demandLease: demandLeaseName(name, m.name),
    })),
    workers: workers.map((w, i) => ({
      url: w.url,
      models: w.models,
      // A gateway of an earlier version knows no such field.
      ...(w.engine === 'custom' ? {} : { engine: w.engine }),
      ...(w.secret ? { keyFile: `${SECRETS}/worker-${i}/token` } : {}),
    })),
    ...(gateway.registration ? { registration: { secretFile: `${SECRETS}/registration/token` } } : {}),
    ...(gateway.apiKeys ? { apiKeys: { directory: `${SECRETS}/api-keys` } } : {}),
    ...(moderation
      ? {
          moderation: {
            url: moderation.url,
            ...(moderation.model ? { model: moderation.model } : {}),
            ...(moderation.secret ? { keyFile: `${SECRETS}/moderation/token` } : {}),
            on: moderation.checks,
            whenUnavailable: moderation.whenUnavailable,
            timeoutSeconds: durationSeconds(moderation.timeout),
          },
        }
      : {}),
    limits: {
      bodyBytes: limits.bodyBytes,
      requestSeconds: durationSeconds(limits.request),
      idleSeconds: durationSeconds(limits.idle),
      queueSeconds: durationSeconds(limits.queue),
      queueLength: limits.queueLength,
      ...(limits.maxTokens === undefined ? {} : { maxTokens: limits.maxTokens }),
    },
    continuation: gateway.continuation,
    page: gateway.page,
    copies: gateway.replicas,
  };
}

/** Secrets come as files: environments end up in crash reports, and files follow a Secret that changes. */
function secretVolumes(serving: VicunaServing): { volumes: V1Volume[]; mounts: V1VolumeMount[] } {
  const { gateway, workers } = serving.spec;
  const named: [string, string | undefined][] = [
    ['api-keys', gateway.apiKeys?.name],
    ['registration', gateway.registration?.name],
    ['moderation', gateway.moderation?.secret?.name],
    ...workers.map((w, i): [string, string | undefined] => [`worker-${i}`, w.secret?.name]),
  ];
  const used = named.flatMap(([name, secretName]) => (secretName === undefined ? [] : [{ name, secretName }]));
  return {
    volumes: used.map(({ name, secretName }) => ({ name, secret: { secretName, defaultMode: 0o440 } })),
    mounts: used.map(({ name }) => ({ name, mountPath: `${SECRETS}/${name}`, readOnly: true })),
  };
}

function deployment(
  serving: VicunaServing,
  metadata: ReturnType<typeof metadataOf>,
  selector: Record<string, string>,
  image: string,
): V1Deployment {
  const { gateway } = serving.spec;
  const secrets = secretVolumes(serving);
  const template = (gateway.template ?? {}) as { metadata?: V1PodTemplateSpec['metadata']; spec?: Partial<V1PodSpec> };
  const spec = template.spec ?? {};
  const containers = spec.containers ?? [];
  const own: Partial<V1Container> = containers.find((c) => c.name === GATEWAY_CONTAINER) ?? {};
  return {
    apiVersion: 'apps/v1',
    kind: 'Deployment',
    metadata,
    spec: {
      replicas: gateway.replicas,
      selector: { matchLabels: selector },
      revisionHistoryLimit: 2,
      strategy: { type: 'RollingUpdate', rollingUpdate: { maxSurge: 1, maxUnavailable: 0 } },
      template: {
        metadata: {
          labels: { ...template.metadata?.labels, ...selector },
          annotations: {
            'prometheus.io/scrape': 'true',
            'prometheus.io/port': String(GATEWAY_PRIVATE_PORT),
            ...template.metadata?.annotations,
          },
        },
        spec: {
          serviceAccountName: metadata.name,
          automountServiceAccountToken: true,
          enableServiceLinks: false,
          terminationGracePeriodSeconds: GRACE_SECONDS,
          securityContext: POD_SECURITY,
          affinity: {
            // A gateway that goes without notice takes its clients' connections with it.
            nodeAffinity: {
              preferredDuringSchedulingIgnoredDuringExecution: SPOT_LABELS.map(([key, value]) => ({
                weight: 100,
                preference: { matchExpressions: [{ key, operator: 'NotIn', values: [value] }] },
              })),
            },
            // Gateways that share a node share its end.
            podAntiAffinity: {
              preferredDuringSchedulingIgnoredDuringExecution: [
                { weight: 100, podAffinityTerm: { topologyKey: 'kubernetes.io/hostname', labelSelector: { matchLabels: selector } } },
              ],
            },
          },
          ...spec,
          containers: [
            {
              securityContext: CONTAINER_SECURITY,
              resources: { requests: { cpu: '100m', memory: '128Mi' }, limits: { memory: '512Mi' } },
              ...own,
              name: GATEWAY_CONTAINER,
              image: gateway.image ?? own.image ?? image,
              env: [
                { name: 'VICUNA_CONFIG_MAP', value: metadata.name },
                { name: 'VICUNA_NAMESPACE', value: metadata.namespace },
                { name: 'HOME', value: '/tmp' },
                ...(own.env ?? []),
              ],
              terminationMessagePolicy: 'FallbackToLogsOnError',
              ports: [
                { name: 'http', containerPort: GATEWAY_PORT },
                { name: 'private', containerPort: GATEWAY_PRIVATE_PORT },
              ],
              readinessProbe: { httpGet: { path: '/readyz', port: GATEWAY_PRIVATE_PORT }, periodSeconds: 2, failureThreshold: 2 },
              livenessProbe: {
                httpGet: { path: '/healthz', port: GATEWAY_PRIVATE_PORT },
                periodSeconds: 10,
                failureThreshold: 6,
                timeoutSeconds: 5,
              },
              volumeMounts: [{ name: 'tmp', mountPath: '/tmp' }, ...secrets.mounts, ...(own.volumeMounts ?? [])],
              lifecycle: { preStop: { sleep: { seconds: 3 } } },
            },
            ...containers.filter((c) => c.name !== GATEWAY_CONTAINER),
          ],
          volumes: [{ name: 'tmp', emptyDir: {} }, ...secrets.volumes, ...(spec.volumes ?? [])],
        },
      },
    },
  };
}
