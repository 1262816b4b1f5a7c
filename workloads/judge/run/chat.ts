import { type Agent, EnvHttpProxyAgent, request } from 'undici';
import { z } from 'zod';
import { badConfiguration, EXIT, Failure } from '../failure.ts';
import type { Clock } from './clock.ts';
import type { Usage } from './ledger.ts';
import { Pacer } from './pacer.ts';
import { backOffMs, retryAfterMs } from './retry-after.ts';

export interface Message {
  readonly role: 'system' | 'user' | 'assistant';
  readonly content: string;
}

export interface ChatRequest {
  readonly messages: readonly Message[];
  readonly temperature: number;
  readonly maxTokens: number;
}

export interface ChatReply {
  readonly text: string;
  readonly finish: string | null;
  readonly usage: Usage;
}

/** This request gets no answer, whatever is done; others may. */
export class Refused extends Error {}

export interface ChatServer {
  readonly url: string;
  readonly model: string;
  readonly apiKey: string | null;
  readonly requestsPerMinute?: number | undefined;
  readonly timeoutSeconds: number;
}

interface Tools {
  readonly clock: Clock;
  readonly random: () => number;
  /** A further try will be made, and why. */
  readonly onTrouble: (sentence: string) => void;
}

/** Tries of a request: a server that is down or busy may come back, one that was too slow or talks nonsense rarely gets better. */
const TRIES = { unavailable: 10, slow: 3, nonsense: 3 } as const;
type Trouble = keyof typeof TRIES;
/** Characters of what a server says about an error. */
const LONGEST_REASON = 300;
const MAX_ANSWER_BYTES = 8 * 1_024 * 1_024;

const replySchema = z.object({
  choices: z.array(z.object({ message: z.object({ content: z.string().nullish() }), finish_reason: z.string().nullish() })).min(1),
  usage: z.object({ prompt_tokens: z.number().min(0), completion_tokens: z.number().min(0) }).nullish(),
});
const problemSchema = z.object({
  error: z.object({ message: z.string().optional(), code: z.union([z.string(), z.number()]).nullish(), param: z.string().nullish() }),
});

/** One try that did not work. */
class Unsuccessful extends Error {
  readonly trouble: Trouble;
  readonly waitMs: number | null;

  constructor(trouble: Trouble, message: string, waitMs: number | null = null) {
    super(message);
    this.trouble = trouble;
    this.waitMs = waitMs;
  }
}

interface Failed {
  readonly status: number;
  readonly headers: Record<string, string | string[] | undefined>;
  readonly body: Buffer;
  readonly sent: object;
}

/** A server with OpenAI's chat completions: paced, retried, and bounded in time and size. */
export class Chat {
  readonly #server: ChatServer;
  readonly #tools: Tools;
  readonly #pacer: Pacer;
  readonly #agent: Agent | EnvHttpProxyAgent;
  /** Parameters that this model does not take (newer models of OpenAI's have neither). */
  readonly #unknown = new Set<string>();

  constructor(server: ChatServer, tools: Tools) {
    this.#server = server;
    this.#tools = tools;
    this.#pacer = new Pacer(tools.clock, server.requestsPerMinute);
    this.#agent = new EnvHttpProxyAgent({ headersTimeout: 0, bodyTimeout: 0 }); // the whole has its own limit
  }

  async close(): Promise<void> {
    await this.#agent.destroy();
  }

  /**
   * Rejects with Refused when this request cannot be answered and with a Failure when no request can. `onLost` is awaited before a further
   * try when the one before may have cost money all the same; what it rejects with is passed on.
   */
  async ask(chat: ChatRequest, signal: AbortSignal, onLost: () => Promise<void>): Promise<ChatReply> {
    const { clock, random, onTrouble } = this.#tools;
    const tries: Record<Trouble, number> = { unavailable: 0, slow: 0, nonsense: 0 };
    for (;;) {
      await this.#pacer.turn(signal);
      try {
        return await this.#try(chat, signal);
      } catch (error) {
        if (!(error instanceof Unsuccessful)) throw error;
        const { trouble, message, waitMs } = error;
        tries[trouble]++;
        if (tries[trouble] >= TRIES[trouble]) {
          const sentence = `${this.#who}: ${message}, ${tries[trouble]} times`;
          throw trouble === 'unavailable'
            ? new Failure(EXIT.other, `${sentence}. What is done is kept: start again when the server is up.`)
            : new Refused(sentence);
        }
        if (trouble !== 'unavailable') await onLost();
        const ms = Math.max(waitMs ?? 0, backOffMs(tries[trouble], random));
        onTrouble(`${this.#who}: ${message}; trying again in ${Math.ceil(ms / 1_000)} s`);
        if (waitMs !== null) this.#pacer.pause(waitMs);
        await clock.sleep(ms, signal);
      }
    }
  }

  get #who(): string {
    return `${this.#server.model} at ${this.#server.url}`;
  }

  async #try(chat: ChatRequest, signal: AbortSignal): Promise<ChatReply> {
    const { url, apiKey, timeoutSeconds } = this.#server;
    const limit = AbortSignal.timeout(timeoutSeconds * 1_000);
    let status = 0;
    let headers: Record<string, string | string[] | undefined> = {};
    let body: Buffer;
    const sent = this.#bodyOf(chat);
    try {
      const response = await request(`${url.replace(/\/+$/, '')}/chat/completions`, {
        method: 'POST',
        dispatcher: this.#agent,
        headers: { 'content-type': 'application/json', ...(apiKey === null ? {} : { authorization: `Bearer ${apiKey}` }) },
        body: JSON.stringify(sent),
        signal: AbortSignal.any([signal, limit]),
      });
      status = response.statusCode;
      headers = response.headers;
      body = await readBody(response.body);
    } catch (error) {
      signal.throwIfAborted();
      if (error instanceof Unsuccessful) throw error;
      if (limit.aborted) throw new Unsuccessful('slow', `no answer within ${timeoutSeconds} s`);
      throw new Unsuccessful('unavailable', `no connection (${reasonOf(error)})`);
    }
    return status === 200 ? this.#read(body, chat) : this.#fail({ status, headers, body, sent }, chat, signal);
  }

  /** Some servers repeat the key that they refuse. */
  #withoutKey(text: string): string {
    const { apiKey } = this.#server;
    return apiKey === null ? text : text.replaceAll(apiKey, '…');
  }

  #bodyOf({ messages, temperature, maxTokens }: ChatRequest): object {
    return {
      model: this.#server.model,
      messages,
      ...(this.#unknown.has('temperature') ? {} : { temperature }),
      [this.#unknown.has('max_tokens') ? 'max_completion_tokens' : 'max_tokens']: maxTokens,
    };
  }

  #read(body: Buffer, chat: ChatRequest): ChatReply {
    let value: unknown;
    try {
      value = JSON.parse(body.toString('utf8'));
    } catch {
      throw new Unsuccessful('nonsense', 'an answer that is no JSON');
    }
    const result = replySchema.safeParse(value);
    const [choice] = result.data?.choices ?? [];
    if (!result.success || choice === undefined) throw new Unsuccessful('nonsense', 'an answer that is no chat completion');
    const text = choice.message.content ?? '';
    const { usage } = result.data;
    return {
      text,
      finish: choice.finish_reason ?? null,
      usage: usage
        ? { input: usage.prompt_tokens, output: usage.completion_tokens }
        : { input: guessTokens(chat.messages.map((m) => m.content).join('')), output: guessTokens(text) },
    };
  }

  #fail({ status, headers, body, sent }: Failed, chat: ChatRequest, signal: AbortSignal): Promise<ChatReply> {
    const problem = problemOf(body);
    const said = problem?.message ? `: ${this.#withoutKey(problem.message).slice(0, LONGEST_REASON)}` : '';
    if (problem?.code === 'insufficient_quota') throw badConfiguration(`${this.#who}: the account has no quota left${said}`);
    if (status === 429 || status === 408 || status >= 500)
      throw new Unsuccessful('unavailable', `status ${status}${said}`, retryAfterMs(headers, this.#tools.clock.now()));
    const { param } = problem ?? {};
    if (status === 400 && (param === 'max_tokens' || param === 'temperature') && param in sent) {
      this.#unknown.add(param);
      this.#tools.onTrouble(
        `${this.#who}: takes no ${param}; going on ${param === 'temperature' ? 'with its own' : 'with max_completion_tokens'}`,
      );
      return this.#try(chat, signal);
    }
    if (status === 400 || status === 413 || status === 422) throw new Refused(`${this.#who}: status ${status}${said}`);
    const advice = status === 401 || status === 403 ? 'check the API key' : 'check url and model';
    throw badConfiguration(`${this.#who}: status ${status}${said}; ${advice}`);
  }
}

/** Where a server does not count: English has about four characters a token. */
export const guessTokens = (text: string) => Math.ceil(text.length / 4);

function problemOf(body: Buffer): { message?: string | undefined; code?: unknown; param?: string | null | undefined } | null {
  try {
    return problemSchema.parse(JSON.parse(body.toString('utf8'))).error;
  } catch {
    return null;
  }
}

async function readBody(body: AsyncIterable<Uint8Array>): Promise<Buffer> {
  const chunks: Uint8Array[] = [];
  let size = 0;
  for await (const chunk of body) {
    size += chunk.byteLength;
    if (size > MAX_ANSWER_BYTES) throw new Unsuccessful('nonsense', `an answer of more than ${MAX_ANSWER_BYTES} bytes`);
    chunks.push(chunk);
  }
  return Buffer.concat(chunks);
}

function reasonOf(error: unknown): string {
  const { code, message } = error as NodeJS.ErrnoException;
  return code ?? message;
}
