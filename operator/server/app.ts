import { createServer as createHttpServer, type Server } from 'node:http';
import type { AddressInfo } from 'node:net';
import express, { type Express, type NextFunction, type Request, type Response } from 'express';
import type { Logger } from 'pino';
import type { World } from '../api/protocol.ts';
import type { Authenticator } from './authenticator.ts';
import { BoundedCache } from './bounded-cache.ts';
import { LeaderForwarder, type Leadership } from './leader-forwarder.ts';
import type { OperatorMetrics } from './metrics.ts';
import { parseReport } from './parse-report.ts';
import { ProtocolError } from './protocol-error.ts';
import { RateLimiter } from './rate-limiter.ts';
import { readBody } from './read-body.ts';
import type { ReportInbox } from './report-inbox.ts';
import type { WorldBoard } from './world-board.ts';

/** What one request may take. */
export type ServerLimits = {
  /** How long a request for a world waits for one, in ms. */
  pollMs: number;
  bodyBytes: number;
  /** How long a body may take to arrive, in ms. */
  bodyMs: number;
  /** Requests for a world that one pod may have open; a supervisor has one, and another after a broken connection. */
  pollsPerPod: number;
  /** Reports of one pod: a worker sends one every 2 s and at once on a change, so more is a worker gone wild. */
  reports: { perSecond: number; burst: number };
};

export const DEFAULT_LIMITS: ServerLimits = {
  pollMs: 30_000,
  bodyBytes: 64 * 1024,
  bodyMs: 5_000,
  pollsPerPod: 4,
  reports: { perSecond: 20, burst: 100 },
};

/** A world that has been handed to the kernel for a pod; `waited` when the pod was waiting as it was published. */
export type Delivery = { training: string; pod: string; world: World; at: number; waited: boolean };

export type ServerOptions = {
  board: WorldBoard;
  inbox: ReportInbox;
  authenticator: Authenticator;
  leader: Leadership;
  metrics: OperatorMetrics;
  /** What this copy still waits for, as a sentence; null when it is ready. A standby is ready once its caches are. */
  notReady: () => string | null;
  log: Logger;
  now: () => number;
  limits?: Partial<ServerLimits>;
  /** Told when a pod has been sent a world: the time of an interruption's first leg. */
  onDelivery?: (delivery: Delivery) => void;
};

export type ListenOptions = {
  host?: string;
  /** Port of the worker protocol; 0 takes a free one. */
  port: number;
  /** Port of /metrics, which then is not served to workers; undefined serves it on `port`. */
  metricsPort?: number;
};

export type OperatorServer = {
  listen(options: ListenOptions): Promise<{ port: number; metricsPort: number }>;
  /** Answers the waiting workers, takes no new connections, and ends those still busy after `graceMs`. */
  close(graceMs?: number): Promise<void>;
};

type Call = 'world' | 'report';
type Handler = (request: Request, response: Response) => Promise<void>;

// A request must arrive in this time. Waiting for a world comes after, and is not bounded by these.
const HEADERS_TIMEOUT_MS = 10_000;
const REQUEST_TIMEOUT_MS = 15_000;
const CONNECTION_CHECK_MS = 5_000;
/** Longer than a long poll and a worker's two seconds between reports: connections are kept for a worker's life. */
const KEEP_ALIVE_MS = 65_000;
const REFUSAL_LOG_MS = 60_000;
const DNS_NAME = /^[a-z0-9]([-a-z0-9.]{0,251}[a-z0-9])?$/;
const MAX_REVISION_LENGTH = 256;

/** The operator's HTTP server: the worker protocol, /metrics, /healthz and /readyz. */
export function createServer(options: ServerOptions): OperatorServer {
  const { board, log } = options;
  const limits: ServerLimits = { ...DEFAULT_LIMITS, ...options.limits };
  const forwarder = new LeaderForwarder({ leader: options.leader, log });
  const state = { closing: false };
  const refusals = new RefusalLog(log, options.now);
  const servers: Server[] = [];

  const workers = newApp();
  workers.use('/v1', (_request, response, next) => {
    if (state.closing) response.set('Connection', 'close');
    next();
  });
  const serve = (call: Call, method: 'GET' | 'POST', handler: Handler) => {
    workers.all(`/v1/trainings/:namespace/:name/${call}`, measured(call, options), only(method), async (request, response) => {
      await handler(request, response);
    });
  };
  serve('world', 'GET', worldHandler(options, limits, forwarder, state));
  serve('report', 'POST', reportHandler(options, limits, forwarder));

  return {
    async listen({ host, port, metricsPort }) {
      probes(workers, options);
      if (metricsPort === undefined) metricsRoute(workers, options);
      finish(workers, refusals);
      const bound = await bind(workers, port, host, servers);
      if (metricsPort === undefined) return { port: bound, metricsPort: bound };
      const monitoring = newApp();
      probes(monitoring, options);
      metricsRoute(monitoring, options);
      finish(monitoring, refusals);
      return { port: bound, metricsPort: await bind(monitoring, metricsPort, host, servers) };
    },
    async close(graceMs = 3_000) {
      state.closing = true;
      const closed = servers.map((server) => new Promise<void>((resolve) => server.close(() => resolve())));
      board.release();
      const deadline = setTimeout(() => {
        for (const server of servers) server.closeAllConnections();
      }, graceMs);
      const forwarded = forwarder.close();
      await Promise.all(closed);
      clearTimeout(deadline);
      await forwarded;
    },
  };
}

function newApp(): Express {
  const app = express();
  app.disable('x-powered-by');
  app.disable('etag');
  app.set('query parser', 'simple');
  app.set('case sensitive routing', true);
  return app;
}

function bind(app: Express, port: number, host: string | undefined, servers: Server[]): Promise<number> {
  const server = createHttpServer(
    {
      headersTimeout: HEADERS_TIMEOUT_MS,
      requestTimeout: REQUEST_TIMEOUT_MS,
      connectionsCheckingInterval: CONNECTION_CHECK_MS,
      keepAliveTimeout: KEEP_ALIVE_MS,
      keepAlive: true, // TCP probes find workers whose node vanished without a word
      noDelay: true,
    },
    app,
  );
  servers.push(server);
  return new Promise((resolve, reject) => {
    server.once('error', reject);
    server.listen({ port, ...(host === undefined ? {} : { host }) }, () => {
      server.off('error', reject);
      resolve((server.address() as AddressInfo).port);
    });
  });
}

function worldHandler(
  { board, authenticator, leader, metrics, now, onDelivery }: ServerOptions,
  limits: ServerLimits,
  forwarder: LeaderForwarder,
  state: { closing: boolean },
): Handler {
  const open = new Map<string, number>();
  const bodies = new WeakMap<World, string>(); // a gang's members are all sent the same text
  return async (request, response) => {
    const { namespace, name } = trainingOf(request);
    const after = revisionOf(request);
    if (!leader.isLeader()) {
      const query = after === undefined ? '' : `?after=${encodeURIComponent(after)}`;
      return forwarder.forward(request, response, `/v1/trainings/${namespace}/${name}/world${query}`, null);
    }
    const worker = await authenticator.authenticate(request.headers.authorization, namespace, name);
    if (response.destroyed) return;
    const key = `${namespace}/${name}`;
    const known = board.get(key);
    const waited = known === null || known.revision === after;
    const slot = `${key}/${worker.podUid}`;
    const polls = open.get(slot) ?? 0;
    if (polls >= limits.pollsPerPod)
      throw new ProtocolError(
        'TooManyPolls',
        `Pod ${worker.pod} already waits ${polls} times for a world of ${key}: ask once and wait.`,
        1,
      );
    open.set(slot, polls + 1);
    const gone = new AbortController();
    response.once('close', () => gone.abort());
    let world: World | null;
    try {
      world = await board.wait(key, after, { timeoutMs: state.closing ? 0 : limits.pollMs, signal: gone.signal });
    } finally {
      const left = (open.get(slot) ?? 1) - 1;
      if (left > 0) open.set(slot, left);
      else open.delete(slot);
    }
    if (response.destroyed) return;
    if (state.closing) response.set('Connection', 'close');
    if (world === null) {
      response.status(204).end();
      return;
    }
    let body = bodies.get(world);
    if (body === undefined) {
      body = JSON.stringify(world);
      bodies.set(world, body);
    }
    const delivered = world;
    const publishedAt = board.publishedAt(key);
    response.once('finish', () => {
      const at = now();
      if (waited && publishedAt !== null) metrics.instruments.worldDelivery.observe(Math.max(0, at - publishedAt) / 1000);
      onDelivery?.({ training: key, pod: worker.pod, world: delivered, at, waited });
    });
    response.type('json').send(body);
  };
}

function reportHandler({ inbox, authenticator, leader, now }: ServerOptions, limits: ServerLimits, forwarder: LeaderForwarder): Handler {
  const body = (request: Request) => readBody(request, { bytes: limits.bodyBytes, ms: limits.bodyMs });
  const rate = new RateLimiter(limits.reports);
  return async (request, response) => {
    const { namespace, name } = trainingOf(request);
    if (!leader.isLeader()) return forwarder.forward(request, response, `/v1/trainings/${namespace}/${name}/report`, await body(request));
    const worker = await authenticator.authenticate(request.headers.authorization, namespace, name); // before the body: a stranger's is not read
    const key = `${namespace}/${name}`;
    if (!rate.allows(`${key}/${worker.podUid}`, now()))
      throw new ProtocolError(
        'TooManyReports',
        `Pod ${worker.pod} of ${key} reports more than ${limits.reports.perSecond} times a second: report every 2 s, and at once only on a change.`,
        1,
      );
    inbox.receive(key, worker, parseReport(await body(request)));
    response.type('json').send('{}');
  };
}

function trainingOf(request: Request): { namespace: string; name: string } {
  const { namespace, name } = request.params;
  if (typeof namespace !== 'string' || typeof name !== 'string' || !DNS_NAME.test(namespace) || !DNS_NAME.test(name))
    throw new ProtocolError('MalformedRequest', 'The path does not name a training: call /v1/trainings/ and the value of VICUNA_TRAINING.');
  return { namespace, name };
}

function revisionOf(request: Request): string | undefined {
  const { after } = request.query;
  if (after === undefined) return undefined;
  if (typeof after !== 'string' || after.length > MAX_REVISION_LENGTH)
    throw new ProtocolError(
      'MalformedRequest',
      '"after" is not one revision: send the revision of the last world received, or leave it out.',
    );
  return after;
}

function only(method: 'GET' | 'POST') {
  return (request: Request, response: Response, next: NextFunction) => {
    if (request.method === method) return next();
    response.set('Allow', method);
    throw new ProtocolError('MethodNotAllowed', `${request.path} takes ${method}, not ${request.method}.`);
  };
}

function measured(call: Call, { metrics, now }: ServerOptions) {
  const { workerRequests, workerRequestSeconds } = metrics.instruments;
  return (_request: Request, response: Response, next: NextFunction) => {
    const started = now();
    response.once('close', () => {
      const code = response.writableFinished ? String(response.statusCode) : 'aborted';
      workerRequests.inc({ call, code });
      workerRequestSeconds.observe({ call, code }, Math.max(0, now() - started) / 1000);
    });
    next();
  };
}

function probes(app: Express, { notReady }: ServerOptions): void {
  app.get('/healthz', (_request, response) => {
    response.type('text').send('ok\n');
  });
  app.get('/readyz', (_request, response) => {
    const waiting = notReady();
    if (waiting !== null) throw new ProtocolError('NotReady', waiting, 1);
    response.type('text').send('ok\n');
  });
}

function metricsRoute(app: Express, { metrics, board }: ServerOptions): void {
  app.get('/metrics', async (_request, response) => {
    metrics.instruments.worldWaiters.set(board.waiting);
    response.set('Content-Type', metrics.registry.contentType).send(await metrics.registry.metrics());
  });
}

/** What comes after all routes: 404, and every error as `{code, message}`. */
function finish(app: Express, refusals: RefusalLog): void {
  app.use((request) => {
    throw new ProtocolError(
      'NotFound',
      `There is nothing at ${request.path.slice(0, 200)}: workers call /v1/trainings/{namespace}/{name}/world and /report.`,
    );
  });
  app.use((error: unknown, request: Request, response: Response, _next: NextFunction) => {
    const refusal = asProtocolError(error);
    refusals.add(refusal, error, request);
    if (response.headersSent || response.destroyed) {
      response.destroy();
      return;
    }
    if (refusal.retryAfterSeconds !== undefined) response.set('Retry-After', String(refusal.retryAfterSeconds));
    if (refusal.status === 401) response.set('WWW-Authenticate', 'Bearer');
    response.status(refusal.status).json({ code: refusal.code, message: refusal.message });
  });
}

function asProtocolError(error: unknown): ProtocolError {
  if (error instanceof ProtocolError) return error;
  if (error instanceof URIError) return new ProtocolError('MalformedRequest', 'The path is not properly percent-encoded.');
  return new ProtocolError('Internal', 'The operator failed to handle the request; its log says why. Train on and try again.', 2);
}

/** Logs refusals without their tokens, each code of a path once a minute: a worker that repeats itself does not fill the log. */
class RefusalLog {
  readonly #log: Logger;
  readonly #now: () => number;
  readonly #told = new BoundedCache<true>(1_000);

  constructor(log: Logger, now: () => number) {
    this.#log = log;
    this.#now = now;
  }

  add(refusal: ProtocolError, error: unknown, request: Request): void {
    const path = request.path.slice(0, 200);
    if (refusal.code === 'Internal') {
      this.#log.error({ err: error, method: request.method, path }, 'a request failed');
      return;
    }
    const id = `${refusal.code} ${path}`;
    const now = this.#now();
    if (this.#told.get(id, now)) return;
    this.#told.set(id, true, now + REFUSAL_LOG_MS);
    this.#log.info({ code: refusal.code, method: request.method, path, from: request.socket.remoteAddress }, refusal.message);
  }
}
