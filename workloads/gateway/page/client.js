import { EventReader } from './sse.js';

/** What keeps an answer from coming, in words for people. */
export class Problem extends Error {
  /** @param {string} message @param {{ code?: string | null, status?: number, retryAfter?: number }} [details] */
  constructor(message, { code = null, status = 0, retryAfter = 0 } = {}) {
    super(message);
    this.code = code;
    this.status = status;
    this.retryAfter = retryAfter;
  }
}

const headers = (/** @type {string} */ key) => (key === '' ? {} : { authorization: `Bearer ${key}` });

/** Names of the models. @param {string} key @returns {Promise<string[]>} */
export async function listModels(key) {
  const response = await fetch('/v1/models', { headers: headers(key) }).catch(() => {
    throw new Problem('The server cannot be reached.');
  });
  if (!response.ok) throw await problemOf(response);
  const { data } = await response.json();
  return data.map((/** @type {{ id: string }} */ m) => m.id);
}

/**
 * Asks for an answer; tells what happens as it happens. Resolves with the finish reason. Rejects with a Problem, or AbortError.
 * @param {{ key: string, model: string, messages: object[], signal: AbortSignal,
 *   onText: (text: string) => void, onEvent: (what: string, details: any) => void }} request
 */
export async function ask({ key, model, messages, signal, onText, onEvent }) {
  let response;
  try {
    response = await fetch('/v1/chat/completions', {
      method: 'POST',
      headers: { 'content-type': 'application/json', 'x-vicuna-events': '1', ...headers(key) },
      body: JSON.stringify({ model, messages, stream: true }),
      signal,
    });
  } catch (error) {
    if (signal.aborted) throw error;
    throw new Problem('The server cannot be reached. Check the connection and try again.');
  }
  if (!response.ok || !response.body) throw await problemOf(response);
  const reader = new EventReader();
  let finish = null;
  let done = false;
  try {
    const decoded = response.body.pipeThrough(new TextDecoderStream());
    for (let stream = decoded.getReader(), piece = await stream.read(); !piece.done; piece = await stream.read()) {
      for (const event of reader.push(piece.value)) {
        if (event.type === 'comment') {
          const space = event.text.indexOf(' ');
          onEvent(event.text.slice(0, space), JSON.parse(event.text.slice(space + 1)));
          continue;
        }
        if (event.data === '[DONE]') {
          done = true;
          continue;
        }
        const chunk = JSON.parse(event.data);
        if (chunk.error) throw new Problem(chunk.error.message, { code: chunk.error.code });
        const choice = chunk.choices?.[0];
        if (choice?.delta?.content) onText(choice.delta.content);
        finish = choice?.finish_reason ?? finish;
      }
    }
  } catch (error) {
    if (signal.aborted || error instanceof Problem) throw error;
    throw new Problem('The connection broke off.');
  }
  if (!done) throw new Problem('The connection broke off.');
  return finish;
}

/** @param {Response} response */
async function problemOf(response) {
  const body = await response.json().catch(() => null);
  return new Problem(body?.error?.message ?? `The server answered with status ${response.status}.`, {
    code: body?.error?.code ?? null,
    status: response.status,
    retryAfter: Number(response.headers.get('retry-after') ?? 0),
  });
}
