import type { GpuPool } from '../../operator/api/gpu-pool.ts';
import type { VicunaTraining } from '../../operator/api/vicuna-training.ts';
import { TRAINING } from '../../operator/api/vicuna-training.ts';
import { KubeClient } from '../../operator/kube/client.ts';
import { Informer } from '../../operator/kube/informer.ts';
import { applyCrds } from '../bench/scale.ts';
import { Cluster } from '../cluster/cluster.ts';
import { DEMO_NODES } from '../cluster/demo-nodes.ts';
import type { NodeSpec } from '../cluster/node-profiles.ts';
import { OperatorProcess } from '../cluster/operator-process.ts';
import { run } from '../cluster/run.ts';
import { createPools, DEMO_POOLS, NAMESPACE, prepareInputs, pythonEnvironment } from '../demo/stage.ts';

/** A cluster with operator, pools and inputs, and a view of its trainings: the stage of the end-to-end tests. */
export class Stage {
  readonly cluster: Cluster;
  operator: OperatorProcess;
  readonly #trainings: Informer<VicunaTraining>;
  readonly #listeners = new Set<() => void>();
  readonly #stop = new AbortController();

  private constructor(cluster: Cluster, operator: OperatorProcess, trainings: Informer<VicunaTraining>) {
    this.cluster = cluster;
    this.operator = operator;
    this.#trainings = trainings;
    trainings.onChange(() => {
      for (const listener of [...this.#listeners]) listener();
    });
    trainings.start(this.#stop.signal);
  }

  static async start(name: string, nodes: readonly NodeSpec[] = DEMO_NODES, pools: readonly GpuPool[] = DEMO_POOLS): Promise<Stage> {
    const cluster = await Cluster.start({ nodes, name });
    await applyCrds(cluster.client);
    const operator = await Stage.#startOperator(cluster);
    await createPools(cluster.client, pools);
    await prepareInputs(cluster.client, cluster.s3);
    const watcher = await KubeClient.fromKubeconfig(cluster.kubeconfig);
    return new Stage(cluster, operator, new Informer<VicunaTraining>({ client: watcher, type: TRAINING, namespace: NAMESPACE }));
  }

  static #startOperator(cluster: Cluster): Promise<OperatorProcess> {
    return OperatorProcess.start({
      kubeconfig: cluster.kubeconfig,
      address: cluster.address,
      logFile: `${cluster.directory}/operator.log`,
    });
  }

  async stop(): Promise<void> {
    this.#stop.abort();
    await this.operator.stop();
    await this.cluster.stop();
  }

  training(name: string): VicunaTraining | undefined {
    return this.#trainings.get(NAMESPACE, name);
  }

  /** Resolves as soon as the training satisfies `condition`; rejects with its status when it has failed or time is up. */
  until(name: string, what: string, condition: (training: VicunaTraining) => boolean, timeoutMs = 180_000): Promise<VicunaTraining> {
    const { promise, resolve, reject } = Promise.withResolvers<VicunaTraining>();
    const look = () => {
      const training = this.training(name);
      if (!training) return;
      if (condition(training)) resolve(training);
      else if (training.status?.phase === 'Failed') reject(new Error(`${name} failed: ${JSON.stringify(training.status.conditions)}`));
    };
    this.#listeners.add(look);
    const timer = setTimeout(
      () => reject(new Error(`${what} did not happen in ${timeoutMs / 1000} s: ${JSON.stringify(this.training(name)?.status)}`)),
      timeoutMs,
    );
    look();
    return promise.finally(() => {
      clearTimeout(timer);
      this.#listeners.delete(look);
    });
  }

  /** Proves from the trainer's own samples log that every sample was used once per epoch; throws with the reason when not. */
  async provenSteps(name: string): Promise<number> {
    const env = { ...(await pythonEnvironment()), ...this.cluster.s3.environment };
    const output = await run('python3', ['-m', 'vicuna_trainer.check_samples', `s3://checkpoints/${name}`, '--json'], { env });
    return (JSON.parse(output.slice(output.indexOf('{'))) as { steps: number }).steps;
  }
}

/** Whether every interruption so far is over and the training runs. */
export function isSteady(training: VicunaTraining): boolean {
  const { phase, interruptions = [], next, world } = training.status ?? {};
  return phase === 'Running' && next === undefined && world?.stopBy === undefined && interruptions.every((r) => r.resumedAt !== undefined);
}

/** Random numbers 0..1 that come the same way at every run (mulberry32). */
export function seeded(seed: number): () => number {
  let state = seed;
  return () => {
    state = (state + 0x6d2b79f5) | 0;
    let t = Math.imul(state ^ (state >>> 15), 1 | state);
    t = (t + Math.imul(t ^ (t >>> 7), 61 | t)) ^ t;
    return ((t ^ (t >>> 14)) >>> 0) / 4_294_967_296;
  };
}
