// The chart's life on a real cluster, with the operator in pods: installed by the former Helm, upgraded, rolled back, uninstalled and
// installed again by the present one.
import { cpSync, mkdtempSync, readdirSync, readFileSync, rmSync, unlinkSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import type { V1Pod } from '@kubernetes/client-node';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { parse, stringify } from 'yaml';
import { GPU_POOL } from '../../operator/api/gpu-pool.ts';
import { CUSTOM_RESOURCE_DEFINITION, LEASE, POD } from '../../operator/kube/types.ts';
import { CHART, type Helm, helm, RELEASE, RELEASE_NAMESPACE } from '../cluster/chart.ts';
import { Cluster } from '../cluster/cluster.ts';
import { DEMO_NODES } from '../cluster/demo-nodes.ts';
import { ROOT } from '../cluster/paths.ts';
import { run, until } from '../cluster/run.ts';
import { ensureTools, toolPath } from '../cluster/tools.ts';

const VALUES = {
  images: { operator: 'vicuna/operator:dev', gateway: 'vicuna/gateway:dev', engine: 'vicuna/engine:dev' },
  // Every node of the embedded cluster is a GPU node.
  tolerations: [{ operator: 'Exists' }],
};
const POOL = {
  metadata: { name: 'kept' },
  spec: {
    cloud: 'aws',
    capacity: 'spot',
    accelerator: { type: 'A10G', count: 1, resourceName: 'nvidia.com/gpu' },
    price: { onDemand: '1.006', spot: '0.402' },
    nodeSelector: { 'topology.kubernetes.io/zone': 'us-east-1a' },
    maxNodes: 7,
  },
} as never;
const DEFINITION = 'gpupools.vicuna.run';

let cluster: Cluster;
let earlier: string;
const nodes = DEMO_NODES.filter(({ name }) => name === 'aws-a-1' || name === 'aws-od-1');
const kubectl = (...args: string[]) => run(toolPath('kubectl'), ['--kubeconfig', cluster.kubeconfig, ...args]);
const helmDoes = (which: Helm, ...args: string[]) => helm(which, [...args, '--namespace', RELEASE_NAMESPACE], VALUES, cluster.kubeconfig);
const WAIT = ['--wait', '--timeout', '120s'];

/** The chart as an earlier version could have been: its definitions know one field less. */
function earlierChart(): string {
  const chart = join(mkdtempSync(join(tmpdir(), 'vicuna-chart-')), 'vicuna-operator');
  cpSync(CHART, chart, { recursive: true, verbatimSymlinks: true });
  unlinkSync(join(chart, 'crd-files'));
  cpSync(join(ROOT, 'crds'), join(chart, 'crd-files'), { recursive: true });
  for (const file of readdirSync(join(chart, 'crd-files'))) {
    const path = join(chart, 'crd-files', file);
    const definition = parse(readFileSync(path, 'utf8'));
    if (definition.metadata.name === DEFINITION)
      delete definition.spec.versions[0].schema.openAPIV3Schema.properties.spec.properties.maxNodes;
    writeFileSync(path, stringify(definition, { aliasDuplicateObjects: false }));
  }
  const about = join(chart, 'Chart.yaml');
  writeFileSync(about, readFileSync(about, 'utf8').replaceAll(/^(version|appVersion): .*$/gm, '$1: 0.0.9'));
  return chart;
}

async function knowsMaxNodes(): Promise<boolean> {
  const { spec } = await cluster.client.get(CUSTOM_RESOURCE_DEFINITION, undefined, DEFINITION);
  const properties = spec?.versions[0]?.schema?.openAPIV3Schema?.properties?.spec?.properties ?? {};
  return 'maxNodes' in properties;
}

const uid = async () => (await cluster.client.get(GPU_POOL, undefined, 'kept')).metadata.uid;
const operatorPods = async () =>
  (await cluster.client.list(POD, { namespace: RELEASE_NAMESPACE, labelSelector: 'app.kubernetes.io/component=operator' })).items;
const ready = (pods: readonly V1Pod[]) =>
  pods.filter((p) => !p.metadata?.deletionTimestamp && p.status?.conditions?.some((c) => c.type === 'Ready' && c.status === 'True'));

beforeAll(async () => {
  await ensureTools(['helm', 'helm-3']);
  earlier = earlierChart();
  cluster = await Cluster.start({ nodes, name: 'e2e-chart' });
  await kubectl('create', 'namespace', RELEASE_NAMESPACE);
  await kubectl('label', 'namespace', RELEASE_NAMESPACE, 'pod-security.kubernetes.io/enforce=restricted');
});
afterAll(async () => {
  await cluster?.stop();
  rmSync(join(earlier, '..'), { recursive: true, force: true });
});

describe('a release', () => {
  let kept: string | undefined;

  it('is installed by the former Helm: two copies run, one leads, and the Service reaches them', async () => {
    await helmDoes('helm-3', 'install', RELEASE, earlier, ...WAIT);
    expect(ready(await operatorPods())).toHaveLength(2);
    await until('a leader', 30_000, async () => {
      const lease = await cluster.client.get(LEASE, RELEASE_NAMESPACE, 'vicuna-operator');
      return (await operatorPods()).some((p) => lease.spec?.holderIdentity?.startsWith(`${p.metadata?.name}_`));
    });
    await cluster.client.create(GPU_POOL, POOL);
    kept = await uid();
    await until('the pool looked after', 30_000, async () => (await cluster.client.get(GPU_POOL, undefined, 'kept')).status?.nodes === 1);
    const service = `${RELEASE}.${RELEASE_NAMESPACE}.svc`;
    const probe = [
      'import urllib.request as u',
      `print(u.urlopen('http://${service}:8080/healthz', timeout=10).read().decode().strip())`,
      `print('leader_election_master_status' in u.urlopen('http://${service}:9090/metrics', timeout=10).read().decode())`,
      `try: print(u.urlopen('http://${service}:8080/metrics', timeout=10).status)`,
      'except Exception as e: print(e.code)',
    ].join('\n');
    await cluster.client.create(POD, {
      metadata: { name: 'probe', namespace: 'default' },
      spec: {
        restartPolicy: 'OnFailure',
        tolerations: [{ operator: 'Exists' }],
        containers: [{ name: 'main', image: 'vicuna/trainer:dev', command: ['python3', '-c', probe] }],
      },
    });
    await until('the probe done', 60_000, async () => (await cluster.client.get(POD, 'default', 'probe')).status?.phase === 'Succeeded');
    // Metrics are not for workers: they have a port of their own.
    expect((await kubectl('logs', 'probe')).trim().split('\n')).toEqual(['ok', 'True', '404']);
    expect(await knowsMaxNodes()).toBe(false);
  });

  it('is upgraded by the present Helm: definitions follow, objects stay, and there is always a copy that is ready', async () => {
    let fewest = 2;
    const watch = setInterval(() => void operatorPods().then((pods) => (fewest = Math.min(fewest, ready(pods).length))), 500);
    await helmDoes('helm', 'upgrade', RELEASE, CHART, ...WAIT);
    clearInterval(watch);
    expect(fewest).toBeGreaterThanOrEqual(1);
    expect(await knowsMaxNodes()).toBe(true);
    expect(await uid()).toBe(kept);
    await cluster.client.mergePatch(GPU_POOL, undefined, 'kept', { spec: { maxNodes: 7 } });
    expect((await cluster.client.get(GPU_POOL, undefined, 'kept')).spec.maxNodes).toBe(7);
    await until('two copies of the new version', 60_000, async () => {
      const pods = await operatorPods();
      return pods.length === 2 && ready(pods).length === 2;
    });
  });

  it('is rolled back: definitions go back, and objects stay', async () => {
    await helmDoes('helm', 'rollback', RELEASE, '1', ...WAIT);
    expect(await knowsMaxNodes()).toBe(false);
    expect(await uid()).toBe(kept);
    expect(ready(await operatorPods()).length).toBeGreaterThanOrEqual(1);
  });

  it('is uninstalled: nothing of it runs or may anything, and definitions and objects stay', async () => {
    await helmDoes('helm', 'uninstall', RELEASE, ...WAIT);
    await until('its pods gone', 60_000, async () => (await operatorPods()).length === 0);
    const left = await kubectl(
      'get',
      'all,sa,roles,rolebindings,pdb,networkpolicies',
      '-n',
      RELEASE_NAMESPACE,
      '-l',
      `app.kubernetes.io/instance=${RELEASE}`,
      '-o',
      'name',
    );
    expect(left.trim()).toBe('');
    expect(
      (await kubectl('get', 'clusterroles,clusterrolebindings', '-l', `app.kubernetes.io/instance=${RELEASE}`, '-o', 'name')).trim(),
    ).toBe('');
    expect(await uid()).toBe(kept);
  });

  it('is installed again over what stayed, and takes everything with it when it is told to', async () => {
    await helmDoes('helm', 'install', RELEASE, CHART, '--set', 'crds.keep=false', ...WAIT);
    expect(await uid()).toBe(kept);
    await until('the pool looked after again', 30_000, async () => {
      const { items } = await cluster.client.list(LEASE, { namespace: RELEASE_NAMESPACE });
      return items.some((l) => l.metadata?.name === 'vicuna-operator' && l.spec?.holderIdentity);
    });
    await helmDoes('helm', 'uninstall', RELEASE, ...WAIT);
    await until('the definitions gone', 60_000, async () => (await kubectl('get', 'crds', '-o', 'name')).includes('vicuna.run') === false);
  });
});
