import type { NextFunction, Request, Response } from 'express';
import type { World } from '../api/protocol.ts';
import type { Authenticator } from './authenticator.ts';
import type { LeaderForwarder, Leadership } from './leader-forwarder.ts';
import type { OperatorMetrics } from './metrics.ts';
import { parseReport, parseTaskReport } from './parse-report.ts';
import { PollSlots } from './poll-slots.ts';
import { ProtocolError } from './protocol-error.ts';
import { RateLimiter } from './rate-limiter.ts';
import { readBody } from './read-body.ts';
import type { ReportInbox } from './report-inbox.ts';
import type { TaskInbox } from './task-inbox.ts';
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
  /** Reports of one task's pod, which sends one every 5 s. */
  taskReports: { perSecond: number; burst: number };
};

export const DEFAULT_LIMITS: ServerLimits = {
  pollMs: 30_000,
  bodyBytes: 64 * 1024,
  bodyMs: 5_000,
  pollsPerPod: 4,
  reports: { perSecond: 20, burst: 100 },
  taskReports: { perSecond: 1, burst: 20 },
};

/** A world that has been handed to the kernel for a pod; `waited` when the pod was waiting as it was published. */
export type Delivery = { training: string; pod: string; world: World; at: number; waited: boolean };

/** What the calls of the worker protocol need. */
export type CallOptions = {
  board: WorldBoard;
  inbox: ReportInbox;
  tasks: TaskInbox;
  authenticator: Authenticator;
  leader: Leadership;
  metrics: OperatorMetrics;
  now: () => number;
  /** Told when a pod has been sent a world: the time of an interruption's first leg. */
  onDelivery?: (delivery: Delivery) => void;
};

export type Call = 'world' | 'report' | 'task';
export type Handler = (request: Request, response: Response) => Promise<void>;

const DNS_NAME = /^[a-z0-9]([-a-z0-9.]{0,251}[a-z0-9])?$/;
const MAX_REVISION_LENGTH = 256;

/** `GET …/world`: the long poll. */
export function worldHandler(
  { board, authenticator, leader, metrics, now, onDelivery }: CallOptions,
  limits: ServerLimits,
  forwarder: LeaderForwarder,
  state: { closing: boolean },
): Handler {
  const slots = new PollSlots(limits.pollsPerPod);
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
    const place = `${key}/${worker.podUid}`;
    if (!slots.take(place))
      throw new ProtocolError(
        'TooManyPolls',
        `Pod ${worker.pod} already waits ${limits.pollsPerPod} times for a world of ${key}: ask once and wait.`,
        1,
      );
    const gone = new AbortController();
    response.once('close', () => gone.abort());
    let world: World | null;
    try {
      world = await board.wait(key, after, { timeoutMs: state.closing ? 0 : limits.pollMs, signal: gone.signal });
    } finally {
      slots.release(place);
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

/** `POST …/report`. */
export function reportHandler(
  { inbox, authenticator, leader, now }: CallOptions,
  limits: ServerLimits,
  forwarder: LeaderForwarder,
): Handler {
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

/** `POST /v1/tasks/…/report`. */
export function taskReportHandler(
  { tasks, authenticator, leader, now }: CallOptions,
  limits: ServerLimits,
  forwarder: LeaderForwarder,
): Handler {
  const body = (request: Request) => readBody(request, { bytes: limits.bodyBytes, ms: limits.bodyMs });
  const rate = new RateLimiter(limits.taskReports);
  return async (request, response) => {
    const { namespace, pod } = taskPodOf(request);
    if (!leader.isLeader()) return forwarder.forward(request, response, `/v1/tasks/${namespace}/${pod}/report`, await body(request));
    const caller = await authenticator.authenticateTask(request.headers.authorization, namespace, pod); // before the body, as above
    if (!rate.allows(caller.podUid, now()))
      throw new ProtocolError('TooManyReports', `Pod ${namespace}/${pod} reports more than once a second: report every 5 s.`, 1);
    tasks.receive(caller, parseTaskReport(await body(request)));
    response.type('json').send('{}');
  };
}

function taskPodOf(request: Request): { namespace: string; pod: string } {
  const { namespace, pod } = request.params;
  if (typeof namespace !== 'string' || typeof pod !== 'string' || !DNS_NAME.test(namespace) || !DNS_NAME.test(pod))
    throw new ProtocolError('MalformedRequest', 'The path does not name a pod: call /v1/tasks/ and the name that VICUNA_TASK has.');
  return { namespace, pod };
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

/** Refuses other methods, naming the right one. */
export function only(method: 'GET' | 'POST') {
  return (request: Request, response: Response, next: NextFunction) => {
    if (request.method === method) return next();
    response.set('Allow', method);
    throw new ProtocolError('MethodNotAllowed', `${request.path} takes ${method}, not ${request.method}.`);
  };
}

/** Counts and times the call's requests. */
export function measured(call: Call, { metrics, now }: CallOptions) {
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
