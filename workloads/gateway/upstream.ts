import { readFileSync } from 'node:fs';
import type { IncomingMessage } from 'node:http';
import type { Dispatcher } from 'undici';
import type { Worker } from './worker.ts';
import { WorkerResponse } from './worker-response.ts';

/** The worker failed before or while it answered; nothing is known to be wrong with the request. */
export class WorkerFailed extends Error {
  readonly worker: Worker;
  /** It says itself that it takes nothing now. */
  readonly resting: boolean;

  constructor(worker: Worker, message: string, resting = false) {
    super(`${worker.spec.name}: ${message}`);
    this.worker = worker;
    this.resting = resting;
  }
}

/** Headers of the client that workers may see. */
const PASSED_ON = ['x-request-id', 'traceparent', 'tracestate', 'x-request-timeout'];

export interface UpstreamCall {
  readonly worker: Worker;
  readonly path: string;
  readonly body: Buffer;
  readonly headers: Readonly<Record<string, string>>;
  /** Longest until the worker's headers, ms. */
  readonly timeoutMs: number;
  readonly signal: AbortSignal;
}

/** Sends a request; resolves with the worker's response once its headers are there. Rejects with WorkerFailed. */
export function callWorker({ worker, path, body, headers, timeoutMs, signal }: UpstreamCall): Promise<WorkerResponse> {
  const { promise, resolve, reject } = Promise.withResolvers<WorkerResponse>();
  let controller: Dispatcher.DispatchController | null = null;
  let response: WorkerResponse | null = null;
  let given: Error | null = null;
  const giveUp = (reason: Error) => {
    given = reason;
    if (controller) controller.abort(reason);
    else failed(reason); // it waits for a connection
  };
  const leave = () => giveUp(new Error('the client has gone'));
  const timer = setTimeout(() => giveUp(new Error(`no answer within ${Math.round(timeoutMs / 1000)} s`)), timeoutMs);
  const failed = (error: Error) => {
    clearTimeout(timer);
    signal.removeEventListener('abort', leave);
    if (response) response.finish(error);
    else reject(new WorkerFailed(worker, error.message));
  };
  if (signal.aborted) {
    leave();
    return promise;
  }
  signal.addEventListener('abort', leave, { once: true });
  worker.dispatch(path, { ...headers, 'content-type': 'application/json', ...authorization(worker) }, body, {
    onRequestStart(started) {
      controller = started;
      if (given) started.abort(given);
    },
    onResponseStart(started, status, received) {
      if (status < 200) return;
      clearTimeout(timer);
      worker.heard++;
      response = new WorkerResponse(status, received, started);
      resolve(response);
    },
    onResponseData(_, chunk) {
      worker.heard++;
      response?.push(chunk);
    },
    onResponseEnd() {
      signal.removeEventListener('abort', leave);
      response?.finish(null);
    },
    onResponseError: (_, error) => failed(error),
  });
  return promise;
}

function authorization(worker: Worker): Record<string, string> {
  return worker.spec.keyFile === null ? {} : { authorization: `Bearer ${readFileSync(worker.spec.keyFile, 'utf8').trim()}` };
}

export function passedOn(request: IncomingMessage): Record<string, string> {
  const found: Record<string, string> = {};
  for (const name of PASSED_ON) {
    const value = request.headers[name];
    if (typeof value === 'string') found[name] = value;
  }
  return found;
}

/** The whole body of a response. Rejects with WorkerFailed when it breaks off, stalls or is larger than `limit` bytes. */
export function readAll(worker: Worker, response: WorkerResponse, limit: number, idleMs: number): Promise<Buffer> {
  const { promise, resolve, reject } = Promise.withResolvers<Buffer>();
  const chunks: Buffer[] = [];
  let size = 0;
  const fail = (message: string) => {
    clearTimeout(timer);
    response.cancel();
    reject(new WorkerFailed(worker, message));
  };
  const timer = setTimeout(() => fail(`nothing for ${Math.round(idleMs / 1000)} s`), idleMs);
  response.read({
    data(chunk) {
      timer.refresh();
      size += chunk.length;
      if (size > limit) fail(`an answer of more than ${limit} bytes`);
      else chunks.push(chunk);
    },
    end() {
      clearTimeout(timer);
      resolve(chunks.length === 1 ? (chunks[0] as Buffer) : Buffer.concat(chunks));
    },
    fail: (error) => fail(error.message),
  });
  return promise;
}
