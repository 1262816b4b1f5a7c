// Datasets, evaluations and releases before a real API server: kwok plays the nodes, this process the programs in the pods.
import { join } from 'node:path';
import { afterAll, afterEach, beforeAll, describe, expect, it } from 'vitest';
import { GPU_POOL } from '../../operator/api/gpu-pool.ts';
import { DATASET, type VicunaDataset } from '../../operator/api/vicuna-dataset.ts';
import { EVALUATION } from '../../operator/api/vicuna-evaluation.ts';
import { TRAINING } from '../../operator/api/vicuna-training.ts';
import { isNotFound, KubeClient } from '../../operator/kube/client.ts';
import { type KubeObject, LEASE, metadataOf, NODE, POD, type ResourceType, SECRET } from '../../operator/kube/types.ts';
import { type KwokNodes, startKwokNodes } from '../cluster/kwok.ts';
import { OperatorProcess } from '../cluster/operator-process.ts';
import { until } from '../cluster/run.ts';
import { end, RESULT, reporter, running } from './fake-task.ts';
import { dataset, evaluation, training } from './objects.ts';

const POOL = 'cpus';
const LABELS = { 'tasks.vicuna.run/pool': POOL };
const kubeconfig = process.env.KUBECONFIG ?? '';
const directory = process.env.VICUNA_TEST_DIRECTORY ?? '';
let client: KubeClient;
let nodes: KwokNodes;
let operator: OperatorProcess;
const made: [ResourceType<KubeObject>, string][] = [];

beforeAll(async () => {
  client = await KubeClient.fromKubeconfig(kubeconfig);
  nodes = await startKwokNodes({ kubeconfig, directory }, client, { count: 3, gpus: 0, labels: LABELS });
  await client.create(GPU_POOL, {
    metadata: { name: POOL },
    spec: {
      cloud: 'aws',
      capacity: 'spot',
      accelerator: { count: 0 },
      price: { onDemand: '3', spot: '1' },
      nodeSelector: LABELS,
      notice: '120s',
    },
  } as never);
  await client.create(SECRET, { metadata: { name: 's3-credentials', namespace: 'default' } });
  operator = await OperatorProcess.start({ kubeconfig, logFile: join(directory, 'tasks-operator.log') });
});

afterEach(async () => {
  for (const [type, name] of made.splice(0)) {
    await client.delete(type, 'default', name).catch(() => undefined);
  }
  await until('no pod', 30_000, async () => {
    const { items } = await client.list(POD, { namespace: 'default' });
    for (const pod of items)
      await client.delete(POD, 'default', pod.metadata?.name ?? '', { gracePeriodSeconds: 0 }).catch(() => undefined);
    return items.length === 0;
  });
});

afterAll(async () => {
  operator?.kill();
  await operator?.ended;
  await client?.delete(LEASE, 'default', 'vicuna-operator').catch(() => undefined);
  await nodes?.stop();
  await client?.delete(GPU_POOL, undefined, POOL);
  await client?.delete(SECRET, 'default', 's3-credentials');
  client?.close();
});

async function create<T extends KubeObject>(type: ResourceType<T>, object: T): Promise<void> {
  await client.create(type, object);
  made.push([type as ResourceType<KubeObject>, metadataOf(object).name ?? '']);
}

const found = async <T extends KubeObject>(type: ResourceType<T>, name: string) => client.get(type, 'default', name);

async function untilDataset(name: string, what: string, condition: (status: NonNullable<VicunaDataset['status']>) => boolean) {
  await until(`${name} ${what}`, 30_000, async () => condition((await found(DATASET, name)).status ?? {}));
}

describe('a VicunaDataset', () => {
  it('runs as one pod, takes its reports, moves when its node goes, and keeps its result', async () => {
    await create(DATASET, dataset('life'));
    const first = await running(client, 'life-dataset-1');
    expect(first.metadata?.labels).toMatchObject({ 'vicuna.run/dataset': 'life', 'vicuna.run/pool': POOL });
    const report = { stage: 'clean', done: 12, total: 70, unit: 'conversations', etaSeconds: 40 };
    const send = await reporter(operator.url, 'life-dataset-1');
    expect((await send(report)).status).toBe(200);
    expect((await send(report, 'life-dataset-2')).status).toBe(403);
    await untilDataset('life', 'shows its progress', (s) => s.progress?.display === '12/70' && s.progress.eta === '40s');

    const node = first.spec?.nodeName ?? '';
    await client.mergePatch(NODE, undefined, node, {
      spec: { taints: [{ key: 'aws-node-termination-handler/spot-itn', value: 'x', effect: 'NoSchedule' }] },
    });
    const second = await running(client, 'life-dataset-2');
    expect(second.spec?.nodeName).not.toBe(node);
    await client.mergePatch(NODE, undefined, node, { spec: { taints: null } });
    await end(client, 'life-dataset-2', 0, RESULT);
    await untilDataset('life', 'complete', (s) => s.phase === 'Complete');
    expect((await found(DATASET, 'life')).status).toMatchObject({
      attempt: 2,
      totals: { interruptions: 1 },
      result: { kept: 62, rejectedTotal: 8, train: { uri: 's3://data/sharegpt/train' } },
    });
    expect(await operator.metrics()).toContain(
      'vicuna_task_phase{namespace="default",kind="VicunaDataset",name="life",phase="Complete"} 1',
    );
  });

  it('fails with the words of its program when its input is damaged', async () => {
    await create(DATASET, dataset('damaged'));
    await running(client, 'damaged-dataset-1');
    await end(client, 'damaged-dataset-1', 66, 's3://raw/sharegpt.json is no JSON: repair it');
    await untilDataset('damaged', 'failed', (s) => s.phase === 'Failed');
    const failed = (await found(DATASET, 'damaged')).status?.conditions?.find((c) => c.type === 'Failed');
    expect(failed).toMatchObject({ reason: 'InputUnusable', message: expect.stringContaining('is no JSON: repair it') });
  });

  it('waits for a Secret that is missing, and says which', async () => {
    await create(DATASET, dataset('secretive', { 'spec.credentials': [{ name: 'not-there' }] }));
    await untilDataset('secretive', 'says what is missing', (s) =>
      Boolean(s.conditions?.some((c) => c.reason === 'MissingSecret' && c.message.includes('Secret "not-there" does not exist'))),
    );
  });

  it('is deleted when its ttl is over', async () => {
    await create(DATASET, dataset('brief', { 'spec.ttlAfterFinished': '0s' }));
    await running(client, 'brief-dataset-1');
    await end(client, 'brief-dataset-1', 0, RESULT);
    await until('brief gone', 30_000, async () => found(DATASET, 'brief').then(() => false, isNotFound));
  });

  it('is waited for by its training, which then keeps what it took', async () => {
    await create(
      TRAINING,
      training('waiting', { 'spec.dataset': { name: 'source' }, 'spec.workers': { min: 1, gpusPerWorker: 0, image: 'x' } }),
    );
    const placed = async () => (await found(TRAINING, 'waiting')).status?.conditions?.find((c) => c.type === 'Placed');
    await until('it says that there is none', 30_000, async () => (await placed())?.reason === 'MissingDataset');
    await create(DATASET, dataset('source'));
    await running(client, 'source-dataset-1');
    await until('it says that it waits', 30_000, async () => (await placed())?.reason === 'DatasetNotReady');
    await end(client, 'source-dataset-1', 0, RESULT);
    const worker = await running(client, 'waiting-g1-0');
    const told = JSON.parse(worker.spec?.containers[0]?.env?.find((e) => e.name === 'VICUNA_WORKER')?.value ?? '{}');
    expect(JSON.parse(told.VICUNA_CONFIG).dataset).toEqual({
      uri: 's3://data/sharegpt/train',
      validation: { uri: 's3://data/sharegpt/validation', everySteps: 100 },
    });
    await client.delete(DATASET, 'default', 'source');
    expect((await found(TRAINING, 'waiting')).status?.dataset?.uri).toBe('s3://data/sharegpt/train');
  });
});

describe('a VicunaEvaluation', () => {
  it('is told where its serving’s gateway is once that is ready, and where its keys are, which stay in their Secrets', async () => {
    await create(EVALUATION, evaluation('judged', { 'spec.judge.secret': { name: 's3-credentials' } }));
    await until('it waits for its serving', 30_000, async () => {
      const { status } = await found(EVALUATION, 'judged');
      return status?.conditions?.some((c) => c.reason === 'MissingServing') ?? false;
    });
    await create(
      EVALUATION,
      evaluation('answered', {
        'spec.candidate': { name: 'x', answers: 's3://a/x.jsonl' },
        'spec.judge.secret': { name: 's3-credentials' },
      }),
    );
    const pod = await running(client, 'answered-evaluation-1');
    expect(pod.spec?.containers[0]?.env).toContainEqual({
      name: 'JUDGE_API_KEY',
      valueFrom: { secretKeyRef: { name: 's3-credentials', key: 'token' } },
    });
  });
});
