// The chart's values: one description, of which values.yaml, values.schema.json and the README's table are made.
import { z } from 'zod';
import { VERSION } from '../operator/config.ts';

const object = <T extends z.ZodRawShape>(shape: T, description: string) =>
  z
    .strictObject(shape)
    .prefault({} as never)
    .describe(description); // every value in it has a default
/** Part of a Kubernetes object, handed on as it is: the API server checks it. */
const part = (description: string) => z.record(z.string(), z.unknown()).default({}).describe(description);
const parts = (description: string) => z.array(z.record(z.string(), z.unknown())).default([]).describe(description);
const labels = (value: Record<string, string>, description: string) =>
  z.record(z.string(), z.string()).default(value).describe(description);
const flag = (value: boolean, description: string) => z.boolean().default(value).describe(description);
const text = (value: string, description: string) => z.string().default(value).describe(description);
const port = (value: number, description: string) => z.int().min(1).max(65_535).default(value).describe(description);
const duration = (value: string, description: string) =>
  z
    .string()
    .regex(/^([0-9]+(ms|s|m|h))+$/)
    .default(value)
    .describe(description);
const image = (name: string, whose: string) => text('', `Whole reference of ${whose}, instead of \`<registry>/${name}:<tag>\`.`);

export const valuesSchema = z.strictObject({
  nameOverride: text('', 'Instead of the chart’s name in the names of objects.'),
  fullnameOverride: text('', 'Instead of release and chart in the names of objects.'),
  replicas: z
    .int()
    .min(1)
    .max(10)
    .default(2)
    .describe('Copies of the operator. One leads; the others pass workers’ calls on, and take over.'),
  images: object(
    {
      registry: text('ghcr.io/vicuna-operator', 'Where the project’s images are.'),
      tag: text('', `Their tag. Empty: the chart’s appVersion (${VERSION}).`),
      pullPolicy: z.enum(['IfNotPresent', 'Always', 'Never']).default('IfNotPresent').describe('When the chart’s own pods pull.'),
      pullSecrets: z
        .array(z.strictObject({ name: z.string().min(1) }))
        .default([])
        .describe('Secrets for the registry, for the chart’s own pods: `[{name: …}]`.'),
      operator: image('operator', 'the operator’s image'),
      gateway: image('gateway', 'the image of servings’ gateways'),
      engine: image('engine', 'the image of replicas with engine `transformers`'),
      data: image('data', 'the image of VicunaDatasets’ pods'),
      judge: image('judge', 'the image of VicunaEvaluations’ pods'),
      notifier: image('notifier', 'the notifier’s image'),
    },
    'Images. A reference may carry a digest: `registry/name@sha256:…`.',
  ),
  logLevel: z.enum(['debug', 'info', 'warn', 'error']).default('info').describe('How much the operator says.'),
  workers: z.int().min(1).max(256).default(16).describe('Objects of a kind that are reconciled at the same time.'),
  workerUrl: text(
    '',
    'Base URL under which worker pods reach the operator. Empty: its Service. Set it where pods run in other clusters, to an address they reach.',
  ),
  extraEnv: parts('More environment variables of the operator, such as `HTTPS_PROXY`.'),
  resources: part('Requests and limits of the operator.').default({
    requests: { cpu: '100m', memory: '128Mi' },
    limits: { memory: '512Mi' },
  }),
  nodeSelector: labels({}, 'Nodes for the operator. It should not live on spot nodes.'),
  tolerations: parts('Taints that the operator bears.'),
  affinity: part('Affinity of the operator. Empty: copies on different nodes, and not on spot nodes, where that is possible.'),
  topologySpreadConstraints: parts('Spread of the operator’s copies.'),
  priorityClassName: text('', 'Such as `system-cluster-critical`.'),
  podLabels: labels({}, 'More labels of the operator’s pods.'),
  podAnnotations: labels({}, 'More annotations of the operator’s pods.'),
  serviceAccount: object(
    {
      create: flag(true, 'Whether the chart makes it.'),
      name: text('', 'Its name. Empty: that of the release.'),
      annotations: labels({}, 'Its annotations.'),
    },
    'The operator’s account.',
  ),
  rbac: object(
    {
      create: flag(true, 'Whether the chart makes roles and bindings.'),
      namespaces: z
        .array(z.string().min(1))
        .default([])
        .describe(
          'Namespaces in which the operator may make pods and read Secrets. Empty: all. With a list, trainings and servings elsewhere cannot run.',
        ),
    },
    'What the operator may do.',
  ),
  crds: object(
    {
      install: flag(true, 'Whether the chart installs and upgrades the definitions of the kinds.'),
      keep: flag(true, 'Whether they, and with them all objects, stay when the release is uninstalled.'),
    },
    'The custom resource definitions.',
  ),
  service: object(
    {
      port: port(8080, 'Port of the worker protocol.'),
      metricsPort: port(9090, 'Port of `/metrics`.'),
      annotations: labels({}, 'Annotations of the Service.'),
    },
    'The operator’s Service.',
  ),
  podDisruptionBudget: object(
    { enabled: flag(true, 'Whether drains leave one copy.') },
    'Budget of the operator’s pods; there is none for a single copy.',
  ),
  networkPolicy: object(
    {
      enabled: flag(true, 'Whether only workers, other copies and Prometheus reach the operator.'),
      metricsFrom: parts('Who may read metrics: peers as in a NetworkPolicy’s `from`. Empty: everybody.'),
      workersFrom: parts('Who may speak the worker protocol besides worker pods of this cluster, such as `[{ipBlock: {cidr: …}}]`.'),
    },
    'NetworkPolicy of the operator. Its own calls (API servers, Prometheus, DNS) are not limited.',
  ),
  monitoring: object(
    {
      labels: labels({}, 'Labels of the monitors and rules, such as `{release: kube-prometheus-stack}`, by which Prometheus selects them.'),
      interval: duration('15s', 'Between two scrapes.'),
      operator: flag(false, 'Whether a ServiceMonitor has the operator scraped.'),
      servings: flag(false, 'Whether a PodMonitor has gateways and engines in all namespaces scraped, as autoscaling needs it.'),
      notifier: flag(false, 'Whether a PodMonitor has the notifiers scraped, where there are some (`notifier.enabled`).'),
      alerts: flag(false, 'Whether a PrometheusRule brings the alerts.'),
    },
    'For the Prometheus operator (monitoring.coreos.com/v1).',
  ),
  dashboards: object(
    {
      enabled: flag(false, 'Whether ConfigMaps bring the Grafana dashboards.'),
      namespace: text('', 'Their namespace. Empty: that of the release.'),
      labels: labels({ grafana_dashboard: '1' }, 'Labels by which Grafana’s sidecar finds them.'),
      annotations: labels({ grafana_folder: 'Vicuna' }, 'Annotations, such as the folder.'),
    },
    'Grafana dashboards.',
  ),
  notifier: object(
    {
      enabled: flag(false, 'Whether it runs. Not needed where the cloud or a handler taints nodes before it takes them.'),
      namespace: text(
        '',
        'Its namespace. Empty: that of the release. It uses the node’s network, so this must not enforce the `restricted` or `baseline` standard.',
      ),
      cloud: z.enum(['auto', 'aws', 'gcp', 'azure']).default('auto').describe('Whose metadata service it asks.'),
      resources: part('Requests and limits.').default({ requests: { cpu: '10m', memory: '48Mi' }, limits: { memory: '96Mi' } }),
      port: port(9814, 'Port of `/healthz` and `/metrics` on each node.'),
      nodeSelector: labels({}, 'Nodes to watch, such as `{karpenter.sh/capacity-type: spot}`.'),
      tolerations: parts('Taints that it bears.').default([{ operator: 'Exists' }]),
      priorityClassName: text('system-node-critical', 'Priority class.'),
    },
    'DaemonSet that hears of interruptions from the cloud’s metadata service and taints its node.',
  ),
});

export type Values = z.infer<typeof valuesSchema>;

interface Property {
  readonly type?: string;
  readonly description?: string;
  readonly default?: unknown;
  readonly enum?: readonly string[];
  readonly properties?: Readonly<Record<string, Property>>;
}

/** JSON Schema of the values, as Helm checks them. */
export function valuesJsonSchema(): object {
  const schema = z.toJSONSchema(valuesSchema, { target: 'draft-7', io: 'input' }) as Property & { properties: Record<string, Property> };
  // Helm hands these to every chart that is another's dependency.
  const own = { ...schema.properties, global: { type: 'object', description: 'Values of an umbrella chart; not used here.' } };
  return { ...schema, title: 'Values of the chart vicuna-operator', properties: own };
}

const properties = (): Readonly<Record<string, Property>> =>
  (z.toJSONSchema(valuesSchema, { target: 'draft-7', io: 'input' }) as Property).properties ?? {};

/** Whether a property is a group of others, not a value. */
const isGroup = (property: Property): property is Property & { properties: Readonly<Record<string, Property>> } =>
  property.properties !== undefined;

/** values.yaml: every value with its default and what it is for. */
export function valuesYaml(): string {
  const lines = (of: Readonly<Record<string, Property>>, indent: string): string[] =>
    Object.entries(of).flatMap(([name, property]) => {
      const comment = `${indent}# ${property.description ?? ''}${property.enum ? ` One of ${property.enum.join(', ')}.` : ''}`;
      if (isGroup(property)) return [comment, `${indent}${name}:`, ...lines(property.properties, `${indent}  `)];
      return [comment, `${indent}${name}: ${JSON.stringify(property.default)}`];
    });
  return ['# Generated from charts/values.ts by `npm run generate`. Do not edit.', ...lines(properties(), ''), ''].join('\n');
}

/** The values as rows of a Markdown table. */
export function valuesTable(): string {
  const rows = (of: Readonly<Record<string, Property>>, path: string): string[] =>
    Object.entries(of).flatMap(([name, property]) => {
      if (isGroup(property)) return rows(property.properties, `${path}${name}.`);
      const choices = property.enum ? ` One of ${property.enum.map((e) => `\`${e}\``).join(', ')}.` : '';
      return [`| \`${path}${name}\` | \`${JSON.stringify(property.default)}\` | ${property.description ?? ''}${choices} |`];
    });
  return ['| value | default | meaning |', '|---|---|---|', ...rows(properties(), '')].join('\n');
}
