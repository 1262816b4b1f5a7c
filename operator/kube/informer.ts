import type { IncomingMessage } from 'node:http';
import { setTimeout as delay } from 'node:timers/promises';
import { Backoff } from './backoff.ts';
import { ApiError, isExpired, type KubeClient, type List } from './client.ts';
import { LineSplitter } from './line-splitter.ts';
import { isOlder, Store, storeKey } from './store.ts';
import { type KubeObject, metadataOf, type ResourceType } from './types.ts';

export interface Change<T> {
  readonly type: 'added' | 'updated' | 'deleted';
  readonly object: T;
  readonly old?: T;
}

export interface InformerOptions<T extends KubeObject> {
  readonly client: KubeClient;
  readonly type: ResourceType<T>;
  readonly namespace?: string;
  readonly labelSelector?: string;
  readonly indexes?: Readonly<Record<string, (object: T) => readonly string[]>>;
  /** Drops what nobody reads, to save memory; it must keep name, namespace, uid and resourceVersion. */
  readonly transform?: (object: T) => T;
  /** A watch that says nothing for so long, not even a bookmark, is taken for dead. The API server sends one every minute. */
  readonly silenceMs?: number;
  /** Told of faults that are dealt with here: failed lists, broken watches, handlers that threw. */
  readonly onFault?: (fault: { kind: 'list' | 'watch' | 'handler'; error: unknown }) => void;
  readonly random?: () => number;
}

const PAGE = 500;
const FIRST_RETRY_MS = 200;
const LONGEST_RETRY_MS = 30_000;
const SILENCE_MS = 90_000;

/**
 * A local copy of a kind's objects that follows the API server. List in pages, watch with bookmarks, and after any fault go on
 * from the last version seen; when the server has forgotten that version, list again and derive what happened meanwhile.
 */
export class Informer<T extends KubeObject> {
  readonly #o: InformerOptions<T>;
  readonly #store: Store<T>;
  readonly #handlers: ((change: Change<T>) => void)[] = [];
  readonly #waiting: (() => void)[] = [];
  readonly #backoff: Backoff;
  #synced = false;
  #started = false;
  #version: string | null = null;
  #lastContact = 0;

  constructor(options: InformerOptions<T>) {
    this.#o = options;
    this.#store = new Store(options.indexes ?? {});
    this.#backoff = new Backoff(FIRST_RETRY_MS, LONGEST_RETRY_MS, options.random);
  }

  /** Handlers are called in order, synchronously with the change; they should only take note. Add them before `start`. */
  onChange(handler: (change: Change<T>) => void): void {
    this.#handlers.push(handler);
  }

  /** Follows the server until `signal` aborts. */
  start(signal: AbortSignal): void {
    if (this.#started) throw new Error('the informer runs already');
    this.#started = true;
    void this.#run(signal);
  }

  /** True from the first complete list on. */
  hasSynced(): boolean {
    return this.#synced;
  }

  waitForSync(signal?: AbortSignal): Promise<void> {
    if (this.#synced) return Promise.resolve();
    return new Promise((resolve, reject) => {
      const aborted = () => reject(signal?.reason instanceof Error ? signal.reason : new Error('aborted'));
      signal?.addEventListener('abort', aborted, { once: true });
      this.#waiting.push(() => {
        signal?.removeEventListener('abort', aborted);
        resolve();
      });
    });
  }

  /** When the server was last heard of, on the monotonic clock (ms). */
  get lastContact(): number {
    return this.#lastContact;
  }

  get(namespace: string | undefined, name: string): T | undefined {
    return this.#store.get(storeKey(namespace, name));
  }

  list(): T[] {
    return this.#store.values();
  }

  get size(): number {
    return this.#store.size;
  }

  byIndex(index: string, value: string): T[] {
    return this.#store.byIndex(index, value);
  }

  /** Takes the answer to a write into the store at once, unless the store is ahead of it: nobody acts on what he knows is old. */
  upsert(object: T): void {
    if (!this.#synced) return;
    const current = this.#store.get(keyOf(object));
    if (current !== undefined && !isOlder(current, object)) return;
    this.#put(object);
  }

  async #run(signal: AbortSignal): Promise<void> {
    while (!signal.aborted) {
      try {
        if (this.#version === null) await this.#relist(signal);
        await this.#watch(signal);
      } catch (error) {
        if (signal.aborted) return;
        if (isExpired(error)) this.#version = null;
        else this.#o.onFault?.({ kind: this.#version === null ? 'list' : 'watch', error });
        const wait =
          error instanceof ApiError && error.retryAfterSeconds !== undefined ? error.retryAfterSeconds * 1000 : this.#backoff.next();
        await delay(wait, undefined, { signal }).catch(() => undefined);
      }
    }
  }

  /** One consistent list; what is no longer in it was deleted unseen. */
  async #relist(signal: AbortSignal): Promise<void> {
    const { client, type, namespace, labelSelector } = this.#o;
    const selection = { ...(namespace === undefined ? {} : { namespace }), ...(labelSelector === undefined ? {} : { labelSelector }) };
    const found: T[] = [];
    let version = '';
    for (let next: string | undefined = ''; next !== undefined; ) {
      const page: List<T> = await client.list(type, { ...selection, limit: PAGE, ...(next === '' ? {} : { continue: next }), signal });
      found.push(...(page.items ?? []));
      version = page.metadata.resourceVersion;
      next = page.metadata.continue || undefined;
    }
    const seen = new Set<string>();
    for (const object of found) {
      seen.add(keyOf(object));
      this.#put(object);
    }
    for (const key of this.#store.keys()) if (!seen.has(key)) this.#remove(key);
    this.#version = version;
    this.#contact();
    if (!this.#synced) {
      this.#synced = true;
      for (const resolve of this.#waiting.splice(0)) resolve();
    }
  }

  async #watch(signal: AbortSignal): Promise<void> {
    const { client, type, namespace, labelSelector, random = Math.random } = this.#o;
    const parameters = {
      ...(namespace === undefined ? {} : { namespace }),
      ...(labelSelector === undefined ? {} : { labelSelector }),
      resourceVersion: this.#version ?? '',
      // Jittered, so that a thousand informers do not come back together.
      timeoutSeconds: Math.round(240 + 60 * random()),
    };
    const stop = new AbortController();
    const stopped = AbortSignal.any([signal, stop.signal]);
    const response = await client.watch(type, parameters, stopped);
    this.#contact();
    let silence: NodeJS.Timeout | undefined;
    const listen = () => {
      clearTimeout(silence);
      silence = setTimeout(() => stop.abort(new Error('the watch fell silent')), this.#o.silenceMs ?? SILENCE_MS);
    };
    listen();
    try {
      await this.#consume(response, listen);
    } finally {
      clearTimeout(silence);
      response.destroy();
    }
  }

  async #consume(response: IncomingMessage, listen: () => void): Promise<void> {
    const lines = new LineSplitter();
    for await (const chunk of response) {
      listen();
      this.#contact();
      for (const line of lines.push(chunk as Buffer)) if (line !== '') this.#take(line);
    }
  }

  /** Applies one line of a watch. A line that was cut off is no JSON: the watch is broken, and goes on from the last version. */
  #take(line: string): void {
    const event = JSON.parse(line) as { type: string; object: T & { code?: number; reason?: string; message?: string } };
    const { object } = event;
    if (event.type === 'ERROR')
      throw new ApiError(object.code ?? 500, object.reason ?? 'Unknown', object.message ?? 'the watch ended with an error');
    if (event.type === 'ADDED' || event.type === 'MODIFIED') this.#putIfNewer(object);
    else if (event.type === 'DELETED') this.#remove(keyOf(object));
    const version = metadataOf(object).resourceVersion;
    if (version) this.#version = version;
    this.#backoff.reset();
  }

  /** A watch may repeat what a write's answer has told already. */
  #putIfNewer(object: T): void {
    const current = this.#store.get(keyOf(object));
    if (current !== undefined && metadataOf(current).uid === metadataOf(object).uid && !isOlder(current, object)) return;
    this.#put(object);
  }

  #put(incoming: T): void {
    const object = this.#o.transform ? this.#o.transform(incoming) : incoming;
    const key = keyOf(object);
    const current = this.#store.get(key);
    const same = current !== undefined && metadataOf(current).resourceVersion === metadataOf(object).resourceVersion;
    if (same && metadataOf(current).uid === metadataOf(object).uid) return;
    // Another uid under the same name: the old object was deleted unseen.
    if (current !== undefined && metadataOf(current).uid !== metadataOf(object).uid) this.#remove(key);
    const old = this.#store.set(key, object);
    this.#tell(old === undefined ? { type: 'added', object } : { type: 'updated', object, old });
  }

  #remove(key: string): void {
    const old = this.#store.delete(key);
    if (old !== undefined) this.#tell({ type: 'deleted', object: old });
  }

  #tell(change: Change<T>): void {
    for (const handler of this.#handlers) {
      try {
        handler(change);
      } catch (error) {
        this.#o.onFault?.({ kind: 'handler', error });
      }
    }
  }

  #contact(): void {
    this.#lastContact = performance.now();
  }
}

function keyOf(object: KubeObject): string {
  const { namespace, name } = metadataOf(object);
  return storeKey(namespace, name ?? '');
}
