import { randomUUID } from 'node:crypto';
import { createServer, type IncomingMessage, type Server, type ServerResponse } from 'node:http';
import type { Logger } from 'pino';
import { ApiError, sendError } from './api-error.ts';
import { ClientStream } from './client-stream.ts';
import type { Gateway } from './gateway.ts';
import { answerStreamed, answerWhole, Refused } from './generation.ts';
import type { Caller } from './keys.ts';
import { refuseMalformed } from './malformed.ts';
import { ModeratedStream } from './moderated-stream.ts';
import { refusedInput } from './moderation.ts';
import { ClientGone, readBody } from './read-body.ts';
import { type Endpoint, type ModelRequest, parseRequest, textOf } from './request.ts';
import { passedOn } from './upstream.ts';

/** Answers a request that is not for a model, or says that it is none of its business. */
export type Handler = (request: IncomingMessage, response: ServerResponse, path: string) => boolean | Promise<boolean>;

export interface ServerOptions {
  readonly gateway: Gateway;
  readonly log: Logger;
  readonly now: () => number;
  /** Asked in order, before "not found". */
  readonly handlers: readonly Handler[];
}

const ENDPOINTS: ReadonlySet<string> = new Set<Endpoint>(['/v1/chat/completions', '/v1/completions', '/v1/embeddings']);

/** A connection may take so long to send a request's headers. */
const HEADERS_MS = 15_000;
/** An idle connection is kept a little longer than load balancers keep theirs, so that they close it, not we. */
const KEEP_ALIVE_MS = 75_000;
/** Larger answers cost more to copy than a call saves. */
const ONE_CALL = 32 << 10;

/** The public side: OpenAI's API, and whatever the handlers add. */
export function createGatewayServer(options: ServerOptions): Server {
  const server = createServer(
    { headersTimeout: HEADERS_MS, keepAliveTimeout: KEEP_ALIVE_MS, requestTimeout: 0, noDelay: true },
    (request, response) => {
      void serve(options, request, response);
    },
  );
  server.on('clientError', refuseMalformed);
  return server;
}

async function serve(options: ServerOptions, request: IncomingMessage, response: ServerResponse): Promise<void> {
  const { gateway, log, now, handlers } = options;
  const id = requestId(request);
  const path = pathOf(request.url ?? '');
  const visit: Visit = { id, path, startedAt: now(), model: '', caller: null, worker: '', stream: null };
  try {
    if (path !== null && ENDPOINTS.has(path)) {
      if (request.method !== 'POST') throw new ApiError(405, `${path} takes POST requests.`, { headers: { allow: 'POST' } });
      await answer(options, request, response, path as Endpoint, visit);
    } else if (path === '/v1/models' || path?.startsWith('/v1/models/')) {
      gateway.keys.identify(request);
      sendModels(gateway, response, path);
    } else {
      for (const handler of handlers) if (path !== null && (await handler(request, response, path))) return;
      throw new ApiError(404, `There is nothing at ${String(path ?? 'this address').slice(0, 200)}.`);
    }
  } catch (error) {
    tell(error, response, visit, log);
  } finally {
    finish(options, response, visit);
  }
}

interface Visit {
  readonly id: string;
  readonly path: string | null;
  readonly startedAt: number;
  model: string;
  caller: Caller | null;
  worker: string;
  stream: ClientStream | null;
}

async function answer(
  { gateway, now }: ServerOptions,
  incoming: IncomingMessage,
  response: ServerResponse,
  endpoint: Endpoint,
  visit: Visit,
): Promise<void> {
  const { limits } = gateway.config;
  const caller = gateway.keys.identify(incoming);
  visit.caller = caller;
  const body = await readBody(incoming, limits.bodyBytes);
  const asked = parseRequest(endpoint, body, limits.maxTokens);
  const { name, config } = gateway.model(asked.model);
  visit.model = name;
  caller.admit();
  const request = asked.model === name ? asked : renamed(asked, name);
  const { moderation, metrics } = gateway;
  if (moderation?.ofInput && !(await moderation.allows(textOf(request.json)))) throw refusedInput();

  const abort = new AbortController();
  const timer = setTimeout(
    () => abort.abort(new ApiError(504, `The answer was not complete within ${limits.requestSeconds} s.`, { code: 'timeout' })),
    limits.requestSeconds * 1000,
  );
  const gone = () => abort.abort(new ClientGone());
  response.once('close', gone);
  metrics.running.inc({ model: name });
  try {
    let first = 0;
    const backend = gateway.backend(name, config, () => {
      first = now();
      metrics.firstToken.observe({ model: name }, (first - visit.startedAt) / 1000);
    });
    const headers = { ...passedOn(incoming), 'x-request-id': visit.id };
    if (!request.stream) {
      const whole = await answerWhole(request, backend, headers, abort.signal);
      visit.worker = whole.worker.spec.name;
      const checked = moderation?.ofOutput ? await moderated(whole.json, gateway) : null;
      const bytes = checked === null ? whole.body : Buffer.from(JSON.stringify(checked));
      count(gateway, caller, name, usageOf(whole.json), 0);
      response.writeHead(200, {
        'content-type': 'application/json',
        'content-length': bytes.length,
        'x-request-id': visit.id,
        'x-vicuna-worker': visit.worker,
      });
      // As text it goes out with its head in one call.
      if (bytes.length <= ONE_CALL) response.end(bytes.toString('latin1'), 'latin1');
      else response.end(bytes);
      return;
    }
    const tells = incoming.headers['x-vicuna-events'] === '1';
    const own = { 'x-request-id': visit.id };
    const stream = moderation?.ofOutput
      ? new ModeratedStream(response, own, tells, moderation, () => abort.abort(new ClientGone()))
      : new ClientStream(response, own, tells);
    visit.stream = stream;
    const outcome = await answerStreamed(request, backend, headers, stream, abort.signal);
    visit.worker = outcome.worker.spec.name;
    if (outcome.pieces > 1) metrics.interToken.observe({ model: name }, (now() - first) / 1000 / (outcome.pieces - 1));
    count(gateway, caller, name, outcome.usage, outcome.pieces);
  } catch (error) {
    throw abort.signal.aborted ? abort.signal.reason : error;
  } finally {
    clearTimeout(timer);
    response.off('close', gone);
    metrics.running.dec({ model: name });
  }
}

/** The request under the name by which workers know the model. */
function renamed(request: ModelRequest, model: string): ModelRequest {
  const json = { ...request.json, model };
  return { ...request, json, model, body: Buffer.from(JSON.stringify(json)) };
}

function usageOf(json: Record<string, unknown>): { prompt_tokens: number; completion_tokens: number } | null {
  const usage = json.usage as { prompt_tokens?: unknown; completion_tokens?: unknown } | null | undefined;
  const number = (value: unknown) => (typeof value === 'number' && value >= 0 ? value : 0);
  return usage ? { prompt_tokens: number(usage.prompt_tokens), completion_tokens: number(usage.completion_tokens) } : null;
}

function count(
  { metrics }: Gateway,
  caller: Caller,
  model: string,
  usage: { prompt_tokens: number; completion_tokens: number } | null,
  pieces: number,
): void {
  const { prompt_tokens: prompt, completion_tokens: completion } = usage ?? { prompt_tokens: 0, completion_tokens: pieces };
  if (prompt > 0) metrics.promptTokens.inc({ model }, prompt);
  if (completion > 0) metrics.completionTokens.inc({ model }, completion);
  caller.charge(prompt + completion);
}

/** A whole answer whose choices have all been checked; those that may not pass are emptied. */
async function moderated(json: Record<string, unknown>, { moderation }: Gateway): Promise<object> {
  type Choice = { text?: string; message?: { content?: string | null }; finish_reason?: string };
  const choices = await Promise.all(
    ((json.choices ?? []) as Choice[]).map(async (choice) => {
      const text = choice.text ?? choice.message?.content ?? '';
      if (text === '' || (await moderation?.allows(text))) return choice;
      const { logprobs: _, token_ids: __, ...rest } = choice as Choice & { logprobs?: unknown; token_ids?: unknown };
      const empty = choice.text === undefined ? { message: { ...choice.message, content: '' } } : { text: '' };
      return { ...rest, ...empty, finish_reason: 'content_filter' };
    }),
  );
  return json.choices === undefined ? json : { ...json, choices };
}

function sendModels(gateway: Gateway, response: ServerResponse, path: string): void {
  const describe = (id: string) => ({ id, object: 'model', created: 0, owned_by: 'vicuna' });
  const wanted = decoded(path.slice('/v1/models/'.length));
  if (wanted !== '') gateway.model(wanted);
  const value = wanted === '' ? { object: 'list', data: gateway.modelNames().map(describe) } : describe(wanted);
  const body = JSON.stringify(value);
  response.writeHead(200, { 'content-type': 'application/json', 'content-length': Buffer.byteLength(body) });
  response.end(body);
}

function decoded(text: string): string {
  try {
    return decodeURIComponent(text);
  } catch {
    return text;
  }
}

function tell(error: unknown, response: ServerResponse, visit: Visit, log: Logger): void {
  if (error instanceof ClientGone) {
    if (!response.writableEnded) response.destroy();
    return;
  }
  const headers = { 'x-request-id': visit.id };
  if (error instanceof Refused) {
    if (response.headersSent) visit.stream?.fail(new ApiError(error.status, 'The worker refused the request.'));
    else {
      response.writeHead(error.status, { ...error.headers, ...headers, 'content-length': error.body.length });
      response.end(error.body);
    }
    return;
  }
  if (!(error instanceof ApiError)) log.error({ err: error, requestId: visit.id }, 'request failed');
  const told = error instanceof ApiError ? error : new ApiError(500, 'Something went wrong in the gateway.', { code: 'internal_error' });
  if (response.headersSent) visit.stream?.fail(told);
  else sendError(response, told, told.status === 413 || told.status === 408 ? { ...headers, connection: 'close' } : headers);
}

/** One line a request, without what was asked and answered. */
function finish({ gateway, log, now }: ServerOptions, response: ServerResponse, visit: Visit): void {
  if (visit.path === null || !ENDPOINTS.has(visit.path)) return;
  const seconds = (now() - visit.startedAt) / 1000;
  const code = response.headersSent ? response.statusCode : 499;
  const model = visit.model;
  gateway.metrics.requests.inc({ model, code: String(code) });
  if (model !== '') gateway.metrics.seconds.observe({ model }, seconds);
  log.info({
    requestId: visit.id,
    path: visit.path,
    model,
    code,
    seconds,
    worker: visit.worker,
    key: visit.caller?.name ?? '',
    bytes: visit.stream?.bytes ?? 0,
  });
}

/** The path without query; null for one that is no path. */
function pathOf(url: string): string | null {
  if (!url.startsWith('/') || url.length > 2_048) return null;
  const end = url.indexOf('?');
  return end < 0 ? url : url.slice(0, end);
}

/** The client's own id if it is harmless, else a new one. */
function requestId(request: IncomingMessage): string {
  const given = request.headers['x-request-id'];
  return typeof given === 'string' && /^[\w.:-]{1,128}$/.test(given) ? given : randomUUID();
}
