import type { V1Node } from '@kubernetes/client-node';
import type { CallOptions, KubeClient } from '../../operator/kube/client.ts';
import { pause } from '../../operator/kube/pause.ts';
import { NODE } from '../../operator/kube/types.ts';
import { type Announcement, mostUrgent } from './announcement.ts';
import type { Log } from './log.ts';
import { type Marks, planMarks } from './marks.ts';

/** One request to the API server. Seconds count, and the next try may find another copy of it. */
const CALL_MS = 5_000;
const FIRST_RETRY_MS = 200;
const LONGEST_RETRY_MS = 2_000;
/** While something is announced the node is looked at again: the marks may have been lost, and distant work comes closer. */
const LOOK_MS = 10_000;
/** After the deadline the machine should be gone; if it is not, its node is still marked for so long. */
const PAST_DEADLINE_MS = 60_000;

export interface MarkerOptions {
  readonly client: Pick<KubeClient, 'get' | 'apply' | 'mergePatch'>;
  readonly node: string;
  /** The cloud's time. */
  readonly now: () => number;
  readonly log: Log;
  /** Called with the node each time it was looked at while something is announced. */
  readonly onNode?: (node: V1Node) => void;
}

/** Keeps the node's marks as the cloud's announcements are, through whatever becomes of the API server. */
export class NodeMarker {
  readonly #o: MarkerOptions;
  readonly #heard = new Map<string, readonly Announcement[]>();
  readonly #feeds: number;
  #changed = new AbortController();
  #markedAt: number | null = null;

  /** `feeds`: how many there are; that nothing is announced is known only when each of them has said so. */
  constructor(options: MarkerOptions, feeds: number) {
    this.#o = options;
    this.#feeds = feeds;
  }

  /** When the marks were last as they should be (ms by performance.now), or null. */
  get markedAt(): number | null {
    return this.#markedAt;
  }

  get announced(): Announcement | null {
    return mostUrgent([...this.#heard.values()].flat());
  }

  hear(feed: string, announcements: readonly Announcement[]): void {
    const before = JSON.stringify(this.#heard.get(feed));
    this.#heard.set(feed, announcements);
    if (before === JSON.stringify(announcements)) return;
    for (const { words, deadline } of announcements) {
      this.#o.log.warn({ feed, deadline: deadline === null ? null : new Date(deadline).toISOString() }, `this machine ${words}`);
    }
    if (announcements.length === 0 && before !== undefined) this.#o.log.info({ feed }, 'nothing is announced any more');
    this.#changed.abort();
  }

  /** Works until told to stop. */
  async run(signal: AbortSignal): Promise<void> {
    let pauseMs: number | null = null;
    let retryMs = FIRST_RETRY_MS;
    while (!signal.aborted) {
      this.#changed = new AbortController();
      const announced = this.announced;
      if (announced !== null || this.#heard.size === this.#feeds) {
        try {
          await this.#mark(announced, signal);
          retryMs = FIRST_RETRY_MS;
          pauseMs = announced === null ? null : LOOK_MS;
        } catch (error) {
          if (signal.aborted) return;
          const late = announced?.deadline != null && this.#o.now() > announced.deadline + PAST_DEADLINE_MS;
          const words = (error as Error).message;
          if (late) this.#o.log.error({ reason: words }, 'the node could not be marked before the deadline');
          else this.#o.log.warn({ reason: words }, 'the node could not be marked; trying again');
          pauseMs = late ? LOOK_MS : retryMs;
          retryMs = Math.min(LONGEST_RETRY_MS, retryMs * 2);
        }
      }
      await pause(pauseMs, AbortSignal.any([signal, this.#changed.signal]));
    }
  }

  async #mark(announced: Announcement | null, signal: AbortSignal): Promise<void> {
    const { client, node: name, now, log, onNode } = this.#o;
    const options = () => ({ attempts: 1, signal: AbortSignal.any([signal, AbortSignal.timeout(CALL_MS)]) });
    const node = await client.get(NODE, undefined, name, options());
    if (announced !== null) onNode?.(node);
    const marks = planMarks(node, announced, now());
    if (marks.markedBy !== undefined && this.#markedAt === null)
      log.info({ markedBy: marks.markedBy }, 'somebody else has marked the node for it already');
    // The condition says that the taint is ours: it comes before it and goes only after it.
    if (announced === null) {
      await this.#writeTaints(node, marks, options());
      await this.#writeCondition(marks, options());
    } else {
      const fault = await this.#writeCondition(marks, options()).catch((error: Error) => error);
      // Nothing holds the taint up.
      await this.#writeTaints(node, marks, options());
      if (fault) throw fault;
    }
    if (marks.condition !== undefined || marks.taints !== undefined)
      log.info({ node: name, reason: marks.condition?.reason }, announced === null ? 'the marks are withdrawn' : 'the node is marked');
    this.#markedAt = performance.now();
  }

  async #writeCondition({ condition }: Marks, options: CallOptions): Promise<undefined> {
    if (condition === undefined) return;
    const { client, node: name } = this.#o;
    const node = { metadata: { name }, status: { conditions: [condition] } } as unknown as V1Node;
    await client.apply(NODE, node, { subresource: 'status', ...options });
  }

  /** Taints are one list for all who write them: it is written onto what was read, or, by the second look, not at all. */
  async #writeTaints(read: V1Node, { taints }: Marks, options: CallOptions): Promise<void> {
    if (taints === undefined) return;
    const { client, node: name } = this.#o;
    const { metadata, spec } = await client.get(NODE, undefined, name, options);
    if (JSON.stringify(spec?.taints) !== JSON.stringify(read.spec?.taints)) throw new Error('the taints have changed meanwhile');
    await client.mergePatch(NODE, undefined, name, { metadata: { resourceVersion: metadata?.resourceVersion }, spec: { taints } }, options);
  }
}
