// operator/kube against a real API server: what its own fake one can only claim.

import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import type { IncomingMessage } from 'node:http';
import type { AddressInfo } from 'node:net';
import { connect, createServer, type Server, type Socket } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { Readable } from 'node:stream';
import { setTimeout as delay } from 'node:timers/promises';
import type { V1ConfigMap, V1Lease, V1Node } from '@kubernetes/client-node';
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, it, vi } from 'vitest';
import { ApiError, isAlreadyExists, isConflict, isNotFound, KubeClient } from '../../operator/kube/client.ts';
import { type Credentials, loadCredentials } from '../../operator/kube/credentials.ts';
import { EventRecorder } from '../../operator/kube/events.ts';
import { type Change, Informer, type InformerFault, type InformerOptions } from '../../operator/kube/informer.ts';
import { LeaderElector } from '../../operator/kube/leader-elector.ts';
import { EVENT, type KubeObject, LEASE, NODE, type ResourceType } from '../../operator/kube/types.ts';
import { run, until } from '../cluster/run.ts';
import { toolPath } from '../cluster/tools.ts';

const CONFIG_MAP: ResourceType<V1ConfigMap> = { group: '', version: 'v1', kind: 'ConfigMap', plural: 'configmaps', namespaced: true };
const NAMESPACE: ResourceType<KubeObject> = { group: '', version: 'v1', kind: 'Namespace', plural: 'namespaces', namespaced: false };

let credentials: Credentials;
let client: KubeClient;
let namespace: string;
let stop: AbortController;
let closing: (() => void)[];

beforeAll(async () => {
  credentials = await loadCredentials(null);
  client = new KubeClient(credentials);
});
afterAll(() => client.close());

beforeEach(async () => {
  namespace = `kube-${Math.random().toString(36).slice(2, 10)}`;
  await client.create(NAMESPACE, { metadata: { name: namespace } });
  stop = new AbortController();
  closing = [];
});
afterEach(async () => {
  stop.abort();
  for (const close of closing) close();
  await client.delete(NAMESPACE, undefined, namespace, { propagationPolicy: 'Background' });
});

const configMap = (name: string, value: string, labels: Record<string, string> = {}): V1ConfigMap => ({
  metadata: { name, namespace, labels },
  data: { value },
});

async function failure(call: Promise<unknown>): Promise<ApiError> {
  const error = await call.then(
    () => null,
    (e: unknown) => e,
  );
  if (error instanceof ApiError) return error;
  throw new Error(`no refusal: ${error}`);
}

async function inParallel(count: number, width: number, work: (index: number) => Promise<unknown>): Promise<void> {
  let next = 0;
  const worker = async () => {
    while (next < count) await work(next++);
  };
  await Promise.all(Array.from({ length: width }, worker));
}

describe('the client', () => {
  it('writes and reads objects, and tells conflicts, taken names and missing objects apart', async () => {
    const created = await client.create(CONFIG_MAP, configMap('a', '1'));
    const replaced = await client.replace(CONFIG_MAP, { ...created, data: { value: '2' } });
    expect(BigInt(replaced.metadata?.resourceVersion ?? 0) > BigInt(created.metadata?.resourceVersion ?? 0)).toBe(true);
    expect(isConflict(await failure(client.replace(CONFIG_MAP, { ...created, data: { value: '3' } })))).toBe(true);
    expect(isAlreadyExists(await failure(client.create(CONFIG_MAP, configMap('a', '1'))))).toBe(true);
    expect(isNotFound(await failure(client.get(CONFIG_MAP, namespace, 'none')))).toBe(true);
    expect((await client.mergePatch(CONFIG_MAP, namespace, 'a', { data: { value: null, other: 'x' } })).data).toEqual({ other: 'x' });
    expect(isConflict(await failure(client.delete(CONFIG_MAP, namespace, 'a', { uid: 'another' })))).toBe(true);
    await client.delete(CONFIG_MAP, namespace, 'a', { uid: created.metadata?.uid ?? '', resourceVersion: '' });
    expect(isNotFound(await failure(client.get(CONFIG_MAP, namespace, 'a')))).toBe(true);
  });

  it('applies as its own field owner and leaves other owners’ fields alone', async () => {
    await client.create(CONFIG_MAP, configMap('a', '1'));
    const applied = await client.apply(CONFIG_MAP, { metadata: { name: 'a', namespace }, data: { ours: 'x' } });
    expect(applied.data).toEqual({ value: '1', ours: 'x' });
    expect(applied.metadata?.managedFields?.map((f) => [f.manager, f.operation])).toContainEqual(['vicuna-operator', 'Apply']);
    const again = await client.apply(CONFIG_MAP, { metadata: { name: 'a', namespace }, data: {} });
    expect(again.data).toEqual({ value: '1' });
  });

  it('writes the status of a node and nothing else of it', async () => {
    await client.create(NODE, { metadata: { name: `node-${namespace}` } });
    // The node controller taints a new node in its own time: a write that it overtakes is made again.
    const written = await vi.waitFor(async () => {
      const node = await client.get(NODE, undefined, `node-${namespace}`);
      const changed: V1Node = {
        ...node,
        spec: { ...node.spec, unschedulable: true },
        status: { ...node.status, allocatable: { cpu: '3' } },
      };
      return client.replaceStatus(NODE, changed);
    });
    expect([written.status?.allocatable?.cpu, written.spec?.unschedulable]).toEqual(['3', undefined]);
    await client.delete(NODE, undefined, `node-${namespace}`);
  });

  it('passes on what the server says', async () => {
    const invalid = await failure(client.create(CONFIG_MAP, configMap('Not A Name', '1')));
    expect([invalid.status, invalid.reason]).toEqual([422, 'Invalid']);
    expect(invalid.message).toContain('metadata.name');
    const unknown = await failure(client.list({ ...CONFIG_MAP, plural: 'unknowns' }));
    expect([unknown.status, isNotFound(unknown)]).toEqual([404, true]);
    const stranger = new KubeClient({
      server: credentials.server,
      ca: credentials.ca,
      rejectUnauthorized: true,
      authorization: 'Bearer forged',
    });
    closing.push(() => stranger.close());
    const refused = await failure(stranger.list(CONFIG_MAP, { namespace }));
    expect([refused.status, refused.reason]).toEqual([401, 'Unauthorized']);
  });

  it('does not talk to a server whose certificate it does not know', async () => {
    const careless = new KubeClient({ server: credentials.server, rejectUnauthorized: true });
    closing.push(() => careless.close());
    await expect(careless.list(CONFIG_MAP, { namespace })).rejects.toThrow(/cannot be reached: .*certificate/);
  });

  it('authenticates as a pod does, by a token in a file', async () => {
    const account: ResourceType<KubeObject> = {
      group: '',
      version: 'v1',
      kind: 'ServiceAccount',
      plural: 'serviceaccounts',
      namespaced: true,
    };
    await client.create(account, { metadata: { name: 'pod', namespace } });
    const ask = run(toolPath('kubectl'), ['create', 'token', 'pod', '-n', namespace]);
    const directory = mkdtempSync(join(tmpdir(), 'token-'));
    closing.push(() => rmSync(directory, { recursive: true }));
    const tokenFile = join(directory, 'token');
    writeFileSync(tokenFile, await ask);
    const pod = new KubeClient({ server: credentials.server, ca: credentials.ca, rejectUnauthorized: true, tokenFile });
    closing.push(() => pod.close());
    const refused = await failure(pod.list(CONFIG_MAP, { namespace }));
    expect([refused.status, refused.message]).toEqual([403, expect.stringContaining(`system:serviceaccount:${namespace}:pod`)]);
  });
});

describe('the informer', () => {
  const faults: InformerFault[] = [];
  const changes: string[] = [];
  const spell = ({ type, object }: Change<V1ConfigMap>) => `${type} ${object.metadata?.name}=${object.data?.value}`;

  async function follow(options: Partial<InformerOptions<V1ConfigMap>> = {}): Promise<Informer<V1ConfigMap>> {
    faults.length = 0;
    changes.length = 0;
    const maps = new Informer<V1ConfigMap>({
      client,
      type: CONFIG_MAP,
      namespace,
      retryMs: [10, 200],
      onFault: (f) => faults.push(f),
      ...options,
    });
    maps.onChange((change) => {
      if (change.object.metadata?.name !== 'kube-root-ca.crt') changes.push(spell(change));
    });
    maps.start(stop.signal);
    await maps.waitForSync(AbortSignal.timeout(30_000));
    return maps;
  }

  /** What the server holds, as "name@version". */
  const held = async () => (await client.list(CONFIG_MAP, { namespace })).items.map(print).sort();
  const print = (o: V1ConfigMap) => `${o.metadata?.name}@${o.metadata?.resourceVersion}`;

  it('lists more than a page and follows', async () => {
    await inParallel(1_100, 16, (i) => client.create(CONFIG_MAP, configMap(`m-${i}`, '0')));
    const maps = await follow();
    expect(maps.list().map(print).sort()).toEqual(await held());
    const written = await client.replace(CONFIG_MAP, { ...maps.get(namespace, 'm-7'), data: { value: 'ü🦙' } });
    maps.upsert(written);
    await client.delete(CONFIG_MAP, namespace, 'm-8');
    await until('both changes', 10_000, async () => maps.get(namespace, 'm-8') === undefined, 10);
    expect(changes.slice(-2)).toEqual(['updated m-7=ü🦙', 'deleted m-8=0']);
    expect(maps.list().map(print).sort()).toEqual(await held());
  });

  it('takes an object that leaves the selection for deleted', async () => {
    await client.create(CONFIG_MAP, configMap('a', '1', { app: 'x' }));
    const maps = await follow({ labelSelector: 'app=x' });
    await client.mergePatch(CONFIG_MAP, namespace, 'a', { metadata: { labels: { app: 'y' } } });
    await until('a gone', 10_000, async () => maps.size === 0, 10);
    await client.mergePatch(CONFIG_MAP, namespace, 'a', { metadata: { labels: { app: 'x' } }, data: { value: '2' } });
    await until('a back', 10_000, async () => maps.size === 1, 10);
    expect(changes).toEqual(['added a=1', 'deleted a=1', 'added a=2']);
  });

  it('lists again when the server turns out to be behind: such a one would accept the watch and say nothing', async () => {
    let watches = 0;
    const ahead: InformerOptions<V1ConfigMap>['client'] = {
      list: (type, options) => client.list(type, options),
      watch: async (type, parameters, signal) => {
        if (++watches > 1) return client.watch(type, parameters, signal);
        const bookmark = { type: 'BOOKMARK', object: { metadata: { resourceVersion: '999999999999' } } };
        return Readable.from([Buffer.from(`${JSON.stringify(bookmark)}\n`), Buffer.from('cut off\n')]) as IncomingMessage;
      },
    };
    const maps = await follow({ client: ahead });
    await until('a real watch', 30_000, async () => watches === 2, 20);
    await client.create(CONFIG_MAP, configMap('a', '1'));
    await until('a', 30_000, async () => maps.get(namespace, 'a') !== undefined, 20);
    expect(maps.list().map(print).sort()).toEqual(await held());
    expect(faults.map((f) => (f.error as Error).message).join()).toContain('went back from version 999999999999');
  });

  it('converges over connections that break all the time', async () => {
    const proxy = await breakingProxy(credentials.server);
    closing.push(() => proxy.close());
    const shaky = new KubeClient({ ...credentials, server: proxy.url });
    closing.push(() => shaky.close());
    const maps = await follow({ client: shaky });
    let busy = true;
    const breaking = (async () => {
      while (busy) {
        await delay(30 + Math.random() * 60);
        proxy.breakAll();
      }
    })();
    await inParallel(400, 8, async (i) => {
      const name = `m-${i % 40}`;
      await client.apply(CONFIG_MAP, configMap(name, String(i)));
      if (i % 3 === 0) await client.delete(CONFIG_MAP, namespace, name).catch(() => undefined);
    });
    busy = false;
    await breaking;
    const expected = await held();
    await until('the cache being what the server holds', 20_000, async () => maps.list().map(print).sort().join() === expected.join(), 20);
    expect(faults.length).toBeGreaterThan(0);
  });
});

describe('the leader elector', () => {
  interface Copy {
    readonly elector: LeaderElector;
    readonly stop: AbortController;
    readonly ended: Promise<void>;
  }

  function copy(identity: string, over: KubeClient = client): Copy {
    const end = new AbortController();
    closing.push(() => end.abort());
    const elector = new LeaderElector({ client: over, namespace, name: 'leader', identity, url: `http://${identity}` });
    return { elector, stop: end, ended: elector.run({ onStarted: () => undefined, onStopped: () => undefined }, end.signal) };
  }

  const leads = (c: Copy) => until('a leader', 40_000, async () => c.elector.isLeader(), 20);

  it('hands over in under 3 s when shut down, and in under 20 s when killed', async () => {
    const proxy = await breakingProxy(credentials.server);
    closing.push(() => proxy.close());
    const cutOff = new KubeClient({ ...credentials, server: proxy.url });
    closing.push(() => cutOff.close());
    const first = copy('first');
    await leads(first);
    const second = copy('second', cutOff);
    await until('the second knowing the first', 10_000, async () => second.elector.leaderUrl() === 'http://first', 20);
    let startedAt = performance.now();
    first.stop.abort();
    await leads(second);
    expect(performance.now() - startedAt).toBeLessThan(3_000);
    await first.ended;
    const third = copy('third');
    await until('the third knowing the second', 10_000, async () => third.elector.leaderUrl() === 'http://second', 20);
    startedAt = performance.now();
    proxy.close();
    await leads(third);
    expect(performance.now() - startedAt).toBeLessThan(20_000);
    expect(second.elector.isLeader()).toBe(false);
    const lease: V1Lease = await client.get(LEASE, namespace, 'leader');
    expect([lease.spec?.holderIdentity, lease.spec?.leaseTransitions, lease.metadata?.annotations]).toEqual([
      'third',
      2,
      { 'vicuna.run/url': 'http://third' },
    ]);
  });
});

describe('the event recorder', () => {
  it('writes events that the server accepts, and counts them up', async () => {
    const about = { ...(await client.create(CONFIG_MAP, configMap('a', '1'))), apiVersion: 'v1', kind: 'ConfigMap' };
    const recorder = new EventRecorder(client, 'vicuna-operator');
    for (let i = 0; i < 3; i++) recorder.event(about, { type: 'Warning', reason: 'Tested', message: 'it is tested' });
    const node = await client.create(NODE, { metadata: { name: `node-${namespace}` } });
    recorder.event({ ...node, kind: 'Node', apiVersion: 'v1' }, { type: 'Normal', reason: 'Tested', message: 'a node too' });
    await recorder.flush();
    expect(recorder.dropped).toBe(0);
    const { items } = await client.list(EVENT, { namespace, fieldSelector: `involvedObject.uid=${about.metadata?.uid}` });
    expect(items.map((e) => [e.reason, e.count, e.source?.component])).toEqual([['Tested', 3, 'vicuna-operator']]);
    const ofNode = await client.list(EVENT, {
      namespace: 'default',
      fieldSelector: `involvedObject.name=node-${namespace},involvedObject.namespace=`,
    });
    expect(ofNode.items.map((e) => e.message)).toEqual(['a node too']);
    await client.delete(NODE, undefined, `node-${namespace}`);
  });
});

interface BreakingProxy {
  readonly url: string;
  breakAll(): void;
  close(): void;
}

/** Passes bytes on to the server until told to break the connections. */
async function breakingProxy(server: string): Promise<BreakingProxy> {
  const { hostname, port } = new URL(server);
  const sockets = new Set<Socket>();
  const proxy: Server = createServer((socket) => {
    const upstream = connect(Number(port), hostname);
    for (const [from, to] of [
      [socket, upstream],
      [upstream, socket],
    ] as const) {
      sockets.add(from);
      from.on('error', () => undefined);
      from.on('close', () => {
        sockets.delete(from);
        to.destroy();
      });
      from.pipe(to);
    }
  });
  await new Promise<void>((resolve) => proxy.listen(0, '127.0.0.1', resolve));
  const breakAll = () => {
    for (const socket of sockets) socket.destroy();
  };
  return {
    url: `https://127.0.0.1:${(proxy.address() as AddressInfo).port}`,
    breakAll,
    close() {
      proxy.close();
      breakAll();
    },
  };
}
