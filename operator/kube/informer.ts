import type { IncomingMessage } from 'node:http';
import { setTimeout as delay } from 'node:timers/promises';
import { Backoff } from './backoff.ts';
import { ApiError, isExpired, type KubeClient, type List } from './client.ts';
import { LineSplitter } from './line-splitter.ts';
import { compareVersions } from './resource-version.ts';
import { keyOf, Store, storeKey } from './store.ts';
import { type KubeObject, metadataOf, type ResourceType } from './types.ts';

export interface Change<T> {
  readonly type: 'added' | 'updated' | 'deleted';
  readonly object: T;
  readonly old?: T;
}

export interface InformerFault {
  readonly kind: 'list' | 'watch' | 'handler';
  readonly error: unknown;
}

export interface InformerOptions<T extends KubeObject> {
  readonly client: Pick<KubeClient, 'list' | 'watch'>;
  readonly type: ResourceType<T>;
  readonly namespace?: string;
  readonly labelSelector?: string;
  readonly fieldSelector?: string;
  readonly indexes?: Readonly<Record<string, (object: T) => readonly string[]>>;
  /** Drops what nobody reads, to save memory; it must keep name, namespace, uid and resourceVersion. */
  readonly transform?: (object: T) => T;
  /**
   * A watch that says nothing for so long, not even a bookmark, may be dead, and is opened anew. It need not be: the API server
   * thinks of bookmarks every minute, but sends none while the resource's own version stands still.
   */
  readonly silenceMs?: number;
  /** Delay after the first fault and longest delay, doubling in between. */
  readonly retryMs?: readonly [first: number, longest: number];
  /** Told of faults that are dealt with here: failed lists, broken watches, handlers that threw. */
  readonly onFault?: (fault: InformerFault) => void;
  readonly random?: () => number;
}

const PAGE = 500;
/** The longest is also how late a recovered API server may be noticed. */
const RETRY_MS = [200, 10_000] as const;
/** No server makes us wait longer than this. */
const LONGEST_ASKED_MS = 30_000;
const SILENCE_MS = 90_000;
/** A connection that lasted so long was a success: the next fault is the first again. */
const STABLE_MS = 5_000;

/** The server's versions went back, as after a restored backup: what is in the store may never have happened. */
class HistoryChanged extends Error {}

/**
 * A local copy of a kind's objects that follows the API server. List in pages, watch with bookmarks, and after any fault go on
 * from the last version seen; when the server has forgotten that version, list again and derive what happened meanwhile.
 */
export class Informer<T extends KubeObject> {
  readonly #o: InformerOptions<T>;
  readonly #store: Store<T>;
  readonly #handlers: ((change: Change<T>) => void)[] = [];
  readonly #waiting = new Set<() => void>();
  readonly #backoff: Backoff;
  #synced = false;
  #started = false;
  /** How far the store follows the server's history; null when it has to list. */
  #version: string | null = null;
  /** The last watch did not end in order: it may be another server, or the same with another past, that answers next. */
  #broken = false;
  /** The server's history was rewritten: even equal versions may stand for different contents. */
  #distrusted = false;
  /** Answers to writes that came while a list was under way. */
  readonly #written = new Map<string, T>();
  /** Pages that expired between two requests would expire again: then the next list comes whole. */
  #inPages = true;
  #lastContact = Number.NEGATIVE_INFINITY;

  constructor(options: InformerOptions<T>) {
    this.#o = options;
    this.#store = new Store(options.indexes ?? {});
    const [first, longest] = options.retryMs ?? RETRY_MS;
    this.#backoff = new Backoff(first, longest, options.random);
  }

  /** Handlers are called in order, synchronously with the change; they should only take note. Add them before `start`. */
  onChange(handler: (change: Change<T>) => void): void {
    this.#handlers.push(handler);
  }

  /** Follows the server until `signal` aborts. */
  start(signal: AbortSignal): void {
    if (this.#started) throw new Error(`the informer of ${this.#o.type.plural} runs already`);
    this.#started = true;
    void this.#run(signal);
  }

  /** True from the first complete list on. */
  hasSynced(): boolean {
    return this.#synced;
  }

  /** Resolves with the first complete list; rejects when `signal` aborts before. */
  waitForSync(signal?: AbortSignal): Promise<void> {
    if (this.#synced) return Promise.resolve();
    return new Promise((resolve, reject) => {
      const done = () => {
        signal?.removeEventListener('abort', aborted);
        this.#waiting.delete(done);
        resolve();
      };
      const aborted = () => {
        this.#waiting.delete(done);
        reject(signal?.reason);
      };
      if (signal?.aborted) return aborted();
      signal?.addEventListener('abort', aborted, { once: true });
      this.#waiting.add(done);
    });
  }

  /** When the server was last heard of, on the monotonic clock (ms); -Infinity before. */
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

  /**
   * Takes the answer to a write into the store at once: nobody acts on what he knows is old. Not when the store is ahead of it; an
   * object that is missing at a later version was deleted since, and must not come back.
   */
  upsert(object: T): void {
    if (!this.#synced || !(isNewer(object, this.#version) ?? this.#version === null)) return;
    const current = this.#store.get(keyOf(object));
    if (current !== undefined && !isNewer(object, metadataOf(current).resourceVersion)) return;
    const kept = this.#transformed(object);
    this.#put(kept);
    if (this.#version === null) this.#written.set(keyOf(kept), kept);
  }

  async #run(signal: AbortSignal): Promise<void> {
    while (!signal.aborted) {
      const startedAt = performance.now();
      let fault: unknown = null;
      try {
        if (this.#version === null) await this.#relist(signal);
        else if (this.#broken) await this.#verify(this.#version, signal);
        this.#broken = false;
        await this.#watch(signal);
      } catch (error) {
        fault = error;
      }
      if (signal.aborted) return;
      const lasted = performance.now() - startedAt >= STABLE_MS;
      if (lasted) this.#backoff.reset();
      if (fault !== null) this.#note(fault);
      // A server that ends every watch at once, without an error, is not to be asked in a tight loop either.
      if (fault !== null || !lasted) await delay(this.#wait(fault), undefined, { signal }).catch(() => undefined);
    }
  }

  #note(fault: unknown): void {
    // A version that is too old is how a long disconnection ends, and no fault.
    if (!isExpired(fault)) this.#o.onFault?.({ kind: this.#version === null ? 'list' : 'watch', error: fault });
    if (fault instanceof HistoryChanged) this.#distrusted = true;
    if (isExpired(fault) || this.#distrusted) this.#version = null;
    this.#broken = true;
  }

  /** Milliseconds until the next attempt: the back-off, or what the server asks for, within reason. */
  #wait(fault: unknown): number {
    const asked = fault instanceof ApiError ? (fault.retryAfterSeconds ?? 0) * 1000 : 0;
    return Math.max(this.#backoff.next(), Math.min(asked, LONGEST_ASKED_MS));
  }

  /** One consistent list; what is no longer in it was deleted unseen. */
  async #relist(signal: AbortSignal): Promise<void> {
    const { client, type } = this.#o;
    const found = new Map<string, T>();
    let version = '';
    for (let next: string | undefined = ''; next !== undefined; ) {
      const paging = { ...(this.#inPages ? { limit: PAGE } : {}), ...(next === '' ? {} : { continue: next }) };
      try {
        const page: List<T> = await client.list(type, { ...this.#selection(), ...paging, signal, attempts: 1 });
        for (const object of page.items ?? []) found.set(keyOf(object), this.#transformed(object));
        version = page.metadata.resourceVersion;
        next = page.metadata.continue || undefined;
        this.#contact();
      } catch (error) {
        if (next !== '' && isExpired(error)) this.#inPages = false;
        throw error;
      }
    }
    this.#inPages = true;
    this.#replace(found, version);
    this.#distrusted = false;
    this.#version = version;
    this.#synced = true;
    for (const done of [...this.#waiting]) done();
  }

  /**
   * Makes sure that the server has come as far as `version`. One that was restored from a backup has not: it would accept a watch
   * from there, and say nothing, not even a bookmark, until it gets there.
   */
  async #verify(version: string, signal: AbortSignal): Promise<void> {
    const { client, type } = this.#o;
    const { metadata } = await client.list(type, { ...this.#selection(), limit: 1, signal, attempts: 1 });
    this.#contact();
    const order = compareVersions(metadata.resourceVersion, version);
    if (order !== null && order < 0) throw new HistoryChanged(wentBack(type.plural, version, metadata.resourceVersion));
  }

  /** Turns the store into what was listed at `version`, and tells the differences. */
  #replace(found: ReadonlyMap<string, T>, version: string): void {
    // Answers to writes that came during the list may be ahead of it. After a restored backup everything is, and the list is right.
    const ahead = (current: T | undefined) =>
      current !== undefined && this.#written.get(keyOf(current)) === current && isNewer(current, version);
    for (const key of this.#store.keys()) if (!found.has(key) && !ahead(this.#store.get(key))) this.#remove(key);
    for (const [key, object] of found) if (!ahead(this.#store.get(key))) this.#put(object);
    this.#written.clear();
  }

  async #watch(signal: AbortSignal): Promise<void> {
    const { client, type, random = Math.random, silenceMs = SILENCE_MS } = this.#o;
    // Jittered, so that a thousand informers do not come back together.
    const timeoutSeconds = Math.round(240 + 60 * random());
    const stop = new AbortController();
    const parameters = { ...this.#selection(), resourceVersion: this.#version ?? '', timeoutSeconds };
    const silence = setTimeout(() => stop.abort(), silenceMs);
    try {
      const response = await client.watch(type, parameters, AbortSignal.any([signal, stop.signal]));
      this.#contact();
      await this.#consume(response, silence);
    } catch (error) {
      if (!stop.signal.aborted) throw error;
      this.#broken = true;
    } finally {
      clearTimeout(silence);
    }
  }

  async #consume(response: IncomingMessage, silence: NodeJS.Timeout): Promise<void> {
    const lines = new LineSplitter();
    for await (const chunk of response) {
      silence.refresh();
      this.#contact();
      for (const line of lines.push(chunk as Buffer)) if (line !== '') this.#take(line);
    }
  }

  /** Applies one line of a watch. A line that was cut off is no JSON: the watch is broken, and goes on from the last version. */
  #take(line: string): void {
    const { type, object } = JSON.parse(line) as { type: string; object: T & { code?: number; reason?: string; message?: string } };
    if (type === 'ERROR')
      throw new ApiError(object.code ?? 500, object.reason ?? 'Unknown', object.message ?? 'the watch ended with an error');
    const { resourceVersion } = metadataOf(object);
    const order = compareVersions(resourceVersion, this.#version ?? undefined);
    if (order !== null && order < 0) throw new HistoryChanged(wentBack(this.#o.type.plural, this.#version, resourceVersion));
    if (type === 'ADDED' || type === 'MODIFIED') this.#putUnlessAhead(object);
    else if (type === 'DELETED') this.#removeUnlessAhead(object);
    if (resourceVersion) this.#version = resourceVersion;
  }

  /** A watch may repeat what a write's answer has told already. */
  #putUnlessAhead(object: T): void {
    const current = this.#store.get(keyOf(object));
    if (current === undefined || (isNewer(object, metadataOf(current).resourceVersion) ?? true)) this.#put(this.#transformed(object));
  }

  /** The answer to a create may have put the next object of that name in already. */
  #removeUnlessAhead(object: T): void {
    const key = keyOf(object);
    const current = this.#store.get(key);
    if (current === undefined) return;
    const another = metadataOf(current).uid !== metadataOf(object).uid;
    if (!another || (isNewer(object, metadataOf(current).resourceVersion) ?? true)) this.#remove(key);
  }

  #put(object: T): void {
    const key = keyOf(object);
    const current = this.#store.get(key);
    if (current !== undefined && metadataOf(current).uid !== metadataOf(object).uid) {
      // Another uid under the same name: the old object was deleted unseen.
      this.#remove(key);
    } else if (current !== undefined && !this.#distrusted && metadataOf(current).resourceVersion === metadataOf(object).resourceVersion)
      return;
    const old = this.#store.set(key, object);
    this.#tell(old === undefined ? { type: 'added', object } : { type: 'updated', object, old });
  }

  #remove(key: string): void {
    const old = this.#store.delete(key);
    if (old !== undefined) this.#tell({ type: 'deleted', object: old });
  }

  #tell(change: Change<T>): void {
    const failed = (error: unknown) => this.#o.onFault?.({ kind: 'handler', error });
    for (const handler of this.#handlers) {
      try {
        const result: unknown = handler(change);
        if (result instanceof Promise) result.catch(failed);
      } catch (error) {
        failed(error);
      }
    }
  }

  #selection(): { namespace?: string; labelSelector?: string; fieldSelector?: string } {
    const { namespace, labelSelector, fieldSelector } = this.#o;
    return {
      ...(namespace === undefined ? {} : { namespace }),
      ...(labelSelector === undefined ? {} : { labelSelector }),
      ...(fieldSelector === undefined ? {} : { fieldSelector }),
    };
  }

  #transformed(object: T): T {
    return this.#o.transform ? this.#o.transform(object) : object;
  }

  #contact(): void {
    this.#lastContact = performance.now();
  }
}

function wentBack(plural: string, from: string | null, to: string | undefined): string {
  return `the API server went back from version ${from} of ${plural} to ${to}: listing again`;
}

/** Whether the object is newer than a version; null when that cannot be told. */
function isNewer(object: KubeObject, version: string | null | undefined): boolean | null {
  const order = compareVersions(metadataOf(object).resourceVersion, version ?? undefined);
  return order === null ? null : order > 0;
}
