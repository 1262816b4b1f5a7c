import { type KubeObject, metadataOf } from './types.ts';

export function storeKey(namespace: string | undefined, name: string): string {
  return namespace === undefined ? name : `${namespace}/${name}`;
}

/** Objects by namespace and name, with indexes that follow every change. */
export class Store<T extends KubeObject> {
  readonly #objects = new Map<string, T>();
  readonly #indexers: Readonly<Record<string, (object: T) => readonly string[]>>;
  readonly #indexes = new Map<string, Map<string, Map<string, T>>>();

  constructor(indexers: Readonly<Record<string, (object: T) => readonly string[]>>) {
    this.#indexers = indexers;
    for (const name of Object.keys(indexers)) this.#indexes.set(name, new Map());
  }

  get(key: string): T | undefined {
    return this.#objects.get(key);
  }

  keys(): string[] {
    return [...this.#objects.keys()];
  }

  values(): T[] {
    return [...this.#objects.values()];
  }

  get size(): number {
    return this.#objects.size;
  }

  byIndex(index: string, value: string): T[] {
    const entries = this.#indexes.get(index);
    if (entries === undefined) throw new Error(`the store has no index "${index}"`);
    return [...(entries.get(value)?.values() ?? [])];
  }

  /** Puts the object in; returns the one it replaces. */
  set(key: string, object: T): T | undefined {
    const old = this.delete(key);
    this.#objects.set(key, object);
    for (const [name, indexer] of Object.entries(this.#indexers)) {
      const entries = this.#indexes.get(name);
      for (const value of indexer(object)) {
        const bucket = entries?.get(value) ?? new Map<string, T>();
        bucket.set(key, object);
        entries?.set(value, bucket);
      }
    }
    return old;
  }

  delete(key: string): T | undefined {
    const old = this.#objects.get(key);
    if (old === undefined) return undefined;
    this.#objects.delete(key);
    for (const [name, indexer] of Object.entries(this.#indexers)) {
      const entries = this.#indexes.get(name);
      for (const value of indexer(old)) {
        const bucket = entries?.get(value);
        bucket?.delete(key);
        if (bucket?.size === 0) entries?.delete(value);
      }
    }
    return old;
  }
}

/** Whether `a` is older than `b`. Versions of one resource are decimal numbers that grow (Kubernetes 1.35 promises it). */
export function isOlder(a: KubeObject, b: KubeObject): boolean {
  const left = metadataOf(a).resourceVersion ?? '';
  const right = metadataOf(b).resourceVersion ?? '';
  if (left.length !== right.length) return left.length < right.length;
  return left < right;
}
