import { invalid } from './api-error.ts';
import { hashOf } from './worker.ts';

export type Endpoint = '/v1/chat/completions' | '/v1/completions' | '/v1/embeddings';

/** A client's request, as far as the gateway has to understand it; the worker checks the rest. */
export interface ModelRequest {
  readonly endpoint: Endpoint;
  readonly body: Buffer;
  readonly json: Record<string, unknown>;
  readonly model: string;
  readonly stream: boolean;
  readonly includeUsage: boolean;
  /** Hash of how the conversation begins. */
  readonly prefix: number;
}

/** Characters of a conversation's beginning that decide where it goes. */
const PREFIX = 256;

/** Reads a body; throws an ApiError that says what is wrong with it. */
export function parseRequest(endpoint: Endpoint, body: Buffer, maxTokens: number | undefined): ModelRequest {
  let json: Record<string, unknown>;
  try {
    json = JSON.parse(body.toString('utf8')) as Record<string, unknown>;
  } catch (error) {
    throw invalid(`The body is not JSON: ${(error as Error).message}`);
  }
  if (json === null || typeof json !== 'object' || Array.isArray(json)) throw invalid('The body is not a JSON object.');
  const { model, stream, stream_options: options } = json;
  if (typeof model !== 'string' || model === '') throw invalid('model must be the name of a model.', 'model');
  if (stream !== undefined && stream !== null && typeof stream !== 'boolean') throw invalid('stream must be true or false.', 'stream');
  if (endpoint === '/v1/chat/completions' && !Array.isArray(json.messages)) throw invalid('messages must be a list.', 'messages');
  for (const name of ['max_tokens', 'max_completion_tokens']) {
    const wanted = json[name];
    if (maxTokens !== undefined && typeof wanted === 'number' && wanted > maxTokens)
      throw invalid(`${name} is ${wanted}, more than the ${maxTokens} that this server allows.`, name, 'too_many_tokens');
  }
  return {
    endpoint,
    body,
    json,
    model,
    stream: stream === true && endpoint !== '/v1/embeddings',
    includeUsage: (options as { include_usage?: unknown } | null | undefined)?.include_usage === true,
    prefix: hashOf(beginning(json)),
  };
}

function beginning({ messages, prompt, input }: Record<string, unknown>): string {
  if (Array.isArray(messages)) {
    let text = '';
    for (const message of messages) {
      const content = (message as { content?: unknown } | null)?.content;
      if (typeof content === 'string') text += content;
      if (text.length >= PREFIX) break;
    }
    return text.slice(0, PREFIX);
  }
  return typeof prompt === 'string' ? prompt.slice(0, PREFIX) : typeof input === 'string' ? input.slice(0, PREFIX) : '';
}

/** All that a user has written, for moderation. */
export function textOf({ messages, prompt, input }: Record<string, unknown>): string {
  const parts: string[] = [];
  const add = (value: unknown): void => {
    if (typeof value === 'string') parts.push(value);
    else if (Array.isArray(value)) for (const item of value) add(item);
    else if (value !== null && typeof value === 'object') {
      const { content, text } = value as { content?: unknown; text?: unknown };
      add(content);
      add(text);
    }
  };
  add(messages);
  add(prompt);
  add(input);
  return parts.join('\n');
}
