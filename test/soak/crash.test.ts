import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { GPU_POOL } from '../../operator/api/gpu-pool.ts';
import { TRAINING, type VicunaTraining } from '../../operator/api/vicuna-training.ts';
import { KubeClient } from '../../operator/kube/client.ts';
import { LEASE, NODE, POD } from '../../operator/kube/types.ts';
import { freePorts } from '../cluster/control-plane.ts';
import { type KwokNodes, startKwokNodes } from '../cluster/kwok.ts';
import { OperatorProcess } from '../cluster/operator-process.ts';
import { run, until } from '../cluster/run.ts';
import { toolPath } from '../cluster/tools.ts';
import { FakeWorker } from './fake-worker.ts';
import { WriteProxy } from './write-proxy.ts';

const LABELS = { 'faults.vicuna.run/pool': 'crash' };
const TOTAL_STEPS = 20;
const HELD_AT = 10;

const kubeconfig = process.env.KUBECONFIG ?? '';
const directory = process.env.VICUNA_TEST_DIRECTORY ?? '';
let client: KubeClient;
let nodes: KwokNodes;
let proxy: WriteProxy;
let proxied: string;
let port: number;

beforeAll(async () => {
  client = await KubeClient.fromKubeconfig(kubeconfig);
  nodes = await startKwokNodes({ kubeconfig, directory }, client, { count: 4, gpus: 1, labels: LABELS });
  await client.create(GPU_POOL, {
    metadata: { name: 'crash' },
    spec: {
      cloud: 'aws',
      capacity: 'spot',
      accelerator: { type: 'A100', count: 1, resourceName: 'nvidia.com/gpu' },
      price: { onDemand: '3', spot: '1' },
      nodeSelector: LABELS,
      notice: '120s',
    },
  });
  proxy = await WriteProxy.start(kubeconfig);
  proxied = join(directory, 'proxied.kubeconfig');
  writeFileSync(
    proxied,
    JSON.stringify({
      apiVersion: 'v1',
      kind: 'Config',
      clusters: [{ name: 'p', cluster: { server: proxy.url, 'insecure-skip-tls-verify': true } }],
      users: [{ name: 'p', user: {} }],
      contexts: [{ name: 'p', context: { cluster: 'p', user: 'p' } }],
      'current-context': 'p',
    }),
  );
  [port = 0] = await freePorts(1);
});

afterAll(async () => {
  proxy?.close();
  await nodes?.stop();
  client?.close();
});

function training(name: string): VicunaTraining {
  return {
    metadata: { name, namespace: 'default' },
    spec: {
      model: { base: 's3://models/tiny' },
      dataset: { uri: 's3://data/conversations.jsonl' },
      workers: { min: 2, gpusPerWorker: 1, image: 'trainer' },
      checkpoint: { storage: `s3://checkpoints/${name}`, interval: '1000steps' },
    },
  } as unknown as VicunaTraining;
}

const startOperator = () =>
  OperatorProcess.start({ kubeconfig: proxied, port, logFile: join(directory, 'crash-operator.log'), env: { VICUNA_LOG_LEVEL: 'warn' } });

/**
 * One whole life of a training: start, an announced interruption, the move, the end. At the write that `cut` names the operator is
 * killed and another one started. Returns what the end looks like, and which writes it took.
 */
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
  const workers = new Map<string, FakeWorker>();
  let limit = HELD_AT;
  let over = false;
  // The write to be cut may be one of the last, after which nothing is left to recover: nobody waits for this.
  void crashed.promise.then(async () => {
    await operator.ended;
    // Stands for the 15 s in which the dead leader's lease expires.
    await client.delete(LEASE, 'default', 'vicuna-operator');
    if (!over) operator = await startOperator();
  });
  const status = async () => (await client.get(TRAINING, 'default', name)).status;
  const attend = async () => {
    const { items } = await client.list(POD, { namespace: 'default', labelSelector: `vicuna.run/training=${name}` });
    for (const pod of items) {
      const podName = pod.metadata?.name ?? '';
      if (workers.has(podName) || pod.status?.phase !== 'Running') continue;
      const token = (
        await run(toolPath('kubectl'), [
          '--kubeconfig',
          kubeconfig,
          'create',
          'token',
          'default',
          '--audience',
          'vicuna.run',
          '--bound-object-kind',
          'Pod',
          '--bound-object-name',
          podName,
        ])
      ).trim();
      workers.set(
        podName,
        new FakeWorker({
          url: () => operator.url,
          training: `default/${name}`,
          pod: podName,
          token,
          storage: `s3://checkpoints/${name}`,
          totalSteps: TOTAL_STEPS,
          limit: () => limit,
        }),
      );
    }
  };
  try {
    await client.create(TRAINING, training(name));
    await until(`${name} at step ${HELD_AT}`, 90_000, async () => {
      await attend();
      return (await status())?.progress?.step === HELD_AT;
    });
    const doomed = (await client.get(POD, 'default', (await status())?.world?.members[1]?.pod ?? '')).spec?.nodeName ?? '';
    const taints = [{ key: 'aws-node-termination-handler/spot-itn', value: 'x', effect: 'NoSchedule' }];
    await client.mergePatch(NODE, undefined, doomed, { spec: { taints } });
    await until(`${name} moved and resumed`, 90_000, async () => {
      await attend();
      const now = await status();
      return now?.interruptions?.length === 1 && now.interruptions[0]?.resumedAt !== undefined;
    });
    limit = TOTAL_STEPS;
    await until(`${name} complete`, 90_000, async () => (await status())?.phase === 'Complete');
    await client.mergePatch(NODE, undefined, doomed, { spec: { taints: null } });
    over = true;
    const writes = proxy.writes.map((w) => w.replaceAll(name, 'NAME'));
    return { end: await endOf(name), writes };
  } finally {
    over = true;
    for (const worker of workers.values()) worker.end();
    operator.kill();
    await operator.ended;
    await client.delete(LEASE, 'default', 'vicuna-operator').catch(() => undefined);
    await client.delete(TRAINING, 'default', name, { propagationPolicy: 'Background' });
    // The garbage collector takes half a minute to learn of a new kind; the next life needs the GPUs now.
    const { items } = await client.list(POD, { namespace: 'default', labelSelector: `vicuna.run/training=${name}` });
    for (const pod of items) {
      await client.delete(POD, 'default', pod.metadata?.name ?? '', { gracePeriodSeconds: 0 }).catch(() => undefined);
    }
  }
}

/** What must be the same however often the operator died. */
async function endOf(name: string): Promise<object> {
  const { status } = await client.get(TRAINING, 'default', name);
  return {
    phase: status?.phase,
    step: status?.progress?.step,
    checkpointStep: status?.checkpoint?.step,
    interruptions: status?.totals?.interruptions,
    lostSteps: status?.totals?.lostSteps,
    resumedStep: status?.interruptions?.[0]?.resumedStep,
    retries: status?.retries ?? [],
    conditions: status?.conditions
      ?.filter((c) => c.status === 'True')
      .map((c) => c.type)
      .sort(),
  };
}

describe('an operator that is killed at any write', () => {
  it('leaves a training that ends like an undisturbed one', async () => {
    const calm = await life('calm', null);
    expect(calm.end).toMatchObject({ phase: 'Complete', step: TOTAL_STEPS, interruptions: 1, lostSteps: 0, resumedStep: HELD_AT });
    expect(calm.writes.length).toBeGreaterThan(6);
    for (let at = 1; at <= calm.writes.length; at++) {
      for (const when of ['before', 'after'] as const) {
        const { end } = await life(`cut-${at}-${when}`, { at, when });
        expect(end, `killed ${when} write ${at}: ${calm.writes[at - 1]}`).toEqual(calm.end);
      }
    }
  }, 900_000);
});
