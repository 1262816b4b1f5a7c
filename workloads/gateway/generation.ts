import { Answer, type Chunk, type Usage } from './answer.ts';
import { ApiError, unavailable } from './api-error.ts';
import { type ClientStream, placeOf } from './client-stream.ts';
import { continuationFor, Rewriter } from './continuation.ts';
import { callFastchat } from './fastchat/call.ts';
import type { Endpoint, ModelRequest } from './request.ts';
import { EventCutter, eventOf, eventsIn, isDone, looksSound } from './sse.ts';
import { callWorker, readAll, WorkerFailed } from './upstream.ts';
import type { Worker } from './worker.ts';
import type { WorkerResponse } from './worker-response.ts';

/** What the flow of one request needs from the gateway. */
export interface Backend {
  /** A worker that has not failed this request, waiting for one if need be. */
  worker(request: ModelRequest, exclude: ReadonlySet<Worker>, signal: AbortSignal, stream: ClientStream | null): Promise<Worker>;
  readonly limits: { readonly requestSeconds: number; readonly idleSeconds: number };
  readonly continuation: boolean;
  onRetry(request: ModelRequest, error: WorkerFailed): void;
  onContinuation(request: ModelRequest, result: 'done' | 'failed', error: WorkerFailed): void;
  onFirstToken(): void;
}

export interface Outcome {
  readonly usage: Usage | null;
  /** Pieces of a streamed answer. */
  readonly pieces: number;
  readonly worker: Worker;
}

/** Largest whole answer. */
const LONGEST_ANSWER = 64 << 20;
/** Largest refusal of a worker's that is passed on. */
const LONGEST_REFUSAL = 64 << 10;
/** Attempts that one request may cost: one that breaks every worker must not go on to do so. */
const ATTEMPTS = 5;
/** A worker that says it takes nothing is left alone for so long. */
const REST_MS = 2_000;

/** Answers of workers that another worker may not give: it is full, shutting down, or broken. */
function isTransient(status: number): boolean {
  return status === 408 || status === 425 || status === 429 || status >= 500;
}

/** A worker's refusal that the client is to see as it is. */
export class Refused extends Error {
  readonly status: number;
  readonly body: Buffer;
  readonly headers: Readonly<Record<string, string>>;

  constructor(status: number, body: Buffer, headers: Readonly<Record<string, string>>) {
    super(`status ${status}`);
    this.status = status;
    this.body = body;
    this.headers = headers;
  }
}

/** Asks workers until one has answered as a whole; the client has seen nothing before. */
export async function answerWhole(
  request: ModelRequest,
  backend: Backend,
  headers: Readonly<Record<string, string>>,
  signal: AbortSignal,
): Promise<{ body: Buffer; json: Record<string, unknown>; worker: Worker }> {
  const tried = new Set<Worker>();
  for (let attempt = 1; ; attempt++) {
    const worker = await backend.worker(request, tried, signal, null);
    try {
      return await occupying(worker, async () => {
        const response = await call(worker, request.endpoint, request.body, backend, headers, signal);
        const body = await readAll(worker, response, LONGEST_ANSWER, null);
        return { body, json: parseAnswer(worker, response, body), worker };
      });
    } catch (error) {
      retry(error, attempt, worker, request, backend, signal);
      tried.add(worker);
    }
  }
}

/** Streams an answer; one that breaks off goes on at another worker, and the client sees one stream. Rejects while nothing was sent. */
export async function answerStreamed(
  request: ModelRequest,
  backend: Backend,
  headers: Readonly<Record<string, string>>,
  stream: ClientStream,
  signal: AbortSignal,
): Promise<Outcome> {
  const tried = new Set<Worker>();
  const relay = new Relay(stream, new Answer(), backend, signal);
  for (let attempt = 1; ; attempt++) {
    const worker = await backend.worker(request, tried, signal, stream);
    try {
      await occupying(worker, () => relay.first(request, worker, headers));
      // Reading the answer for its usage is for those who asked for one; it costs more than to pass it on.
      return { usage: request.includeUsage ? relay.answer.usage : null, pieces: relay.pieces, worker };
    } catch (error) {
      if (relay.pieces > 0) {
        await goOn(error, worker, { request, backend, headers, signal, tried, relay });
        return { usage: relay.usage, pieces: relay.pieces, worker };
      }
      retry(error, attempt, worker, request, backend, signal);
      tried.add(worker);
    }
  }
}

interface Broken {
  readonly request: ModelRequest;
  readonly backend: Backend;
  readonly headers: Readonly<Record<string, string>>;
  readonly signal: AbortSignal;
  readonly tried: Set<Worker>;
  readonly relay: Relay;
}

/** After an answer has broken off: ends it where only its end is missing, else goes on elsewhere, as often as it takes. */
async function goOn(first: unknown, failed: Worker, { request, backend, headers, signal, tried, relay }: Broken): Promise<void> {
  let error = first;
  let last = failed;
  for (let attempt = 1; ; attempt++) {
    if (signal.aborted || !(error instanceof WorkerFailed)) throw error;
    fault(last, error);
    tried.add(last);
    if (relay.finished(request)) return;
    const giveUp = () => {
      backend.onContinuation(request, 'failed', error as WorkerFailed);
      relay.fail(
        new ApiError(502, 'The worker failed in the middle of its answer, and no other could go on with it.', { code: 'worker_failed' }),
      );
    };
    if (!backend.continuation || attempt > ATTEMPTS) return giveUp();
    let worker: Worker;
    try {
      worker = await backend.worker(request, tried, signal, null);
    } catch {
      return giveUp();
    }
    const continuation = continuationFor(request, relay.answer, worker);
    if (continuation === null) return giveUp();
    try {
      await occupying(worker, () => relay.more(request, worker, continuation, headers));
      backend.onContinuation(request, 'done', error);
      return;
    } catch (again) {
      error = again instanceof Refused ? new WorkerFailed(worker, `it refused to go on with an answer (${again.status})`) : again;
      last = worker;
    }
  }
}

/** After a failure before anything was sent: returns when another worker may try, else throws what the client is to be told. */
function retry(error: unknown, attempt: number, worker: Worker, request: ModelRequest, backend: Backend, signal: AbortSignal): void {
  if (signal.aborted || !(error instanceof WorkerFailed)) throw error;
  fault(worker, error);
  if (attempt >= ATTEMPTS) throw unavailable(`The request failed at ${attempt} workers; at the last one: ${error.message}.`, 1);
  backend.onRetry(request, error);
}

function fault(worker: Worker, error: WorkerFailed): void {
  if (error.resting) worker.breaker.rest(REST_MS);
  else worker.breaker.failed();
}

async function occupying<T>(worker: Worker, work: () => Promise<T>): Promise<T> {
  worker.running++;
  try {
    const result = await work();
    worker.breaker.succeeded();
    return result;
  } finally {
    worker.running--;
  }
}

/** The worker's response once it is one; throws WorkerFailed for what another worker may do better, Refused for what none will. */
async function call(
  worker: Worker,
  endpoint: Endpoint,
  body: Buffer,
  backend: Backend,
  headers: Readonly<Record<string, string>>,
  signal: AbortSignal,
): Promise<WorkerResponse> {
  const asked = { worker, path: endpoint, body, headers, signal };
  const response =
    worker.spec.protocol === 'fastchat'
      ? await callFastchat(asked, endpoint === '/v1/chat/completions', backend.limits.idleSeconds * 1000)
      : await callWorker(asked);
  const { status } = response;
  if (status === 200) return response;
  const refusal = await readAll(worker, response, LONGEST_REFUSAL, backend.limits.idleSeconds * 1000);
  if (isTransient(status) || status < 400) throw new WorkerFailed(worker, `status ${status}`, status === 503 || status === 429);
  if (status === 401 || status === 403) throw new WorkerFailed(worker, `it refuses the gateway's key (status ${status})`);
  const type = response.headers['content-type'] ?? 'application/json';
  throw new Refused(status, refusal, { 'content-type': type });
}

function parseAnswer(worker: Worker, response: WorkerResponse, body: Buffer): Record<string, unknown> {
  if (!response.contentType.startsWith('application/json'))
    throw new WorkerFailed(worker, `it answered with ${response.contentType} where JSON was asked for`);
  try {
    const json = JSON.parse(body.toString('utf8')) as unknown;
    if (json !== null && typeof json === 'object' && !Array.isArray(json)) return json as Record<string, unknown>;
  } catch {
    // told below
  }
  throw new WorkerFailed(worker, 'its answer is no JSON object');
}

/** Passes one answer on, from one worker or, one after the other, from several. */
class Relay {
  readonly answer: Answer;
  readonly #stream: ClientStream;
  readonly #backend: Backend;
  readonly #signal: AbortSignal;
  /** Blocks that were passed on. */
  pieces = 0;
  usage: Usage | null = null;

  constructor(stream: ClientStream, answer: Answer, backend: Backend, signal: AbortSignal) {
    this.#stream = stream;
    this.answer = answer;
    this.#backend = backend;
    this.#signal = signal;
  }

  /** Passes the blocks on as they come. */
  async first(request: ModelRequest, worker: Worker, headers: Readonly<Record<string, string>>): Promise<void> {
    const body = tellsTokens(worker) ? withTokenIds(request.body) : request.body;
    const asked = body !== request.body && request.json.return_token_ids !== true;
    const response = await call(worker, request.endpoint, body, this.#backend, headers, this.#signal);
    expectEvents(worker, response);
    await this.#read(worker, response, (block) => {
      if (this.pieces > 0) return this.#pass(block, worker);
      this.#backend.onFirstToken();
      this.#stream.tell('worker', placeOf(worker));
      return this.#pass(asked ? this.#withoutPrompt(block) : block, worker);
    });
    this.#stream.end();
  }

  #pass(block: Buffer, worker: Worker): boolean {
    this.pieces++;
    this.answer.add(block);
    return this.#stream.write(block, worker);
  }

  /** The prompt's tokens, which the first chunk brings, are for the gateway alone. */
  #withoutPrompt(block: Buffer): Buffer {
    if (!block.includes('"prompt_token_ids"')) return block;
    const events = [...eventsIn(block)].map((data) => {
      if (data === '[DONE]') return 'data: [DONE]\n\n';
      const { prompt_token_ids: tokens, ...chunk } = JSON.parse(data) as Chunk;
      const choices = chunk.choices?.map(({ prompt_token_ids: ofChoice, ...choice }) => {
        if (ofChoice) this.answer.promptTokens = ofChoice;
        return choice;
      });
      if (tokens) this.answer.promptTokens = tokens;
      return eventOf({ ...chunk, ...(choices ? { choices } : {}) });
    });
    return Buffer.from(events.join(''));
  }

  /** Passes a continuation on, each chunk with the face of the answer that it continues. */
  async more(
    request: ModelRequest,
    worker: Worker,
    { endpoint, body, countsAll }: NonNullable<ReturnType<typeof continuationFor>>,
    headers: Readonly<Record<string, string>>,
  ): Promise<void> {
    const rewriter = new Rewriter(this.answer, request.endpoint, countsAll);
    const response = await call(worker, endpoint, tellsTokens(worker) ? withTokenIds(body) : body, this.#backend, headers, this.#signal);
    expectEvents(worker, response);
    let told = false;
    await this.#read(worker, response, (block) => {
      if (!told) this.#stream.tell('continued', placeOf(worker));
      told = true;
      const events: string[] = [];
      for (const data of eventsIn(block)) {
        if (data === '[DONE]') continue;
        const chunk = rewriter.rewrite(JSON.parse(data) as Chunk);
        if (chunk === null) continue;
        if (chunk.usage) this.usage = chunk.usage;
        events.push(eventOf(chunk));
      }
      if (events.length === 0) return true;
      const rewritten = Buffer.from(events.join(''));
      this.pieces++;
      this.answer.add(rewritten);
      return this.#stream.write(rewritten);
    });
    this.#stream.done();
  }

  /** Reads a worker's stream to its end; rejects with WorkerFailed when it breaks, stalls, tells an error, or is no stream of events. */
  #read(worker: Worker, response: WorkerResponse, pass: (block: Buffer) => boolean): Promise<void> {
    const { promise, resolve, reject } = Promise.withResolvers<void>();
    const cutter = new EventCutter();
    const idleMs = this.#backend.limits.idleSeconds * 1000;
    const fail = (message: string) => {
      end();
      response.cancel();
      reject(new WorkerFailed(worker, message));
    };
    // While the client is slow, the worker need not say anything.
    const stalled = () => (paused ? timer?.refresh() : fail(`nothing for ${idleMs / 1000} s in the middle of its answer`));
    // The first piece may take as long as the request: the worker has other questions before it.
    let timer: NodeJS.Timeout | null = null;
    let done = false;
    let paused = false;
    let over = false;
    const end = () => {
      over = true;
      if (timer !== null) clearTimeout(timer);
    };
    const take = (chunk: Buffer) => {
      const block = cutter.push(chunk);
      if (block === null || done || over) return;
      if (!looksSound(block)) return fail('its answer makes no sense');
      if (block.includes('"error"') && saysError(block)) return fail('it gave its answer up');
      timer ??= setTimeout(stalled, idleMs);
      done = isDone(block);
      if (pass(block) || paused) return;
      paused = true;
      response.pause();
      void this.#stream.drained(this.#signal).then(() => {
        paused = false;
        if (over) return;
        timer?.refresh();
        response.resume();
      });
    };
    response.read({
      data(chunk) {
        timer?.refresh();
        try {
          take(chunk);
        } catch (error) {
          fail(`its answer makes no sense: ${(error as Error).message}`);
        }
      },
      end() {
        if (!done) return fail('its answer ended before it was done');
        end();
        resolve();
      },
      fail: (error) => fail(error.message),
    });
    return promise;
  }

  /** Whether the broken answer was complete but for the mark of its end, which is then sent. */
  finished(request: ModelRequest): boolean {
    if (this.answer.finishReason === null || (request.includeUsage && this.answer.usage === null)) return false;
    this.usage = this.answer.usage;
    this.#stream.done();
    return true;
  }

  fail(error: ApiError): void {
    this.#stream.fail(error);
  }
}

function saysError(block: Buffer): boolean {
  for (const data of eventsIn(block)) {
    if (!data.includes('"error"') || data === '[DONE]') continue;
    if ((JSON.parse(data) as Chunk).error) return true;
  }
  return false;
}

function expectEvents(worker: Worker, response: WorkerResponse): void {
  if (response.contentType.startsWith('text/event-stream')) return;
  response.cancel();
  throw new WorkerFailed(worker, `it answered with ${response.contentType} where a stream was asked for`);
}

/** Engines that tell, on request, which tokens an answer has: then another worker can go on with exactly these. */
function tellsTokens({ spec }: Worker): boolean {
  return spec.engine === 'transformers' || spec.engine === 'vllm';
}

const TOKEN_IDS = Buffer.from('{"return_token_ids":true,');

/** Asks for token ids without writing the body anew: a field of the client's own with that name comes later and wins. */
function withTokenIds(body: Buffer): Buffer {
  const start = body.indexOf(0x7b);
  return Buffer.concat([TOKEN_IDS, body.subarray(start + 1)]);
}
