import { afterEach, beforeEach, describe, expect, it, vi } from 'vitest';
import { type Change, Informer, type InformerFault, type InformerOptions } from './informer.ts';
import { FakeApiserver } from './testing/fake-apiserver.ts';
import { THING, type Thing, thing, until } from './testing/things.ts';
import { POD } from './types.ts';

let server: FakeApiserver;
let stop: AbortController;
let faults: InformerFault[];
let changes: string[];

beforeEach(async () => {
  server = await FakeApiserver.start(THING, POD);
  stop = new AbortController();
  faults = [];
  changes = [];
});

afterEach(async () => {
  stop.abort();
  await server.stop();
});

const spell = ({ type, object, old }: Change<Thing>) =>
  `${type} ${object.metadata.name}=${object.spec?.value}${old ? ` was ${old.spec?.value}` : ''}`;

function informer(options: Partial<InformerOptions<Thing>> = {}): Informer<Thing> {
  const created = new Informer<Thing>({
    client: server.client(),
    type: THING,
    retryMs: [1, 20],
    onFault: (fault) => faults.push(fault),
    ...options,
  });
  created.onChange((change) => changes.push(spell(change)));
  return created;
}

async function synced(options: Partial<InformerOptions<Thing>> = {}): Promise<Informer<Thing>> {
  const created = informer(options);
  created.start(stop.signal);
  await created.waitForSync();
  await until('the watch being open', () => server.openWatches === 1);
  return created;
}

/** What was asked for; not counting looks at the server's present version. */
const requests = (verb: string) => server.requests.filter((r) => r.verb === verb && r.query.limit !== '1');
const messages = () => faults.map((f) => `${f.kind}: ${(f.error as Error).message}`);

describe('a quiet life', () => {
  it('lists, then follows: added, updated with the old object, deleted', async () => {
    server.put(THING, thing('a', 1));
    const things = await synced();
    expect(changes).toEqual(['added a=1']);
    server.put(THING, thing('a', 2));
    server.put(THING, thing('b', 'Ünïcödé 🦙'));
    server.remove(THING, 'default', 'a');
    await until('all changes', () => changes.length === 4);
    expect(changes.slice(1)).toEqual(['updated a=2 was 1', 'added b=Ünïcödé 🦙', 'deleted a=2']);
    expect(things.get('default', 'a')).toBeUndefined();
    expect(things.get('default', 'b')?.spec?.value).toBe('Ünïcödé 🦙');
    expect([things.size, things.list().length]).toEqual([1, 1]);
  });

  it('lists in pages of 500, at one version, and is not synced before the last of them', async () => {
    for (let i = 0; i < 1_200; i++) server.put(THING, thing(`t-${i}`, i));
    const atPages: [number, boolean][] = [];
    const client = server.client();
    const list: typeof client.list = async (type, options) => {
      atPages.push([things.size, things.hasSynced()]);
      // What changes between two pages comes with the watch.
      server.put(THING, thing('t-0', 'late'));
      return client.list(type, options);
    };
    const things = informer({ client: { list, watch: client.watch.bind(client) } });
    things.start(stop.signal);
    await things.waitForSync();
    expect(atPages).toEqual([
      [0, false],
      [0, false],
      [0, false],
    ]);
    expect(things.size).toBe(1_200);
    expect(requests('list').map((r) => r.query.limit)).toEqual(['500', '500', '500']);
    await until('the late change', () => things.get('default', 't-0')?.metadata.resourceVersion === String(server.version));
  });

  it('asks for bookmarks, and for the watch to end after four to five minutes, not all at once', async () => {
    await synced({ random: () => 0 });
    await synced({ random: () => 1 }).catch(() => undefined);
    await until('both watches', () => requests('watch').length === 2);
    expect(requests('watch').map((r) => [r.query.allowWatchBookmarks, r.query.timeoutSeconds])).toEqual([
      ['true', '240'],
      ['true', '300'],
    ]);
  });

  it('goes on from a bookmark: a quiet resource never has to be listed again', async () => {
    const things = await synced();
    for (let i = 0; i < 50; i++) server.tick();
    const before = things.lastContact;
    server.bookmark();
    await until('the bookmark', () => things.lastContact > before);
    server.compact();
    server.breakWatches({ kind: 'drop' });
    await until('a new watch', () => requests('watch').length >= 2 && server.openWatches === 1);
    expect(requests('watch').at(-1)?.query.resourceVersion).toBe(String(server.version));
    expect(requests('list')).toHaveLength(1);
  });

  it('sees only its namespace and selection', async () => {
    server.put(THING, { ...thing('a'), metadata: { name: 'a', namespace: 'other' } });
    server.put(THING, thing('b'));
    const things = await synced({ namespace: 'default', labelSelector: 'app=x' });
    server.put(THING, { ...thing('c'), metadata: { name: 'c', namespace: 'other' } });
    server.put(THING, thing('d'));
    await until('d', () => things.get('default', 'd') !== undefined);
    expect(things.size).toBe(2);
    expect(
      [...requests('list'), ...requests('watch')].map((r) => [r.path.includes('/namespaces/default/'), r.query.labelSelector]),
    ).toEqual([
      [true, 'app=x'],
      [true, 'app=x'],
    ]);
  });

  it('keeps what transform leaves, and files it in indexes', async () => {
    server.put(THING, thing('a', 1));
    const things = await synced({
      transform: ({ metadata, spec }) => ({ metadata, spec: { value: `v${spec?.value}` } }),
      indexes: { value: (o) => [String(o.spec?.value)] },
    });
    server.put(THING, thing('b', 2));
    await until('b', () => things.size === 2);
    expect(things.byIndex('value', 'v1').map((o) => o.metadata.name)).toEqual(['a']);
    server.put(THING, thing('a', 2));
    await until('a changed', () => things.byIndex('value', 'v2').length === 2);
    expect(things.byIndex('value', 'v1')).toEqual([]);
    things.upsert({ metadata: { name: 'c', namespace: 'default', resourceVersion: '9999' }, spec: { value: 3 } });
    expect(things.byIndex('value', 'v3')).toHaveLength(1);
  });

  it('says when it last heard of the server', async () => {
    const things = informer();
    expect(things.lastContact).toBe(Number.NEGATIVE_INFINITY);
    things.start(stop.signal);
    await things.waitForSync();
    const before = performance.now();
    server.bookmark();
    await until('contact', () => {
      server.bookmark();
      return things.lastContact > before;
    });
  });

  it('isolates handlers: what one throws, or rejects with later, the others do not notice', async () => {
    const things = informer();
    things.onChange(() => {
      throw new Error('sync');
    });
    things.onChange((async () => {
      throw new Error('async');
    }) as () => void);
    const heard: string[] = [];
    things.onChange((change) => heard.push(spell(change)));
    server.put(THING, thing('a', 1));
    things.start(stop.signal);
    await things.waitForSync();
    await until('both faults', () => faults.length === 2);
    expect(messages()).toEqual(['handler: sync', 'handler: async']);
    expect(heard).toEqual(['added a=1']);
  });
});

describe('its start and end', () => {
  it('is not synced while the server refuses, and says why', async () => {
    for (let i = 0; i < 3; i++) server.fail('list', { kind: 'status', code: 403, reason: 'Forbidden' });
    const things = informer();
    things.start(stop.signal);
    await until('three refusals', () => faults.length === 3);
    expect(things.hasSynced()).toBe(false);
    expect(messages()[0]).toBe('list: told to fail');
    await things.waitForSync();
  });

  it('rejects waiters when the wait is given up, before or meanwhile', async () => {
    server.fail('list', { kind: 'delay', ms: 10_000 });
    const things = informer();
    things.start(stop.signal);
    await expect(things.waitForSync(AbortSignal.abort(new Error('before')))).rejects.toThrow('before');
    const wait = new AbortController();
    const waiting = things.waitForSync(wait.signal);
    wait.abort(new Error('meanwhile'));
    await expect(waiting).rejects.toThrow('meanwhile');
  });

  it('runs once', async () => {
    const things = await synced();
    expect(() => things.start(stop.signal)).toThrow('the informer of things runs already');
  });

  it('stops without a trace: no watch, no request, no change, no fault', async () => {
    const things = await synced();
    stop.abort();
    await until('the watch being closed', () => server.openWatches === 0);
    const before = server.requests.length;
    server.put(THING, thing('a', 1));
    await new Promise((resolve) => setTimeout(resolve, 50));
    expect([server.requests.length, things.size, faults.length]).toEqual([before, 0, 0]);
  });
});

describe('answers to writes', () => {
  it('are in the store at once, and their echo in the watch is not told again', async () => {
    const things = await synced();
    const client = server.client();
    const created = await client.create(THING, thing('a', 1));
    things.upsert(created);
    expect(things.get('default', 'a')?.spec?.value).toBe(1);
    const updated = await client.replace(THING, { ...created, spec: { value: 2 } });
    things.upsert(updated);
    expect(things.get('default', 'a')?.spec?.value).toBe(2);
    server.put(THING, thing('b', 3));
    await until('b', () => things.get('default', 'b') !== undefined);
    expect(changes).toEqual(['added a=1', 'updated a=2 was 1', 'added b=3']);
  });

  it('that come later than the watch change nothing', async () => {
    const things = await synced();
    const client = server.client();
    const old = await client.create(THING, thing('a', 1));
    server.put(THING, thing('a', 2));
    await until('a=2', () => things.get('default', 'a')?.spec?.value === 2);
    things.upsert(old);
    expect(things.get('default', 'a')?.spec?.value).toBe(2);
  });

  it('that overtake each other leave the latest', async () => {
    const things = await synced();
    server.breakWatches({ kind: 'silence' });
    const first = server.put(THING, thing('a', 1));
    things.upsert(server.put(THING, thing('a', 2)));
    things.upsert(first);
    expect(things.get('default', 'a')?.spec?.value).toBe(2);
  });

  it('do not bring back what was deleted since', async () => {
    const things = await synced();
    const old = await server.client().create(THING, thing('a', 1));
    server.remove(THING, 'default', 'a');
    server.put(THING, thing('b', 1));
    await until('b', () => things.get('default', 'b') !== undefined);
    things.upsert(old);
    expect(things.get('default', 'a')).toBeUndefined();
  });

  it('are not undone by news of an earlier object of that name', async () => {
    const things = await synced();
    const first = server.put(THING, thing('a', 1));
    await until('the first', () => things.size === 1);
    const second = { ...first, metadata: { ...first.metadata, uid: 'second', resourceVersion: '9000' }, spec: { value: 2 } };
    things.upsert(second);
    server.put(THING, thing('a', 'late'));
    server.remove(THING, 'default', 'a');
    server.put(THING, thing('b', 1));
    await until('b', () => things.get('default', 'b') !== undefined);
    expect(things.get('default', 'a')?.metadata.uid).toBe('second');
    expect(changes.slice(1)).toEqual(['deleted a=1', 'added a=2', 'added b=1']);
  });

  it('count for nothing before the first list, which is not synced with them', async () => {
    server.fail('list', { kind: 'delay', ms: 30 });
    const things = informer();
    things.start(stop.signal);
    things.upsert({ ...thing('ghost'), metadata: { name: 'ghost', namespace: 'default', resourceVersion: '1' } });
    await things.waitForSync();
    expect(things.size).toBe(0);
  });

  it('that come during a list survive it, and are dropped with the rest when they are not in the next', async () => {
    const client = server.client();
    let during: (() => void) | null = null;
    const list: typeof client.list = async (type, options) => {
      const page = await client.list(type, options);
      during?.();
      return page;
    };
    const things = await synced({ client: { list, watch: client.watch.bind(client) } });
    server.put(THING, thing('a', 1));
    await until('a', () => things.size === 1);
    during = () => {
      during = null;
      things.upsert(server.put(THING, thing('a', 2)));
      things.upsert(server.put(THING, thing('b', 2)));
    };
    server.compact();
    server.breakWatches({ kind: 'error', code: 410, reason: 'Expired' });
    await until('the relist', () => requests('list').length === 2 && server.openWatches === 1);
    await until('both', () => things.size === 2);
    expect(changes).toEqual(['added a=1', 'updated a=2 was 1', 'added b=2']);
    server.breakWatches({ kind: 'silence' });
    server.remove(THING, 'default', 'b');
    server.compact();
    server.breakWatches({ kind: 'drop' });
    await until('b gone', () => things.get('default', 'b') === undefined);
  });
});

describe('faults', () => {
  it('a forgotten version (HTTP 410): lists again and tells what happened meanwhile, deletions too', async () => {
    server.put(THING, thing('stays', 1));
    server.put(THING, thing('changes', 1));
    server.put(THING, thing('goes', 1));
    server.put(THING, thing('is-made-anew', 1));
    await synced();
    changes.length = 0;
    server.breakWatches({ kind: 'silence' });
    server.put(THING, thing('changes', 2));
    server.remove(THING, 'default', 'goes');
    server.remove(THING, 'default', 'is-made-anew');
    server.put(THING, thing('is-made-anew', 2));
    server.put(THING, thing('comes', 1));
    server.compact();
    server.breakWatches({ kind: 'drop' });
    await until('all differences', () => changes.length === 5);
    expect([...changes].sort()).toEqual([
      'added comes=1',
      'added is-made-anew=2',
      'deleted goes=1',
      'deleted is-made-anew=1',
      'updated changes=2 was 1',
    ]);
    expect(changes.indexOf('deleted is-made-anew=1')).toBeLessThan(changes.indexOf('added is-made-anew=2'));
  });

  it('pages that expire between two requests: the next list comes whole', async () => {
    for (let i = 0; i < 600; i++) server.put(THING, thing(`t-${i}`));
    const client = server.client();
    const list: typeof client.list = async (type, options) => {
      const page = await client.list(type, options);
      server.compact();
      return page;
    };
    const things = informer({ client: { list, watch: client.watch.bind(client) } });
    things.start(stop.signal);
    await things.waitForSync();
    expect(things.size).toBe(600);
    expect(requests('list').map((r) => r.query.limit)).toEqual(['500', '500', undefined]);
    await until('the watch', () => server.openWatches === 1);
    server.breakWatches({ kind: 'error', code: 410, reason: 'Expired' });
    await until('the next list', () => requests('list').length === 4);
    expect(requests('list').at(-1)?.query.limit).toBe('500');
  });

  it('500, 503, 429 and refused connections: tries again, a little later each time', async () => {
    const at: number[] = [];
    server.fail('list', { kind: 'status', code: 500 });
    server.fail('list', { kind: 'status', code: 503 });
    server.fail('list', { kind: 'drop' });
    server.fail('list', { kind: 'status', code: 429, retryAfter: 0 });
    const things = informer({
      retryMs: [20, 1_000],
      random: () => 0.5,
      onFault: (fault) => {
        at.push(performance.now());
        faults.push(fault);
      },
    });
    things.start(stop.signal);
    await things.waitForSync();
    at.push(performance.now());
    const gaps = at.slice(1).map((time, i) => time - (at[i] ?? 0));
    expect(gaps).toHaveLength(4);
    for (const [i, expected] of [20, 40, 80, 160].entries()) expect(gaps[i]).toBeGreaterThan(expected * 0.9);
    expect(messages()[2]).toContain('cannot be reached');
  });

  it('Retry-After: waits as long as the server asks', async () => {
    server.fail('list', { kind: 'status', code: 429, reason: 'TooManyRequests', retryAfter: 1 });
    const startedAt = performance.now();
    const things = informer();
    things.start(stop.signal);
    await things.waitForSync();
    expect(performance.now() - startedAt).toBeGreaterThan(990);
    expect(requests('list')).toHaveLength(2);
  });

  it('a server that ends every watch at once, without an error, is not asked in a tight loop', async () => {
    for (let i = 0; i < 100; i++) server.fail('watch', { kind: 'end' });
    const things = informer({ retryMs: [10, 1_000], random: () => 0.5 });
    const startedAt = performance.now();
    things.start(stop.signal);
    await until('five watches', () => requests('watch').length === 5);
    expect(performance.now() - startedAt).toBeGreaterThan(10 + 20 + 40 + 80 - 5);
    expect(faults).toEqual([]);
  });

  it('a watch cut in the middle of a line: goes on from the last whole event', async () => {
    const things = await synced();
    server.breakWatches({ kind: 'cut', after: 300 });
    for (let i = 0; i < 5; i++) server.put(THING, thing(`t-${i}`, i));
    await until('all five', () => things.size === 5);
    expect(changes).toEqual([0, 1, 2, 3, 4].map((i) => `added t-${i}=${i}`));
    expect(requests('list')).toHaveLength(1);
  });

  it('a line that is no JSON: goes on from the last version', async () => {
    const things = await synced();
    server.say('{"type":"ADDED","object":{');
    await until('the fault', () => faults.length === 1);
    server.put(THING, thing('a', 1));
    await until('a', () => things.size === 1);
    expect(requests('list')).toHaveLength(1);
  });

  it('an ERROR event: goes on; with 410 it lists again', async () => {
    const things = await synced();
    server.breakWatches({ kind: 'error', code: 500, reason: 'InternalError' });
    server.put(THING, thing('a', 1));
    await until('a', () => things.size === 1);
    expect([messages(), requests('list').length]).toEqual([['watch: told to fail'], 1]);
    await until('the watch', () => server.openWatches === 1);
    server.breakWatches({ kind: 'error', code: 410, reason: 'Expired' });
    await until('the list', () => requests('list').length === 2);
    expect(faults).toHaveLength(1);
  });

  it('silence: opens another connection, which is no fault, since a resource at rest is silent too', async () => {
    const things = await synced({ silenceMs: 50 });
    server.breakWatches({ kind: 'silence' });
    server.put(THING, thing('a', 1));
    await until('a', () => things.size === 1);
    expect(faults).toEqual([]);
    await until('the silent watch being closed', () => server.openWatches <= 1);
  });

  it('no silence: a bookmark now and then keeps the connection', async () => {
    const things = await synced({ silenceMs: 100 });
    const startedAt = performance.now();
    await until('two and a half times the longest silence', () => {
      if (performance.now() - things.lastContact > 10) server.bookmark();
      return performance.now() - startedAt > 250;
    });
    expect([requests('watch').length, faults]).toEqual([1, []]);
  });

  it('after a connection that lasted, the next fault is the first again', async () => {
    for (let i = 0; i < 5; i++) server.fail('list', { kind: 'status', code: 500 });
    await synced({ retryMs: [10, 100_000], random: () => 0.5 });
    const now = performance.now.bind(performance);
    const clock = vi.spyOn(performance, 'now').mockImplementation(() => now() + 5_000);
    const startedAt = Date.now();
    server.breakWatches({ kind: 'drop' });
    await until('the next watch', () => requests('watch').length === 2);
    clock.mockRestore();
    expect(Date.now() - startedAt).toBeLessThan(10 * 2 ** 5 - 100);
  });

  it('a watch that is accepted but never answered: likewise', async () => {
    const things = informer({ silenceMs: 50 });
    server.fail('watch', { kind: 'delay', ms: 10_000 });
    server.put(THING, thing('a', 1));
    things.start(stop.signal);
    await until('a second watch', () => requests('watch').length >= 2);
    await until('a', () => things.size === 1);
    expect(faults).toEqual([]);
  });

  it('events that come twice are told once', async () => {
    await synced();
    server.breakWatches({ kind: 'twice' });
    server.put(THING, thing('a', 1));
    server.put(THING, thing('a', 2));
    server.remove(THING, 'default', 'a');
    server.put(THING, thing('b', 1));
    await until('b', () => changes.includes('added b=1'));
    expect(changes).toEqual(['added a=1', 'updated a=2 was 1', 'deleted a=2', 'added b=1']);
    expect(requests('list')).toHaveLength(1);
  });

  it('versions that go back under an open watch: lists again', async () => {
    const things = await synced();
    const first = server.put(THING, thing('a', 1));
    server.put(THING, thing('b', 1));
    await until('both', () => things.size === 2);
    server.say(JSON.stringify({ type: 'DELETED', object: first }));
    await until('the list', () => requests('list').length === 2);
    await until('the watch', () => server.openWatches === 1);
    expect(things.size).toBe(2);
    expect(messages()[0]).toContain('went back from version');
  });

  it('a restored backup: lists again, and takes what it says even under versions seen before', async () => {
    const things = await synced();
    server.put(THING, thing('a', 1));
    const restore = server.backup();
    server.put(THING, thing('a', 'lost'));
    server.put(THING, thing('b', 'lost'));
    await until('both', () => things.size === 2);
    server.breakWatches({ kind: 'silence' });
    restore();
    server.put(THING, thing('a', 'kept')); // under the version that "lost" had
    server.breakWatches({ kind: 'drop' });
    await until('the restored state', () => things.size === 1 && things.get('default', 'a')?.spec?.value === 'kept');
    expect(messages().some((m) => /went back from version \d+ of things/.test(m))).toBe(true);
    await until('the watch', () => server.openWatches === 1);
    server.put(THING, thing('c', 1));
    await until('what comes after', () => things.size === 2);
  });

  it('a broken watch: makes sure that the server has not gone back, in one small request', async () => {
    await synced();
    server.breakWatches({ kind: 'drop' });
    await until('the watch', () => requests('watch').length === 2);
    expect(server.requests.filter((r) => r.query.limit === '1')).toHaveLength(1);
    server.breakWatches({ kind: 'end' });
    await until('the next watch', () => requests('watch').length === 3);
    expect(server.requests.filter((r) => r.query.limit === '1')).toHaveLength(1);
  });
});
