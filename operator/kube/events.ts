import type { CoreV1Event } from '@kubernetes/client-node';
import { isConflict, isNotFound, type KubeClient } from './client.ts';
import { EVENT, type KubeObject, metadataOf } from './types.ts';

export interface EventDetails {
  readonly type: 'Normal' | 'Warning';
  readonly reason: string;
  readonly message: string;
}

/** Events waiting to be written; beyond this, new ones are dropped and counted: events must never hold anything up. */
const BUFFER = 1_000;
/** The same event about the same object is counted up, not written anew, for so long. */
const AGGREGATION_MS = 10 * 60_000;
const MESSAGE_LENGTH = 1_024;

interface Series {
  name: string;
  count: number;
  firstAt: string;
  lastUsed: number;
}

/** Writes events in the background, one after the other. Never blocks and never throws. */
export class EventRecorder {
  readonly #client: KubeClient;
  readonly #component: string;
  readonly #clock: () => number;
  readonly #queue: { regarding: KubeObject; details: EventDetails; at: number }[] = [];
  readonly #series = new Map<string, Series>();
  #writing: Promise<void> | null = null;
  #sequence = 0;
  /** Events that were not written: the buffer was full, or the API server refused. */
  dropped = 0;

  constructor(client: KubeClient, component: string, clock: () => number = Date.now) {
    this.#client = client;
    this.#component = component;
    this.#clock = clock;
  }

  event(regarding: KubeObject, details: EventDetails): void {
    if (this.#queue.length >= BUFFER) {
      this.dropped++;
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
        await this.#write(next.regarding, next.details, next.at);
      } catch {
        this.dropped++;
      }
    }
  }

  async #write(regarding: KubeObject, details: EventDetails, at: number): Promise<void> {
    const { namespace = 'default', name = '', uid = '' } = metadataOf(regarding);
    const key = `${uid}/${details.reason}/${details.message}`;
    const time = new Date(at).toISOString();
    const known = this.#series.get(key);
    if (known && at - known.lastUsed < AGGREGATION_MS) {
      known.count++;
      known.lastUsed = at;
      try {
        await this.#client.mergePatch(EVENT, namespace, known.name, { count: known.count, lastTimestamp: time });
        return;
      } catch (error) {
        if (!isNotFound(error) && !isConflict(error)) throw error; // expired meanwhile: write it anew
      }
    }
    this.#forgetOld(at);
    const series: Series = { name: `${name}.${at.toString(16)}${(this.#sequence++).toString(16)}`, count: 1, firstAt: time, lastUsed: at };
    this.#series.set(key, series);
    const { apiVersion, kind } = regarding;
    const event = {
      metadata: { name: series.name, namespace },
      involvedObject: { ...(apiVersion ? { apiVersion } : {}), ...(kind ? { kind } : {}), namespace, name, uid },
      type: details.type,
      reason: details.reason,
      message: details.message.slice(0, MESSAGE_LENGTH),
      source: { component: this.#component },
      firstTimestamp: time,
      lastTimestamp: time,
      count: 1,
    };
    await this.#client.create(EVENT, event as unknown as CoreV1Event);
  }

  #forgetOld(now: number): void {
    for (const [key, series] of this.#series) if (now - series.lastUsed >= AGGREGATION_MS) this.#series.delete(key);
  }
}
