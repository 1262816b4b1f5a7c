import type { Announcement, Feed } from './announcement.ts';
import { excerpt, type MetadataService } from './metadata.ts';

/** The server answers at once when the value changes, and else after so long. */
const WAIT_SECONDS = 60;
const TIMEOUT_MS = 5_000;
/** After an answer that came at once, so that a server which does not wait is not asked without end. */
const PAUSE_MS = 500;
/** Notice of a stop for maintenance: an hour for machines with GPUs, a minute for others (cloud.google.com/compute/docs/gpus/gpu-host-maintenance). */
const MAINTENANCE_MS = { gpu: 3_600_000, other: 60_000 };

export interface GcpOptions {
  /** Seconds that pods have from a preemption notice. */
  readonly noticeSeconds: number;
  readonly hasGpu: boolean;
}

/** Preemption and host maintenance of a Compute Engine VM, by requests that wait for the value to change. */
export function gcpFeeds(service: MetadataService, { noticeSeconds, hasGpu }: GcpOptions): Feed[] {
  const feed = (name: string, key: string, parse: (value: string, seenAt: number) => Announcement | null): Feed => {
    let etag: string | null = null;
    let seen: { readonly value: string; readonly at: number } | null = null;
    return {
      name,
      pauseMs: PAUSE_MS,
      read: async (mayWait, signal) => {
        const waits = mayWait && etag !== null;
        const query = waits ? `?wait_for_change=true&timeout_sec=${WAIT_SECONDS}&last_etag=${encodeURIComponent(etag ?? '')}` : '';
        const path = `/computeMetadata/v1/instance/${key}${query}`;
        const timeoutMs = TIMEOUT_MS + (waits ? WAIT_SECONDS * 1_000 : 0);
        const answer = await service.call(path, { headers: { 'metadata-flavor': 'Google' }, timeoutMs }, signal);
        if (answer.status !== 200) throw new Error(`GET ${path}: HTTP ${answer.status}`);
        if (answer.headers['metadata-flavor'] !== 'Google') throw new Error(`GET ${path}: the answer is not from Google's metadata server`);
        if (seen?.value !== answer.body) seen = { value: answer.body, at: service.now() };
        const announcement = parse(answer.body, seen.at);
        etag = typeof answer.headers.etag === 'string' ? answer.headers.etag : null;
        return announcement === null ? [] : [announcement];
      },
    };
  };
  return [
    feed('gcp-preempted', 'preempted', (value, seenAt) => {
      if (value === 'FALSE') return null;
      if (value !== 'TRUE') throw new Error(`instance/preempted is ${excerpt(value)}, and neither TRUE nor FALSE`);
      const words = 'is taken back by Google (preemption notice)';
      return { cause: 'spotPreemption', deadline: seenAt + noticeSeconds * 1_000, estimated: true, words };
    }),
    feed('gcp-maintenance', 'maintenance-event', (value, seenAt) => {
      if (value === 'NONE') return null;
      if (!/^[A-Z][A-Z_]{0,63}$/.test(value)) throw new Error(`instance/maintenance-event is ${excerpt(value)}`);
      const stops = value === 'TERMINATE_ON_HOST_MAINTENANCE';
      return {
        cause: 'maintenance',
        // A live migration is survived.
        deadline: stops ? seenAt + (hasGpu ? MAINTENANCE_MS.gpu : MAINTENANCE_MS.other) : null,
        estimated: true,
        words: `is to be maintained by Google (${value})`,
      };
    }),
  ];
}
