// The chart as both Helms render it, taken or refused by a real API server.
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import type { V1DaemonSet, V1Deployment, V1Service } from '@kubernetes/client-node';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { parse } from 'yaml';
import { alertRules } from '../../charts/alerts.ts';
import { servingWithDefaults } from '../../operator/api/vicuna-serving.ts';
import { VERSION } from '../../operator/config.ts';
import { KubeClient } from '../../operator/kube/client.ts';
import { type KubeObject, NODE, POD } from '../../operator/kube/types.ts';
import { gatewayObjects } from '../../operator/serving/gateway-objects.ts';
import { CHART, EVERYTHING, HELMS, helm, RELEASE, RELEASE_NAMESPACE, rendered } from '../cluster/chart.ts';
import { type KwokNodes, startKwokNodes } from '../cluster/kwok.ts';
import { ROOT } from '../cluster/paths.ts';
import { run, until } from '../cluster/run.ts';
import { ensureTools, toolPath } from '../cluster/tools.ts';
import { serving } from './objects.ts';

/** The Prometheus operator's kinds, which this API server does not know. */
const isMonitoring = (object: KubeObject) => object.apiVersion?.startsWith('monitoring.coreos.com/') ?? false;

const kubeconfig = process.env.KUBECONFIG ?? '';
const directory = process.env.VICUNA_TEST_DIRECTORY ?? '';
let client: KubeClient;
const kubectl = (args: readonly string[], input?: KubeObject) =>
  run(toolPath('kubectl'), ['--kubeconfig', kubeconfig, ...args], input === undefined ? {} : { input: JSON.stringify(input) });
const named = (objects: readonly KubeObject[], kind: string, name = RELEASE) =>
  objects.find((o) => o.kind === kind && (o.metadata as { name?: string }).name === name);
const kinds = (objects: readonly KubeObject[]) => objects.map((o) => `${o.kind} ${(o.metadata as { name?: string }).name}`).toSorted();

beforeAll(async () => {
  await ensureTools(['helm', 'helm-3', 'kubectl']);
  client = await KubeClient.fromKubeconfig(kubeconfig);
  const labels = { 'pod-security.kubernetes.io/enforce': 'restricted' };
  await kubectl(['apply', '-f', '-'], { apiVersion: 'v1', kind: 'Namespace', metadata: { name: RELEASE_NAMESPACE, labels } });
}, 300_000);
afterAll(async () => {
  await kubectl(['delete', 'namespace', RELEASE_NAMESPACE, '--wait=false']);
  client?.close();
});

describe('the chart', () => {
  it.each([
    ['as it is', {}],
    ['with everything on', EVERYTHING],
  ])('passes the lint of both Helms and is the same in both, %s', async (_, values) => {
    for (const which of HELMS) expect(await helm(which, ['lint', '--strict', CHART], values)).toContain('0 chart(s) failed');
    expect(await rendered(values, 'helm-3')).toEqual(await rendered(values, 'helm'));
  });

  it('is taken by the API server, object by object', async () => {
    const objects = (await rendered(EVERYTHING)).filter((o) => !isMonitoring(o));
    expect(objects.length).toBeGreaterThan(20);
    for (const object of objects) await kubectl(['apply', '--server-side', '--dry-run=server', '--force-conflicts', '-f', '-'], object);
  });

  it('has pods that a namespace under the standard "restricted" takes', async () => {
    const objects = await rendered();
    const { template } = (named(objects, 'Deployment') as V1Deployment).spec ?? {};
    await kubectl(['create', 'serviceaccount', RELEASE, '-n', RELEASE_NAMESPACE, '--dry-run=client']);
    const pod = { apiVersion: 'v1', kind: 'Pod', metadata: { name: 'trial', namespace: RELEASE_NAMESPACE }, spec: template?.spec };
    const spec = { ...pod.spec, serviceAccountName: 'default' };
    await until('the default account', 20_000, async () => {
      await kubectl(['get', 'serviceaccount', 'default', '-n', RELEASE_NAMESPACE]);
      return true;
    });
    await kubectl(['create', '--dry-run=server', '-f', '-'], { ...pod, spec } as KubeObject);
    const bad = { ...spec, securityContext: { ...spec.securityContext, runAsNonRoot: false } };
    await expect(kubectl(['create', '--dry-run=server', '-f', '-'], { ...pod, spec: bad } as KubeObject)).rejects.toThrow(
      'violates PodSecurity',
    );
  });

  it('is of the version that package and operator have', () => {
    const chart = parse(readFileSync(join(CHART, 'Chart.yaml'), 'utf8'));
    const { version } = JSON.parse(readFileSync(join(ROOT, 'package.json'), 'utf8'));
    expect([chart.version, chart.appVersion, version]).toEqual([VERSION, VERSION, VERSION]);
  });

  it.each([
    [{ replicas: 0 }, 'replicas'],
    [{ replcas: 3 }, 'replcas'],
    [{ logLevel: 'loud' }, 'logLevel'],
    [{ crds: { instal: true } }, 'instal'],
    [{ notifier: { cloud: 'ibm' } }, 'cloud'],
    [{ monitoring: { interval: '15' } }, 'interval'],
    [{ service: { port: 70_000 } }, 'port'],
  ])('refuses %j with both Helms, and names what is wrong', async (values, name) => {
    for (const which of HELMS) await expect(rendered(values, which)).rejects.toThrow(name);
  });
});

describe('values', () => {
  it('bring monitors that select by ports, labels and annotations that there are, and the alerts as they are', async () => {
    const objects = await rendered(EVERYTHING);
    const monitors = objects.filter(isMonitoring);
    expect(kinds(monitors)).toEqual([
      `PodMonitor ${RELEASE}-notifier`,
      `PodMonitor ${RELEASE}-servings`,
      `PrometheusRule ${RELEASE}`,
      `ServiceMonitor ${RELEASE}`,
    ]);
    for (const { metadata } of monitors) expect((metadata as { labels?: object }).labels).toMatchObject({ release: 'prometheus' });
    const service = named(objects, 'Service') as V1Service;
    const monitor = named(objects, 'ServiceMonitor') as { spec?: { selector: { matchLabels: object }; endpoints: { port: string }[] } };
    expect(service.metadata?.labels).toMatchObject(monitor.spec?.selector.matchLabels ?? {});
    expect(service.spec?.ports?.map((p) => p.name)).toContain(monitor.spec?.endpoints[0]?.port);
    const [gateway] = gatewayObjects(servingWithDefaults(serving('chat')), 'gateway').filter(
      (o) => o.kind === 'Deployment',
    ) as V1Deployment[];
    const pods = named(objects, 'PodMonitor', `${RELEASE}-servings`) as { spec?: { selector: { matchExpressions: { key: string }[] } } };
    const template = gateway?.spec?.template;
    for (const { key } of pods.spec?.selector.matchExpressions ?? []) expect(Object.keys(template?.metadata?.labels ?? {})).toContain(key);
    const port = Number(template?.metadata?.annotations?.['prometheus.io/port']);
    expect(template?.spec?.containers[0]?.ports?.map((p) => p.containerPort)).toContain(port);
    expect((named(objects, 'PrometheusRule') as { spec?: object }).spec).toEqual(parse(alertRules()));
  });

  it('have notifiers scraped where they run, each under the name of its node', async () => {
    type PodMonitor = {
      spec: {
        selector: { matchLabels: object };
        namespaceSelector: { matchNames: string[] };
        podMetricsEndpoints: { port: string; relabelings: { targetLabel: string }[] }[];
      };
    };
    const notifier = { ...EVERYTHING.notifier, namespace: 'nodes' };
    const objects = await rendered({ ...EVERYTHING, notifier });
    const { spec } = named(objects, 'PodMonitor', `${RELEASE}-notifier`) as unknown as PodMonitor;
    const pods = (named(objects, 'DaemonSet', `${RELEASE}-notifier`) as V1DaemonSet).spec?.template;
    expect(pods?.metadata?.labels).toMatchObject(spec.selector.matchLabels);
    expect(spec.namespaceSelector.matchNames).toEqual(['nodes']);
    const [endpoint] = spec.podMetricsEndpoints;
    expect(pods?.spec?.containers[0]?.ports?.map((p) => p.name)).toContain(endpoint?.port);
    expect(endpoint?.relabelings.map((r) => r.targetLabel)).toContain('node');
    const without = await rendered({ ...EVERYTHING, notifier: { enabled: false } });
    expect(named(without, 'PodMonitor', `${RELEASE}-notifier`)).toBeUndefined();
  });

  it('name images by registry and tag, or wholly', async () => {
    const digest = `registry.example.com/operator@sha256:${'a'.repeat(64)}`;
    const objects = await rendered({ images: { registry: 'mirror.example.com/v', tag: '9.9.9', operator: digest } });
    const [container] = (named(objects, 'Deployment') as V1Deployment).spec?.template.spec?.containers ?? [];
    expect(container?.image).toBe(digest);
    const env = Object.fromEntries((container?.env ?? []).map(({ name, value }) => [name, value]));
    expect(env).toMatchObject({
      VICUNA_ENGINE_IMAGE: 'mirror.example.com/v/engine:9.9.9',
      VICUNA_GATEWAY_IMAGE: 'mirror.example.com/v/gateway:9.9.9',
      VICUNA_WORKER_URL: `http://${RELEASE}.${RELEASE_NAMESPACE}.svc:8080`,
    });
  });

  it('limit the operator to namespaces', async () => {
    const everywhere = kinds(await rendered());
    expect(everywhere).toContain(`ClusterRoleBinding ${RELEASE}-workloads`);
    const limited = await rendered({ rbac: { namespaces: ['team-a', 'team-b'] } });
    expect(kinds(limited)).not.toContain(`ClusterRoleBinding ${RELEASE}-workloads`);
    const bindings = limited.filter((o) => o.kind === 'RoleBinding' && kinds([o])[0] === `RoleBinding ${RELEASE}-workloads`);
    expect(bindings.map((o) => (o.metadata as { namespace?: string }).namespace)).toEqual(['team-a', 'team-b']);
  });

  it('leave out what is off', async () => {
    const bare = kinds(
      await rendered({
        replicas: 1,
        crds: { install: false },
        rbac: { create: false },
        serviceAccount: { create: false, name: 'theirs' },
        networkPolicy: { enabled: false },
      }),
    );
    expect(bare).toEqual([`Deployment ${RELEASE}`, `Service ${RELEASE}`]);
  });

  it('keep definitions at an uninstall, unless they say otherwise', async () => {
    const annotations = async (values: object) =>
      (await rendered(values))
        .filter((o) => o.kind === 'CustomResourceDefinition')
        .map((o) => (o.metadata as { annotations?: Record<string, string> }).annotations?.['helm.sh/resource-policy']);
    expect(new Set(await annotations({}))).toEqual(new Set(['keep']));
    expect(new Set(await annotations({ crds: { keep: false } }))).toEqual(new Set([undefined]));
  });
});

const INTERRUPTION = 'vicuna.run/interruption';

describe('the notifier of a node', () => {
  let nodes: KwokNodes;
  const name = `${RELEASE}-notifier`;
  const namespace = 'default';

  beforeAll(async () => {
    nodes = await startKwokNodes({ kubeconfig, directory }, client, { count: 2, gpus: 0, labels: {} });
  });
  afterAll(async () => {
    await client?.delete(POD, namespace, 'notifier-trial', { gracePeriodSeconds: 0 }).catch(() => undefined);
    await nodes?.stop();
  });

  it('may mark its own node, and neither change anything else of it nor any other', async () => {
    const objects = await rendered({ notifier: { enabled: true, namespace } });
    const own = objects.filter((o) => (o.metadata as { name?: string }).name === name && o.kind !== 'DaemonSet');
    expect(kinds(own)).toHaveLength(5);
    for (const object of own) await kubectl(['apply', '-f', '-'], object);
    const { template } = (named(objects, 'DaemonSet', name) as V1DaemonSet).spec ?? {};
    const [mine = '', other = ''] = nodes.names;
    await client.create(POD, {
      metadata: { name: 'notifier-trial', namespace },
      spec: { ...template?.spec, containers: template?.spec?.containers ?? [], nodeName: mine, priorityClassName: undefined },
    } as never);
    const bound = ['--bound-object-kind', 'Pod', '--bound-object-name', 'notifier-trial'];
    const token = (await kubectl(['create', 'token', name, '-n', namespace, ...bound])).trim();
    const config = JSON.parse(await kubectl(['config', 'view', '--raw', '-o', 'json']));
    const ca = Buffer.from(config.clusters[0].cluster['certificate-authority-data'], 'base64').toString();
    const { server } = config.clusters[0].cluster;
    const notifier = new KubeClient({ server, ca, authorization: `Bearer ${token}`, rejectUnauthorized: true });
    try {
      const marked = async (node: string, key: string) => {
        const { spec, status } = await client.get(NODE, undefined, node);
        const taints = { spec: { taints: [...(spec?.taints ?? []), { key, value: '1', effect: 'NoSchedule' }] } };
        const condition = { status: { conditions: [...(status?.conditions ?? []), { type: 'vicuna.run/Interruption', status: 'True' }] } };
        return { taints, condition };
      };
      const [theirs, ours, wrong] = await Promise.all([marked(other, INTERRUPTION), marked(mine, INTERRUPTION), marked(mine, 'other')]);
      await until('the policy in force', 30_000, async () => {
        const refusal = await notifier.mergePatch(NODE, undefined, other, theirs.taints).then(
          () => '',
          (error: Error) => error.message,
        );
        return refusal.includes('a notifier may change only the node it runs on');
      });
      await notifier.mergePatch(NODE, undefined, mine, ours.taints);
      await until('its condition', 10_000, async () => {
        const { condition } = await marked(mine, INTERRUPTION); // the node's kubelet writes there, too
        await notifier.mergePatch(NODE, undefined, mine, condition, { subresource: 'status' });
        return true;
      });
      const refused = (patch: object, words: string, subresource?: 'status', node = mine) =>
        expect(notifier.mergePatch(NODE, undefined, node, patch, { ...(subresource ? { subresource } : {}) })).rejects.toThrow(words);
      await refused(theirs.condition, 'only the node it runs on', 'status', other);
      await refused(wrong.taints, 'only the taint vicuna.run/interruption');
      await refused({ status: { conditions: [] } }, 'the condition vicuna.run/Interruption', 'status');
      await refused({ metadata: { labels: { a: 'b' } } }, 'may not change labels');
      await refused({ spec: { unschedulable: true } }, 'nor cordon');
      await expect(notifier.list(NODE)).rejects.toThrow('cannot list');
    } finally {
      notifier.close();
      for (const object of own) await kubectl(['delete', '-f', '-'], object);
    }
  });
});
