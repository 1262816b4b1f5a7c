import type { V1Deployment, V1Namespace, V1Node, V1Pod, V1TokenReview, V1TokenReviewStatus } from '@kubernetes/client-node';
import type { GpuPool } from '../api/gpu-pool.ts';
import type { KubeClient } from '../kube/client.ts';
import type { Informer } from '../kube/informer.ts';
import { NAMESPACE, TOKEN_REVIEW } from '../kube/types.ts';
import { type Health, isLost } from './health.ts';
import { locatedNode } from './located.ts';
import { MergedCache } from './merged-cache.ts';
import { type RemoteCaches, RemoteCluster } from './remote-cluster.ts';

/** The namespace whose uid stands for a whole cluster. */
const CLUSTER_ID_NAMESPACE = 'kube-system';

export interface ClustersOptions {
  readonly home: {
    readonly client: KubeClient;
    readonly pods: Informer<V1Pod>;
    readonly nodes: Informer<V1Node>;
    readonly deployments: Informer<V1Deployment>;
  };
  /** Namespace of the Secrets with kubeconfigs. */
  readonly namespace: string;
  /** `homeId` is what is made there is known by. */
  readonly makeCaches: (name: string, client: KubeClient, homeId: string) => RemoteCaches;
  readonly clock: () => number;
}

/** Where something is to be made or removed. */
export interface Place {
  /** null = the operator's own. */
  readonly cluster: string | null;
  readonly client: KubeClient;
}

/** The operator's own cluster and those that pools name: one view of their pods and nodes, and who to talk to. */
export class Clusters {
  readonly #o: ClustersOptions;
  readonly #remotes = new Map<string, RemoteCluster>();
  readonly #handlers: ((cluster: string) => void)[] = [];
  readonly pods: MergedCache<V1Pod>;
  readonly nodes: MergedCache<V1Node>;
  readonly deployments: MergedCache<V1Deployment>;
  #homeId = '';

  constructor(options: ClustersOptions) {
    this.#o = options;
    const { pods, nodes, deployments } = options.home;
    this.pods = new MergedCache(pods);
    this.nodes = new MergedCache(nodes, locatedNode);
    this.deployments = new MergedCache(deployments);
  }

  /** Called with a cluster's name when it is reached, no longer reached, or given up. */
  onHealth(handler: (cluster: string) => void): void {
    this.#handlers.push(handler);
  }

  /** Who the own cluster is: what is made elsewhere says so. Known as soon as another cluster is. */
  get homeId(): string {
    return this.#homeId;
  }

  async #identify(): Promise<void> {
    if (this.#homeId !== '') return;
    const own = await this.#o.home.client.get<V1Namespace>(NAMESPACE, undefined, CLUSTER_ID_NAMESPACE);
    this.#homeId = own.metadata?.uid ?? '';
  }

  /** Connects to the clusters that the pools are in, and leaves those that none is in any more. */
  follow(pools: readonly GpuPool[]): void {
    const wanted = new Set(pools.flatMap((pool) => clusterOfPool(pool) ?? []));
    for (const [name, remote] of this.#remotes) {
      if (wanted.has(name)) continue;
      this.#remotes.delete(name);
      remote.stop();
    }
    for (const name of wanted) if (!this.#remotes.has(name)) this.#add(name);
  }

  #add(name: string): void {
    const { home, namespace, makeCaches, clock } = this.#o;
    const remote = new RemoteCluster({
      name,
      home: home.client,
      namespace,
      clock,
      prepare: () => this.#identify(),
      makeCaches: (cluster, client) => makeCaches(cluster, client, this.#homeId),
      onCaches: (caches) => {
        this.nodes.add(name, caches.nodes);
        this.pods.add(name, caches.pods);
        this.deployments.add(name, caches.deployments);
      },
      onCachesGone: () => {
        for (const cache of [this.pods, this.nodes, this.deployments]) cache.remove(name);
      },
      onHealth: () => {
        for (const handler of this.#handlers) handler(name);
      },
    });
    this.#remotes.set(name, remote);
    remote.start();
  }

  /** The cluster of that name, while something may be written there; null = it is out of reach. */
  place(cluster: string | null): Place | null {
    if (cluster === null) return { cluster, client: this.#o.home.client };
    const remote = this.#remotes.get(cluster);
    return remote?.client && remote.health.reachable ? { cluster, client: remote.client } : null;
  }

  /** null = the own one, or none that is known. */
  health(cluster: string | null): Health | null {
    return cluster === null ? null : (this.#remotes.get(cluster)?.health ?? null);
  }

  /** Since when the cluster has been given up for lost (ms since epoch), or null. */
  lostSince(cluster: string | null): number | null {
    const health = this.health(cluster);
    return health !== null && isLost(health, this.#o.clock()) ? health.since : null;
  }

  /** Whether it can be told what runs in the cluster: its caches are filled, or it has been given up. */
  isSettled(cluster: string | null): boolean {
    if (cluster === null) return true;
    const remote = this.#remotes.get(cluster);
    return remote === undefined || remote.isSynced || remote.isLost;
  }

  areSettled(): boolean {
    return [...this.#remotes.keys()].every((name) => this.isSettled(name));
  }

  /** Whether the caches show what there is in the remote cluster, or was when it was last heard of. */
  isSynced(cluster: string): boolean {
    return this.#remotes.get(cluster)?.isSynced ?? false;
  }

  /** Names of all remote clusters. */
  remotes(): string[] {
    return [...this.#remotes.keys()];
  }

  /** Whose pod a token is, by the word of the cluster that made it: the own one's, or one of these. */
  async reviewToken(
    token: string,
    audience: string,
    clusters: Iterable<string | null>,
  ): Promise<V1TokenReviewStatus & { cluster: string | null }> {
    let refusal: (V1TokenReviewStatus & { cluster: string | null }) | null = null;
    for (const cluster of clusters) {
      const place = this.place(cluster);
      if (place === null) continue;
      const review = { spec: { token, audiences: [audience] } } as V1TokenReview;
      const status = (await place.client.create(TOKEN_REVIEW, review)).status ?? { authenticated: false };
      if (status.authenticated === true) return { ...status, cluster };
      refusal ??= { ...status, cluster };
    }
    if (refusal === null) throw new Error('no cluster of the pod can be reached');
    return refusal;
  }

  stop(): void {
    for (const remote of this.#remotes.values()) remote.stop();
  }
}

/** The remote cluster that a pool's nodes are in; null = the operator's own. */
export function clusterOfPool(pool: GpuPool | undefined): string | null {
  return pool?.spec.cluster?.kubeconfigSecret ?? null;
}
