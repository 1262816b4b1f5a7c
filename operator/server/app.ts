import { createServer as createHttpServer, type Server } from 'node:http';
import type { AddressInfo } from 'node:net';
import express, { type Express, type NextFunction, type Request, type Response } from 'express';
import type { Logger } from 'pino';
import { LeaderForwarder } from './leader-forwarder.ts';
import { ProtocolError } from './protocol-error.ts';
import { RefusalLog } from './refusal-log.ts';
import {
  type Call,
  type CallOptions,
  DEFAULT_LIMITS,
  type Handler,
  measured,
  only,
  reportHandler,
  type ServerLimits,
  taskReportHandler,
  worldHandler,
} from './worker-calls.ts';

export type ServerOptions = CallOptions & {
  /** What this copy still waits for, as a sentence; null when it is ready. A standby is ready once its caches are. */
  notReady: () => string | null;
  log: Logger;
  limits?: Partial<ServerLimits>;
};

export type ListenOptions = {
  host?: string;
  /** Port of the worker protocol; 0 takes a free one. */
  port: number;
  /** Port of /metrics, which then is not served to workers; undefined serves it on `port`. */
  metricsPort?: number | undefined;
};

export type OperatorServer = {
  listen(options: ListenOptions): Promise<{ port: number; metricsPort: number }>;
  /** Answers the waiting workers, takes no new connections, and ends those still busy after `graceMs`. */
  close(graceMs?: number): Promise<void>;
};

// A request must arrive in this time. Waiting for a world comes after, and is not bounded by these.
const HEADERS_TIMEOUT_MS = 10_000;
const REQUEST_TIMEOUT_MS = 15_000;
const CONNECTION_CHECK_MS = 5_000;
/** Longer than a long poll and a worker's two seconds between reports: connections are kept for a worker's life. */
const KEEP_ALIVE_MS = 65_000;

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
  const serve = (call: Call, path: string, method: 'GET' | 'POST', handler: Handler) => {
    workers.all(path, measured(call, options), only(method), async (request, response) => {
      await handler(request, response);
    });
  };
  serve('world', '/v1/trainings/:namespace/:name/world', 'GET', worldHandler(options, limits, forwarder, state));
  serve('report', '/v1/trainings/:namespace/:name/report', 'POST', reportHandler(options, limits, forwarder));
  serve('task', '/v1/tasks/:namespace/:pod/report', 'POST', taskReportHandler(options, limits, forwarder));

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
      `There is nothing at ${request.path.slice(0, 200)}: workers call /v1/trainings/{namespace}/{name}/world and /report, tasks /v1/tasks/{namespace}/{pod}/report.`,
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
