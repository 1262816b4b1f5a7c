import { pause } from '../../operator/kube/pause.ts';
import type { Announcement, Feed } from './announcement.ts';

/** After failures in a row reads come no closer than this, and never further apart than the 5 s in which a notice must be seen. */
const LONGEST_PAUSE_MS = 4_000;

export interface Followers {
  /** Called with each definite answer. */
  onAnswer(announcements: readonly Announcement[]): void;
  onFault(error: Error): void;
}

/**
 * Reads a feed until told to stop. That an announcement is gone counts only when two answers in a row say so: a service that has just
 * started, or another one in its place, also says that there is nothing.
 */
export async function follow(feed: Feed, { onAnswer, onFault }: Followers, signal: AbortSignal): Promise<void> {
  let last: readonly Announcement[] = [];
  let doubted = false;
  let failures = 0;
  while (!signal.aborted) {
    try {
      const answer = await feed.read(!doubted, signal);
      failures = 0;
      const isLess = answer.length < last.length;
      if (!isLess || doubted) {
        last = answer;
        onAnswer(answer);
      }
      doubted = isLess && !doubted;
    } catch (error) {
      if (signal.aborted) return;
      failures++;
      onFault(error as Error);
    }
    const pauseMs = failures === 0 ? feed.pauseMs : Math.min(LONGEST_PAUSE_MS, Math.max(feed.pauseMs, 250 * 2 ** Math.min(failures, 5)));
    await pause(pauseMs, signal);
  }
}
