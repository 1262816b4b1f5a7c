import type { CoreV1Event, V1Node } from '@kubernetes/client-node';
import { GPU_POOL, type GpuPool, poolWithDefaults } from '../../operator/api/gpu-pool.ts';
import { DATASET, type VicunaDataset } from '../../operator/api/vicuna-dataset.ts';
import { EVALUATION, type VicunaEvaluation } from '../../operator/api/vicuna-evaluation.ts';
import { SERVING, type VicunaServing } from '../../operator/api/vicuna-serving.ts';
import { TRAINING, type VicunaTraining } from '../../operator/api/vicuna-training.ts';
import { ApiError, isNotFound, KubeClient } from '../../operator/kube/client.ts';
import { loadCredentials } from '../../operator/kube/credentials.ts';
import { EVENT, type KubeObject, metadataOf, NODE, type ResourceType } from '../../operator/kube/types.ts';
import type { Fleet } from './fleet.ts';

export interface Where {
  readonly kubeconfig: string | undefined;
  readonly context: string | undefined;
  readonly namespace: string | undefined;
  readonly allNamespaces: boolean;
}

const PAGE = 500;

/** The cluster and namespace that a command line speaks of, as kubectl would understand it. */
export class Session {
  readonly client: KubeClient;
  /** The namespace that names without one are in. */
  readonly namespace: string;
  readonly #all: boolean;

  constructor(client: KubeClient, namespace: string, all: boolean) {
    this.client = client;
    this.namespace = namespace;
    this.#all = all;
  }

  /** The cluster that a kubeconfig and its context name. */
  static async open({ kubeconfig, context, namespace, allNamespaces }: Where): Promise<Session> {
    const load = () => loadCredentials(kubeconfig ?? null, context ?? null);
    const credentials = await load();
    const client = new KubeClient(credentials, load, 'kubectl-vicuna');
    return new Session(client, namespace ?? credentials.namespace ?? 'default', allNamespaces);
  }

  close(): void {
    this.client.close();
  }

  /** The namespace to list; undefined = all of them. */
  get scope(): string | undefined {
    return this.#all ? undefined : this.namespace;
  }

  trainings(): Promise<VicunaTraining[]> {
    return this.#list(TRAINING, this.scope);
  }

  servings(): Promise<VicunaServing[]> {
    return this.#list(SERVING, this.scope);
  }

  datasets(): Promise<VicunaDataset[]> {
    return this.#list(DATASET, this.scope);
  }

  evaluations(): Promise<VicunaEvaluation[]> {
    return this.#list(EVALUATION, this.scope);
  }

  /** Everything there is in the scope, and the pools. */
  async fleet(): Promise<Fleet> {
    const [trainings, servings, datasets, evaluations, pools] = await Promise.all([
      this.trainings(),
      this.servings(),
      this.datasets(),
      this.evaluations(),
      this.pools(),
    ]);
    return { trainings, servings, datasets, evaluations, pools };
  }

  async pools(): Promise<GpuPool[]> {
    return (await this.#list(GPU_POOL, undefined)).map(poolWithDefaults);
  }

  /** None where the user may not list them. */
  async nodes(): Promise<V1Node[]> {
    return (await this.#ifAllowed(this.#list(NODE, undefined))) ?? [];
  }

  training(name: string): Promise<VicunaTraining> {
    return this.get(TRAINING, this.namespace, name);
  }

  /** One object; that it does not exist is said in a sentence. */
  async get<T extends KubeObject>(type: ResourceType<T>, namespace: string | undefined, name: string): Promise<T> {
    try {
      return await this.client.get(type, namespace, name);
    } catch (error) {
      if (!isNotFound(error)) throw error;
      const place = type.namespaced ? ` in namespace ${namespace}` : '';
      throw new Error(`there is no ${type.kind} "${name}"${place}`);
    }
  }

  /** What was said of this very object, not of an earlier one of its name; null where the user may not read events. */
  async eventsOf(object: KubeObject): Promise<CoreV1Event[] | null> {
    // Those of cluster-scoped objects are in "default".
    const { namespace = 'default', uid = '' } = metadataOf(object);
    const options = { namespace, fieldSelector: `involvedObject.uid=${uid}`, limit: PAGE };
    return (await this.#ifAllowed(this.client.list(EVENT, options)))?.items ?? null;
  }

  async #ifAllowed<T>(answer: Promise<T>): Promise<T | null> {
    try {
      return await answer;
    } catch (error) {
      if (error instanceof ApiError && error.status === 403) return null;
      throw error;
    }
  }

  /** As kubectl, a page at a time. A kind that is not installed is an error that says how to install it. */
  async #list<T extends KubeObject>(type: ResourceType<T>, namespace: string | undefined): Promise<T[]> {
    const items: T[] = [];
    let next: string | undefined;
    try {
      do {
        const page = await this.client.list(type, {
          limit: PAGE,
          ...(namespace === undefined ? {} : { namespace }),
          ...(next ? { continue: next } : {}),
        });
        items.push(...page.items);
        next = page.metadata.continue;
      } while (next);
    } catch (error) {
      if (!isNotFound(error)) throw error;
      throw new Error(`the cluster ${this.client.server} does not know the kind ${type.kind}: install the CRDs (kubectl apply -f crds/)`);
    }
    return items;
  }
}
