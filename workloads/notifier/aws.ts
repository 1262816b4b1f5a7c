import type { Announcement, Feed } from './announcement.ts';
import { excerpt, json, type MetadataAnswer, type MetadataService } from './metadata.ts';

/** AWS advises every 5 s; asking more often costs a hundredth of what the service allows, and a spot instance has two minutes. */
const POLL_MS = 2_000;
const TIMEOUT_MS = 2_000;
const TOKEN_SECONDS = 21_600;
/** What an interruption notice gives at least, for one whose time cannot be read. */
const SPOT_NOTICE_MS = 120_000;

/** Spot interruption, rebalance recommendation and scheduled events of an EC2 instance, by the second version of its metadata service. */
export function awsFeeds(service: MetadataService): Feed[] {
  const read = withToken(service);
  const feed = (name: string, path: string, parse: (answer: MetadataAnswer) => Announcement[]): Feed => ({
    name,
    pauseMs: POLL_MS,
    read: async (_, signal) => {
      const answer = await read(path, signal);
      // Nothing is announced for as long as the path does not exist.
      if (answer.status === 404) return [];
      if (answer.status !== 200) throw new Error(`GET ${path}: HTTP ${answer.status}`);
      return parse(answer);
    },
  });
  const spot = '/latest/meta-data/spot/instance-action';
  const rebalance = '/latest/meta-data/events/recommendations/rebalance';
  const scheduled = '/latest/meta-data/events/maintenance/scheduled';
  let seenAt: number | null = null;
  return [
    feed('aws-spot', spot, (answer) => {
      const { action, time } = json(spot, answer) as { action?: unknown; time?: unknown };
      if (action !== 'terminate' && action !== 'stop' && action !== 'hibernate')
        throw new Error(`GET ${spot}: no action that is known: ${excerpt(answer.body)}`);
      const at = Date.parse(String(time));
      const estimated = Number.isNaN(at);
      seenAt ??= service.now();
      const words = `is taken back by AWS (spot interruption notice, action ${action})`;
      return [{ cause: 'spotPreemption', deadline: estimated ? seenAt + SPOT_NOTICE_MS : at, estimated, words }];
    }),
    feed('aws-rebalance', rebalance, (answer) => {
      const { noticeTime } = json(rebalance, answer) as { noticeTime?: unknown };
      if (typeof noticeTime !== 'string') throw new Error(`GET ${rebalance}: no noticeTime: ${excerpt(answer.body)}`);
      return [{ cause: 'rebalance', deadline: null, estimated: false, words: 'has a rebalance recommendation from AWS' }];
    }),
    feed('aws-scheduled', scheduled, (answer) => {
      const events = json(scheduled, answer);
      if (!Array.isArray(events)) throw new Error(`GET ${scheduled}: no list: ${excerpt(answer.body)}`);
      return events.flatMap((event) => scheduledEvent(event) ?? []);
    }),
  ];
}

/** One of EC2's scheduled events, or null when it is over, called off, or not understood. */
function scheduledEvent(event: { Code?: unknown; State?: unknown; NotBefore?: unknown; EventId?: unknown } | null): Announcement | null {
  if (event === null || typeof event !== 'object' || event.State !== 'active') return null;
  const deadline = Date.parse(String(event.NotBefore));
  if (Number.isNaN(deadline)) return null;
  return {
    cause: 'maintenance',
    deadline,
    estimated: false,
    words: `is to be maintained by AWS (scheduled event ${String(event.Code).slice(0, 40)})`,
    ...(typeof event.EventId === 'string' ? { id: event.EventId } : {}),
  };
}

/** GET with a session token, which is fetched when it is needed, renewed before it expires, and when it is refused. */
function withToken(service: MetadataService): (path: string, signal: AbortSignal) => Promise<MetadataAnswer> {
  let token: Promise<{ value: string; renewAt: number }> | null = null;
  const fetchToken = async (signal: AbortSignal) => {
    const path = '/latest/api/token';
    const headers = { 'x-aws-ec2-metadata-token-ttl-seconds': String(TOKEN_SECONDS) };
    const { status, body } = await service.call(path, { method: 'PUT', headers, timeoutMs: TIMEOUT_MS }, signal);
    if (status !== 200) throw new Error(`PUT ${path}: HTTP ${status}`);
    if (!/^[\x21-\x7e]+$/.test(body)) throw new Error(`PUT ${path}: the answer is no token`);
    return { value: body, renewAt: performance.now() + TOKEN_SECONDS * 900 };
  };
  const get = async (path: string, signal: AbortSignal): Promise<MetadataAnswer> => {
    token ??= fetchToken(signal);
    const mine = token;
    const { value, renewAt } = await mine.catch((error) => {
      if (token === mine) token = null;
      throw error;
    });
    if (performance.now() > renewAt && token === mine) token = null;
    return service.call(path, { headers: { 'x-aws-ec2-metadata-token': value }, timeoutMs: TIMEOUT_MS }, signal);
  };
  return async (path, signal) => {
    const answer = await get(path, signal);
    if (answer.status !== 401) return answer;
    token = null;
    return get(path, signal);
  };
}
