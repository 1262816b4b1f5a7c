import type { TaskReport } from '../api/protocol.ts';
import type { TaskPodIdentity } from './authenticator.ts';
import { BoundedCache } from './bounded-cache.ts';

/** Pods whose last word is kept at once; one that has been forgotten says it again within seconds. */
const PODS = 20_000;
/** A task's pod reports every 5 s; what is so old comes from one that is gone. */
const KEPT_MS = 10 * 60_000;

/** The latest report of every task's pod. What it says is progress, for people: nothing is decided by it. */
export class TaskInbox {
  readonly #now: () => number;
  readonly #reports = new BoundedCache<{ readonly podUid: string; readonly report: TaskReport }>(PODS);
  readonly #handlers: ((pod: TaskPodIdentity) => void)[] = [];

  constructor({ now }: { now: () => number }) {
    this.#now = now;
  }

  /** Calls `handler` when a pod speaks for the first time: from then on its controller looks by itself. */
  onFirst(handler: (pod: TaskPodIdentity) => void): void {
    this.#handlers.push(handler);
  }

  receive(pod: TaskPodIdentity, report: TaskReport): void {
    const key = `${pod.namespace}/${pod.pod}`;
    const now = this.#now();
    const isFirst = this.#reports.get(key, now)?.podUid !== pod.podUid;
    this.#reports.set(key, { podUid: pod.podUid, report }, now + KEPT_MS);
    if (isFirst) for (const handler of this.#handlers) handler(pod);
  }

  /** What this very pod said last, if it has spoken lately. */
  get(namespace: string, pod: string, podUid: string): TaskReport | null {
    const known = this.#reports.get(`${namespace}/${pod}`, this.#now());
    return known?.podUid === podUid ? known.report : null;
  }
}
