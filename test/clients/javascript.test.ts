import OpenAI from 'openai';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { KEY, LIMITED_KEY, MODEL, QUICK_KEY, Stack, until } from './stack.ts';

let stack: Stack;
let client: OpenAI;
const messages = [{ role: 'user' as const, content: 'Hello, who are you?' }];
const short = { model: MODEL, messages, max_tokens: 8, temperature: 0 };

const connect = (options: { apiKey?: string; maxRetries?: number } = {}) =>
  new OpenAI({ baseURL: `${stack.url}/v1`, apiKey: KEY, maxRetries: 0, ...options });

beforeAll(async () => {
  stack = await Stack.start();
  client = connect();
});
afterAll(() => stack?.stop());

describe("OpenAI's JavaScript client", () => {
  it('gets an answer with its usage', async () => {
    const answer = await client.chat.completions.create(short);
    expect(answer.choices[0]?.message.role).toBe('assistant');
    expect(answer.usage?.completion_tokens).toBeGreaterThan(0);
  });

  it('streams the same answer, with usage', async () => {
    const whole = await client.chat.completions.create(short);
    let text = '';
    let tokens = 0;
    for await (const chunk of await client.chat.completions.create({ ...short, stream: true, stream_options: { include_usage: true } })) {
      text += chunk.choices[0]?.delta.content ?? '';
      tokens = chunk.usage?.completion_tokens ?? tokens;
    }
    expect(text).toBe(whole.choices[0]?.message.content);
    expect(tokens).toBe(whole.usage?.completion_tokens);
  });

  it('gets completions, whole and streamed', async () => {
    const question = { model: MODEL, prompt: 'Once upon', max_tokens: 8, temperature: 0 };
    const whole = await client.completions.create(question);
    let text = '';
    for await (const chunk of await client.completions.create({ ...question, stream: true })) text += chunk.choices[0]?.text ?? '';
    expect(text).toBe(whole.choices[0]?.text);
  });

  it('gets log probabilities, and the same answer for the same seed', async () => {
    const question = { ...short, temperature: 1, seed: 7, logprobs: true, top_logprobs: 2 };
    const [first, second] = [await client.chat.completions.create(question), await client.chat.completions.create(question)];
    expect(first.choices[0]?.logprobs?.content?.[0]?.top_logprobs).toHaveLength(2);
    expect(second.choices[0]?.message.content).toBe(first.choices[0]?.message.content);
  });

  it('stops before a stop string', async () => {
    const whole = (await client.chat.completions.create({ ...short, max_tokens: 16 })).choices[0]?.message.content ?? '';
    const stop = whole.slice(4, 7);
    const answer = await client.chat.completions.create({ ...short, max_tokens: 16, stop });
    expect(answer.choices[0]?.message.content).toBe(whole.slice(0, whole.indexOf(stop)));
    expect(answer.choices[0]?.finish_reason).toBe('stop');
  });

  it('gets embeddings, the same as base64 and as numbers', async () => {
    const input = ['A queen.', 'A king.'];
    const packed = await client.embeddings.create({ model: MODEL, input });
    const plain = await client.embeddings.create({ model: MODEL, input, encoding_format: 'float' });
    expect(packed.data.map((e) => e.index)).toEqual([0, 1]);
    for (const [i, { embedding }] of packed.data.entries()) {
      expect(embedding.length).toBe(plain.data[i]?.embedding.length);
      expect(embedding[0]).toBeCloseTo(plain.data[i]?.embedding[0] ?? Number.NaN, 5);
    }
    expect(packed.usage.prompt_tokens).toBeGreaterThan(0);
  });

  it('gives up after its own time, and nothing goes on for it', async () => {
    const impatient = client.chat.completions.create({ ...short, max_tokens: 400 }, { timeout: 20 });
    await expect(impatient).rejects.toThrow(OpenAI.APIConnectionTimeoutError);
    await until('the engine is idle', async () => (await stack.busy()) === 0);
  });

  it('asks again by itself when the limit allows it', async () => {
    const ask = (maxRetries: number) => connect({ apiKey: QUICK_KEY, maxRetries }).chat.completions.create({ ...short, max_tokens: 1 });
    const burst = await Promise.allSettled(Array.from({ length: 40 }, () => ask(0)));
    expect(burst.filter((r) => r.status === 'rejected').every((r) => r.reason instanceof OpenAI.RateLimitError)).toBe(true);
    expect(burst.filter((r) => r.status === 'rejected').length).toBeGreaterThan(3);
    // The client waits as long as the gateway says.
    expect((await ask(3)).choices).toHaveLength(1);
  });

  it('lists and retrieves models', async () => {
    expect((await client.models.list()).data.map(({ id }) => id)).toEqual([MODEL]);
    expect((await client.models.retrieve(MODEL)).id).toBe(MODEL);
  });

  it('hears of errors in its own classes', async () => {
    await expect(client.chat.completions.create({ ...short, max_tokens: -1 })).rejects.toThrow(OpenAI.BadRequestError);
    await expect(client.chat.completions.create({ ...short, model: 'none' })).rejects.toThrow(OpenAI.NotFoundError);
    await expect(client.models.retrieve('none')).rejects.toThrow(OpenAI.NotFoundError);
    await expect(connect({ apiKey: 'a-wrong-key' }).chat.completions.create(short)).rejects.toThrow(OpenAI.AuthenticationError);
  });

  it('hears of a limit, and after how long to ask again', async () => {
    const limited = connect({ apiKey: LIMITED_KEY });
    await limited.chat.completions.create(short);
    const error = await limited.chat.completions.create(short).catch((reason: unknown) => reason);
    expect(error).toBeInstanceOf(OpenAI.RateLimitError);
    expect(Number((error as InstanceType<typeof OpenAI.RateLimitError>).headers.get('retry-after'))).toBeGreaterThan(0);
  });

  it('leaves nothing running when it goes away mid-answer', async () => {
    const stream = await client.chat.completions.create({ ...short, max_tokens: 400, stream: true });
    for await (const _ of stream) break;
    await until('the engine is idle', async () => (await stack.busy()) === 0);
  });
});
