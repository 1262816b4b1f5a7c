import { mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import type { V1Job, V1Pod, V1PodTemplateSpec } from '@kubernetes/client-node';
import { parseAllDocuments } from 'yaml';
import { GPU_POOL, type GpuPool, poolWithDefaults } from '../../operator/api/gpu-pool.ts';
import { KINDS } from '../../operator/api/kinds.ts';
import { SERVING } from '../../operator/api/vicuna-serving.ts';
import { TRAINING, type VicunaTraining, withDefaults } from '../../operator/api/vicuna-training.ts';
import { KubeClient } from '../../operator/kube/client.ts';
import { Informer } from '../../operator/kube/informer.ts';
import { CUSTOM_RESOURCE_DEFINITION, type KubeObject, NODE, POD, type ResourceType } from '../../operator/kube/types.ts';
import { slimPod } from '../../operator/slim.ts';
import { workerPod } from '../../operator/training/pods.ts';
import { type ControlPlane, startControlPlane } from '../cluster/control-plane.ts';
import { type KwokNodes, startKwokNodes } from '../cluster/kwok.ts';
import type { OperatorProcess } from '../cluster/operator-process.ts';
import { ROOT } from '../cluster/paths.ts';
import { until } from '../cluster/run.ts';

const JOB: ResourceType<V1Job> = { group: 'batch', version: 'v1', kind: 'Job', plural: 'jobs', namespaced: true };
const LABELS = { 'bench.vicuna.run/pool': 'scale' };
const NAMESPACE = 'default';

export interface ScaleSettings {
  readonly trainings: number;
  readonly workers: number;
  readonly nodes: number;
  readonly gpusPerNode: number;
  readonly nodesLost: number;
}

export const SCALE_SETTINGS: ScaleSettings = { trainings: 1_000, workers: 2, nodes: 300, gpusPerNode: 8, nodesLost: 20 };

/** A control plane with kwok nodes, the CRDs, and one pool over all nodes. */
export class ScaleBench {
  readonly settings: ScaleSettings;
  readonly controlPlane: ControlPlane;
  readonly client: KubeClient;
  readonly nodes: KwokNodes;
  readonly directory: string;
  /** Watched, not polled: lists of thousands of objects would be the largest load of all. */
  readonly #trainings: Informer<VicunaTraining>;
  readonly #pods: Informer<V1Pod>;
  readonly #stop = new AbortController();

  private constructor(settings: ScaleSettings, controlPlane: ControlPlane, client: KubeClient, nodes: KwokNodes, directory: string) {
    this.settings = settings;
    this.controlPlane = controlPlane;
    this.client = client;
    this.nodes = nodes;
    this.directory = directory;
    this.#trainings = new Informer<VicunaTraining>({ client, type: TRAINING });
    this.#pods = new Informer<V1Pod>({ client, type: POD, transform: slimPod, indexes: { phase: (pod) => [pod.status?.phase ?? ''] } });
    this.#trainings.start(this.#stop.signal);
    this.#pods.start(this.#stop.signal);
  }

  static async start(settings: ScaleSettings): Promise<ScaleBench> {
    const directory = mkdtempSync(join(tmpdir(), 'vicuna-scale-'));
    const controlPlane = await startControlPlane({ directory: join(directory, 'control-plane') });
    try {
      const client = await KubeClient.fromKubeconfig(controlPlane.kubeconfig);
      await applyCrds(client);
      const nodes = await startKwokNodes(controlPlane, client, { count: settings.nodes, gpus: settings.gpusPerNode, labels: LABELS });
      await client.create(GPU_POOL, scalePool(settings));
      return new ScaleBench(settings, controlPlane, client, nodes, directory);
    } catch (error) {
      await controlPlane.stop();
      rmSync(directory, { recursive: true, force: true });
      throw error;
    }
  }

  async stop(): Promise<void> {
    this.#stop.abort();
    await this.nodes.stop();
    this.client.close();
    await this.controlPlane.stop();
    rmSync(this.directory, { recursive: true, force: true });
  }

  /**
   * Seconds from the first create until all pods of plain Jobs of the same shape run; the Jobs are removed again. Their pods are the
   * smallest there are, or what a training's are, of which the API server, the scheduler and the nodes have more to read and write.
   */
  async jobs(pods: 'smallest' | 'asTrainings'): Promise<number> {
    const { trainings, workers } = this.settings;
    const template = pods === 'smallest' ? SMALLEST_POD : trainingPod(this.settings);
    const name = (i: number) => `${pods.toLowerCase()}-${i}`;
    const startedAt = performance.now();
    await inParallel(trainings, 16, (i) => this.client.create(JOB, plainJob(name(i), workers, template)));
    await this.#untilRunning('job', trainings * workers);
    const seconds = (performance.now() - startedAt) / 1000;
    await inParallel(trainings, 16, (i) => this.client.delete(JOB, NAMESPACE, name(i), { propagationPolicy: 'Background' }));
    await until(
      'plain Jobs removed',
      180_000,
      async () => (await this.client.list(POD, { namespace: NAMESPACE, limit: 1 })).items.length === 0,
      500,
    );
    return seconds;
  }

  /** Seconds from the first create until all trainings' worlds are published, and what the operator used for it. */
  async launch(
    operator: OperatorProcess,
  ): Promise<{ seconds: number; cpuSeconds: number; peakMemoryMiB: number; requestsPerTraining: number }> {
    const { trainings } = this.settings;
    const cpuBefore = operator.cpuSeconds;
    const requestsBefore = await requests(operator);
    const startedAt = performance.now();
    await inParallel(trainings, 16, (i) => this.client.create(TRAINING, scaleTraining(`t-${i}`, this.settings.workers)));
    await until('all trainings running', 300_000, () => this.#running() >= trainings, 20);
    const seconds = (performance.now() - startedAt) / 1000;
    const used = operator.cpuSeconds - cpuBefore;
    return {
      seconds,
      cpuSeconds: used,
      peakMemoryMiB: operator.peakMemory,
      requestsPerTraining: ((await requests(operator)) - requestsBefore) / trainings,
    };
  }

  /** Takes nodes away, all at once; seconds from then until each gang on them runs again in its next world, sorted. */
  async recovery(): Promise<{ affected: number; p50: number; p99: number }> {
    return summary(await this.#takeAway(this.nodes.names.slice(0, this.settings.nodesLost)));
  }

  /** Takes as many nodes away one by one, each when the gangs of the one before run again. */
  async singleRecoveries(): Promise<{ affected: number; p50: number; p99: number }> {
    const { nodesLost } = this.settings;
    const seconds: number[] = [];
    for (const name of this.nodes.names.slice(nodesLost, 2 * nodesLost)) seconds.push(...(await this.#takeAway([name])));
    return summary(seconds);
  }

  async #takeAway(names: readonly string[]): Promise<number[]> {
    const lost = new Set(names);
    const affected = new Set(
      this.#pods
        .list()
        .filter((p) => lost.has(p.spec?.nodeName ?? ''))
        .map((p) => p.metadata?.labels?.['vicuna.run/training'] ?? ''),
    );
    const deletedAt = Date.now();
    await Promise.all(names.map((name) => this.client.delete(NODE, undefined, name, { gracePeriodSeconds: 0 })));
    const recovered = new Map<string, number>();
    await until(
      'all gangs running again',
      120_000,
      async () => {
        for (const training of this.#trainings.list()) {
          const name = training.metadata.name ?? '';
          const startedAt = training.status?.world && Date.parse(training.status.world.startedAt);
          if (affected.has(name) && startedAt !== undefined && startedAt >= deletedAt && training.status?.next === undefined)
            recovered.set(name, (startedAt - deletedAt) / 1000);
        }
        return recovered.size === affected.size;
      },
      200,
    );
    return [...recovered.values()];
  }

  #running(): number {
    return this.#trainings.list().filter((t) => t.status?.phase === 'Running').length;
  }

  async #untilRunning(prefix: string, count: number): Promise<void> {
    await until(`${count} ${prefix} pods running`, 300_000, () => this.#pods.byIndex('phase', 'Running').length >= count, 20);
  }
}

export async function applyCrds(client: KubeClient): Promise<void> {
  for (const { plural } of KINDS) {
    for (const document of parseAllDocuments(readFileSync(join(ROOT, 'crds', `vicuna.run_${plural}.yaml`), 'utf8'))) {
      await client.apply(CUSTOM_RESOURCE_DEFINITION, document.toJS());
    }
  }
  await until('the kinds being served', 20_000, async () => {
    for (const type of [TRAINING, GPU_POOL, SERVING]) await client.list<KubeObject>(type, { limit: 1 });
    return true;
  });
}

function summary(all: readonly number[]): { affected: number; p50: number; p99: number } {
  const seconds = all.toSorted((a, b) => a - b);
  return { affected: seconds.length, p50: quantile(seconds, 0.5), p99: quantile(seconds, 0.99) };
}

export function quantile(sorted: readonly number[], q: number): number {
  return sorted[Math.min(sorted.length - 1, Math.floor(sorted.length * q))] ?? 0;
}

async function requests(operator: OperatorProcess): Promise<number> {
  const lines = (await operator.metrics())
    .split('\n')
    .filter((line) => line.startsWith('vicuna_api_requests_total{') && !line.includes('resource="leases"'));
  return lines.reduce((sum, line) => sum + Number(line.slice(line.lastIndexOf(' ') + 1)), 0);
}

async function inParallel(count: number, width: number, work: (index: number) => Promise<unknown>): Promise<void> {
  let next = 0;
  await Promise.all(
    Array.from({ length: width }, async () => {
      while (next < count) await work(next++);
    }),
  );
}

function scalePool(settings: ScaleSettings): GpuPool {
  return {
    metadata: { name: 'scale' },
    spec: {
      cloud: 'aws',
      capacity: 'spot',
      accelerator: { type: 'A100', count: settings.gpusPerNode, resourceName: 'nvidia.com/gpu' },
      price: { onDemand: '20', spot: '8' },
      nodeSelector: LABELS,
      notice: '120s',
    },
  };
}

function scaleTraining(name: string, workers: number): VicunaTraining {
  return {
    metadata: { name, namespace: NAMESPACE },
    spec: {
      model: { base: 's3://models/tiny' },
      dataset: { uri: 's3://data/conversations.jsonl' },
      workers: { min: workers, gpusPerWorker: 1, image: 'trainer' },
      checkpoint: { storage: `s3://checkpoints/${name}`, interval: '10m' },
    },
  } as unknown as VicunaTraining;
}

const SMALLEST_POD: V1PodTemplateSpec = {
  spec: {
    restartPolicy: 'Never',
    nodeSelector: LABELS,
    containers: [{ name: 'trainer', image: 'trainer', resources: { limits: { 'nvidia.com/gpu': '1' } } }],
  },
};

/** A worker's pod, as the operator makes it, without the owner that a Job's pod has of its own. */
function trainingPod(settings: ScaleSettings): V1PodTemplateSpec {
  const request = { name: 'worker', generation: 1, rank: 0, group: null, home: null, operatorUrl: 'http://10.0.0.1:8080' };
  const training = withDefaults(scaleTraining('training', settings.workers));
  const pool = poolWithDefaults(scalePool(settings));
  const { metadata, spec } = workerPod({ ...request, training, pool });
  const { labels = {}, annotations = {} } = metadata ?? {};
  return { metadata: { labels, annotations }, ...(spec ? { spec } : {}) };
}

function plainJob(name: string, pods: number, template: V1PodTemplateSpec): V1Job {
  return {
    metadata: { name, namespace: NAMESPACE },
    spec: {
      parallelism: pods,
      completions: pods,
      template,
    },
  };
}
