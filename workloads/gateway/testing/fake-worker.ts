import { createServer, type IncomingMessage, type Server, type ServerResponse } from 'node:http';
import type { AddressInfo } from 'node:net';

/** How a worker misbehaves, from now on. */
export type Fault =
  | { readonly kind: 'none' }
  /** The connection breaks after so many pieces; 0 = before the headers. */
  | { readonly kind: 'dies'; readonly after: number }
  /** An error event after so many pieces, as an engine sends that is told to end. */
  | { readonly kind: 'givesUp'; readonly after: number }
  /** Nothing more comes after so many pieces, and the connection stays. */
  | { readonly kind: 'stalls'; readonly after: number }
  /** Ends in order after so many pieces, but without [DONE]. */
  | { readonly kind: 'stops'; readonly after: number }
  | { readonly kind: 'status'; readonly status: number; readonly times?: number }
  | { readonly kind: 'html' }
  | { readonly kind: 'badJson' }
  | { readonly kind: 'endless' };

interface Asked {
  readonly path: string;
  readonly body: Record<string, unknown>;
  readonly headers: IncomingMessage['headers'];
}

const WORDS = 'the quick brown fox jumps over the lazy dog and runs away from here as fast as it can because the night is near';

export interface FakeWorkerOptions {
  readonly model: string;
  /** Which engine's ways it has: what it is strict about, and how it takes an answer up again. */
  readonly engine?: 'vllm' | 'transformers' | 'sglang';
  /** Pieces of an answer without max_tokens. */
  readonly pieces?: number;
  /** ms between pieces. */
  readonly pace?: number;
}

/**
 * An engine without a GPU, as strict as vLLM and our own at the protocol: its answer depends on the question's text alone, one word a
 * token, and an answer that is continued goes on where it was, or not at all.
 */
export class FakeWorker {
  readonly asked: Asked[] = [];
  fault: Fault = { kind: 'none' };
  /** Requests whose client went away before the end. */
  cancelled = 0;
  running = 0;
  readonly #o: Required<FakeWorkerOptions>;
  readonly #server: Server;

  private constructor(options: FakeWorkerOptions) {
    this.#o = { engine: 'vllm', pieces: 12, pace: 0, ...options };
    this.#server = createServer((request, response) => void this.#serve(request, response));
  }

  static async start(options: FakeWorkerOptions, port = 0): Promise<FakeWorker> {
    const worker = new FakeWorker(options);
    await new Promise<void>((resolve) => worker.#server.listen(port, '127.0.0.1', resolve));
    return worker;
  }

  get url(): string {
    return `http://127.0.0.1:${(this.#server.address() as AddressInfo).port}`;
  }

  /** Breaks every connection and takes none any more. */
  async kill(): Promise<void> {
    this.#server.closeAllConnections();
    await new Promise((resolve) => this.#server.close(resolve));
  }

  async #serve(request: IncomingMessage, response: ServerResponse): Promise<void> {
    const chunks: Buffer[] = [];
    for await (const chunk of request) chunks.push(chunk as Buffer);
    const path = request.url ?? '';
    const body = chunks.length === 0 ? {} : (JSON.parse(Buffer.concat(chunks).toString()) as Record<string, unknown>);
    this.asked.push({ path, body, headers: request.headers });
    this.running++;
    response.once('close', () => {
      this.running--;
      if (!response.writableEnded) this.cancelled++;
    });
    const refusal = this.#refusal(path, body);
    if (refusal !== null)
      return this.#json(response, refusal.status, { error: { message: refusal.message, type: 'invalid_request_error' } });
    const { fault } = this;
    if (fault.kind === 'dies' && fault.after === 0) return void response.destroy();
    if (fault.kind === 'status') {
      if (fault.times !== undefined) this.fault = fault.times <= 1 ? { kind: 'none' } : { ...fault, times: fault.times - 1 };
      return this.#json(response, fault.status, { error: { message: `status ${fault.status}` } });
    }
    if (fault.kind === 'html') {
      response.writeHead(200, { 'content-type': 'text/html' });
      return void response.end('<html></html>');
    }
    if (path === '/v1/embeddings')
      return this.#json(response, 200, { object: 'list', data: [{ index: 0, embedding: [0, 1] }], usage: usage(1, 0) });
    await this.#answer(path, body, response);
  }

  /** What the engine would not take. */
  #refusal(path: string, body: Record<string, unknown>): { status: number; message: string } | null {
    if (!['/v1/chat/completions', '/v1/completions', '/v1/embeddings'].includes(path)) return { status: 404, message: 'not found' };
    if (body.model !== this.#o.model) return { status: 404, message: `no model ${String(body.model)}` };
    if (body.temperature === -1) return { status: 400, message: 'temperature must not be negative' };
    if (path === '/v1/chat/completions') {
      if (!Array.isArray(body.messages) || body.messages.length === 0) return { status: 400, message: 'messages must not be empty' };
      if ((body.continue_final_message === true) === (body.add_generation_prompt !== false))
        return { status: 400, message: 'continue_final_message needs add_generation_prompt: false, and the other way round' };
    }
    if (body.continue_token_ids !== undefined && this.#o.engine !== 'transformers')
      return { status: 400, message: 'extra field continue_token_ids' };
    return null;
  }

  async #answer(path: string, body: Record<string, unknown>, response: ServerResponse): Promise<void> {
    const chat = path === '/v1/chat/completions';
    const { prompt, spoken } = this.#question(body, chat);
    const countsAll = body.continue_token_ids !== undefined;
    const wanted = (body.max_completion_tokens ?? body.max_tokens) as number | null | undefined;
    const whole = answerTo(prompt, this.#o.pieces);
    const limit = wanted === undefined || wanted === null ? whole.length : Math.min(whole.length, countsAll ? wanted : spoken + wanted);
    const reason = limit < whole.length ? 'length' : 'stop';
    const rest = whole.slice(spoken, limit);
    const promptTokens = countsAll || spoken === 0 ? prompt.split(' ').length : prompt.split(' ').length + spoken;
    const counted = usage(promptTokens, countsAll ? limit : rest.length);
    const id = `${chat ? 'chatcmpl' : 'cmpl'}-${this.asked.length}-${Math.abs(hash(this.url))}`;
    const head = { id, created: 1_700_000_000 + this.asked.length, model: this.#o.model };
    if (body.stream !== true) {
      if (this.fault.kind === 'badJson') {
        response.writeHead(200, { 'content-type': 'application/json' });
        return void response.end('{"choices": [');
      }
      const text = rest.join('');
      const choice = chat
        ? { index: 0, message: { role: 'assistant', content: text }, finish_reason: reason }
        : { index: 0, text, finish_reason: reason };
      return this.#json(response, 200, {
        ...head,
        object: chat ? 'chat.completion' : 'text_completion',
        choices: [choice],
        usage: counted,
      });
    }
    response.writeHead(200, { 'content-type': 'text/event-stream; charset=utf-8' });
    const object = chat ? 'chat.completion.chunk' : 'text_completion';
    const send = (choices: object[], more: object = {}) =>
      response.write(`data: ${JSON.stringify({ ...head, object, choices, ...more })}\n\n`);
    const ids = body.return_token_ids === true;
    const first = ids ? { prompt_token_ids: prompt.split(' ').map(tokenOf) } : {};
    if (chat) send([{ index: 0, delta: { role: 'assistant', content: '' }, finish_reason: null }], first);
    const { fault } = this;
    for (let i = 0; i < rest.length || fault.kind === 'endless'; i++) {
      if ('after' in fault && fault.after === i) return this.#misbehave(fault.kind, response);
      if (fault.kind === 'badJson' && i === 2) response.write('data: {"choices": [\n\n');
      const piece = rest[i % rest.length] ?? '';
      const token = ids ? { token_ids: [tokenOf(whole[spoken + i] ?? '')] } : {};
      send(
        [{ index: 0, ...(chat ? { delta: { content: piece } } : { text: piece }), ...token, finish_reason: null }],
        chat || i > 0 ? {} : first,
      );
      if (this.#o.pace > 0) await new Promise((resolve) => setTimeout(resolve, this.#o.pace));
      else if (i % 64 === 63) await new Promise((resolve) => setImmediate(resolve));
      if (response.destroyed) return;
    }
    send([{ index: 0, ...(chat ? { delta: {} } : { text: '' }), finish_reason: reason }]);
    if ((body.stream_options as { include_usage?: boolean } | undefined)?.include_usage) send([], { usage: counted });
    response.end('data: [DONE]\n\n');
  }

  #misbehave(kind: string, response: ServerResponse): void {
    // What was written before the end must be on its way: a connection that is reset may lose it.
    if (kind === 'dies') setImmediate(() => response.destroy());
    else if (kind === 'givesUp') response.end(`data: ${JSON.stringify({ error: { message: 'shutting down', code: 503 } })}\n\n`);
    else if (kind === 'stops') response.end();
  }

  /** The question's text, and how many tokens of its answer are there already. */
  #question(body: Record<string, unknown>, chat: boolean): { prompt: string; spoken: number } {
    const spokenIn = (text: string, prompt: string) => {
      const pieces = answerTo(prompt, 10_000);
      let at = 0;
      let count = 0;
      while (at < text.length && text.startsWith(pieces[count] ?? '\u0000', at)) at += (pieces[count++] ?? '').length;
      if (at !== text.length) throw new Error(`the answer to "${prompt}" does not begin with "${text}"`);
      return count;
    };
    if (Array.isArray(body.continue_token_ids)) return { prompt: textOf(body, chat), spoken: body.continue_token_ids.length };
    if (!chat && Array.isArray(body.prompt)) {
      const words = (body.prompt as number[]).map(wordOf);
      const prompt = words.filter((w) => !w.startsWith(' ')).join(' ');
      return { prompt, spoken: words.filter((w) => w.startsWith(' ')).length };
    }
    if (chat && body.continue_final_message === true) {
      const messages = body.messages as { role: string; content: string }[];
      const prompt = textOf({ messages: messages.slice(0, -1) }, true);
      return { prompt, spoken: spokenIn(messages.at(-1)?.content ?? '', prompt) };
    }
    const prompt = textOf(body, chat);
    const begun = prompt.indexOf(' # ');
    if (!chat && begun >= 0) {
      const question = prompt.slice(0, begun + 2);
      return { prompt: question, spoken: spokenIn(prompt.slice(begun + 2), question) };
    }
    return { prompt, spoken: 0 };
  }

  #json(response: ServerResponse, status: number, body: object): void {
    response.writeHead(status, { 'content-type': 'application/json' });
    response.end(JSON.stringify(body));
  }
}

function textOf(body: Record<string, unknown>, chat: boolean): string {
  if (!chat) return String(body.prompt);
  return (body.messages as { content: string }[]).map((m) => m.content).join(' ');
}

/** The pieces of the one greedy answer to a question: words, each with a space before it. */
export function answerTo(prompt: string, pieces: number): string[] {
  const words = WORDS.split(' ');
  const start = Math.abs(hash(prompt));
  return Array.from({ length: pieces }, (_, i) => ` ${words[(start + i * 7) % words.length]}${i}`);
}

const vocabulary: string[] = [];
function tokenOf(word: string): number {
  const known = vocabulary.indexOf(word);
  return known >= 0 ? known : vocabulary.push(word) - 1;
}
function wordOf(token: number): string {
  return vocabulary[token] ?? '';
}

function hash(text: string): number {
  let value = 7;
  for (const char of text) value = (value * 31 + (char.codePointAt(0) ?? 0)) | 0;
  return value;
}

function usage(prompt: number, completion: number): object {
  return { prompt_tokens: prompt, completion_tokens: completion, total_tokens: prompt + completion };
}
