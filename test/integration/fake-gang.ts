import { GPU_POOL } from '../../operator/api/gpu-pool.ts';
import type { World } from '../../operator/api/protocol.ts';
import { TRAINING, type VicunaTraining } from '../../operator/api/vicuna-training.ts';
import type { KubeClient } from '../../operator/kube/client.ts';
import { NODE, POD } from '../../operator/kube/types.ts';
import { type KwokNodes, startKwokNodes } from '../cluster/kwok.ts';
import { run } from '../cluster/run.ts';
import { toolPath } from '../cluster/tools.ts';
import { FakeWorker } from './fake-worker.ts';

export const TOTAL_STEPS = 20;
/** Workers go no further than this before the test lets them. */
export const HELD_AT = 10;

/** Nodes without machines behind them and a pool that selects them. */
export async function startFakePool(
  controlPlane: { readonly kubeconfig: string; readonly directory: string },
  client: KubeClient,
  name: string,
): Promise<KwokNodes> {
  const labels = { 'faults.vicuna.run/pool': name };
  const nodes = await startKwokNodes(controlPlane, client, { count: 4, gpus: 1, labels });
  await client.create(GPU_POOL, {
    metadata: { name },
    spec: {
      cloud: 'aws',
      capacity: 'spot',
      accelerator: { type: 'A100', count: 1, resourceName: 'nvidia.com/gpu' },
      price: { onDemand: '3', spot: '1' },
      nodeSelector: labels,
      notice: '120s',
    },
  });
  return nodes;
}

export interface FakeCluster {
  readonly client: KubeClient;
  readonly kubeconfig: string;
}

/** A training whose worker pods are run by kwok and whose supervisors are played by this process. */
export class FakeGang {
  readonly name: string;
  readonly #client: KubeClient;
  readonly #clusters: readonly FakeCluster[];
  readonly #url: () => string;
  readonly #workers = new Map<string, FakeWorker>();
  /** Called with everything that any of the workers is told. */
  onWorld: (world: World) => void = () => undefined;
  #limit = HELD_AT;

  private constructor(clusters: readonly [FakeCluster, ...FakeCluster[]], name: string, url: () => string) {
    this.#client = clusters[0].client;
    this.#clusters = clusters;
    this.name = name;
    this.#url = url;
  }

  /** `others` are remote clusters in which its workers may come to run, too. */
  static async start(client: KubeClient, kubeconfig: string, name: string, url: () => string, ...others: FakeCluster[]): Promise<FakeGang> {
    await client.create(TRAINING, {
      metadata: { name, namespace: 'default' },
      spec: {
        model: { base: 's3://models/tiny' },
        dataset: { uri: 's3://data/conversations.jsonl' },
        workers: { min: 2, gpusPerWorker: 1, image: 'trainer' },
        checkpoint: { storage: `s3://checkpoints/${name}`, interval: '1000steps' },
      },
    } as unknown as VicunaTraining);
    return new FakeGang([{ client, kubeconfig }, ...others], name, url);
  }

  async status(): Promise<VicunaTraining['status']> {
    return (await this.#client.get(TRAINING, 'default', this.name)).status;
  }

  /** Gives every pod that runs its supervisor. */
  async attend(): Promise<void> {
    for (const { pod, kubeconfig } of await this.#pods()) {
      const podName = pod.metadata?.name ?? '';
      if (this.#workers.has(podName) || pod.status?.phase !== 'Running') continue;
      const bound = ['--bound-object-kind', 'Pod', '--bound-object-name', podName];
      const token = await run(toolPath('kubectl'), [
        '--kubeconfig',
        kubeconfig,
        ...['create', 'token', 'default', '--audience', 'vicuna.run', ...bound],
      ]);
      this.#workers.set(
        podName,
        new FakeWorker({
          url: this.#url,
          training: `default/${this.name}`,
          pod: podName,
          token: token.trim(),
          storage: `s3://checkpoints/${this.name}`,
          totalSteps: TOTAL_STEPS,
          limit: () => this.#limit,
          onWorld: (world) => this.onWorld(world),
        }),
      );
    }
  }

  /** Cuts the workers that there are now off from the operator; they work on. */
  mute(): void {
    for (const worker of this.#workers.values()) worker.isMuted = true;
  }

  unmute(): void {
    for (const worker of this.#workers.values()) worker.isMuted = false;
  }

  /** Whether these metrics say that the training has come as far as it may. */
  isHeld(metrics: string): boolean {
    // The status follows every ten seconds only.
    return new RegExp(`^vicuna_training_step\\{[^}]*"${this.name}"[^}]*\\} ${HELD_AT}$`, 'm').test(metrics);
  }

  /** Announces the end of the node of rank 1, after calling `sending`; the function takes it back. */
  async announce(sending = () => {}): Promise<() => Promise<void>> {
    const pod = (await this.status())?.world?.members[1]?.pod ?? '';
    const node = (await this.#client.get(POD, 'default', pod)).spec?.nodeName ?? '';
    const taints = [{ key: 'aws-node-termination-handler/spot-itn', value: 'x', effect: 'NoSchedule' }];
    sending();
    await this.#client.mergePatch(NODE, undefined, node, { spec: { taints } });
    return async () => void (await this.#client.mergePatch(NODE, undefined, node, { spec: { taints: null } }));
  }

  /** Whether it has outlived so many interruptions, and runs again. */
  async hasMoved(times = 1): Promise<boolean> {
    const { interruptions = [], totals } = (await this.status()) ?? {};
    return totals?.interruptions === times && interruptions.at(-1)?.resumedAt !== undefined;
  }

  /** Lets the workers train to the end. */
  release(): void {
    this.#limit = TOTAL_STEPS;
  }

  async remove(): Promise<void> {
    this.end();
    await this.#client.delete(TRAINING, 'default', this.name, { propagationPolicy: 'Background' });
    // The garbage collector takes half a minute to learn of a new kind; the next gang needs the GPUs now.
    for (const { pod, client } of await this.#pods())
      await client.delete(POD, 'default', pod.metadata?.name ?? '', { gracePeriodSeconds: 0 }).catch(() => undefined);
  }

  /** Ends what plays its workers. */
  end(): void {
    for (const worker of this.#workers.values()) worker.end();
  }

  async #pods() {
    const found = this.#clusters.map(async ({ client, kubeconfig }) => {
      const { items } = await client.list(POD, { namespace: 'default', labelSelector: `vicuna.run/training=${this.name}` });
      return items.map((pod) => ({ pod, client, kubeconfig }));
    });
    return (await Promise.all(found)).flat();
  }
}
