import { seededRandom } from '../../operator/spot/multiplexing/random.ts';

export interface RequestSettings {
  /** When each request comes, seconds, ascending. */
  readonly arrivals: readonly number[];
  /** Mean of the exponential time that a request takes on a replica that is its own, seconds. */
  readonly serviceSeconds: number;
  /** A request that has waited and been served for so long has failed, seconds. */
  readonly timeoutSeconds: number;
  readonly seed: number;
}

export interface RequestOutcome {
  readonly requests: number;
  /** Share of them that failed. */
  readonly failed: number;
  /** Seconds from arrival to answer, of those that were answered; null = none was. */
  readonly p50: number | null;
  readonly p99: number | null;
  /** Requests whose replica was lost before they were answered, and that went on at another. */
  readonly continued: number;
}

interface Request {
  readonly arrivedAt: number;
  /** Of its service, seconds. */
  remaining: number;
}

interface Server {
  request: Request | null;
  doneAt: number;
}

/**
 * How requests fare on a fleet: first come, first served, one at a time on each of `ready[tick]` replicas, the published SpotHedge
 * simulator's model. A request whose replica is lost goes on elsewhere from where it was, before those that only wait.
 */
export function serveRequests(ready: readonly number[], tickSeconds: number, settings: RequestSettings): RequestOutcome {
  const random = seededRandom(settings.seed);
  const waiting: Request[] = [];
  const servers: Server[] = [];
  const latencies: number[] = [];
  let next = 0;
  let continued = 0;
  let failed = 0;

  const start = (now: number) => {
    for (const server of servers) {
      while (server.request === null) {
        const request = waiting.shift();
        if (request === undefined) return;
        if (request.arrivedAt + settings.timeoutSeconds <= now) {
          failed++;
          continue;
        }
        server.request = request;
        server.doneAt = now + request.remaining;
      }
    }
  };
  const finish = (server: Server) => {
    const latency = server.doneAt - (server.request?.arrivedAt ?? 0);
    if (latency > settings.timeoutSeconds) failed++;
    else latencies.push(latency);
    server.request = null;
  };

  for (const [tick, count] of ready.entries()) {
    const begin = tick * tickSeconds;
    const end = begin + tickSeconds;
    const lost = servers.splice(count).flatMap(({ request, doneAt }) => (request === null ? [] : [{ request, left: doneAt - begin }]));
    for (const { request, left } of lost.toReversed()) {
      request.remaining = left;
      waiting.unshift(request);
      continued++;
    }
    while (servers.length < count) servers.push({ request: null, doneAt: 0 });
    start(begin);
    for (;;) {
      const busy = servers.filter((s) => s.request !== null);
      const first = busy.reduce<Server | null>((a, b) => (a === null || b.doneAt < a.doneAt ? b : a), null);
      const arrival = settings.arrivals[next] ?? Number.POSITIVE_INFINITY;
      const now = Math.min(first?.doneAt ?? Number.POSITIVE_INFINITY, arrival);
      if (now >= end) break;
      if (first !== null && first.doneAt <= arrival) finish(first);
      else {
        waiting.push({ arrivedAt: arrival, remaining: -Math.log(1 - random()) * settings.serviceSeconds });
        next++;
      }
      start(now);
    }
  }
  // What is under way at the end of the trace is not known to have failed.
  const sorted = latencies.toSorted((a, b) => a - b);
  const at = (share: number) => sorted[Math.min(sorted.length - 1, Math.floor(sorted.length * share))] ?? null;
  const requests = latencies.length + failed;
  return { requests, failed: requests === 0 ? 0 : failed / requests, p50: at(0.5), p99: at(0.99), continued };
}
