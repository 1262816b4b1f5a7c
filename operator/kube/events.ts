import type { CoreV1Event } from '@kubernetes/client-node';
import { isNotFound, type KubeClient } from './client.ts';
import { EVENT, type KubeObject, metadataOf } from './types.ts';

export interface EventDetails {
  readonly type: 'Normal' | 'Warning';
  readonly reason: string;
  readonly message: string;
}

interface Entry {
  readonly regarding: KubeObject;
  readonly details: EventDetails;
  readonly at: number;
}

interface Series {
  readonly name: string;
  count: number;
  lastAt: number;
}

/** Events waiting to be written; beyond this, new ones are dropped and counted: events must never hold anything up. */
const BUFFER = 1_000;
/** The same event about the same object is counted up, not written anew, for so long. */
const AGGREGATION_MS = 10 * 60_000;
/** Series remembered at most; the least recent are forgotten first. */
const SERIES = 4_096;
const MESSAGE_LENGTH = 1_024;
/** Leaves room, within a name's 253 characters, for what tells one object's events apart. */
const NAME_LENGTH = 220;

/** Writes events in the background, one after the other. Never blocks and never throws. */
export class EventRecorder {
  readonly #client: Pick<KubeClient, 'create' | 'mergePatch'>;
  readonly #component: string;
  readonly #clock: () => number;
  readonly #queue: Entry[] = [];
  /** By object, reason and message; the least recently used first. */
  readonly #series = new Map<string, Series>();
  #writing: Promise<void> | null = null;
  #sequence = 0;
  #dropped = 0;

  constructor(client: Pick<KubeClient, 'create' | 'mergePatch'>, component: string, clock: () => number = Date.now) {
    this.#client = client;
    this.#component = component;
    this.#clock = clock;
  }

  /** Events that were not written: the buffer was full, or the API server refused. */
  get dropped(): number {
    return this.#dropped;
  }

  event(regarding: KubeObject, details: EventDetails): void {
    if (this.#queue.length >= BUFFER) {
      this.#dropped++;
      return;
    }
    this.#queue.push({ regarding, details, at: this.#clock() });
    this.#writing ??= this.#drain().finally(() => {
      this.#writing = null;
    });
  }

  /** Resolves when everything recorded so far is written or dropped. */
  async flush(): Promise<void> {
    await this.#writing;
  }

  async #drain(): Promise<void> {
    for (let next = this.#queue.shift(); next !== undefined; next = this.#queue.shift()) {
      try {
        await this.#write(next);
      } catch {
        this.#dropped++;
      }
    }
  }

  async #write(entry: Entry): Promise<void> {
    const { regarding, details, at } = entry;
    const key = `${metadataOf(regarding).uid}/${details.reason}/${details.message}`;
    const known = this.#series.get(key);
    this.#series.delete(key);
    if (known && at - known.lastAt < AGGREGATION_MS && (await this.#countUp(known, entry))) {
      this.#series.set(key, known);
      return;
    }
    const name = `${(metadataOf(regarding).name ?? '').slice(0, NAME_LENGTH)}.${at.toString(16)}${(this.#sequence++).toString(16)}`;
    await this.#client.create(EVENT, this.#object(name, entry));
    this.#series.set(key, { name, count: 1, lastAt: at });
    const oldest = this.#series.keys().next();
    if (this.#series.size > SERIES && !oldest.done) this.#series.delete(oldest.value);
  }

  /** Whether the event is still there to be counted up; the API server removes events after an hour. */
  async #countUp(series: Series, { regarding, at }: Entry): Promise<boolean> {
    series.count++;
    series.lastAt = at;
    try {
      const patch = { count: series.count, lastTimestamp: new Date(at).toISOString() };
      await this.#client.mergePatch(EVENT, namespaceOf(regarding), series.name, patch);
      return true;
    } catch (error) {
      if (isNotFound(error)) return false;
      throw error;
    }
  }

  #object(name: string, { regarding, details, at }: Entry): CoreV1Event {
    const { name: about, namespace, uid } = metadataOf(regarding);
    const { apiVersion, kind } = regarding;
    const time = new Date(at).toISOString();
    return {
      metadata: { name, namespace: namespaceOf(regarding) },
      involvedObject: { apiVersion, kind, namespace, name: about, uid },
      type: details.type,
      reason: details.reason,
      message: details.message.slice(0, MESSAGE_LENGTH),
      source: { component: this.#component },
      reportingComponent: this.#component,
      firstTimestamp: time,
      lastTimestamp: time,
      count: 1,
    } as unknown as CoreV1Event;
  }
}

/** Events about cluster-scoped objects live in "default"; kubectl looks for them there. */
function namespaceOf(regarding: KubeObject): string {
  return metadataOf(regarding).namespace ?? 'default';
}
