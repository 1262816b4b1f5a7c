import { createServer, type IncomingMessage, type Server, type ServerResponse } from 'node:http';
import type { AddressInfo, Socket } from 'node:net';
import { setTimeout as wait } from 'node:timers/promises';
import { z } from 'zod';

// A server with OpenAI's chat completions whose answers are scripted: as strict about requests as the real one, and able to fail in the ways
// that it does. Other rooms' tests may start it, too.

const requestSchema = z.strictObject({
  model: z.string(),
  messages: z.array(z.strictObject({ role: z.enum(['system', 'user', 'assistant']), content: z.string() })).min(1),
  temperature: z.number().min(0).max(2).optional(),
  max_tokens: z.int().min(1).optional(),
  max_completion_tokens: z.int().min(1).optional(),
});

export type Asked = z.output<typeof requestSchema>;

/** What happens to one request instead of an answer. */
export type Fault =
  | { readonly kind: 'status'; readonly status: number; readonly headers?: Readonly<Record<string, string>>; readonly error?: object }
  /** The connection is cut, before an answer or in the middle of one. */
  | { readonly kind: 'cut' }
  | { readonly kind: 'cutWithin' }
  /** No answer, ever. */
  | { readonly kind: 'silence' }
  | { readonly kind: 'body'; readonly body: string };

export interface FakeEndpointOptions {
  readonly models: readonly string[];
  /** Refuses all others, as OpenAI does. Default: asks for none. */
  readonly apiKey?: string;
  /** The text for a request. */
  readonly answer: (asked: Asked, count: number) => string;
  /** Until an answer, ms. */
  readonly delayMs?: number;
  readonly host?: string;
  /** Takes max_completion_tokens only and no temperature, as newer models do. */
  readonly newer?: boolean;
  /** Answers say nothing about tokens. */
  readonly withoutUsage?: boolean;
}

export class FakeEndpoint {
  /** Requests that were answered, in this order. */
  readonly answered: Asked[] = [];
  /** All that came, well-formed or not. */
  requests = 0;
  /** When each came, ms. */
  readonly times: number[] = [];
  /** Most requests under way at once. */
  peak = 0;
  /** For the next requests, one each. */
  readonly faults: Fault[] = [];
  #open = 0;
  readonly #options: FakeEndpointOptions;
  readonly #server: Server;

  private constructor(options: FakeEndpointOptions) {
    this.#options = options;
    this.#server = createServer(async (request, response) => {
      this.requests++;
      this.times.push(performance.now());
      this.#open++;
      this.peak = Math.max(this.peak, this.#open);
      response.on('close', () => this.#open--);
      try {
        await this.#serve(request, response);
      } catch (error) {
        if (!response.destroyed) refuse(response, 400, { message: (error as Error).message, type: 'invalid_request_error', code: null });
      }
    });
  }

  static async start(options: FakeEndpointOptions): Promise<FakeEndpoint> {
    const endpoint = new FakeEndpoint(options);
    await new Promise<void>((resolve) => endpoint.#server.listen(0, options.host ?? '127.0.0.1', resolve));
    return endpoint;
  }

  /** Base of the API. */
  get url(): string {
    return `http://127.0.0.1:${this.port}/v1`;
  }

  get port(): number {
    return (this.#server.address() as AddressInfo).port;
  }

  async stop(): Promise<void> {
    this.#server.closeAllConnections();
    await new Promise((resolve) => this.#server.close(resolve));
  }

  async #serve(request: IncomingMessage, response: ServerResponse): Promise<void> {
    const { models, apiKey, answer, delayMs = 0, newer = false, withoutUsage = false } = this.#options;
    const chunks: Buffer[] = [];
    for await (const chunk of request) chunks.push(chunk as Buffer);
    if (request.method !== 'POST' || request.url !== '/v1/chat/completions')
      return refuse(response, 404, {
        message: `Invalid URL (${request.method} ${request.url})`,
        type: 'invalid_request_error',
        code: null,
      });
    if (apiKey !== undefined && request.headers.authorization !== `Bearer ${apiKey}`)
      return refuse(response, 401, { message: 'Incorrect API key provided.', type: 'invalid_request_error', code: 'invalid_api_key' });
    if (request.headers['content-type'] !== 'application/json') throw new Error('We could not parse the JSON body of your request.');
    const fault = this.faults.shift();
    if (fault !== undefined) return fail(fault, request.socket, response);
    const asked = requestSchema.parse(JSON.parse(Buffer.concat(chunks).toString('utf8')));
    const unsupported = newer ? (['max_tokens', 'temperature'] as const).find((name) => asked[name] !== undefined) : undefined;
    if (unsupported !== undefined)
      return refuse(response, 400, { message: `Unsupported: '${unsupported}'.`, param: unsupported, code: 'unsupported_parameter' });
    if (!models.includes(asked.model))
      return refuse(response, 404, { message: `The model \`${asked.model}\` does not exist`, param: null, code: 'model_not_found' });
    if (delayMs > 0) await wait(delayMs);
    if (response.destroyed) return;
    const limit = (asked.max_tokens ?? asked.max_completion_tokens ?? 4_096) * 4;
    const whole = answer(asked, this.answered.length);
    const content = whole.slice(0, limit);
    this.answered.push(asked);
    const usage = {
      prompt_tokens: Math.ceil(asked.messages.map((m) => m.content).join('').length / 4),
      completion_tokens: Math.ceil(content.length / 4),
    };
    const body = {
      id: `chatcmpl-${this.answered.length}`,
      object: 'chat.completion',
      created: 1_700_000_000,
      model: asked.model,
      choices: [{ index: 0, message: { role: 'assistant', content }, finish_reason: content === whole ? 'stop' : 'length' }],
      ...(withoutUsage ? {} : { usage: { ...usage, total_tokens: usage.prompt_tokens + usage.completion_tokens } }),
    };
    response.writeHead(200, { 'content-type': 'application/json' }).end(JSON.stringify(body));
  }
}

function refuse(response: ServerResponse, status: number, error: object): void {
  response.writeHead(status, { 'content-type': 'application/json' }).end(JSON.stringify({ error }));
}

function fail(fault: Fault, socket: Socket, response: ServerResponse): void {
  if (fault.kind === 'silence') return;
  if (fault.kind === 'cut') {
    socket.destroy();
    return;
  }
  if (fault.kind === 'cutWithin') {
    response.writeHead(200, { 'content-type': 'application/json', 'content-length': '1000' });
    response.write('{"choices":');
    setImmediate(() => socket.destroy());
    return;
  }
  if (fault.kind === 'body') {
    response.writeHead(200, { 'content-type': 'application/json' }).end(fault.body);
    return;
  }
  const headers = { 'content-type': 'application/json', ...fault.headers };
  response
    .writeHead(fault.status, headers)
    .end(JSON.stringify({ error: fault.error ?? { message: `status ${fault.status}`, code: null } }));
}
