import { type KubeObject, metadataOf } from './types.ts';

export function storeKey(namespace: string | undefined, name: string): string {
  return namespace === undefined ? name : `${namespace}/${name}`;
}

export function keyOf(object: KubeObject): string {
  const { namespace, name } = metadataOf(object);
  return storeKey(namespace, name ?? '');
}

interface Index<T> {
  readonly valuesOf: (object: T) => readonly string[];
  readonly buckets: Map<string, Map<string, T>>;
}

interface Entry<T> {
  readonly object: T;
  /** By index, what the object was filed under: somebody may change an object that he was only lent. */
  readonly values: readonly (readonly string[])[];
}

/** Objects by namespace and name, with indexes that follow every change. */
export class Store<T extends KubeObject> {
  readonly #entries = new Map<string, Entry<T>>();
  readonly #indexes: ReadonlyMap<string, Index<T>>;

  constructor(indexers: Readonly<Record<string, (object: T) => readonly string[]>>) {
    this.#indexes = new Map(Object.entries(indexers).map(([name, valuesOf]) => [name, { valuesOf, buckets: new Map() }]));
  }

  get(key: string): T | undefined {
    return this.#entries.get(key)?.object;
  }

  keys(): string[] {
    return [...this.#entries.keys()];
  }

  values(): T[] {
    return Array.from(this.#entries.values(), (entry) => entry.object);
  }

  get size(): number {
    return this.#entries.size;
  }

  byIndex(index: string, value: string): T[] {
    const found = this.#indexes.get(index);
    if (found === undefined) throw new Error(`the store has no index "${index}"`);
    return [...(found.buckets.get(value)?.values() ?? [])];
  }

  /** Puts the object in; returns the one it replaces. */
  set(key: string, object: T): T | undefined {
    const old = this.#entries.get(key);
    const values = Array.from(this.#indexes.values(), (index) => index.valuesOf(object));
    if (old) this.#unfile(key, old);
    this.#entries.set(key, { object, values });
    let at = 0;
    for (const { buckets } of this.#indexes.values()) {
      for (const value of values[at++] ?? []) {
        const bucket = buckets.get(value);
        if (bucket) bucket.set(key, object);
        else buckets.set(value, new Map([[key, object]]));
      }
    }
    return old?.object;
  }

  delete(key: string): T | undefined {
    const old = this.#entries.get(key);
    if (old === undefined) return undefined;
    this.#entries.delete(key);
    this.#unfile(key, old);
    return old.object;
  }

  #unfile(key: string, { values }: Entry<T>): void {
    let at = 0;
    for (const { buckets } of this.#indexes.values()) {
      for (const value of values[at++] ?? []) {
        const bucket = buckets.get(value);
        bucket?.delete(key);
        if (bucket?.size === 0) buckets.delete(value);
      }
    }
  }
}
