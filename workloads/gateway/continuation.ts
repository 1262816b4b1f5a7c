import type { Answer, Chunk, Usage } from './answer.ts';
import type { Endpoint, ModelRequest } from './request.ts';
import type { Worker } from './worker.ts';

/** How a request goes on at another worker. */
export interface Continuation {
  readonly endpoint: Endpoint;
  readonly body: Buffer;
  /** Whether the worker counts the tokens that were there before as the answer's own. */
  readonly countsAll: boolean;
}

/**
 * The request by which `worker` goes on with a broken answer; null where that cannot be done without changing what the client sees.
 * Our own engine takes the very tokens; vLLM gets them after the prompt's, as tokens, so that nothing is tokenized anew; others get the
 * text as the beginning of the assistant's message, with vLLM's and SGLang's field for that.
 */
export function continuationFor(request: ModelRequest, answer: Answer, worker: Worker): Continuation | null {
  const { json, endpoint } = request;
  if (!answer.continuable || (typeof json.n === 'number' && json.n > 1) || json.logprobs || json.tools || json.echo) return null;
  const { tokens, promptTokens } = answer;
  const { engine } = worker.spec;
  const left = remaining(json, answer.tokenCount);
  if (left === 0) return null;
  if (engine === 'transformers' && tokens !== null)
    return { endpoint, body: encode({ ...json, continue_token_ids: tokens }), countsAll: true };
  if (engine === 'vllm' && tokens !== null && promptTokens !== null) {
    const { messages: _, prompt: __, max_completion_tokens: ___, chat_template_kwargs: ____, ...rest } = json;
    const body = { ...rest, prompt: [...promptTokens, ...tokens], ...(left === null ? { max_tokens: null } : { max_tokens: left }) };
    return { endpoint: '/v1/completions', body: encode(body), countsAll: false };
  }
  if (endpoint === '/v1/completions') {
    if (typeof json.prompt !== 'string') return null;
    const body = { ...json, prompt: json.prompt + answer.text, ...(left === null ? {} : { max_tokens: left }) };
    return { endpoint, body: encode(body), countsAll: false };
  }
  const messages = [...(json.messages as unknown[]), { role: 'assistant', content: answer.text }];
  const field = json.max_completion_tokens === undefined || json.max_completion_tokens === null ? 'max_tokens' : 'max_completion_tokens';
  const body = {
    ...json,
    messages,
    add_generation_prompt: false,
    continue_final_message: true,
    ...(left === null ? {} : { [field]: left }),
  };
  return { endpoint, body: encode(body), countsAll: false };
}

/** Tokens that the answer may still have; null = no limit was asked for. */
function remaining(json: Record<string, unknown>, spent: number): number | null {
  const wanted = json.max_completion_tokens ?? json.max_tokens;
  return typeof wanted === 'number' ? Math.max(0, wanted - spent) : null;
}

function encode(body: object): Buffer {
  return Buffer.from(JSON.stringify(body));
}

/** Gives the chunks of a continuation the face of the answer that they continue. */
export class Rewriter {
  readonly #head: Chunk;
  readonly #isChat: boolean;
  readonly #before: number;
  readonly #promptTokens: number | null;
  readonly #countsAll: boolean;
  #begun: boolean;

  constructor(answer: Answer, endpoint: Endpoint, countsAll: boolean) {
    this.#head = answer.head ?? {};
    this.#isChat = endpoint === '/v1/chat/completions';
    this.#before = answer.tokenCount;
    this.#promptTokens = answer.promptTokens?.length ?? null;
    this.#countsAll = countsAll;
    this.#begun = answer.head !== null;
  }

  /** The chunk as the client is to see it, or null when it says nothing new. */
  rewrite(chunk: Chunk): Chunk | null {
    const head = this.#begun ? this.#head : chunk;
    const choices = (chunk.choices ?? []).map((choice) => {
      const text = choice.text ?? choice.delta?.content ?? '';
      const common = {
        index: 0,
        logprobs: null,
        finish_reason: choice.finish_reason ?? null,
        ...(choice.token_ids ? { token_ids: choice.token_ids } : {}),
      };
      if (!this.#isChat) return { ...common, text };
      return { ...common, delta: text === '' ? {} : { content: text } };
    });
    const says = choices.some((c) => c.finish_reason !== null || ('text' in c ? c.text !== '' : Object.keys(c.delta).length > 0));
    if (!says && !chunk.usage) return null;
    return {
      id: head.id ?? '',
      object: this.#isChat ? 'chat.completion.chunk' : 'text_completion',
      created: head.created ?? 0,
      model: head.model ?? '',
      choices,
      ...(chunk.usage ? { usage: this.usage(chunk.usage) } : chunk.usage === null ? { usage: null } : {}),
    };
  }

  /** Tokens of the whole answer, each counted once. */
  usage(usage: Usage): Usage {
    if (this.#countsAll) return usage;
    const prompt = this.#promptTokens ?? Math.max(0, usage.prompt_tokens - this.#before);
    const completion = this.#before + usage.completion_tokens;
    return { prompt_tokens: prompt, completion_tokens: completion, total_tokens: prompt + completion };
  }
}
