import type { V1Node } from '@kubernetes/client-node';
import type { Announcement, Feed } from './announcement.ts';
import type { Log } from './log.ts';
import { excerpt, json, type MetadataService } from './metadata.ts';

/** Azure advises once a second: an eviction's notice is 30 s long. */
const POLL_MS = 1_000;
const TIMEOUT_MS = 5_000;
/** The first request turns the service on, which takes up to two minutes. */
const FIRST_TIMEOUT_MS = 150_000;
const EVENTS = '/metadata/scheduledevents?api-version=2020-07-01';
const NAME = '/metadata/instance/compute/name?api-version=2021-02-01&format=text';
const HEADERS = { metadata: 'true' };
/** What each kind of event does to what runs on the machine; a freeze of seconds is survived. */
const KINDS: Readonly<
  Record<string, { readonly cause: 'spotPreemption' | 'maintenance'; readonly words: string; readonly ends: boolean }>
> = {
  Preempt: { cause: 'spotPreemption', words: 'is taken back by Azure (Preempt event)', ends: true },
  Reboot: { cause: 'maintenance', words: 'is restarted by Azure (Reboot event)', ends: true },
  Redeploy: { cause: 'maintenance', words: 'is moved by Azure (Redeploy event)', ends: true },
  Terminate: { cause: 'maintenance', words: 'is deleted by Azure (Terminate event)', ends: true },
  Freeze: { cause: 'maintenance', words: 'is paused by Azure for a moment (Freeze event)', ends: false },
};

/** Scheduled Events of an Azure VM. The service tells of the whole scale set: what names other machines is left out. */
export function azureFeeds(service: MetadataService): Feed[] {
  let name: string | null = null;
  let isOn = false;
  const read: Feed['read'] = async (_, signal) => {
    name ??= await ownName(service, signal);
    const timeoutMs = isOn ? TIMEOUT_MS : FIRST_TIMEOUT_MS;
    const answer = await service.call(EVENTS, { headers: HEADERS, timeoutMs }, signal);
    if (answer.status !== 200) throw new Error(`GET ${EVENTS}: HTTP ${answer.status}`);
    isOn = true;
    const { Events: events } = json(EVENTS, answer) as { Events?: unknown };
    if (!Array.isArray(events)) throw new Error(`GET ${EVENTS}: no list of Events: ${excerpt(answer.body)}`);
    return events.flatMap((event) => announcementOf(event, name ?? '', service.now()) ?? []);
  };
  return [{ name: 'azure-events', pauseMs: POLL_MS, read }];
}

interface ScheduledEvent {
  readonly EventId?: unknown;
  readonly EventType?: unknown;
  readonly EventStatus?: unknown;
  readonly Resources?: unknown;
  readonly NotBefore?: unknown;
}

function announcementOf(event: ScheduledEvent | null, name: string, now: number): Announcement | null {
  const kind = KINDS[String(event?.EventType)];
  if (event === null || kind === undefined || !Array.isArray(event.Resources) || !event.Resources.includes(name)) return null;
  // Once it has begun there is no time to name.
  const notBefore = Date.parse(String(event.NotBefore));
  const isUndated = Number.isNaN(notBefore);
  return {
    cause: kind.cause,
    deadline: kind.ends ? (isUndated ? now : notBefore) : null,
    estimated: isUndated,
    words: kind.words,
    ...(typeof event.EventId === 'string' ? { id: event.EventId } : {}),
  };
}

async function ownName(service: MetadataService, signal: AbortSignal): Promise<string> {
  const { status, body } = await service.call(NAME, { headers: HEADERS, timeoutMs: TIMEOUT_MS }, signal);
  if (status !== 200) throw new Error(`GET ${NAME}: HTTP ${status}`);
  if (!/^[\w.-]{1,128}$/.test(body)) throw new Error(`GET ${NAME}: no name of a machine: ${excerpt(body)}`);
  return body;
}

/** An event that need not wait for its time: set to the event's ID by whoever has emptied the node. */
export const ACKNOWLEDGE_ANNOTATION = 'vicuna.run/acknowledge-event';

/** Lets Azure begin an event early, when the node's annotation names it; nothing else ever does. */
export class Acknowledgement {
  readonly #service: MetadataService;
  readonly #log: Log;
  readonly #done = new Set<string>();

  constructor(service: MetadataService, log: Log) {
    this.#service = service;
    this.#log = log;
  }

  look(node: V1Node, announced: Announcement | null, signal: AbortSignal): void {
    const id = node.metadata?.annotations?.[ACKNOWLEDGE_ANNOTATION];
    if (id === undefined || id !== announced?.id || this.#done.has(id)) return;
    this.#done.add(id);
    this.#start(id, signal).then(
      () => this.#log.info({ event: id }, 'the event is acknowledged: Azure may begin'),
      (error: Error) => {
        this.#done.delete(id);
        this.#log.warn({ event: id, reason: error.message }, 'the event could not be acknowledged; trying again');
      },
    );
  }

  async #start(id: string, signal: AbortSignal): Promise<void> {
    const body = JSON.stringify({ StartRequests: [{ EventId: id }] });
    const headers = { ...HEADERS, 'content-type': 'application/json' };
    const { status } = await this.#service.call(EVENTS, { method: 'POST', headers, body, timeoutMs: TIMEOUT_MS }, signal);
    if (status !== 200) throw new Error(`POST ${EVENTS}: HTTP ${status}`);
  }
}
