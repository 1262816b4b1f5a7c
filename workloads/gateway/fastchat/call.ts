import { randomBytes } from 'node:crypto';
import { eventOf } from '../sse.ts';
import { callWorker, readAll, type UpstreamCall, WorkerFailed } from '../upstream.ts';
import { WorkerResponse } from '../worker-response.ts';
import { type Message, promptOf, type Template } from './prompt.ts';

/** FastChat's workers cut the question to make room for so many tokens, so that no limit cannot be a large one. */
const TOKENS = 512;
const LONGEST_TEMPLATE = 1 << 20;
/** What a worker sends so far of an answer, all of its text each time. */
interface Piece {
  readonly text: string;
  readonly error_code: number;
  readonly usage?: { prompt_tokens: number; completion_tokens: number; total_tokens: number } | null;
  readonly finish_reason?: string | null;
}

/** Asks a FastChat worker what OpenAI's API was asked. Rejects with WorkerFailed; what it cannot do at all has status 400. */
export async function callFastchat(call: UpstreamCall, isChat: boolean, idleMs: number): Promise<WorkerResponse> {
  const body = JSON.parse(call.body.toString('utf8')) as Record<string, unknown>;
  if (call.path === '/v1/embeddings') return refusal('FastChat workers are asked for chat and completions only.');
  const template = await templateOf(call, String(body.model), idleMs);
  let prompt: string;
  try {
    prompt = isChat ? promptOf(template, messagesOf(body), body.continue_final_message === true) : String(body.prompt);
  } catch (error) {
    return refusal((error as Error).message);
  }
  const stops = [body.stop, isChat ? template.stop_str : null].flat().filter((s): s is string => typeof s === 'string');
  const asked = {
    model: body.model,
    prompt,
    temperature: body.temperature ?? 1,
    top_p: body.top_p ?? 1,
    presence_penalty: body.presence_penalty ?? 0,
    frequency_penalty: body.frequency_penalty ?? 0,
    max_new_tokens: body.max_completion_tokens ?? body.max_tokens ?? TOKENS,
    stop: stops,
    stop_token_ids: template.stop_token_ids ?? [],
    echo: false,
  };
  const response = await callWorker({ ...call, path: '/worker_generate_stream', body: Buffer.from(JSON.stringify(asked)) });
  if (response.status !== 200) {
    response.cancel();
    throw new WorkerFailed(call.worker, `status ${response.status}`);
  }
  return translate(response, body, isChat);
}

async function templateOf(call: UpstreamCall, model: string, idleMs: number): Promise<Template> {
  const response = await callWorker({ ...call, path: '/worker_get_conv_template', body: Buffer.from(JSON.stringify({ model })) });
  const text = await readAll(call.worker, response, LONGEST_TEMPLATE, idleMs);
  try {
    const { conv } = JSON.parse(text.toString('utf8')) as { conv: Template };
    if (typeof conv.system_template === 'string' && Array.isArray(conv.roles)) return conv;
  } catch {
    // told below
  }
  throw new WorkerFailed(call.worker, 'it gave no conversation template');
}

function messagesOf({ messages }: Record<string, unknown>): Message[] {
  return (messages as { role: string; content: unknown }[]).map(({ role, content }) => ({
    role,
    content: typeof content === 'string' ? content : ((content ?? []) as { text?: string }[]).map((part) => part.text ?? '').join(''),
  }));
}

/** Turns FastChat's pieces, which end with a zero byte and repeat the text so far, into OpenAI's chunks, or into one answer. */
function translate(response: WorkerResponse, body: Record<string, unknown>, isChat: boolean): WorkerResponse {
  const streamed = body.stream === true;
  const type = streamed ? 'text/event-stream; charset=utf-8' : 'application/json';
  const out = new WorkerResponse(
    200,
    { 'content-type': type },
    {
      pause: () => response.pause(),
      resume: () => response.resume(),
      abort: () => response.cancel(),
    },
  );
  const send = (text: string) => out.push(Buffer.from(text));
  const head = {
    id: `${isChat ? 'chatcmpl' : 'cmpl'}-${randomBytes(12).toString('hex')}`,
    created: Math.floor(Date.now() / 1000),
    model: body.model,
  };
  const object = isChat ? 'chat.completion.chunk' : 'text_completion';
  const chunk = (text: string, finish: string | null, role = false) => {
    const delta = { ...(role ? { role: 'assistant' } : {}), ...(text === '' && !role ? {} : { content: text }) };
    return eventOf({ ...head, object, choices: [{ index: 0, ...(isChat ? { delta } : { text }), finish_reason: finish }] });
  };
  let rest: Buffer = Buffer.alloc(0);
  let last: Piece | null = null;
  let sent = '';
  const take = (piece: Piece) => {
    if (piece.error_code !== 0) throw new Error(`error ${piece.error_code}`);
    last = piece;
    // Half of a character is told as a replacement mark until the other half is there.
    const text = piece.text.replace(/\ufffd+$/, '');
    if (!streamed || !text.startsWith(sent) || text.length === sent.length) return;
    send(chunk(text.slice(sent.length), null, isChat && sent === ''));
    sent = text;
  };
  const end = () => {
    const piece = last as Piece | null;
    // A worker that is told to end stops in the middle, and says no reason.
    if (!piece?.finish_reason) return out.finish(new Error('its answer ended before it was done'));
    if (streamed) {
      send(chunk('', piece.finish_reason));
      const options = body.stream_options as { include_usage?: boolean } | null | undefined;
      if (options?.include_usage && piece.usage) send(eventOf({ ...head, object, choices: [], usage: piece.usage }));
      send('data: [DONE]\n\n');
    } else {
      const answer = isChat ? { message: { role: 'assistant', content: piece.text.trim() } } : { text: piece.text };
      const choices = [{ index: 0, ...answer, finish_reason: piece.finish_reason }];
      send(JSON.stringify({ ...head, object: isChat ? 'chat.completion' : 'text_completion', choices, usage: piece.usage ?? null }));
    }
    out.finish(null);
  };
  response.read({
    data(data) {
      rest = rest.length === 0 ? data : Buffer.concat([rest, data]);
      try {
        for (let zero = rest.indexOf(0); zero >= 0; zero = rest.indexOf(0)) {
          if (zero > 0) take(JSON.parse(rest.toString('utf8', 0, zero)) as Piece);
          rest = rest.subarray(zero + 1);
        }
        if (rest.length > 1 << 22) throw new Error('a piece that is too large');
      } catch (error) {
        response.cancel();
        out.finish(error as Error);
      }
    },
    end,
    fail: (error) => out.finish(error),
  });
  return out;
}

function refusal(message: string): WorkerResponse {
  const nothing = { pause: () => undefined, resume: () => undefined, abort: () => undefined };
  const response = new WorkerResponse(400, { 'content-type': 'application/json' }, nothing);
  response.push(Buffer.from(JSON.stringify({ error: { message, type: 'invalid_request_error', param: null, code: null } })));
  response.finish(null);
  return response;
}
