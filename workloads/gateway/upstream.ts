import { readFileSync } from 'node:fs';
import { type ClientRequest, request as httpRequest, type IncomingMessage } from 'node:http';
import { request as httpsRequest } from 'node:https';
import type { Worker } from './worker.ts';

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
export function callWorker({ worker, path, body, headers, timeoutMs, signal }: UpstreamCall): Promise<IncomingMessage> {
  const { promise, resolve, reject } = Promise.withResolvers<IncomingMessage>();
  const options = worker.request('POST', path);
  options.headers = { ...headers, 'content-type': 'application/json', 'content-length': body.length, ...authorization(worker) };
  const call: ClientRequest = (worker.secure ? httpsRequest : httpRequest)(options);
  const abort = () => call.destroy(new Error('the client has gone'));
  const timer = setTimeout(() => call.destroy(new Error(`no answer within ${Math.round(timeoutMs / 1000)} s`)), timeoutMs);
  call.on('response', (response) => {
    clearTimeout(timer);
    worker.heard++;
    response.once('close', () => signal.removeEventListener('abort', abort));
    resolve(response);
  });
  call.on('error', (error) => {
    clearTimeout(timer);
    signal.removeEventListener('abort', abort);
    reject(new WorkerFailed(worker, error.message));
  });
  if (signal.aborted) abort();
  else signal.addEventListener('abort', abort, { once: true });
  call.end(body);
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
export async function readAll(worker: Worker, response: IncomingMessage, limit: number, idleMs: number): Promise<Buffer> {
  const { promise, resolve, reject } = Promise.withResolvers<Buffer>();
  const chunks: Buffer[] = [];
  let size = 0;
  const timer = setTimeout(() => response.destroy(new Error(`nothing for ${Math.round(idleMs / 1000)} s`)), idleMs);
  response.on('data', (chunk: Buffer) => {
    timer.refresh();
    worker.heard++;
    size += chunk.length;
    if (size > limit) response.destroy(new Error(`an answer of more than ${limit} bytes`));
    else chunks.push(chunk);
  });
  response.on('end', () => resolve(chunks.length === 1 ? (chunks[0] as Buffer) : Buffer.concat(chunks)));
  response.on('error', (error) => reject(new WorkerFailed(worker, error.message)));
  // An error's stack costs more than a short answer: it is made only where something is wrong.
  response.on('close', () => response.complete || reject(new WorkerFailed(worker, 'its answer broke off')));
  return promise.finally(() => clearTimeout(timer));
}
