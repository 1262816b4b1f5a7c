import { setTimeout as delay } from 'node:timers/promises';
import type { V1Deployment, V1Node, V1Pod, V1Secret } from '@kubernetes/client-node';
import { isNotFound, KubeClient } from '../kube/client.ts';
import type { Credentials } from '../kube/credentials.ts';
import type { Informer } from '../kube/informer.ts';
import { SECRET } from '../kube/types.ts';
import {
  afterAnswer,
  afterFailure,
  connecting,
  type Health,
  isLost,
  isRefusedCredential,
  PROBE_EVERY_MS,
  PROBE_TIMEOUT_MS,
} from './health.ts';
import { credentialsOf } from './kubeconfig.ts';

/** Key of the Secret that holds the kubeconfig, as Cluster API and others name it. */
const KUBECONFIG_KEYS = ['kubeconfig', 'value'];

export interface RemoteCaches {
  readonly pods: Informer<V1Pod>;
  readonly nodes: Informer<V1Node>;
  readonly deployments: Informer<V1Deployment>;
}

export interface RemoteClusterOptions {
  /** Name of the Secret with its kubeconfig, and so its name here. */
  readonly name: string;
  /** The operator's own cluster, where the Secret is. */
  readonly home: KubeClient;
  readonly namespace: string;
  /** Done before the first connection. */
  readonly prepare: () => Promise<void>;
  readonly makeCaches: (name: string, client: KubeClient) => RemoteCaches;
  /** The caches of a connection begin, and end. */
  readonly onCaches: (caches: RemoteCaches) => void;
  readonly onCachesGone: () => void;
  /** Health has changed, or the cluster has come to be taken for lost. */
  readonly onHealth: () => void;
  readonly clock: () => number;
}

interface Connection {
  readonly kubeconfig: string;
  readonly client: KubeClient;
  readonly caches: RemoteCaches;
  readonly stop: AbortController;
}

/** Another cluster's API server: its caches while it can be reached, and whether it can. */
export class RemoteCluster {
  readonly name: string;
  readonly #o: RemoteClusterOptions;
  readonly #stop = new AbortController();
  #connection: Connection | null = null;
  #health: Health;
  #wasLost = false;

  constructor(options: RemoteClusterOptions) {
    this.#o = options;
    this.name = options.name;
    this.#health = connecting(options.clock());
  }

  start(): void {
    void this.#run();
  }

  stop(): void {
    this.#stop.abort();
    this.#disconnect();
  }

  get health(): Health {
    return this.#health;
  }

  /** Null before the first connection. */
  get client(): KubeClient | null {
    return this.#connection?.client ?? null;
  }

  get isLost(): boolean {
    return isLost(this.#health, this.#o.clock());
  }

  /** Whether what the caches show is what there is. */
  get isSynced(): boolean {
    const caches = this.#connection?.caches;
    return caches?.pods.hasSynced() === true && caches.nodes.hasSynced() && caches.deployments.hasSynced();
  }

  async #run(): Promise<void> {
    const { signal } = this.#stop;
    while (!signal.aborted) {
      await this.#look();
      await delay(PROBE_EVERY_MS, undefined, { signal, ref: false }).catch(() => undefined);
    }
  }

  /** Asks the API server; while it does not answer, also whether the Secret has been changed. */
  async #look(): Promise<void> {
    const { clock } = this.#o;
    const before = this.#health;
    if (this.#connection === null || !before.reachable) await this.#readSecret();
    if (this.#connection !== null) {
      const startedAt = clock();
      const signal = AbortSignal.any([this.#stop.signal, AbortSignal.timeout(PROBE_TIMEOUT_MS)]);
      try {
        // Not /readyz: anybody may ask that, and what counts is whether we may see nodes.
        await this.#connection.client.getPath('/api/v1/nodes?limit=1', { signal });
        this.#health = afterAnswer(this.#health, clock() - startedAt, clock());
      } catch (error) {
        const [reason, message] = isRefusedCredential(error)
          ? (['CredentialsRefused', 'the API server refuses the credentials of the kubeconfig: renew its token or certificate'] as const)
          : (['ConnectionFailed', signal.aborted ? `no answer within ${PROBE_TIMEOUT_MS / 1000} s` : wordsOf(error)] as const);
        this.#health = afterFailure(this.#health, reason, message, clock());
      }
    }
    if (this.#stop.signal.aborted) return;
    const lost = this.isLost;
    if (lost !== this.#wasLost || before.reachable !== this.#health.reachable || before.reason !== this.#health.reason) this.#o.onHealth();
    this.#wasLost = lost;
  }

  /** Connects, or connects anew when the kubeconfig is another one. */
  async #readSecret(): Promise<void> {
    const { home, namespace, name, clock, prepare } = this.#o;
    const fail = (reason: 'MissingSecret' | 'BadKubeconfig', message: string) => {
      this.#health = afterFailure(this.#health, reason, message, clock());
    };
    let secret: V1Secret;
    try {
      secret = await home.get(SECRET, namespace, name);
      await prepare();
    } catch (error) {
      if (isNotFound(error))
        fail('MissingSecret', `Secret "${name}" does not exist in namespace ${namespace}: create it with a kubeconfig`);
      return; // otherwise it is the own API server that does not answer: that says nothing of this cluster
    }
    const data = KUBECONFIG_KEYS.map((key) => secret.data?.[key]).find((value) => value !== undefined);
    if (data === undefined) return fail('MissingSecret', `Secret "${name}" has no key "${KUBECONFIG_KEYS[0]}" with a kubeconfig`);
    const kubeconfig = Buffer.from(data, 'base64').toString('utf8');
    if (kubeconfig === this.#connection?.kubeconfig) return;
    try {
      this.#connect(kubeconfig, credentialsOf(kubeconfig));
    } catch (error) {
      fail('BadKubeconfig', `Secret "${name}": ${(error as Error).message}`);
    }
  }

  #connect(kubeconfig: string, credentials: Credentials): void {
    this.#disconnect();
    const { name, makeCaches, onCaches, clock } = this.#o;
    const client = new KubeClient(credentials, null);
    const caches = makeCaches(name, client);
    const stop = new AbortController();
    this.#connection = { kubeconfig, client, caches, stop };
    this.#health = connecting(clock());
    onCaches(caches);
    for (const cache of Object.values(caches)) cache.start(stop.signal);
  }

  #disconnect(): void {
    const connection = this.#connection;
    if (connection === null) return;
    this.#connection = null;
    connection.stop.abort();
    this.#o.onCachesGone();
    connection.client.close();
  }
}

/** An error's words without what it quotes of a path. */
function wordsOf(error: unknown): string {
  const message = error instanceof Error ? error.message : String(error);
  return message.replace(/^GET \S+: /, '').slice(0, 256);
}
