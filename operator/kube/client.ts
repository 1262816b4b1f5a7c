import type { IncomingMessage } from 'node:http';
import { setTimeout as delay } from 'node:timers/promises';
import { ApiError } from './api-error.ts';
import { type Credentials, loadCredentials } from './credentials.ts';
import { Transport } from './transport.ts';
import { apiVersionOf, type KubeObject, metadataOf, pathOf, type ResourceType } from './types.ts';

export { ApiError, ignoreNotFound, isAlreadyExists, isConflict, isExpired, isNotFound, isRefusal } from './api-error.ts';

const FIELD_OWNER = 'vicuna-operator';
/** Attempts when the server says "later" (429, 503 with Retry-After) or a connection breaks under a request that may be repeated. */
const ATTEMPTS = 4;
const LONGEST_WAIT_SECONDS = 10;

export interface CallOptions {
  readonly signal?: AbortSignal;
  /** How often to ask in all when the server says "later" or does not answer; 1 for callers that wait and repeat themselves. */
  readonly attempts?: number;
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

export interface WatchParameters {
  readonly namespace?: string;
  readonly labelSelector?: string;
  readonly fieldSelector?: string;
  readonly resourceVersion: string;
  readonly timeoutSeconds: number;
}

/** One finished request, for metrics; a watch counts when it is open. */
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
  readonly attempts?: number | undefined;
  readonly signal?: AbortSignal | undefined;
}

/** The API server's REST interface, with JSON in and out. Conversions and checks are left to the types. */
export class KubeClient {
  readonly #transport: Transport;
  readonly #fieldOwner: string;
  onRequest: ((info: RequestInfo) => void) | null = null;

  /** `reload` is asked for new credentials when the server refuses the old ones; `fieldOwner` is whose writes these are. */
  constructor(credentials: Credentials, reload: (() => Promise<Credentials>) | null = null, fieldOwner = FIELD_OWNER) {
    this.#transport = new Transport(credentials, reload);
    this.#fieldOwner = fieldOwner;
  }

  /** Reads a kubeconfig; without a path $KUBECONFIG, ~/.kube/config or the pod's own account, as kubectl would. */
  static async fromKubeconfig(path?: string): Promise<KubeClient> {
    const load = () => loadCredentials(path ?? null);
    return new KubeClient(await load(), load);
  }

  get server(): string {
    return this.#transport.server;
  }

  get<T extends KubeObject>(type: ResourceType<T>, namespace: string | undefined, name: string, options: CallOptions = {}): Promise<T> {
    return this.#json({ verb: 'get', method: 'GET', type, path: pathOf(type, namespace, name), repeatable: true, ...waiting(options) });
  }

  list<T extends KubeObject>(type: ResourceType<T>, options: ListOptions = {}): Promise<List<T>> {
    const { namespace, signal, attempts, ...rest } = options;
    const path = `${pathOf(type, namespace)}${query(rest)}`;
    return this.#json({ verb: 'list', method: 'GET', type, path, repeatable: true, attempts, signal });
  }

  /** `dryRun`: the server checks it and answers as if it had made it. */
  create<T extends KubeObject>(type: ResourceType<T>, object: T, options: CallOptions & { dryRun?: boolean } = {}): Promise<T> {
    const dryRun = options.dryRun ? 'All' : undefined;
    const path = `${pathOf(type, metadataOf(object).namespace)}${query({ fieldManager: this.#fieldOwner, dryRun })}`;
    // Repeating a create is safe: names are ours, so the second one meets AlreadyExists.
    return this.#json({ verb: 'create', method: 'POST', type, path, body: typed(type, object), repeatable: true, ...waiting(options) });
  }

  /** Replaces the status; refused with Conflict when the object has changed since `object` was read. */
  replaceStatus<T extends KubeObject>(type: ResourceType<T>, object: T, options: CallOptions = {}): Promise<T> {
    const { namespace, name } = metadataOf(object);
    const path = `${pathOf(type, namespace, name, 'status')}${query({ fieldManager: this.#fieldOwner })}`;
    return this.#json({ verb: 'update', method: 'PUT', type, path, body: typed(type, object), repeatable: false, ...waiting(options) });
  }

  replace<T extends KubeObject>(type: ResourceType<T>, object: T, options: CallOptions = {}): Promise<T> {
    const { namespace, name } = metadataOf(object);
    const path = `${pathOf(type, namespace, name)}${query({ fieldManager: this.#fieldOwner })}`;
    return this.#json({ verb: 'update', method: 'PUT', type, path, body: typed(type, object), repeatable: false, ...waiting(options) });
  }

  /** Server-side apply as field owner of what `object` names; takes fields over from others. */
  apply<T extends KubeObject>(type: ResourceType<T>, object: T, options: CallOptions & { subresource?: string } = {}): Promise<T> {
    const { namespace, name } = metadataOf(object);
    const path = `${pathOf(type, namespace, name, options.subresource)}${query({ fieldManager: this.#fieldOwner, force: 'true' })}`;
    const contentType = 'application/apply-patch+yaml';
    return this.#json({
      verb: 'apply',
      method: 'PATCH',
      type,
      path,
      body: typed(type, object),
      contentType,
      repeatable: true,
      ...waiting(options),
    });
  }

  mergePatch<T extends KubeObject>(
    type: ResourceType<T>,
    namespace: string | undefined,
    name: string,
    patch: object,
    options: CallOptions & { subresource?: string } = {},
  ): Promise<T> {
    const path = `${pathOf(type, namespace, name, options.subresource)}${query({ fieldManager: this.#fieldOwner })}`;
    const contentType = 'application/merge-patch+json';
    return this.#json({ verb: 'patch', method: 'PATCH', type, path, body: patch, contentType, repeatable: true, ...waiting(options) });
  }

  async delete<T extends KubeObject>(
    type: ResourceType<T>,
    namespace: string | undefined,
    name: string,
    options: DeleteOptions = {},
  ): Promise<void> {
    const { signal, attempts, uid, resourceVersion, ...rest } = options;
    const preconditions = { ...(uid ? { uid } : {}), ...(resourceVersion ? { resourceVersion } : {}) };
    const body = { apiVersion: 'v1', kind: 'DeleteOptions', ...rest, ...(Object.keys(preconditions).length > 0 ? { preconditions } : {}) };
    await this.#json({
      verb: 'delete',
      method: 'DELETE',
      type,
      path: pathOf(type, namespace, name),
      body,
      repeatable: true,
      attempts,
      signal,
    });
  }

  /** Opens a watch and hands out the raw stream of JSON lines. It may be silent for as long as the caller lets it. */
  watch<T extends KubeObject>(type: ResourceType<T>, parameters: WatchParameters, signal: AbortSignal): Promise<IncomingMessage> {
    const { namespace, ...rest } = parameters;
    const path = `${pathOf(type, namespace)}${query({ ...rest, watch: 'true', allowWatchBookmarks: 'true' })}`;
    return this.#counted({ verb: 'watch', method: 'GET', type, path, repeatable: false, signal }, async (response) => response);
  }

  /** GET of a path outside the resources, such as /readyz; resolves to the body. */
  getPath(path: string, options: CallOptions = {}): Promise<string> {
    const type = { group: '', version: '', kind: '', plural: path, namespaced: false };
    return this.#counted({ verb: 'get', method: 'GET', type, path, repeatable: false, ...waiting(options) }, bodyOf);
  }

  /** GET whose answer may go on for ever, such as a log that is followed. */
  openPath(path: string, signal: AbortSignal): Promise<IncomingMessage> {
    const type = { group: '', version: '', kind: '', plural: path.split('?')[0] ?? path, namespaced: false };
    return this.#counted({ verb: 'watch', method: 'GET', type, path, repeatable: false, signal }, async (response) => response);
  }

  close(): void {
    this.#transport.close();
  }

  async #json<R>(call: Call): Promise<R> {
    for (let attempt = 1; ; attempt++) {
      try {
        return await this.#counted(call, async (response) => JSON.parse(await bodyOf(response)) as R);
      } catch (error) {
        const wait = attempt < (call.attempts ?? ATTEMPTS) ? waitBefore(error, call, attempt) : null;
        if (wait === null || call.signal?.aborted) throw error;
        await delay(wait, undefined, call.signal ? { signal: call.signal } : {});
      }
    }
  }

  /** One request, told to `onRequest` however it ends. */
  async #counted<R>(call: Call, read: (response: IncomingMessage) => Promise<R>): Promise<R> {
    const startedAt = performance.now();
    let code = 0;
    try {
      const { method, path, contentType, signal } = call;
      const body = call.body === undefined ? undefined : JSON.stringify(call.body);
      const stream = call.verb === 'watch';
      const response = await this.#transport.send({ method, path, body, stream, signal, ...(contentType ? { contentType } : {}) });
      code = response.statusCode ?? 0;
      if (code < 200 || code > 299) throw await errorOf(response, call);
      return await read(response);
    } finally {
      this.onRequest?.({ verb: call.verb, resource: call.type.plural, code, seconds: (performance.now() - startedAt) / 1000 });
    }
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

function waiting({ signal, attempts }: CallOptions): Pick<Call, 'signal' | 'attempts'> {
  return { signal, attempts };
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
  try {
    for await (const chunk of response) chunks.push(chunk as Buffer);
  } catch (cause) {
    throw new Error('the API server broke off in the middle of an answer', { cause });
  }
  return Buffer.concat(chunks).toString('utf8');
}

async function errorOf(response: IncomingMessage, call: Call): Promise<ApiError> {
  const text = await bodyOf(response).catch(() => '');
  let status: { reason?: string; message?: string } = {};
  try {
    status = JSON.parse(text) ?? {};
  } catch {
    // A proxy's page, or nothing: the code says enough.
  }
  const code = response.statusCode ?? 0;
  const after = response.headers['retry-after'];
  const seconds = after === undefined ? Number.NaN : Number(after);
  const message = status.message ?? `${call.verb} ${call.path}: HTTP ${code}`;
  return new ApiError(code, status.reason ?? 'Unknown', message, seconds >= 0 ? seconds : undefined);
}
