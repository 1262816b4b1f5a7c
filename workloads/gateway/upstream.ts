import { readFileSync } from 'node:fs';
import type { IncomingMessage } from 'node:http';
import type { Exchange, ExchangeHandler } from './http/connections.ts';
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
  /** Ends it, with whatever has come; also when the request's time is over. */
  readonly signal: AbortSignal;
}

/** Sends a request; resolves with the worker's response once its headers are there. Rejects with WorkerFailed. */
export function callWorker({ worker, path, body, headers, signal }: UpstreamCall): Promise<WorkerResponse> {
  if (signal.aborted) return Promise.reject(new WorkerFailed(worker, GONE));
  const { promise, resolve, reject } = Promise.withResolvers<WorkerResponse>();
  let response: WorkerResponse | null = null;
  const failed = (error: Error) => {
    signal.removeEventListener('abort', leave);
    if (response) response.finish(error);
    else reject(new WorkerFailed(worker, error.message));
  };
  const leave = () => exchange?.abort(new Error(GONE));
  const handler: ExchangeHandler = {
    head(status, received) {
      worker.heard++;
      response = new WorkerResponse(status, received, exchange as Exchange);
      resolve(response);
    },
    data(chunk) {
      worker.heard++;
      response?.push(chunk);
    },
    end() {
      signal.removeEventListener('abort', leave);
      response?.finish(null);
    },
    fail: failed,
  };
  let exchange: Exchange | null = null;
  try {
    exchange = worker.post(path, { ...headers, 'content-type': 'application/json', ...authorization(worker) }, body, handler);
  } catch (error) {
    // Its key cannot be read, or cannot be sent; another worker's can.
    failed(error as Error);
  }
  signal.addEventListener('abort', leave, { once: true });
  return promise;
}

const GONE = 'the client has gone';

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

/**
 * The whole body of a response. Rejects with WorkerFailed when it breaks off, is larger than `limit` bytes, or brings nothing for
 * `idleMs`; null = only the request's own time bounds the wait.
 */
export function readAll(worker: Worker, response: WorkerResponse, limit: number, idleMs: number | null): Promise<Buffer> {
  const { promise, resolve, reject } = Promise.withResolvers<Buffer>();
  const chunks: Buffer[] = [];
  let size = 0;
  const fail = (message: string) => {
    if (timer !== null) clearTimeout(timer);
    response.cancel();
    reject(new WorkerFailed(worker, message));
  };
  const timer = idleMs === null ? null : setTimeout(() => fail(`nothing for ${Math.round(idleMs / 1000)} s`), idleMs);
  response.read({
    data(chunk) {
      timer?.refresh();
      size += chunk.length;
      if (size > limit) fail(`an answer of more than ${limit} bytes`);
      else chunks.push(chunk);
    },
    end() {
      if (timer !== null) clearTimeout(timer);
      resolve(chunks.length === 1 ? (chunks[0] as Buffer) : Buffer.concat(chunks));
    },
    fail: (error) => fail(error.message),
  });
  return promise;
}
