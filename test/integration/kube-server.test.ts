// More of operator/kube against a real API server: identities, histories that went back, and stories told to handlers.
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import type { V1CustomResourceDefinition, V1Secret } from '@kubernetes/client-node';
import { afterAll, afterEach, beforeAll, describe, expect, it } from 'vitest';
import { KubeClient, type RequestInfo } from '../../operator/kube/client.ts';
import { EventRecorder } from '../../operator/kube/events.ts';
import { type Change, Informer, type InformerOptions } from '../../operator/kube/informer.ts';
import { THING, type Thing, thing, until } from '../../operator/kube/testing/things.ts';
import { CUSTOM_RESOURCE_DEFINITION, EVENT, SECRET, TOKEN_REVIEW } from '../../operator/kube/types.ts';
import { until as eventually, run } from '../cluster/run.ts';
import { toolPath } from '../cluster/tools.ts';

const kubectl = (...args: string[]) => run(toolPath('kubectl'), args);

/** The kind of the unit tests, so that both servers are asked the same. */
const THINGS = {
  metadata: { name: 'things.test.vicuna.run' },
  spec: {
    group: THING.group,
    scope: 'Namespaced',
    names: { plural: 'things', singular: 'thing', kind: 'Thing' },
    versions: [
      {
        name: THING.version,
        served: true,
        storage: true,
        subresources: { status: {} },
        schema: { openAPIV3Schema: { type: 'object', 'x-kubernetes-preserve-unknown-fields': true } },
      },
    ],
  },
} as unknown as V1CustomResourceDefinition;

let client: KubeClient;
beforeAll(async () => {
  client = await KubeClient.fromKubeconfig();
  await client.apply(CUSTOM_RESOURCE_DEFINITION, THINGS);
  await eventually('the kind being served', 20_000, async () => (await client.list(THING)) !== null);
});
afterAll(async () => {
  await client.delete(CUSTOM_RESOURCE_DEFINITION, undefined, 'things.test.vicuna.run').catch(() => undefined);
  client.close();
});

let stop = new AbortController();
afterEach(async () => {
  stop.abort();
  stop = new AbortController();
  const { items } = await client.list(THING, { namespace: 'default' });
  await inParallel(items, ({ metadata }) => client.delete(THING, 'default', metadata.name));
});

async function inParallel<T>(items: readonly T[], work: (item: T, at: number) => Promise<unknown>): Promise<void> {
  for (let at = 0; at < items.length; at += 50) await Promise.all(items.slice(at, at + 50).map((item, i) => work(item, at + i)));
}

const failure = (work: Promise<unknown>): Promise<unknown> =>
  work.then(
    () => null,
    (error) => error,
  );

describe('the client', () => {
  it('lists in pages and by selectors', async () => {
    await inParallel(['p1', 'p2', 'p3'], (name) =>
      client.create(THING, { ...thing(name), metadata: { name, namespace: 'default', labels: { odd: String(name !== 'p2') } } }),
    );
    const first = await client.list(THING, { namespace: 'default', limit: 2 });
    const rest = await client.list(THING, { namespace: 'default', limit: 2, continue: first.metadata.continue ?? '' });
    expect([...first.items, ...rest.items].map((o) => o.metadata.name)).toEqual(['p1', 'p2', 'p3']);
    expect(rest.metadata.continue ?? '').toBe('');
    const odd = await client.list(THING, { labelSelector: 'odd=true' });
    expect(odd.items.map((o) => o.metadata.name)).toEqual(['p1', 'p3']);
    const named = await client.list(THING, { namespace: 'default', fieldSelector: 'metadata.name=p2' });
    expect(named.items).toHaveLength(1);
  });

  it("authenticates by a service account's token, whose review names the account; acts as somebody else; is refused with a wrong token", async () => {
    const directory = mkdtempSync(join(tmpdir(), 'vicuna-kube-'));
    try {
      await kubectl('create', 'serviceaccount', 'reader');
      await kubectl('create', 'clusterrolebinding', 'reader', '--clusterrole=view', '--serviceaccount=default:reader');
      const token = (await kubectl('create', 'token', 'reader', '--audience=vicuna.run')).trim();
      const review = await client.create(TOKEN_REVIEW, { spec: { token, audiences: ['vicuna.run'] } });
      expect(review.status).toMatchObject({ authenticated: true, user: { username: 'system:serviceaccount:default:reader' } });

      const config = JSON.parse(await kubectl('config', 'view', '--raw', '-o', 'json'));
      const as = async (bearer: string, user?: object) => {
        const tokenFile = join(directory, 'token');
        writeFileSync(tokenFile, bearer);
        const path = join(directory, 'config');
        writeFileSync(path, JSON.stringify({ ...config, users: [{ name: config.users[0].name, user: user ?? { tokenFile } }] }));
        return KubeClient.fromKubeconfig(path);
      };
      const reader = await as((await kubectl('create', 'token', 'reader')).trim());
      expect((await reader.get({ ...SECRET, plural: 'namespaces', namespaced: false }, undefined, 'default')).metadata?.name).toBe(
        'default',
      );
      expect(await failure(reader.create(THING, thing('forbidden')))).toMatchObject({ status: 403, reason: 'Forbidden' });
      reader.close();
      const jane = await as('', { ...config.users[0].user, as: 'jane' });
      expect(await failure(jane.list(THING))).toMatchObject({ status: 403, message: expect.stringContaining('User "jane"') });
      jane.close();
      const nobody = await as('not-a-token');
      expect(await failure(nobody.list(THING))).toMatchObject({ status: 401, reason: 'Unauthorized' });
      nobody.close();
    } finally {
      rmSync(directory, { recursive: true, force: true });
      await kubectl('delete', 'clusterrolebinding/reader', 'serviceaccount/reader');
    }
  });

  it('counts each request once', async () => {
    const seen: RequestInfo[] = [];
    client.onRequest = (info) => seen.push(info);
    try {
      await failure(client.get(THING, 'default', 'none'));
      await client.create(THING, thing('counted'));
    } finally {
      client.onRequest = null;
    }
    expect(seen.map(({ verb, resource, code }) => [verb, resource, code])).toEqual([
      ['get', 'things', 404],
      ['create', 'things', 201],
    ]);
    for (const { seconds } of seen) expect(seconds).toBeGreaterThan(0);
  });
});

interface Followed {
  readonly informer: Informer<Thing>;
  readonly changes: Change<Thing>[];
  readonly faults: string[];
}

function follow(options: Partial<InformerOptions<Thing>> = {}): Followed {
  const changes: Change<Thing>[] = [];
  const faults: string[] = [];
  const onFault = ({ kind, error }: { kind: string; error: unknown }) => faults.push(`${kind}: ${(error as Error).message}`);
  const informer = new Informer<Thing>({ client, type: THING, namespace: 'default', retryMs: [20, 200], onFault, ...options });
  informer.onChange((change) => changes.push(change));
  informer.start(stop.signal);
  return { informer, changes, faults };
}

const versions = (things: readonly Thing[]) => things.map(({ metadata: m }) => `${m.name}@${m.resourceVersion}`).sort();

describe('the informer', () => {
  it('ends with what the server has, and a consistent story of each object, under concurrent writes', async () => {
    const { informer, changes } = follow();
    await informer.waitForSync();
    await inParallel(
      Array.from({ length: 600 }, (_, i) => i),
      async (i) => {
        const name = `w-${(i * 7) % 23}`;
        if (i % 5 === 4) return failure(client.delete(THING, 'default', name));
        const written = await client.apply(THING, thing(name, i)).catch(() => null);
        if (written) informer.upsert(written);
      },
    );
    const { items } = await client.list(THING, { namespace: 'default' });
    await until('the same', () => versions(informer.list()).join() === versions(items).join());
    const alive = new Map<string, string>();
    for (const { type, object } of changes) {
      const { name, uid = '' } = object.metadata;
      expect(alive.get(name), `${type} ${name}`).toBe(type === 'added' ? undefined : uid);
      if (type === 'deleted') alive.delete(name);
      else alive.set(name, uid);
    }
    expect([...alive.keys()].sort()).toEqual(items.map((o) => o.metadata.name).sort());
  });

  it('a version that the server has forgotten: lists again and tells only the differences', async () => {
    await inParallel(['kept', 'changed', 'gone'], (name) => client.create(THING, thing(name)));
    let broken: AbortController | null = null;
    let forgotten = 0;
    // The first watch is cut on demand; the second asks for version 1, from before this kind existed.
    const flaky: InformerOptions<Thing>['client'] = {
      list: (type, options) => client.list(type, options),
      watch: (type, parameters, signal) => {
        if (broken === null) {
          broken = new AbortController();
          return client.watch(type, parameters, AbortSignal.any([signal, broken.signal]));
        }
        const resourceVersion = forgotten++ === 0 ? '1' : parameters.resourceVersion;
        return client.watch(type, { ...parameters, resourceVersion }, signal);
      },
    };
    const { informer, changes, faults } = follow({ client: flaky, retryMs: [300, 300] });
    await until('the watch is open', () => broken !== null && informer.hasSynced());
    (broken as unknown as AbortController).abort();
    await client.mergePatch(THING, 'default', 'changed', { spec: { value: 1 } });
    await client.delete(THING, 'default', 'gone');
    await client.create(THING, thing('new'));
    await until('the differences', () => changes.length === 6);
    expect(changes.slice(3).map(({ type, object }) => `${type} ${object.metadata.name}`)).toEqual(
      expect.arrayContaining(['deleted gone', 'updated changed', 'added new']),
    );
    expect(forgotten).toBeGreaterThan(0);
    // The cut is told; the forgotten version is how long disconnections end, and no fault.
    expect(faults).toHaveLength(1);
    await client.create(THING, thing('later'));
    await until('it follows on', () => informer.get('default', 'later') !== undefined);
  });

  it('a server whose backup was restored, to a version before ours: notices, and lists again', async () => {
    await client.create(THING, thing('restored'));
    let ahead = 1_000_000;
    const before: InformerOptions<Thing>['client'] = {
      // The first list is from before the restoration, when the server was a million versions further.
      list: async (type, options) => {
        const list = await client.list(type, options);
        const resourceVersion = String(Number(list.metadata.resourceVersion) + ahead);
        ahead = 0;
        return { ...list, metadata: { ...list.metadata, resourceVersion } };
      },
      watch: (type, parameters, signal) => client.watch(type, parameters, signal),
    };
    const { informer, faults } = follow({ client: before, silenceMs: 1_000 });
    await informer.waitForSync();
    await client.create(THING, thing('unheard'));
    await until('it is noticed', () => informer.get('default', 'unheard') !== undefined);
    expect(faults).toEqual([expect.stringMatching(/^watch: the API server went back from version \d+ of things to \d+: listing again$/)]);
  });

  it('a resource at rest is silent, and that is no fault', async () => {
    const { informer, changes, faults } = follow({ silenceMs: 300 });
    let watches = 0;
    client.onRequest = ({ verb }) => void (verb === 'watch' && watches++);
    try {
      await until('three connections', () => watches >= 3);
    } finally {
      client.onRequest = null;
    }
    await client.create(THING, thing('at-last'));
    await until('it is seen', () => informer.size === 1);
    expect([changes.length, faults]).toEqual([1, []]);
  });

  it('large objects with every kind of character arrive whole', async () => {
    const text = 'päl😀\u2028"\\ '.repeat(20_000);
    const { informer } = follow();
    await informer.waitForSync();
    await client.create(THING, thing('large', text));
    await until('it arrives', () => informer.get('default', 'large') !== undefined);
    expect(informer.get('default', 'large')?.spec?.value).toBe(text);
  });
});

describe('events', () => {
  it('are found by kubectl at their object, and repeated ones are counted', async () => {
    const about: Thing = { ...(await client.create(THING, thing('eventful'))), apiVersion: 'test.vicuna.run/v1', kind: 'Thing' };
    const recorder = new EventRecorder(client, 'kube-test');
    for (let i = 0; i < 3; i++) recorder.event(about, { type: 'Warning', reason: 'Interrupted', message: 'pod a-g1-0 was reclaimed' });
    recorder.event(about, { type: 'Normal', reason: 'Resumed', message: 'at step 7' });
    await recorder.flush();
    expect(recorder.dropped).toBe(0);
    const { items } = await client.list(EVENT, { namespace: 'default', fieldSelector: 'involvedObject.name=eventful' });
    expect(items.map(({ type, reason, count }) => [type, reason, count])).toEqual(
      expect.arrayContaining([
        ['Warning', 'Interrupted', 3],
        ['Normal', 'Resumed', 1],
      ]),
    );
    expect(items).toHaveLength(2);
    expect(await kubectl('events', '--for=things.test.vicuna.run/eventful')).toMatch(
      /Interrupted +Thing\/eventful +pod a-g1-0 was reclaimed/,
    );
  });

  it('about cluster-scoped objects are written too; what the server refuses is counted and thrown nowhere', async () => {
    const recorder = new EventRecorder(client, 'kube-test');
    const definition = await client.get(CUSTOM_RESOURCE_DEFINITION, undefined, 'things.test.vicuna.run');
    recorder.event(definition, { type: 'Normal', reason: 'Seen', message: 'here' });
    await recorder.flush();
    expect(recorder.dropped).toBe(0);
    const lost = { apiVersion: 'v1', kind: 'Secret', metadata: { name: 'x', namespace: 'no-such-namespace' } } satisfies V1Secret;
    recorder.event(lost, { type: 'Normal', reason: 'Seen', message: 'nowhere' });
    await recorder.flush();
    expect(recorder.dropped).toBe(1);
  });
});
