import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { createServer, type Server } from 'node:http';
import type { AddressInfo } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, it, vi } from 'vitest';
import { GatewayStage } from '../testing/stage.ts';
import { promptOf, type Template } from './prompt.ts';
import { Registration } from './registration.ts';

/** Vicuna's template, as FastChat's workers tell it. */
const VICUNA: Template = {
  system_template: '{system_message}',
  system_message: 'A chat.',
  roles: ['USER', 'ASSISTANT'],
  messages: [],
  sep_style: 2,
  sep: ' ',
  sep2: '</s>',
  stop_str: null,
  stop_token_ids: null,
};

describe('a prompt by a template', () => {
  const question = { role: 'user', content: 'Hi' };
  it.each([
    [2, 'A chat. USER: Hi ASSISTANT:'],
    [1, 'A chat. USER: Hi ASSISTANT:'],
    [3, 'A chat. USER: Hi ASSISTANT: '],
    [4, 'A chat.USERHi ASSISTANT'],
    [6, 'A chat. USER\nHi ASSISTANT\n'],
    [9, 'A chat. \nUSER\nHi \nASSISTANT\n'],
  ])('of style %i', (sep_style, expected) => {
    expect(promptOf({ ...VICUNA, sep_style }, [question], false)).toBe(expected);
  });

  it('has the system’s message, both separators, and an answer that is begun', () => {
    const messages = [
      { role: 'system', content: 'Be brief: $& {x}' },
      question,
      { role: 'assistant', content: 'Hello' },
      { role: 'user', content: 'More' },
    ];
    expect(promptOf(VICUNA, messages, false)).toBe('Be brief: $& {x} USER: Hi ASSISTANT: Hello</s>USER: More ASSISTANT:');
    expect(promptOf(VICUNA, [...messages, { role: 'assistant', content: 'Yes, and' }], true)).toMatch(/USER: More ASSISTANT: Yes, and$/);
  });

  it('is refused where the style or a role is not known', () => {
    expect(() => promptOf({ ...VICUNA, sep_style: 99 }, [question], false)).toThrow('style 99 is not known');
    expect(() => promptOf(VICUNA, [{ role: 'tool', content: 'x' }], false)).toThrow('the role tool');
  });
});

/** A worker with FastChat's protocol: all of the text in every piece, zero bytes between them. */
class FakeFastchat {
  readonly prompts: string[] = [];
  dieAfter: number | null = null;
  readonly #server: Server;

  constructor() {
    this.#server = createServer(async (request, response) => {
      const chunks: Buffer[] = [];
      for await (const chunk of request) chunks.push(chunk as Buffer);
      if (request.url === '/worker_get_conv_template') {
        response.end(JSON.stringify({ conv: VICUNA }));
        return;
      }
      if (request.url !== '/worker_generate_stream') {
        response.writeHead(404).end();
        return;
      }
      const asked = JSON.parse(Buffer.concat(chunks).toString()) as { prompt: string; max_new_tokens: number };
      this.prompts.push(asked.prompt);
      const words = ['One', ' two', ' three ü', ' four', ' five'];
      const begun = words.findIndex((_, i) => asked.prompt.endsWith(words.slice(0, i + 1).join(''))) + 1;
      const rest = words.slice(begun, begun + asked.max_new_tokens);
      let text = '';
      for (const [i, word] of rest.entries()) {
        if (this.dieAfter === i) {
          setImmediate(() => response.destroy());
          return;
        }
        text += word;
        const finish = i === rest.length - 1 ? (rest.length < words.length - begun ? 'length' : 'stop') : null;
        const usage = { prompt_tokens: 9, completion_tokens: i + 1, total_tokens: 10 + i };
        // Half of a character first.
        if (word.includes('ü'))
          response.write(`${JSON.stringify({ text: text.replace('ü', '\ufffd'), error_code: 0, usage, finish_reason: null })}\0`);
        response.write(`${JSON.stringify({ text, error_code: 0, usage, finish_reason: finish })}\0`);
        await new Promise((resolve) => setImmediate(resolve));
      }
      response.end();
    });
  }

  async start(): Promise<void> {
    await new Promise<void>((resolve) => this.#server.listen(0, '127.0.0.1', resolve));
  }

  get url(): string {
    return `http://127.0.0.1:${(this.#server.address() as AddressInfo).port}`;
  }

  async stop(): Promise<void> {
    this.#server.closeAllConnections();
    await new Promise((resolve) => this.#server.close(resolve));
  }
}

describe('FastChat’s protocol', () => {
  let stage: GatewayStage;
  let registration: Registration;
  let workers: FakeFastchat[];
  let directory: string;

  beforeEach(async () => {
    directory = mkdtempSync(join(tmpdir(), 'vicuna-secret-'));
    writeFileSync(join(directory, 'token'), 'the-secret\n');
    workers = [new FakeFastchat(), new FakeFastchat()];
    await Promise.all(workers.map((w) => w.start()));
    const config = { models: [], registration: { secretFile: join(directory, 'token') } };
    stage = await GatewayStage.start({ config, workers: [], handlers: [(...args) => registration.handler(...args)] });
    registration = new Registration(stage.gateway, () => Date.now() + stage.later);
  });
  afterEach(async () => {
    await stage.stop();
    await Promise.all(workers.map((w) => w.stop()));
    rmSync(directory, { recursive: true, force: true });
  });

  const secret = { authorization: `Basic ${Buffer.from('worker:the-secret').toString('base64')}` };
  const register = (worker: FakeFastchat, headers: Record<string, string> = secret) =>
    stage.post(
      '/register_worker',
      { worker_name: worker.url, check_heart_beat: true, worker_status: { model_names: ['vicuna'], speed: 1, queue_length: 0 } },
      headers,
    );
  const chat = (more: object = {}) => stage.chat('Hi', { model: 'vicuna', ...more });

  it('lets workers in that know the secret, and nobody else', async () => {
    const [first = new FakeFastchat()] = workers;
    for (const headers of [
      {},
      { authorization: 'Bearer wrong' },
      { authorization: `Basic ${Buffer.from('worker:not-it').toString('base64')}` },
    ])
      expect((await register(first, headers as Record<string, string>)).status).toBe(401);
    expect((await stage.post('/list_models', {})).status).toBe(401);
    expect((await register(first)).status).toBe(200);
    expect(JSON.parse((await stage.post('/list_models', '', secret)).text)).toEqual({ models: ['vicuna'] });
    expect(JSON.parse((await stage.post('/get_worker_address', { model: 'vicuna' }, secret)).text)).toEqual({ address: first.url });
    expect(JSON.parse((await stage.post('/get_worker_address', { model: 'other' }, secret)).text)).toEqual({ address: '' });
  });

  it('refuses registrations that make no sense', async () => {
    for (const body of [
      {},
      { worker_name: 'file:///etc/passwd', worker_status: { model_names: ['x'] } },
      { worker_name: 'http://a', worker_status: { model_names: [] } },
      '{',
    ])
      expect((await stage.post('/register_worker', body, secret)).status).toBe(400);
  });

  it('forgets workers that are silent, and says so to their next heart-beat', async () => {
    const [first = new FakeFastchat()] = workers;
    await register(first);
    const beat = async () =>
      JSON.parse((await stage.post('/receive_heart_beat', { worker_name: first.url, queue_length: 0 }, secret)).text).exist;
    expect(await beat()).toBe(true);
    stage.later = 91_000;
    await stage.post('/refresh_all_workers', '', secret);
    expect(await beat()).toBe(false);
    await register(first);
    expect(await beat()).toBe(true);
  });

  it('answers OpenAI’s questions by such workers, streamed and whole', async () => {
    const [first = new FakeFastchat()] = workers;
    await register(first);
    expect(await chat({ stream_options: { include_usage: true } })).toMatchObject({
      text: 'One two three ü four five',
      finishReason: 'stop',
      usage: { prompt_tokens: 9, completion_tokens: 5 },
      done: true,
    });
    expect(first.prompts).toEqual(['A chat. USER: Hi ASSISTANT:']);
    const whole = await stage.post('/v1/chat/completions', { model: 'vicuna', messages: [{ role: 'user', content: 'Hi' }], max_tokens: 2 });
    expect(JSON.parse(whole.text).choices[0]).toMatchObject({ message: { content: 'One two' }, finish_reason: 'length' });
    expect((await stage.post('/v1/embeddings', { model: 'vicuna', input: 'x' })).status).toBe(400);
  });

  it('goes on at another such worker when one dies in the middle', async () => {
    for (const worker of workers) await register(worker);
    for (let i = 0; i < 6; i++) {
      const [first = new FakeFastchat()] = workers;
      first.dieAfter = 3;
      stage.later += 60_000;
      expect(await stage.chat(`Hi ${i}`, { model: 'vicuna' })).toMatchObject({
        text: 'One two three ü four five',
        finishReason: 'stop',
        done: true,
      });
    }
    expect(workers[0]?.prompts.length).toBeGreaterThan(0);
    await vi.waitFor(() => expect(workers[1]?.prompts.some((p) => p.endsWith('ASSISTANT: One two three ü'))).toBe(true));
  });
});
