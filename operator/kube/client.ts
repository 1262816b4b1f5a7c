import { Agent as HttpAgent, request as httpRequest, type IncomingMessage } from 'node:http';
import { Agent as HttpsAgent, request as httpsRequest } from 'node:https';
import { setTimeout as delay } from 'node:timers/promises';
import { ApiError } from './api-error.ts';
import { type Credentials, loadCredentials } from './credentials.ts';
import { apiVersionOf, type KubeObject, metadataOf, pathOf, type ResourceType } from './types.ts';

export { ApiError, isAlreadyExists, isConflict, isExpired, isNotFound } from './api-error.ts';

const FIELD_OWNER = 'vicuna-operator';
const TIMEOUT_MS = 30_000;
/** Attempts when the server says "later" (429, 503 with Retry-After) or a connection breaks under a request that may be repeated. */
const ATTEMPTS = 4;
const LONGEST_WAIT_SECONDS = 10;
/** Exec plugins' and service accounts' tokens expire; they are read anew so often. */
const CREDENTIALS_MS = 5 * 60_000;
const SOCKETS = 32;

export interface CallOptions {
  readonly signal?: AbortSignal;
}

export interface ListOptions extends CallOptions {
  readonly namespace?: string;
  readonly labelSelector?: string;
  readonly fieldSelector?: string;
  readonly limit?: number;
  readonly continue?: string;
}

export interface DeleteOptions extends CallOptions {
  readonly gracePeriodSeconds?: number;
  readonly uid?: string;
  readonly resourceVersion?: string;
  readonly propagationPolicy?: 'Background' | 'Foreground' | 'Orphan';
}

export interface List<T> {
  readonly items: T[];
  readonly metadata: { readonly resourceVersion: string; readonly continue?: string };
}

/** One finished request, for metrics. */
export interface RequestInfo {
  readonly verb: string;
  readonly resource: string;
  /** HTTP status, or 0 when no answer came. */
  readonly code: number;
  readonly seconds: number;
}

interface Call {
  readonly verb: string;
  readonly method: string;
  readonly type: ResourceType<KubeObject>;
  readonly path: string;
  readonly body?: unknown;
  readonly contentType?: string;
  readonly repeatable: boolean;
  readonly signal?: AbortSignal | undefined;
}

/** The API server's REST interface, with JSON in and out. Conversions and checks are left to the types. */
export class KubeClient {
  #credentials: Credentials;
  #readAt: number;
  readonly #reload: (() => Promise<Credentials>) | null;
  readonly #agent: HttpAgent | HttpsAgent;
  onRequest: ((info: RequestInfo) => void) | null = null;

  constructor(credentials: Credentials, reload: (() => Promise<Credentials>) | null = null) {
    this.#credentials = credentials;
    this.#readAt = Date.now();
    this.#reload = reload;
    const { ca, cert, key, rejectUnauthorized } = credentials;
    const options = { keepAlive: true, maxSockets: Number.POSITIVE_INFINITY, maxFreeSockets: SOCKETS };
    this.#agent = credentials.server.startsWith('https:')
      ? new HttpsAgent({ ...options, ca, cert, key, rejectUnauthorized })
      : new HttpAgent(options);
  }

  /** Reads a kubeconfig; without a path $KUBECONFIG, ~/.kube/config or the pod's own account, as kubectl would. */
  static async fromKubeconfig(path?: string): Promise<KubeClient> {
    const load = () => loadCredentials(path ?? null);
    const credentials = await load();
    return new KubeClient(credentials, credentials.authorization === undefined ? null : load);
  }

  get server(): string {
    return this.#credentials.server;
  }

  get<T extends KubeObject>(type: ResourceType<T>, namespace: string | undefined, name: string, options: CallOptions = {}): Promise<T> {
    return this.#json({ verb: 'get', method: 'GET', type, path: pathOf(type, namespace, name), repeatable: true, signal: options.signal });
  }

  list<T extends KubeObject>(type: ResourceType<T>, options: ListOptions = {}): Promise<List<T>> {
    const { namespace, signal, ...rest } = options;
    const path = `${pathOf(type, namespace)}${query(rest)}`;
    return this.#json({ verb: 'list', method: 'GET', type, path, repeatable: true, signal });
  }

  create<T extends KubeObject>(type: ResourceType<T>, object: T, options: CallOptions = {}): Promise<T> {
    const path = `${pathOf(type, metadataOf(object).namespace)}${query({ fieldManager: FIELD_OWNER })}`;
    // Repeating a create is safe: names are ours, so the second one meets AlreadyExists.
    return this.#json({ verb: 'create', method: 'POST', type, path, body: typed(type, object), repeatable: true, signal: options.signal });
  }

  /** Replaces the status; refused with Conflict when the object has changed since `object` was read. */
  replaceStatus<T extends KubeObject>(type: ResourceType<T>, object: T, options: CallOptions = {}): Promise<T> {
    const { namespace, name } = metadataOf(object);
    const path = `${pathOf(type, namespace, name, 'status')}${query({ fieldManager: FIELD_OWNER })}`;
    return this.#json({ verb: 'update', method: 'PUT', type, path, body: typed(type, object), repeatable: false, signal: options.signal });
  }

  replace<T extends KubeObject>(type: ResourceType<T>, object: T, options: CallOptions = {}): Promise<T> {
    const { namespace, name } = metadataOf(object);
    const path = `${pathOf(type, namespace, name)}${query({ fieldManager: FIELD_OWNER })}`;
    return this.#json({ verb: 'update', method: 'PUT', type, path, body: typed(type, object), repeatable: false, signal: options.signal });
  }

  /** Server-side apply as field owner of what `object` names; takes fields over from others. */
  apply<T extends KubeObject>(type: ResourceType<T>, object: T, options: CallOptions & { subresource?: string } = {}): Promise<T> {
    const { namespace, name } = metadataOf(object);
    const path = `${pathOf(type, namespace, name, options.subresource)}${query({ fieldManager: FIELD_OWNER, force: 'true' })}`;
    const contentType = 'application/apply-patch+yaml';
    return this.#json({
      verb: 'apply',
      method: 'PATCH',
      type,
      path,
      body: typed(type, object),
      contentType,
      repeatable: true,
      signal: options.signal,
    });
  }

  mergePatch<T extends KubeObject>(
    type: ResourceType<T>,
    namespace: string | undefined,
    name: string,
    patch: object,
    options: CallOptions & { subresource?: string } = {},
  ): Promise<T> {
    const path = `${pathOf(type, namespace, name, options.subresource)}${query({ fieldManager: FIELD_OWNER })}`;
    const contentType = 'application/merge-patch+json';
    return this.#json({ verb: 'patch', method: 'PATCH', type, path, body: patch, contentType, repeatable: true, signal: options.signal });
  }

  async delete<T extends KubeObject>(
    type: ResourceType<T>,
    namespace: string | undefined,
    name: string,
    options: DeleteOptions = {},
  ): Promise<void> {
    const { signal, uid, resourceVersion, ...rest } = options;
    const preconditions = { ...(uid ? { uid } : {}), ...(resourceVersion ? { resourceVersion } : {}) };
    const body = { apiVersion: 'v1', kind: 'DeleteOptions', ...rest, ...(Object.keys(preconditions).length > 0 ? { preconditions } : {}) };
    await this.#json({ verb: 'delete', method: 'DELETE', type, path: pathOf(type, namespace, name), body, repeatable: true, signal });
  }

  /** Opens a watch and hands out the raw stream of JSON lines. */
  async watch<T extends KubeObject>(
    type: ResourceType<T>,
    parameters: { namespace?: string; labelSelector?: string; fieldSelector?: string; resourceVersion: string; timeoutSeconds: number },
    signal: AbortSignal,
  ): Promise<IncomingMessage> {
    const { namespace, ...rest } = parameters;
    const path = `${pathOf(type, namespace)}${query({ ...rest, watch: 'true', allowWatchBookmarks: 'true' })}`;
    const call: Call = { verb: 'watch', method: 'GET', type, path, repeatable: false, signal };
    const response = await this.#send(call);
    if (response.statusCode !== 200) throw await errorOf(response, call);
    return response;
  }

  /** GET of a path outside the resources, such as /readyz; resolves to the body. */
  async getPath(path: string, options: CallOptions = {}): Promise<string> {
    const type = { group: '', version: '', kind: '', plural: path, namespaced: false };
    const call: Call = { verb: 'get', method: 'GET', type, path, repeatable: false, signal: options.signal };
    const response = await this.#send(call);
    if (response.statusCode !== 200) throw await errorOf(response, call);
    return bodyOf(response);
  }

  close(): void {
    this.#agent.destroy();
  }

  async #json<R>(call: Call): Promise<R> {
    for (let attempt = 1; ; attempt++) {
      const startedAt = performance.now();
      let code = 0;
      try {
        const response = await this.#send(call);
        code = response.statusCode ?? 0;
        if (code < 200 || code > 299) throw await errorOf(response, call);
        return JSON.parse(await bodyOf(response)) as R;
      } catch (error) {
        const wait = attempt < ATTEMPTS ? waitBefore(error, call, attempt) : null;
        if (wait === null || call.signal?.aborted) throw error;
        await delay(wait, undefined, call.signal ? { signal: call.signal } : {});
      } finally {
        this.onRequest?.({ verb: call.verb, resource: call.type.plural, code, seconds: (performance.now() - startedAt) / 1000 });
      }
    }
  }

  async #send(call: Call): Promise<IncomingMessage> {
    if (this.#reload && Date.now() - this.#readAt > CREDENTIALS_MS) {
      this.#readAt = Date.now();
      this.#credentials = await this.#reload();
    }
    const { server, authorization } = this.#credentials;
    const body = call.body === undefined ? undefined : JSON.stringify(call.body);
    const headers: Record<string, string | number> = {
      accept: 'application/json',
      'user-agent': FIELD_OWNER,
      ...(authorization ? { authorization } : {}),
      ...(body === undefined ? {} : { 'content-type': call.contentType ?? 'application/json', 'content-length': Buffer.byteLength(body) }),
    };
    const send = server.startsWith('https:') ? httpsRequest : httpRequest;
    const base = new URL(server);
    const url = new URL(base.pathname.replace(/\/$/, '') + call.path, base);
    return new Promise((resolve, reject) => {
      const request = send(
        url,
        { method: call.method, headers, agent: this.#agent, ...(call.signal ? { signal: call.signal } : {}) },
        (response) => {
          if (call.verb === 'watch') request.setTimeout(0);
          resolve(response);
        },
      );
      request.setTimeout(TIMEOUT_MS, () =>
        request.destroy(new Error(`no answer from ${server} to ${call.verb} ${call.path} within ${TIMEOUT_MS / 1000} s`)),
      );
      request.on('error', reject);
      request.end(body);
    });
  }
}

/** Milliseconds to wait before the call is repeated, or null when it must not be. */
function waitBefore(error: unknown, call: Call, attempt: number): number | null {
  if (error instanceof ApiError) {
    const later = error.status === 429 || error.status === 503;
    if (!later || (!call.repeatable && error.status !== 429)) return null;
    return Math.min(LONGEST_WAIT_SECONDS, error.retryAfterSeconds ?? 0.25 * 2 ** attempt) * 1000;
  }
  return call.repeatable && call.method === 'GET' ? 100 * 2 ** attempt : null;
}

function typed<T extends KubeObject>(type: ResourceType<T>, object: T): T {
  return { ...object, apiVersion: apiVersionOf(type as ResourceType<KubeObject>), kind: type.kind };
}

function query(parameters: Record<string, string | number | undefined>): string {
  const entries = Object.entries(parameters).flatMap(([k, v]): [string, string][] => (v === undefined ? [] : [[k, String(v)]]));
  return entries.length === 0 ? '' : `?${new URLSearchParams(entries)}`;
}

async function bodyOf(response: IncomingMessage): Promise<string> {
  const chunks: Buffer[] = [];
  for await (const chunk of response) chunks.push(chunk as Buffer);
  return Buffer.concat(chunks).toString('utf8');
}

async function errorOf(response: IncomingMessage, call: Call): Promise<ApiError> {
  const text = await bodyOf(response).catch(() => '');
  let status: { reason?: string; message?: string } = {};
  try {
    status = JSON.parse(text);
  } catch {
    // A proxy's page, or nothing: the code says enough.
  }
  const code = response.statusCode ?? 0;
  const header = Number(response.headers['retry-after']);
  const message = status.message ?? `${call.verb} ${call.path}: HTTP ${code}`;
  return new ApiError(code, status.reason ?? 'Unknown', message, Number.isFinite(header) ? header : undefined);
}
