import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { GPU_POOL, type GpuPool } from '../../operator/api/gpu-pool.ts';
import { DATASET } from '../../operator/api/vicuna-dataset.ts';
import { KubeClient } from '../../operator/kube/client.ts';
import { LEASE, NODE, POD, SECRET } from '../../operator/kube/types.ts';
import { freePorts } from '../cluster/control-plane.ts';
import { type KwokNodes, startKwokNodes } from '../cluster/kwok.ts';
import { OperatorProcess } from '../cluster/operator-process.ts';
import { until } from '../cluster/run.ts';
import { end, RESULT, running } from '../integration/fake-task.ts';
import { dataset } from '../integration/objects.ts';
import { WriteProxy } from '../integration/write-proxy.ts';

const LABELS = { 'faults.vicuna.run/pool': 'task-crash' };
const kubeconfig = process.env.KUBECONFIG ?? '';
const directory = process.env.VICUNA_TEST_DIRECTORY ?? '';
let client: KubeClient;
let nodes: KwokNodes;
let proxy: WriteProxy;
let port = 0;
const proxied = join(directory, 'task-crash.kubeconfig');

beforeAll(async () => {
  client = await KubeClient.fromKubeconfig(kubeconfig);
  nodes = await startKwokNodes({ kubeconfig, directory }, client, { count: 3, gpus: 0, labels: LABELS });
  await client.create(GPU_POOL, {
    metadata: { name: 'task-crash' },
    spec: { cloud: 'aws', capacity: 'spot', accelerator: { count: 0 }, price: { onDemand: '3', spot: '1' }, nodeSelector: LABELS },
  } as unknown as GpuPool);
  await client.create(SECRET, { metadata: { name: 's3-credentials', namespace: 'default' } });
  proxy = await WriteProxy.start(kubeconfig);
  const cluster = { server: proxy.url, 'insecure-skip-tls-verify': true };
  const config = {
    apiVersion: 'v1',
    kind: 'Config',
    clusters: [{ name: 'p', cluster }],
    users: [{ name: 'p', user: {} }],
    contexts: [{ name: 'p', context: { cluster: 'p', user: 'p' } }],
    'current-context': 'p',
  };
  writeFileSync(proxied, JSON.stringify(config));
  [port = 0] = await freePorts(1);
});

afterAll(async () => {
  proxy?.close();
  await nodes?.stop();
  await client?.delete(GPU_POOL, undefined, 'task-crash');
  await client?.delete(SECRET, 'default', 's3-credentials');
  client?.close();
});

const startOperator = () =>
  OperatorProcess.start({
    kubeconfig: proxied,
    port,
    logFile: join(directory, 'task-crash-operator.log'),
    env: { VICUNA_LOG_LEVEL: 'warn' },
  });

/** A dataset whose first pod fails, whose second loses its node, and whose third does the work; the operator is killed at the write `cut`. */
async function life(name: string, cut: { at: number; when: 'before' | 'after' } | null): Promise<{ end: object; writes: string[] }> {
  proxy.reset();
  let operator = await startOperator();
  const crashed = Promise.withResolvers<void>();
  if (cut) {
    proxy.cutAt(cut.at, cut.when, () => {
      operator.kill();
      crashed.resolve();
    });
  }
  let over = false;
  void crashed.promise.then(async () => {
    await operator.ended;
    await client.delete(LEASE, 'default', 'vicuna-operator').catch(() => undefined);
    if (!over) operator = await startOperator();
  });
  try {
    await client.create(DATASET, dataset(name));
    await running(client, `${name}-dataset-1`);
    await end(client, `${name}-dataset-1`, 74, 'the bucket does not answer');
    const second = await running(client, `${name}-dataset-2`);
    // What is not written down as running may be made again under its name: that is no interruption.
    await until(`${name} seen running`, 30_000, async () => (await client.get(DATASET, 'default', name)).status?.phase === 'Running');
    const node = second.spec?.nodeName ?? '';
    const taint = { key: 'aws-node-termination-handler/spot-itn', value: 'x', effect: 'NoSchedule' };
    await client.mergePatch(NODE, undefined, node, { spec: { taints: [taint] } });
    await running(client, `${name}-dataset-3`);
    await end(client, `${name}-dataset-3`, 0, RESULT);
    await until(`${name} complete`, 30_000, async () => (await client.get(DATASET, 'default', name)).status?.phase === 'Complete');
    await client.mergePatch(NODE, undefined, node, { spec: { taints: null } });
    const { status } = await client.get(DATASET, 'default', name);
    const conditions = status?.conditions?.map((c) => `${c.type}=${c.status} ${c.reason}`).sort();
    const { attempt, totals, retries, result } = status ?? {};
    const writes = proxy.writes.map((w) => w.replaceAll(name, 'NAME'));
    return { end: { attempt, interruptions: totals?.interruptions, errors: retries?.[0]?.count, kept: result?.kept, conditions }, writes };
  } finally {
    over = true;
    operator.kill();
    await operator.ended;
    await client.delete(LEASE, 'default', 'vicuna-operator').catch(() => undefined);
    await client.delete(DATASET, 'default', name).catch(() => undefined);
    const { items } = await client.list(POD, { namespace: 'default' });
    for (const pod of items)
      await client.delete(POD, 'default', pod.metadata?.name ?? '', { gracePeriodSeconds: 0 }).catch(() => undefined);
  }
}

describe('an operator that is killed at any write', () => {
  it('leaves a dataset that ends like an undisturbed one', async () => {
    const calm = await life('calm', null);
    expect(calm.end).toMatchObject({ attempt: 3, interruptions: 1, errors: 1, kept: 62 });
    expect(calm.writes.length).toBeGreaterThan(8);
    console.log(`Killed before and after each of these writes:\n${calm.writes.map((w, i) => `  ${i + 1}  ${w}`).join('\n')}`);
    for (let at = 1; at <= calm.writes.length; at++) {
      for (const when of ['before', 'after'] as const) {
        const { end: ended } = await life(`cut-${at}-${when}`, { at, when });
        console.log(`${new Date().toISOString()} killed ${when} write ${at}`);
        expect(ended, `killed ${when} write ${at}: ${calm.writes[at - 1]}`).toEqual(calm.end);
      }
    }
  }, 1_800_000);
});
