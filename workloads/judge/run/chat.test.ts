import { afterEach, describe, expect, it } from 'vitest';
import { FakeEndpoint, type FakeEndpointOptions, type Fault } from '../testing/fake-endpoint.ts';
import { Chat, type ChatRequest, type ChatServer, Refused } from './chat.ts';
import { retryAfterMs } from './retry-after.ts';

const ASK: ChatRequest = { messages: [{ role: 'user', content: 'hello' }], temperature: 0.2, maxTokens: 100 };
const KEY = 'sk-secret';

let endpoint: FakeEndpoint;
let chat: Chat;
let slept: number[];
let lost: number;
let notices: string[];
const stop = new AbortController();

async function start(options: Partial<FakeEndpointOptions> = {}, server: Partial<ChatServer> = {}): Promise<void> {
  [slept, lost, notices] = [[], 0, []];
  endpoint = await FakeEndpoint.start({ models: ['gpt-4'], apiKey: KEY, answer: () => 'hi', ...options });
  let now = 0;
  const clock = {
    now: () => now,
    sleep: async (ms: number) => {
      slept.push(Math.round(ms));
      now += ms;
    },
  };
  chat = new Chat(
    { url: endpoint.url, model: 'gpt-4', apiKey: KEY, timeoutSeconds: 5, ...server },
    { clock, random: () => 1, onTrouble: (sentence) => notices.push(sentence) },
  );
}
const ask = () =>
  chat.ask(ASK, stop.signal, async () => {
    lost++;
  });

afterEach(async () => {
  await chat.close();
  await endpoint.stop();
});

describe('a request', () => {
  it('is what OpenAI takes, and gives text and tokens', async () => {
    await start();
    expect(await ask()).toEqual({ text: 'hi', finish: 'stop', usage: { input: 2, output: 1 } });
    expect(endpoint.answered).toEqual([{ model: 'gpt-4', messages: ASK.messages, temperature: 0.2, max_tokens: 100 }]);
  });

  it('counts tokens by characters where the server does not', async () => {
    await start({ withoutUsage: true, answer: () => 'x'.repeat(41) });
    expect((await ask()).usage).toEqual({ input: 2, output: 11 });
  });

  it('goes without what newer models do not take', async () => {
    await start({ newer: true });
    await ask();
    await ask();
    expect(endpoint.answered).toEqual(Array(2).fill({ model: 'gpt-4', messages: ASK.messages, max_completion_tokens: 100 }));
    expect(endpoint.requests).toBe(4);
    expect(notices).toHaveLength(2);
  });
});

describe('trouble', () => {
  const status = (code: number, headers = {}): Fault => ({ kind: 'status', status: code, headers });

  it.each<[string, readonly Fault[], readonly number[]]>([
    ['500', [status(500), status(503)], [1_000, 2_000]],
    ['429 that says how long', [status(429, { 'retry-after': '7' })], [7_000]],
    ['429 that says it in ms', [status(429, { 'retry-after-ms': '1500' })], [1_500]],
    ['a connection cut', [{ kind: 'cut' }, { kind: 'cutWithin' }], [1_000, 2_000]],
    [
      'nonsense',
      [
        { kind: 'body', body: 'oops' },
        { kind: 'body', body: '{"choices":[]}' },
      ],
      [1_000, 2_000],
    ],
  ])('passes: %s', async (_, faults, expected) => {
    await start();
    endpoint.faults.push(...faults);
    expect((await ask()).text).toBe('hi');
    expect(slept).toEqual(expected);
    expect(notices).toHaveLength(faults.length);
    expect(notices.join()).not.toContain(KEY);
  });

  it('of one is a pause for all', async () => {
    await start();
    endpoint.faults.push(status(429, { 'retry-after': '30' }));
    await ask();
    slept.length = 0;
    endpoint.faults.push(status(429, { 'retry-after': '30' }));
    await Promise.all([ask(), ask()]);
    expect(slept.reduce((a, b) => a + b)).toBeGreaterThanOrEqual(30_000);
  });

  it('that does not pass ends the run with a sentence, and can be tried again later', async () => {
    await start();
    endpoint.faults.push(...Array(10).fill(status(503)));
    await expect(ask()).rejects.toMatchObject({
      exitCode: 1,
      message: expect.stringMatching(/^gpt-4 at http.*: status 503.*, 10 times\. What is done is kept/),
    });
    expect(lost).toBe(0);
  });

  it('of a server that is slow or talks nonsense concerns one request, and may have cost money', async () => {
    await start({}, { timeoutSeconds: 0.05 });
    endpoint.faults.push(...Array(3).fill({ kind: 'silence' }));
    await expect(ask()).rejects.toThrow('no answer within 0.05 s, 3 times');
    expect(lost).toBe(2);
    endpoint.faults.push(...Array(3).fill({ kind: 'body', body: '[]' }));
    await expect(ask()).rejects.toBeInstanceOf(Refused);
  });

  it.each<[string, Fault, string]>([
    ['too long a prompt', { kind: 'status', status: 400, error: { message: 'context length' } }, 'context length'],
    ['too large a body', status(413), 'status 413'],
  ])('of one request is not tried again: %s', async (_, fault, sentence) => {
    await start();
    endpoint.faults.push(fault);
    await expect(ask()).rejects.toThrow(sentence);
    expect(endpoint.requests).toBe(1);
  });

  it.each<[string, Partial<ChatServer>, Fault | null, string]>([
    ['a wrong key', { apiKey: 'wrong' }, null, 'check the API key'],
    ['no such model', { model: 'gpt-9' }, null, 'check url and model'],
    [
      'no money',
      {},
      { kind: 'status', status: 429, error: { message: 'You exceeded your quota', code: 'insufficient_quota' } },
      'no quota left',
    ],
    ['another place', {}, status(301, { location: 'http://127.0.0.1:9/' }), 'status 301'],
  ])('of all requests ends the run at once: %s', async (_, server, fault, sentence) => {
    await start({}, server);
    if (fault) endpoint.faults.push(fault);
    await expect(ask()).rejects.toMatchObject({ exitCode: 64, message: expect.stringContaining(sentence) });
    expect(endpoint.requests).toBe(1);
  });

  it('is told without the key, also when the server repeats it', async () => {
    await start();
    endpoint.faults.push({ kind: 'status', status: 401, error: { message: `Incorrect API key provided: ${KEY}.` } });
    await expect(ask()).rejects.toMatchObject({ message: expect.stringContaining('Incorrect API key provided: ….') });
  });

  it('ends when it is told to stop', async () => {
    await start({ delayMs: 60_000 });
    const own = new AbortController();
    const asking = chat.ask(ASK, own.signal, async () => undefined);
    setTimeout(() => own.abort(new Error('stopped')), 20);
    await expect(asking).rejects.toThrow('stopped');
  });

  it('is an answer larger than anybody writes', async () => {
    await start({ answer: () => 'x'.repeat(9_000_000) }, {});
    const wide = { ...ASK, maxTokens: 4_000_000 };
    await expect(chat.ask(wide, stop.signal, async () => undefined)).rejects.toThrow('more than 8388608 bytes');
  });
});

describe('the pace', () => {
  it('is no more requests a minute than the server takes', async () => {
    await start({}, { requestsPerMinute: 30 });
    for (let i = 0; i < 3; i++) await ask();
    expect(slept).toEqual([2_000, 2_000]);
  });
});

describe('Retry-After', () => {
  const now = Date.parse('2026-01-01T00:00:00Z');
  it.each([
    [{ 'retry-after': '3' }, 3_000],
    [{ 'retry-after': 'Thu, 01 Jan 2026 00:00:09 GMT' }, 9_000],
    [{ 'retry-after': 'Wed, 31 Dec 2025 00:00:00 GMT' }, 0],
    [{ 'retry-after': '86400' }, 600_000],
    [{ 'retry-after': 'soon' }, null],
    [{}, null],
  ])('%j', (headers, expected) => expect(retryAfterMs(headers, now)).toBe(expected));
});
