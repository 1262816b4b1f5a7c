import type { Change, Informer } from '../kube/informer.ts';
import type { KubeObject } from '../kube/types.ts';

/** The cache of one cluster. */
type Part<T extends KubeObject> = Pick<Informer<T>, 'onChange' | 'byIndex' | 'get' | 'list' | 'upsert'>;

interface Remote<T extends KubeObject> {
  readonly cache: Part<T>;
  active: boolean;
}

/**
 * One kind's objects in the operator's own cluster and in remote ones, as if they were one cache. `locate` makes an object of a remote
 * cluster tell where it is, so that two of the same name can be told apart.
 */
export class MergedCache<T extends KubeObject> {
  readonly #home: Part<T>;
  readonly #locate: (cluster: string, object: T) => T;
  readonly #remotes = new Map<string, Remote<T>>();
  readonly #handlers: ((change: Change<T>) => void)[] = [];

  constructor(home: Part<T>, locate: (cluster: string, object: T) => T = (_, object) => object) {
    this.#home = home;
    this.#locate = locate;
    home.onChange((change) => this.#tell(change));
  }

  onChange(handler: (change: Change<T>) => void): void {
    this.#handlers.push(handler);
  }

  /** Objects of the own cluster come first; a name with a cluster before its slash is looked for there. */
  get(namespace: string | undefined, name: string): T | undefined {
    const own = this.#home.get(namespace, name);
    if (own !== undefined) return own;
    const [cluster, rest] = name.includes('/') ? name.split('/', 2) : [undefined, name];
    for (const [remote, { cache }] of this.#remotes) {
      if (cluster !== undefined && cluster !== remote) continue;
      const found = cache.get(namespace, rest ?? '');
      if (found !== undefined) return this.#locate(remote, found);
    }
    return undefined;
  }

  byIndex(index: string, value: string): T[] {
    const own = this.#home.byIndex(index, value);
    if (this.#remotes.size === 0) return own;
    const elsewhere = [...this.#remotes].flatMap(([name, { cache }]) => cache.byIndex(index, value).map((o) => this.#locate(name, o)));
    return [...own, ...elsewhere];
  }

  /** Takes the answer to a write in; `cluster` is the remote one that gave it. */
  upsert(object: T, cluster: string | null = null): void {
    if (cluster === null) this.#home.upsert(object);
    else this.#remotes.get(cluster)?.cache.upsert(object);
  }

  add(cluster: string, cache: Part<T>): void {
    const remote: Remote<T> = { cache, active: true };
    this.#remotes.set(cluster, remote);
    cache.onChange(({ type, object, old }) => {
      if (!remote.active) return;
      const located = this.#locate(cluster, object);
      this.#tell(old === undefined ? { type, object: located } : { type, object: located, old: this.#locate(cluster, old) });
    });
  }

  /** What was in the cluster is deleted as far as anyone here can tell. */
  remove(cluster: string): void {
    const remote = this.#remotes.get(cluster);
    if (remote === undefined) return;
    remote.active = false;
    this.#remotes.delete(cluster);
    for (const object of remote.cache.list()) this.#tell({ type: 'deleted', object: this.#locate(cluster, object) });
  }

  #tell(change: Change<T>): void {
    for (const handler of this.#handlers) handler(change);
  }
}
