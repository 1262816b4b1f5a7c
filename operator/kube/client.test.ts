import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { ApiError, isAlreadyExists, isConflict, isExpired, isNotFound, type KubeClient, type RequestInfo } from './client.ts';
import { FakeApiserver } from './testing/fake-apiserver.ts';
import { THING, type Thing, thing, until } from './testing/things.ts';
import { NODE } from './types.ts';

let server: FakeApiserver;
let client: KubeClient;
let seen: RequestInfo[];

beforeEach(async () => {
  server = await FakeApiserver.start(THING, NODE);
  client = server.client();
  seen = [];
  client.onRequest = (info) => seen.push(info);
});

afterEach(() => server.stop());

async function failure(call: Promise<unknown>): Promise<ApiError> {
  const error = await call.then(
    () => null,
    (e: unknown) => e,
  );
  if (!(error instanceof ApiError)) throw new Error(`no ApiError: ${error}`);
  return error;
}

const codes = () => seen.map((info) => info.code);

describe('the verbs', () => {
  it('create, get, replace, replaceStatus, mergePatch, apply, delete', async () => {
    const created = await client.create(THING, thing('a', 1));
    expect(created).toMatchObject({ apiVersion: 'test.vicuna.run/v1', kind: 'Thing', metadata: { name: 'a', uid: 'uid-1' } });
    expect(await client.get(THING, 'default', 'a')).toEqual(created);
    const replaced = await client.replace(THING, { ...created, spec: { value: 2 } });
    const status = await client.replaceStatus(THING, { ...replaced, spec: { value: 'ignored' }, status: { seen: 1 } });
    expect([status.spec?.value, status.status?.seen]).toEqual([2, 1]);
    expect((await client.mergePatch(THING, 'default', 'a', { spec: { value: null } })).spec).toEqual({});
    expect((await client.apply(THING, thing('b', 3))).spec?.value).toBe(3);
    expect(server.requests.at(-1)?.query).toEqual({ fieldManager: 'vicuna-operator', force: 'true' });
    await client.delete(THING, 'default', 'a', { uid: created.metadata.uid ?? '', gracePeriodSeconds: 0, propagationPolicy: 'Background' });
    expect(server.objects(THING).map((o) => o.metadata.name)).toEqual(['b']);
    expect(seen.map((info) => `${info.verb} ${info.resource} ${info.code}`)).toEqual([
      'create things 201',
      'get things 200',
      'update things 200',
      'update things 200',
      'patch things 200',
      'apply things 200',
      'delete things 200',
    ]);
    expect(seen.every((info) => info.seconds > 0)).toBe(true);
  });

  it('cluster-scoped objects', async () => {
    await client.create(NODE, { metadata: { name: 'n' } });
    expect((await client.get(NODE, undefined, 'n')).metadata?.name).toBe('n');
    await client.delete(NODE, undefined, 'n');
    expect((await client.list(NODE)).items).toEqual([]);
  });

  it('lists in pages, by selectors', async () => {
    for (let i = 0; i < 5; i++) server.put(THING, thing(`t-${i}`));
    const first = await client.list(THING, { namespace: 'default', limit: 3, labelSelector: 'a=b', fieldSelector: 'c=d' });
    expect(server.requests.at(-1)).toMatchObject({ path: '/apis/test.vicuna.run/v1/namespaces/default/things' });
    expect(server.requests.at(-1)?.query).toEqual({ limit: '3', labelSelector: 'a=b', fieldSelector: 'c=d' });
    const second = await client.list(THING, { namespace: 'default', limit: 3, continue: first.metadata.continue ?? '' });
    expect([...first.items, ...second.items].map((o) => o.metadata.name)).toEqual(['t-0', 't-1', 't-2', 't-3', 't-4']);
    expect(second.metadata.continue).toBeUndefined();
  });

  it('reads other paths as text', async () => {
    expect((await failure(client.getPath('/readyz'))).status).toBe(404);
  });
});

describe('refusals', () => {
  it('carry status, reason and the server’s own sentence', async () => {
    const error = await failure(client.get(THING, 'default', 'none'));
    expect([error.status, error.reason, error.message, isNotFound(error)]).toEqual([404, 'NotFound', 'things "none" not found', true]);
  });

  it('tell a conflict from a name that is taken', async () => {
    const created = await client.create(THING, thing('a'));
    const taken = await failure(client.create(THING, thing('a')));
    expect([isAlreadyExists(taken), isConflict(taken)]).toEqual([true, false]);
    await client.replace(THING, created);
    const stale = await failure(client.replace(THING, created));
    expect([isAlreadyExists(stale), isConflict(stale)]).toEqual([false, true]);
    const other = await failure(client.delete(THING, 'default', 'a', { uid: 'other' }));
    expect(isConflict(other)).toBe(true);
  });

  it('that are no Kubernetes status still name the request', async () => {
    server.fail('get', { kind: 'status', code: 418, reason: 'x' });
    expect((await failure(client.get(THING, 'default', 'a'))).status).toBe(418);
    expect(isExpired(new ApiError(410, 'Gone', ''))).toBe(true);
  });
});

describe('a server that says "later"', () => {
  it('is asked again when it said, for any call: 429 means that nothing was done', async () => {
    const a = await client.create(THING, thing('a', 1));
    server.fail('update', { kind: 'status', code: 429, retryAfter: 0 });
    server.fail('create', { kind: 'status', code: 429, retryAfter: 0 });
    await client.replace(THING, { ...a, spec: { value: 2 } });
    await client.create(THING, thing('b'));
    expect(codes()).toEqual([201, 429, 200, 429, 201]);
  });

  it('waits for as many seconds as Retry-After says', async () => {
    server.fail('list', { kind: 'status', code: 503, retryAfter: 1 });
    const startedAt = performance.now();
    await client.list(THING);
    expect(performance.now() - startedAt).toBeGreaterThan(990);
  });

  it('is not asked to replace twice after 503: it may have done so the first time', async () => {
    const a = await client.create(THING, thing('a', 1));
    server.fail('update', { kind: 'status', code: 503, retryAfter: 0 });
    expect((await failure(client.replace(THING, a))).status).toBe(503);
  });

  it('is asked four times at most, and once by callers who wait themselves', async () => {
    for (let i = 0; i < 10; i++) server.fail('list', { kind: 'status', code: 503, retryAfter: 0 });
    expect((await failure(client.list(THING))).retryAfterSeconds).toBe(0);
    expect(codes()).toEqual([503, 503, 503, 503]);
    await failure(client.list(THING, { attempts: 1 }));
    expect(codes()).toHaveLength(5);
  });

  it('does not hold up a caller who gives up', async () => {
    server.fail('list', { kind: 'status', code: 503, retryAfter: 10 });
    const stop = new AbortController();
    const call = client.list(THING, { signal: stop.signal });
    await until('the refusal', () => seen.length === 1);
    stop.abort();
    await expect(call).rejects.toThrow('aborted');
  });

  it('with other errors is believed at once', async () => {
    for (const code of [400, 403, 500, 504]) {
      server.fail('list', { kind: 'status', code });
      expect((await failure(client.list(THING))).status).toBe(code);
    }
    expect(seen).toHaveLength(4);
  });
});

describe('a connection that breaks', () => {
  it('under a read is opened anew', async () => {
    server.put(THING, thing('a'));
    server.fail('get', { kind: 'drop' });
    expect((await client.get(THING, 'default', 'a')).metadata.name).toBe('a');
    server.fail('list', { kind: 'cut', after: 30 });
    expect((await client.list(THING)).items).toHaveLength(1);
    expect(codes()).toEqual([0, 200, 200, 200]);
  });

  it('under a write is told, since nobody knows whether it was done', async () => {
    server.fail('create', { kind: 'drop-answer' });
    await expect(client.create(THING, thing('a'))).rejects.toThrow(/POST .*things.*: the API server http:.* cannot be reached/);
    expect(isAlreadyExists(await failure(client.create(THING, thing('a'))))).toBe(true);
  });

  it('in the middle of an answer is told in words', async () => {
    server.fail('create', { kind: 'cut', after: 10 });
    await expect(client.create(THING, thing('a'))).rejects.toThrow('the API server broke off in the middle of an answer');
  });

  it('when nobody listens: which server, and why', async () => {
    const { url } = server;
    await server.stop();
    await expect(client.create(THING, thing('a'))).rejects.toThrow(`${url} cannot be reached: connect ECONNREFUSED`);
    server = await FakeApiserver.start(THING);
  });

  it('ends with the caller’s signal', async () => {
    server.fail('create', { kind: 'delay', ms: 10_000 });
    const stop = new AbortController();
    const call = client.create<Thing>(THING, thing('a'), { signal: stop.signal });
    await until('the request', () => server.requests.length === 1);
    stop.abort();
    await expect(call).rejects.toThrow('aborted');
  });
});

describe('a watch', () => {
  it('counts as a request once it is open, and its refusal as one too', async () => {
    const stop = new AbortController();
    const stream = await client.watch(THING, { resourceVersion: String(server.version), timeoutSeconds: 300 }, stop.signal);
    expect(seen).toMatchObject([{ verb: 'watch', resource: 'things', code: 200 }]);
    stop.abort();
    stream.on('error', () => undefined);
    const error = await failure(client.watch(THING, { resourceVersion: '0', timeoutSeconds: 300 }, new AbortController().signal));
    expect([error.status, codes()]).toEqual([400, [200, 400]]);
  });
});
