import type { V1Node, V1Pod } from '@kubernetes/client-node';
import { beforeEach, describe, expect, it } from 'vitest';
import type { Change } from '../kube/informer.ts';
import { Store } from '../kube/store.ts';
import { clusterOf, locatedNode, locatedPod } from './located.ts';
import { MergedCache } from './merged-cache.ts';

/** A cache that a test fills. */
class FakeCache<T extends { metadata?: { name?: string; namespace?: string } }> {
  readonly #store = new Store<T>({ node: (o) => [(o as V1Pod).spec?.nodeName ?? ''] });
  readonly #handlers: ((change: Change<T>) => void)[] = [];
  onChange(handler: (change: Change<T>) => void): void {
    this.#handlers.push(handler);
  }
  get(namespace: string | undefined, name: string): T | undefined {
    return this.#store.get(namespace === undefined ? name : `${namespace}/${name}`);
  }
  byIndex(index: string, value: string): T[] {
    return this.#store.byIndex(index, value);
  }
  list(): T[] {
    return this.#store.values();
  }
  upsert(object: T): void {
    const { namespace, name } = object.metadata ?? {};
    const old = this.#store.set(namespace === undefined ? (name ?? '') : `${namespace}/${name}`, object);
    for (const handler of this.#handlers) handler(old === undefined ? { type: 'added', object } : { type: 'updated', object, old });
  }
}

const node = (name: string): V1Node => ({ metadata: { name } });
const pod = (name: string, nodeName: string): V1Pod => ({ metadata: { name, namespace: 'ml' }, spec: { nodeName, containers: [] } });

let home: FakeCache<V1Node>;
let west: FakeCache<V1Node>;
let nodes: MergedCache<V1Node>;
let told: string[];

beforeEach(() => {
  home = new FakeCache();
  west = new FakeCache();
  nodes = new MergedCache<V1Node>(home, locatedNode);
  told = [];
  nodes.onChange(({ type, object }) => told.push(`${type} ${object.metadata?.name}`));
  nodes.add('west', west);
});

describe('caches of several clusters as one', () => {
  it('tell objects of the same name apart', () => {
    home.upsert(node('n1'));
    west.upsert(node('n1'));
    expect(told).toEqual(['added n1', 'added west/n1']);
    expect(nodes.get(undefined, 'n1')?.metadata?.labels).toBeUndefined();
    const there = nodes.get(undefined, 'west/n1');
    expect(there && clusterOf(there)).toBe('west');
    expect(nodes.get(undefined, 'east/n1')).toBeUndefined();
  });

  it('find pods by the node that they are on, wherever that is', () => {
    const own = new FakeCache<V1Pod>();
    const away = new FakeCache<V1Pod>();
    const pods = new MergedCache<V1Pod>(own);
    pods.add('west', away);
    pods.upsert(pod('a', 'n1'));
    pods.upsert(locatedPod('west', pod('b', 'n1')), 'west');
    const on = (name: string) => pods.byIndex('node', name).map((p) => p.metadata?.name);
    expect(on('n1')).toEqual(['a']);
    expect(on('west/n1')).toEqual(['b']);
    expect(pods.get('ml', 'west/b')?.metadata?.name).toBe('b');
    expect(pods.get('ml', 'west/a')).toBeUndefined();
  });

  it('forget a cluster that is left, and hear nothing more of it', () => {
    west.upsert(node('n1'));
    nodes.remove('west');
    expect(told).toEqual(['added west/n1', 'deleted west/n1']);
    west.upsert(node('n2'));
    expect(told).toHaveLength(2);
    expect(nodes.get(undefined, 'west/n1')).toBeUndefined();
  });
});
