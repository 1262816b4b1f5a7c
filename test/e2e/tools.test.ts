// On a real node: the notifier as a DaemonSet, with its image, account, admission policy and network; logs from a kubelet.
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import type { V1Pod } from '@kubernetes/client-node';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { TRAINING } from '../../operator/api/vicuna-training.ts';
import { NODE, POD } from '../../operator/kube/types.ts';
import { interruptionOfNode } from '../../operator/signals/interruption.ts';
import { FakeGcp } from '../../workloads/notifier/testing/fake-metadata.ts';
import { applyCrds } from '../bench/scale.ts';
import { Cluster } from '../cluster/cluster.ts';
import { DEMO_NODES } from '../cluster/demo-nodes.ts';
import { ROOT } from '../cluster/paths.ts';
import { run, until } from '../cluster/run.ts';
import { toolPath } from '../cluster/tools.ts';
import { exampleFile, training } from '../integration/objects.ts';

const [, , node] = DEMO_NODES;
if (!node) throw new Error('the demo has a node on Google');
const NAMESPACE = 'vicuna-notifier';

let cluster: Cluster;
let gcp: FakeGcp;
beforeAll(async () => {
  cluster = await Cluster.start({ nodes: [node], name: 'e2e-notifier' });
  gcp = await new FakeGcp().start(cluster.address);
});
afterAll(async () => {
  gcp?.close();
  await cluster?.stop();
});

const kubectl = (args: readonly string[], input?: string) =>
  run(toolPath('kubectl'), ['--kubeconfig', cluster.kubeconfig, ...args], input === undefined ? {} : { input });

describe('the notifier of examples/notifier.yaml', () => {
  it('runs on the node, marks it at once when its cloud gives notice, and withdraws that', async () => {
    const manifest = readFileSync(exampleFile('notifier.yaml'), 'utf8')
      .replace(/image: .*/, 'image: docker.io/vicuna/notifier:dev')
      .replace(
        '# - { name: CLOUD, value: aws } ',
        `- { name: CLOUD, value: gcp }\n            - { name: VICUNA_METADATA_URL, value: "${gcp.url}" } `,
      );
    await kubectl(['apply', '-f', '-'], manifest);
    await until('the notifier waiting for a change', 120_000, async () => gcp.waiting === 2).catch(async (error: Error) => {
      throw new Error(`${error.message}\n${await kubectl(['describe', 'pods', '-n', NAMESPACE])}`);
    });
    const noticedAt = Date.now();
    gcp.set('preempted', 'TRUE');
    const seen = async () => interruptionOfNode(await cluster.client.get(NODE, undefined, node.name), Date.now());
    await until('the mark', 10_000, async () => (await seen()) !== null);
    expect(Date.now() - noticedAt).toBeLessThan(5_000);
    expect(await seen()).toMatchObject({ source: 'vicuna-preemption', cause: 'spotPreemption', advisory: false });
    gcp.set('preempted', 'FALSE');
    await until('the withdrawal', 10_000, async () => (await seen()) === null);

    const [pod] = (await cluster.client.list(POD, { namespace: NAMESPACE })).items;
    expect(pod?.status?.containerStatuses?.[0]).toMatchObject({ ready: true, restartCount: 0 });
    const log = await kubectl(['logs', '-n', NAMESPACE, pod?.metadata?.name ?? '']);
    console.log(log);
    expect(log).not.toMatch(/"level":50|could not be marked/);
    const pid = (await run('pgrep', ['-f', '^node .*/opt/vicuna/notifier/main.cjs'])).trim().split('\n')[0];
    const peak = (Number(/VmHWM:\s+(\d+)/.exec(readFileSync(`/proc/${pid}/status`, 'utf8'))?.[1]) * 1024) / 1e6;
    console.log(`peak resident memory ${peak.toFixed(1)} MB`);
    expect(peak).toBeLessThan(60);
  });
});

describe('kubectl vicuna logs', () => {
  it('prints what two generations have said, in its order', async () => {
    await applyCrds(cluster.client);
    await until('the kind being served', 20_000, async () => (await cluster.client.create(TRAINING, training('talking'))) !== null);
    const worker = (generation: number, script: string): V1Pod => ({
      metadata: {
        name: `talking-g${generation}-0`,
        namespace: 'default',
        labels: { 'vicuna.run/training': 'talking', 'vicuna.run/generation': String(generation), 'vicuna.run/rank': '0' },
      },
      spec: {
        restartPolicy: 'Never',
        tolerations: [{ operator: 'Exists' }],
        containers: [{ name: 'trainer', image: 'docker.io/vicuna/pause:dev', command: ['/bin/busybox', 'sh', '-c', script] }],
      },
    });
    const ended = (name: string) =>
      until(`${name} ended`, 60_000, async () => (await cluster.client.get(POD, 'default', name)).status?.phase === 'Succeeded');
    await cluster.client.create(POD, worker(1, 'echo first; echo second'));
    await ended('talking-g1-0');
    await cluster.client.create(POD, worker(2, 'echo third'));
    await ended('talking-g2-0');
    const plugin = join(ROOT, 'workloads', 'kubectl-vicuna', 'kubectl-vicuna');
    expect(await run(plugin, ['logs', 'talking', '--kubeconfig', cluster.kubeconfig])).toBe('g1/0 │ first\ng1/0 │ second\ng2/0 │ third\n');
    expect(await run(plugin, ['logs', 'talking', '--generation', '2', '--kubeconfig', cluster.kubeconfig])).toBe('g2/0 │ third\n');
  });
});
