export type Cloud = 'aws' | 'gcp' | 'azure';

/** What a cloud has said it will do to this machine. */
export interface Announcement {
  readonly cause: 'spotPreemption' | 'maintenance' | 'rebalance';
  /** When the machine goes (ms since epoch, by the cloud's clock); null where only that it may go is known. */
  readonly deadline: number | null;
  /** The cloud gave no time: the deadline is counted from when this program first saw the announcement. */
  readonly estimated: boolean;
  /** Completes the sentence "Node X …", for people. */
  readonly words: string;
  /** The cloud's own name of the event, where it has one. */
  readonly id?: string;
}

/** One thing that is asked of a metadata service. */
export interface Feed {
  readonly name: string;
  /** Milliseconds between two reads. */
  readonly pauseMs: number;
  /**
   * The service's definite answer; empty = nothing is announced. Throws when there is none: out of reach, broken, or not understood.
   * `mayWait`: the answer may be held back until it changes, where the service can do that.
   */
  read(mayWait: boolean, signal: AbortSignal): Promise<readonly Announcement[]>;
}

/** Earlier than this before its deadline, planned work on a machine is only something to know of: there is time to finish. */
const LEAD_MS = 10 * 60_000;

/** Whether what runs on the machine should leave now. */
export function isNotice({ deadline }: Announcement, now: number): boolean {
  return deadline !== null && deadline - now <= LEAD_MS;
}

/** Of several announcements the one that counts: the earliest deadline, and what has none last. */
export function mostUrgent(announcements: readonly Announcement[]): Announcement | null {
  const deadline = (a: Announcement) => a.deadline ?? Number.POSITIVE_INFINITY;
  return announcements.toSorted((a, b) => deadline(a) - deadline(b))[0] ?? null;
}
