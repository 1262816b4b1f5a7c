import { mkdirSync, readdirSync } from 'node:fs';
import { join } from 'node:path';
import type { V1Secret } from '@kubernetes/client-node';
import { GPU_POOL, type GpuPool } from '../../operator/api/gpu-pool.ts';
import type { VicunaTraining } from '../../operator/api/vicuna-training.ts';
import type { KubeClient } from '../../operator/kube/client.ts';
import { SECRET } from '../../operator/kube/types.ts';
import { CACHE, ROOT } from '../cluster/paths.ts';
import { pythonSitePackages } from '../cluster/python.ts';
import { run } from '../cluster/run.ts';
import type { S3 } from '../cluster/s3.ts';

export const CONVERSATIONS = join(ROOT, 'examples', 'data', 'conversations.jsonl');
export const NAMESPACE = 'default';
export const INPUTS_SECRET = 's3-credentials';
/** The embedded cluster's image of the trainer; it holds no packages, those come from the machine. */
export const DEVELOPMENT_IMAGE = 'vicuna/trainer:dev';

/** Puts a tiny model and the conversations into S3, and the keys into a Secret: what a user has before the first training. */
export async function prepareInputs(client: KubeClient, s3: S3): Promise<void> {
  for (const bucket of ['models', 'data', 'checkpoints']) await s3.createBucket(bucket);
  const model = await tinyModel();
  for (const file of readdirSync(model)) await s3.putFile('models', `tiny/${file}`, join(model, file));
  await s3.putFile('data', 'conversations.jsonl', CONVERSATIONS);
  const secret: V1Secret = { metadata: { name: INPUTS_SECRET, namespace: NAMESPACE }, stringData: s3.environment };
  await client.create(SECRET, secret);
}

/** A LLaMA of a million random parameters and a tokenizer trained on the conversations; made once. */
export async function tinyModel(): Promise<string> {
  const directory = join(CACHE, 'tiny-model');
  mkdirSync(directory, { recursive: true });
  if (readdirSync(directory).length === 0) {
    await run('python3', ['-m', 'vicuna_trainer.tiny', '--conversations', CONVERSATIONS, '--out', directory], {
      env: await pythonEnvironment(),
    });
  }
  return directory;
}

/** Environment in which this machine's python3 finds the trainer and its packages. */
export async function pythonEnvironment(): Promise<NodeJS.ProcessEnv> {
  return {
    PYTHONPATH: `${join(ROOT, 'workloads', 'trainer')}:${await pythonSitePackages()}`,
    PYTHONDONTWRITEBYTECODE: '1',
    OMP_NUM_THREADS: '1',
  };
}

/** The pools of the embedded cluster's nodes, at prices as the clouds list them. */
export const DEMO_POOLS: readonly GpuPool[] = [
  {
    metadata: { name: 'aws-us-east-1a' },
    spec: {
      cloud: 'aws',
      region: 'us-east-1',
      zone: 'us-east-1a',
      instanceType: 'g5.xlarge',
      capacity: 'spot',
      accelerator: { type: 'A10G', count: 1, memory: '24Gi', resourceName: 'nvidia.com/gpu' },
      price: { onDemand: '1.006', spot: '0.402' },
      nodeSelector: { 'topology.kubernetes.io/zone': 'us-east-1a', 'karpenter.sh/capacity-type': 'spot' },
      notice: '120s',
    },
  },
  {
    metadata: { name: 'gcp-us-central1-a' },
    spec: {
      cloud: 'gcp',
      region: 'us-central1',
      zone: 'us-central1-a',
      instanceType: 'g2-standard-8',
      capacity: 'spot',
      accelerator: { type: 'L4', count: 1, memory: '24Gi', resourceName: 'nvidia.com/gpu' },
      price: { onDemand: '0.854', spot: '0.342' },
      nodeSelector: { 'topology.kubernetes.io/zone': 'us-central1-a', 'cloud.google.com/gke-spot': 'true' },
      tolerations: [{ key: 'cloud.google.com/gke-spot', operator: 'Equal', value: 'true', effect: 'NoSchedule' }],
      notice: '30s',
    },
  },
  {
    metadata: { name: 'aws-us-east-1b-on-demand' },
    spec: {
      cloud: 'aws',
      region: 'us-east-1',
      zone: 'us-east-1b',
      instanceType: 'g5.12xlarge',
      capacity: 'onDemand',
      accelerator: { type: 'A10G', count: 2, memory: '24Gi', resourceName: 'nvidia.com/gpu' },
      price: { onDemand: '2.012' },
      nodeSelector: { 'topology.kubernetes.io/zone': 'us-east-1b', 'karpenter.sh/capacity-type': 'on-demand' },
      notice: '120s',
    },
  },
];

export async function createPools(client: KubeClient, pools = DEMO_POOLS): Promise<void> {
  for (const pool of pools) await client.create(GPU_POOL, pool);
}

export interface DemoTraining {
  readonly name: string;
  readonly steps: number;
  readonly workers?: number;
  readonly min?: number;
  readonly interval?: string;
  readonly gpusPerWorker?: number;
  readonly image?: string;
  readonly spec?: Record<string, unknown>;
}

/** A training of the tiny model. */
export async function demoTraining({
  name,
  steps,
  workers = 2,
  min,
  interval = '20steps',
  gpusPerWorker = 1,
  image = DEVELOPMENT_IMAGE,
  spec = {},
}: DemoTraining): Promise<VicunaTraining> {
  const template = image === DEVELOPMENT_IMAGE ? await machinesPackages() : {};
  return {
    metadata: { name, namespace: NAMESPACE, labels: { 'app.kubernetes.io/part-of': 'vicuna-demo' } },
    spec: {
      model: { base: 's3://models/tiny' },
      dataset: { uri: 's3://data/conversations.jsonl' },
      recipe: {
        preset: 'tiny',
        overrides: { maxSteps: steps, epochs: Math.ceil((steps * 8) / 480), contextLength: 128, globalBatchTokens: 1_024 },
      },
      workers: { gpusPerWorker, min: min ?? workers, max: workers, image, readyDeadline: '2m', template },
      checkpoint: { storage: `s3://checkpoints/${name}`, interval, keep: 3 },
      credentials: [{ name: INPUTS_SECRET }],
      ...spec,
    },
  } as unknown as VicunaTraining;
}

/** Heavy Python packages come from the machine by a read-only mount. */
async function machinesPackages(): Promise<object> {
  return {
    spec: {
      containers: [
        {
          name: 'trainer',
          imagePullPolicy: 'IfNotPresent',
          env: [{ name: 'OMP_NUM_THREADS', value: '1' }],
          volumeMounts: [{ name: 'site-packages', mountPath: '/opt/site-packages', readOnly: true }],
        },
      ],
      volumes: [{ name: 'site-packages', hostPath: { path: await pythonSitePackages(), type: 'Directory' } }],
    },
  };
}
