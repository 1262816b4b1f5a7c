import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { GPU_POOL } from '../../operator/api/gpu-pool.ts';
import { KubeClient } from '../../operator/kube/client.ts';
import { LEASE, NODE, POD } from '../../operator/kube/types.ts';
import { servedPodGroups } from '../../operator/training/pod-group.ts';
import type { KwokNodes } from '../cluster/kwok.ts';
import { OperatorProcess } from '../cluster/operator-process.ts';
import { until } from '../cluster/run.ts';
import { FakeGang, startFakePool } from './fake-gang.ts';

const POOL = 'gang';
const NAME = 'gang';
const kubeconfig = process.env.KUBECONFIG ?? '';
const directory = process.env.VICUNA_TEST_DIRECTORY ?? '';
let client: KubeClient;
let nodes: KwokNodes;
let operator: OperatorProcess;

beforeAll(async () => {
  client = await KubeClient.fromKubeconfig(kubeconfig);
  nodes = await startFakePool({ kubeconfig, directory }, client, POOL);
  operator = await OperatorProcess.start({ kubeconfig, logFile: join(directory, 'gang-operator.log') });
});

afterAll(async () => {
  operator?.kill();
  await operator?.ended;
  await client?.delete(LEASE, 'default', 'vicuna-operator').catch(() => undefined);
  await nodes?.stop();
  await client?.delete(GPU_POOL, undefined, POOL);
  client?.close();
});

const pods = async () => (await client.list(POD, { namespace: 'default', labelSelector: `vicuna.run/training=${NAME}` })).items;

describe("a gang under Kubernetes' own gang scheduling", () => {
  it('gets its nodes all at once: with room for one of two, none is taken', async () => {
    const type = await servedPodGroups(client);
    if (type === null) throw new Error('this API server should serve PodGroups');
    // Room that the operator does not know to be closed: only one of four nodes takes the pods.
    const closed = nodes.names.slice(1);
    const setTaints = (taints: object[] | null) =>
      Promise.all(closed.map((name) => client.mergePatch(NODE, undefined, name, { spec: { taints } })));
    await setTaints([{ key: 'team', value: 'other', effect: 'NoSchedule' }]);
    const gang = await FakeGang.start(client, kubeconfig, NAME, () => operator.url);
    try {
      await until('both found unschedulable', 30_000, async () => {
        const found = await pods();
        return found.length === 2 && found.every((p) => p.status?.conditions?.some((c) => c.reason === 'Unschedulable'));
      });
      expect((await pods()).map((p) => p.spec?.nodeName)).toEqual([undefined, undefined]);
      expect((await client.get(type, 'default', `${NAME}-g1`)).spec).toMatchObject({ schedulingPolicy: { gang: { minCount: 2 } } });
      await setTaints(null);
      await until('both running', 30_000, async () => (await gang.status())?.world?.generation !== undefined);
      // Kubernetes holds it back until its pods are gone, too.
      await until('its group let go', 30_000, async () => {
        const { metadata } = await client.get(type, 'default', `${NAME}-g1`);
        return (metadata as { deletionTimestamp?: string }).deletionTimestamp !== undefined;
      });
    } finally {
      await gang.remove();
    }
  });
});
