import { createServer, type IncomingMessage, type Server, type ServerResponse } from 'node:http';
import type { AddressInfo } from 'node:net';
import { setTimeout as delay } from 'node:timers/promises';
import { KubeClient } from '../client.ts';
import { apiVersionOf, type KubeObject, pathOf, type ResourceType } from '../types.ts';
import { type Collection, type Fault, type Stored, WatchStream } from './watch-stream.ts';

export type Verb = 'get' | 'list' | 'watch' | 'create' | 'update' | 'patch' | 'delete';

interface Named {
  readonly metadata: { readonly name: string; readonly namespace?: string };
}

export interface SeenRequest {
  readonly verb: Verb;
  readonly path: string;
  readonly query: Readonly<Record<string, string>>;
}

const QUERY: Record<Verb, readonly string[]> = {
  get: [],
  list: ['limit', 'continue', 'labelSelector', 'fieldSelector'],
  watch: ['watch', 'allowWatchBookmarks', 'resourceVersion', 'timeoutSeconds', 'labelSelector', 'fieldSelector'],
  create: ['fieldManager'],
  update: ['fieldManager'],
  patch: ['fieldManager', 'force'],
  delete: [],
};

/**
 * An API server over HTTP that keeps Kubernetes' promises to the letter, refuses what a real one would refuse, and fails on demand.
 * It serves the types it was started with; versions are one sequence over all of them.
 */
export class FakeApiserver {
  readonly #server: Server;
  readonly #collections = new Map<string, Collection>();
  readonly #watches = new Set<WatchStream>();
  readonly #faults: { readonly verb: Verb; readonly fault: Fault }[] = [];
  readonly #clients: KubeClient[] = [];
  /** Snapshots that continue tokens stand for. */
  readonly #pages = new Map<string, { readonly version: number; readonly items: readonly Stored[] }>();
  #version = 100;
  #uids = 0;
  /** Versions up to this one are forgotten. */
  #compacted = 0;
  /** Bytes of every watch are sent in pieces of this size. */
  chunk = Number.POSITIVE_INFINITY;
  readonly requests: SeenRequest[] = [];

  private constructor(server: Server) {
    this.#server = server;
  }

  static async start(...types: readonly ResourceType<KubeObject>[]): Promise<FakeApiserver> {
    const server = createServer();
    const fake = new FakeApiserver(server);
    for (const type of types) fake.#collections.set(pathOf(type), { type, objects: new Map(), history: [] });
    server.on('request', (request, response) => void fake.#serve(request, response));
    await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
    return fake;
  }

  get url(): string {
    return `http://127.0.0.1:${(this.#server.address() as AddressInfo).port}`;
  }

  get version(): number {
    return this.#version;
  }

  get openWatches(): number {
    return this.#watches.size;
  }

  client(): KubeClient {
    const client = new KubeClient({ server: this.url, rejectUnauthorized: true });
    this.#clients.push(client);
    return client;
  }

  async stop(): Promise<void> {
    for (const client of this.#clients) client.close();
    this.#server.closeAllConnections();
    await new Promise((resolve) => this.#server.close(resolve));
  }

  /** The next request of this verb fails so. */
  fail(verb: Verb, fault: Fault): void {
    this.#faults.push({ verb, fault });
  }

  heal(): void {
    this.#faults.length = 0;
  }

  objects(type: ResourceType<KubeObject>): Stored[] {
    return [...this.#of(type).objects.values()];
  }

  /** Creates the object or changes it, as some other client would. */
  put<T extends Named>(type: ResourceType<KubeObject>, object: T): T & Stored {
    const collection = this.#of(type);
    const key = `${object.metadata.namespace ?? ''}/${object.metadata.name}`;
    const old = collection.objects.get(key);
    const uid = old?.metadata.uid ?? `uid-${++this.#uids}`;
    const stored = {
      ...object,
      apiVersion: apiVersionOf(type),
      kind: type.kind,
      metadata: { ...object.metadata, uid, resourceVersion: String(++this.#version) },
    };
    collection.objects.set(key, stored);
    this.#record(collection, old ? 'MODIFIED' : 'ADDED', stored);
    return stored;
  }

  remove(type: ResourceType<KubeObject>, namespace: string | undefined, name: string): void {
    const collection = this.#of(type);
    const key = `${namespace ?? ''}/${name}`;
    const old = collection.objects.get(key);
    if (old === undefined) return;
    collection.objects.delete(key);
    this.#record(collection, 'DELETED', { ...old, metadata: { ...old.metadata, resourceVersion: String(++this.#version) } });
  }

  /** Something else in the cluster changes. */
  tick(): void {
    this.#version++;
  }

  bookmark(): void {
    for (const watch of this.#watches) watch.bookmark(this.#version);
  }

  /** Forgets all history: watches and continue tokens of versions before now have expired. */
  compact(): void {
    this.#compacted = this.#version;
    for (const collection of this.#collections.values()) collection.history.length = 0;
    this.#pages.clear();
  }

  /** What is there now, to be restored later. */
  backup(): () => void {
    const version = this.#version;
    const copies = [...this.#collections.values()].map((c) => ({ c, objects: new Map(c.objects), history: [...c.history] }));
    return () => {
      this.#version = version;
      for (const { c, objects, history } of copies) {
        c.objects.clear();
        for (const [key, object] of objects) c.objects.set(key, object);
        c.history.splice(0, c.history.length, ...history);
      }
    };
  }

  /** Breaks every open watch so. */
  breakWatches(fault: Fault): void {
    for (const watch of this.#watches) watch.fail(fault);
  }

  /** Sends a line to every open watch, whatever it says. */
  say(line: string): void {
    for (const watch of this.#watches) watch.write(`${line}\n`);
  }

  #of(type: ResourceType<KubeObject>): Collection {
    const collection = this.#collections.get(pathOf(type));
    if (collection === undefined) throw new Error(`the fake API server was started without ${type.plural}`);
    return collection;
  }

  #record(collection: Collection, type: string, object: Stored): void {
    collection.history.push({ type, object, version: this.#version });
    for (const watch of this.#watches) watch.offer(collection, type, object);
  }

  async #serve(request: IncomingMessage, response: ServerResponse): Promise<void> {
    const url = new URL(request.url ?? '/', this.url);
    const query = Object.fromEntries(url.searchParams);
    const verb = verbOf(request.method ?? '', url.pathname, query);
    this.requests.push({ verb, path: url.pathname, query });
    const index = this.#faults.findIndex((f) => f.verb === verb);
    const fault = index === -1 ? undefined : this.#faults.splice(index, 1)[0]?.fault;
    const body = await bodyOf(request);
    if (fault?.kind === 'delay') await delay(fault.ms);
    if (fault?.kind === 'drop') return void request.socket.destroy();
    if (fault?.kind === 'status')
      return refuse(
        response,
        fault.code,
        fault.reason ?? 'Faulty',
        'told to fail',
        fault.retryAfter === undefined ? {} : { 'retry-after': fault.retryAfter },
      );
    try {
      if (verb === 'watch') this.#watch(url.pathname, query, response, fault);
      else
        reply(
          request,
          response,
          this.#perform({ verb, path: url.pathname, query, contentType: request.headers['content-type'], body }),
          fault,
        );
    } catch (error) {
      if (!(error instanceof Refusal)) throw error;
      refuse(response, error.code, error.reason, error.message);
    }
  }

  #perform({
    verb,
    path,
    query,
    contentType,
    body,
  }: SeenRequest & { readonly contentType: string | undefined; readonly body: string }): Answer {
    const { collection, namespace, name, subresource } = this.#route(path);
    const { type, objects } = collection;
    checkQuery(verb, query);
    const current = objects.get(`${namespace ?? ''}/${name}`);
    if (verb === 'list') return { code: 200, object: this.#list(collection, namespace, query) };
    if (verb === 'create') {
      const object = parsed(type, contentType, body, 'application/json');
      const key = `${object.metadata.namespace ?? ''}/${object.metadata.name}`;
      if (object.metadata.namespace !== namespace) throw new Refusal(400, 'BadRequest', 'the namespace differs from the path');
      if (objects.has(key)) throw new Refusal(409, 'AlreadyExists', `${key} already exists`);
      return { code: 201, object: this.put(type, object) };
    }
    if (verb === 'patch' && contentType === 'application/apply-patch+yaml') {
      if (!query.fieldManager) throw new Refusal(400, 'BadRequest', 'apply needs a fieldManager');
      const object = parsed(type, contentType, body, 'application/apply-patch+yaml');
      return { code: 200, object: this.put(type, merged(current ?? {}, object) as Stored) };
    }
    if (current === undefined) throw new Refusal(404, 'NotFound', `${type.plural} "${name}" not found`);
    if (verb === 'get') return { code: 200, object: current };
    if (verb === 'patch') {
      if (contentType !== 'application/merge-patch+json') throw new Refusal(415, 'UnsupportedMediaType', 'unknown patch type');
      const patch = JSON.parse(body) as { metadata?: { resourceVersion?: string } };
      this.#check(current, { resourceVersion: patch.metadata?.resourceVersion });
      return { code: 200, object: this.put(type, merged(current, patch) as Stored) };
    }
    if (verb === 'delete') {
      const { preconditions } = JSON.parse(body || '{}') as { preconditions?: { uid?: string; resourceVersion?: string } };
      this.#check(current, preconditions ?? {});
      this.remove(type, namespace, name);
      return { code: 200, object: { kind: 'Status', status: 'Success' } };
    }
    const object = parsed(type, contentType, body, 'application/json');
    if (!object.metadata.resourceVersion) throw new Refusal(422, 'Invalid', 'metadata.resourceVersion: must be specified for an update');
    this.#check(current, object.metadata);
    const stored = subresource === 'status' ? { ...current, status: object.status } : { ...object, status: current.status };
    return { code: 200, object: this.put(type, stored) };
  }

  #check(current: Stored, wanted: { uid?: string | undefined; resourceVersion?: string | undefined }): void {
    for (const field of ['uid', 'resourceVersion'] as const)
      if (wanted[field] !== undefined && wanted[field] !== current.metadata[field])
        throw new Refusal(409, 'Conflict', `the ${field} is ${current.metadata[field]}, not ${wanted[field]}`);
  }

  #route(path: string): { collection: Collection; namespace: string | undefined; name: string; subresource: string | undefined } {
    for (const [root, collection] of this.#collections) {
      const plural = root.slice(root.lastIndexOf('/'));
      const base = root.slice(0, -plural.length);
      const match = new RegExp(`^${base}(?:/namespaces/([^/]+))?${plural}(?:/([^/]+))?(?:/([^/]+))?$`).exec(path);
      if (match === null) continue;
      const [namespace, name = '', subresource] = match.slice(1).map((part) => (part === undefined ? undefined : decodeURIComponent(part)));
      if (name !== '' && collection.type.namespaced !== (namespace !== undefined)) break;
      return { collection, namespace, name, subresource };
    }
    throw new Refusal(404, 'NotFound', `the server could not find the requested resource ${path}`);
  }

  #list(collection: Collection, namespace: string | undefined, query: Record<string, string>): object {
    let version = this.#version;
    let items: readonly Stored[];
    if (query.continue === undefined) {
      items = [...collection.objects.values()].filter((o) => namespace === undefined || o.metadata.namespace === namespace);
    } else {
      const page = this.#pages.get(query.continue);
      if (page === undefined) throw new Refusal(410, 'Expired', 'The provided continue parameter is too old');
      ({ version, items } = page);
    }
    const limit = query.limit === undefined ? Number.POSITIVE_INFINITY : Number(query.limit);
    if (!(limit > 0)) throw new Refusal(400, 'BadRequest', `limit ${query.limit} is no positive number`);
    const rest = items.slice(limit);
    const token = rest.length === 0 ? undefined : `token-${this.requests.length}`;
    if (token !== undefined) this.#pages.set(token, { version, items: rest });
    // Items of a list carry no kind, as with every built-in type.
    const plain = items.slice(0, limit).map(({ apiVersion: _, kind: __, ...object }) => object);
    return { metadata: { resourceVersion: String(version), ...(token ? { continue: token } : {}) }, items: plain };
  }

  #watch(path: string, query: Record<string, string>, response: ServerResponse, fault: Fault | undefined): void {
    const { collection, namespace } = this.#route(path);
    checkQuery('watch', query);
    if (!/^[1-9][0-9]*$/.test(query.resourceVersion ?? '')) throw new Refusal(400, 'BadRequest', `watch from "${query.resourceVersion}"`);
    const from = Number(query.resourceVersion);
    if (from < this.#compacted) throw new Refusal(410, 'Expired', `too old resource version: ${from} (${this.#compacted})`);
    response.writeHead(200, { 'content-type': 'application/json' });
    response.flushHeaders();
    const watch = new WatchStream(response, collection, namespace, from, this.chunk);
    this.#watches.add(watch);
    response.on('close', () => this.#watches.delete(watch));
    if (fault) watch.fail(fault);
    for (const event of collection.history) if (event.version > from) watch.offer(collection, event.type, event.object);
  }
}

interface Answer {
  readonly code: number;
  readonly object: object;
}

class Refusal extends Error {
  readonly code: number;
  readonly reason: string;

  constructor(code: number, reason: string, message: string) {
    super(message);
    this.code = code;
    this.reason = reason;
  }
}

function refuse(response: ServerResponse, code: number, reason: string, message: string, headers: Record<string, number> = {}): void {
  response.writeHead(code, { 'content-type': 'application/json', ...headers });
  response.end(JSON.stringify({ kind: 'Status', status: 'Failure', code, reason, message }));
}

function verbOf(method: string, path: string, query: Record<string, string>): Verb {
  if (method === 'POST') return 'create';
  if (method === 'PUT') return 'update';
  if (method === 'PATCH') return 'patch';
  if (method === 'DELETE') return 'delete';
  if (query.watch === 'true') return 'watch';
  const parts = path.replace(/^\/apis?\/(?:[^/]+\/)?v[^/]+\//, '').split('/');
  const depth = parts[0] === 'namespaces' && parts.length > 2 ? parts.length - 2 : parts.length;
  return depth > 1 ? 'get' : 'list';
}

function reply(request: IncomingMessage, response: ServerResponse, { code, object }: Answer, fault: Fault | undefined): void {
  if (fault?.kind === 'drop-answer') {
    request.socket.destroy();
    return;
  }
  const text = Buffer.from(JSON.stringify(object));
  response.writeHead(code, { 'content-type': 'application/json' });
  if (fault?.kind === 'cut') response.write(text.subarray(0, Math.min(fault.after, text.length - 1)), () => request.socket.destroy());
  else response.end(text);
}

function checkQuery(verb: Verb, query: Readonly<Record<string, string>>): void {
  const unknown = Object.keys(query).find((parameter) => !QUERY[verb].includes(parameter));
  if (unknown !== undefined) throw new Refusal(400, 'BadRequest', `${verb} knows no parameter ${unknown}`);
}

function parsed(type: ResourceType<KubeObject>, contentType: string | undefined, body: string, wanted: string): Stored {
  if (contentType !== wanted) throw new Refusal(415, 'UnsupportedMediaType', `the body must be ${wanted}`);
  const object = JSON.parse(body) as Stored;
  if (object.kind !== type.kind || object.apiVersion !== apiVersionOf(type))
    throw new Refusal(400, 'BadRequest', `the object is a ${object.apiVersion} ${object.kind}`);
  return object;
}

async function bodyOf(request: IncomingMessage): Promise<string> {
  const chunks: Buffer[] = [];
  for await (const chunk of request) chunks.push(chunk as Buffer);
  return Buffer.concat(chunks).toString('utf8');
}

/** RFC 7386. */
function merged(target: unknown, patch: unknown): unknown {
  if (patch === null || typeof patch !== 'object' || Array.isArray(patch)) return patch;
  const result: Record<string, unknown> = { ...(target as Record<string, unknown>) };
  for (const [key, value] of Object.entries(patch)) {
    if (value === null) delete result[key];
    else result[key] = merged(result[key] ?? {}, value);
  }
  return result;
}
