import { afterEach, describe, expect, it, vi } from 'vitest';
import { answerTo, type Fault } from './testing/fake-worker.ts';
import { GatewayStage, readStream, type StageOptions } from './testing/stage.ts';

let stage: GatewayStage;
const start = async (options: StageOptions = {}) => {
  stage = await GatewayStage.start(options);
  return stage;
};
afterEach(() => stage?.stop());

const chatBody = (content: string, more: object = {}) => ({ model: 'tiny', messages: [{ role: 'user', content }], ...more });
const errorOf = (text: string) => (JSON.parse(text) as { error: { message: string; code: string | null; type: string } }).error;

describe('an answer', () => {
  it('comes whole, as the worker gave it', async () => {
    await start();
    const { status, text, headers } = await stage.post('/v1/chat/completions', chatBody('hello there'));
    expect(status).toBe(200);
    expect(JSON.parse(text).choices[0].message.content).toBe(answerTo('hello there', 12).join(''));
    expect(headers.get('x-vicuna-worker')).toMatch(/^worker-[01]$/);
    expect(headers.get('x-request-id')).toBeTruthy();
  });

  it('comes as a stream, event by event, with the usage where it is asked for', async () => {
    await start();
    const streamed = await stage.chat('hello', { stream_options: { include_usage: true } });
    expect(streamed).toMatchObject({ text: answerTo('hello', 12).join(''), finishReason: 'stop', done: true, comments: [] });
    expect(streamed.usage).toEqual({ prompt_tokens: 1, completion_tokens: 12, total_tokens: 13 });
    expect(streamed.headers.get('content-type')).toBe('text/event-stream; charset=utf-8');
  });

  it('does not show the prompt’s tokens, which only the gateway asked for', async () => {
    await start();
    const { text } = await stage.post('/v1/chat/completions', chatBody('hello', { stream: true }));
    expect(text).not.toContain('prompt_token_ids');
    expect(stage.workers.flatMap((w) => w.asked).at(0)?.body.return_token_ids).toBe(true);
  });

  it('for completions and embeddings, too', async () => {
    await start();
    const completion = await stage.post('/v1/completions', { model: 'tiny', prompt: 'once', max_tokens: 3 });
    expect(JSON.parse(completion.text)).toMatchObject({ choices: [{ text: answerTo('once', 3).join(''), finish_reason: 'length' }] });
    const embedding = await stage.post('/v1/embeddings', { model: 'tiny', input: 'once' });
    expect(JSON.parse(embedding.text).data[0].embedding).toEqual([0, 1]);
  });

  it('under an alias is asked of the worker under its name', async () => {
    await start();
    expect((await stage.post('/v1/chat/completions', chatBody('x', { model: 'vicuna' }))).status).toBe(200);
    expect(stage.workers.flatMap((w) => w.asked)[0]?.body.model).toBe('tiny');
  });

  it('that the worker refuses is refused with its words', async () => {
    await start();
    const { status, text } = await stage.post('/v1/chat/completions', chatBody('x', { temperature: -1 }));
    expect(status).toBe(400);
    expect(errorOf(text).message).toBe('temperature must not be negative');
    expect(stage.workers.flatMap((w) => w.asked)).toHaveLength(1);
  });
});

describe('models', () => {
  it('are listed with their aliases, and found by name', async () => {
    await start();
    const list = await (await fetch(`${stage.url}/v1/models`)).json();
    expect(list).toMatchObject({ object: 'list', data: [{ id: 'tiny' }, { id: 'vicuna' }] });
    expect((await fetch(`${stage.url}/v1/models/vicuna`)).status).toBe(200);
    expect((await fetch(`${stage.url}/v1/models/other`)).status).toBe(404);
  });
});

describe('bad input', () => {
  const cases: [string, unknown, number, string][] = [
    ['no JSON', '{"model":', 400, 'The body is not JSON'],
    ['no object', '[]', 400, 'The body is not a JSON object'],
    ['no model', { messages: [] }, 400, 'model must be the name of a model'],
    ['a model of a wrong type', { model: 7, messages: [] }, 400, 'model must be the name of a model'],
    ['an unknown model', { model: 'gpt-4', messages: [] }, 404, 'does not exist here'],
    ['stream of a wrong type', chatBody('x', { stream: 'yes' }), 400, 'stream must be true or false'],
    ['messages of a wrong type', { model: 'tiny', messages: 'hi' }, 400, 'messages must be a list'],
    ['too many tokens', chatBody('x', { max_tokens: 5_000 }), 400, 'more than the 4096'],
    ['a body that is too large', chatBody('x'.repeat(20_000)), 413, 'larger than 10000 bytes'],
    ['an empty body', '', 400, 'The body is not JSON'],
  ];
  it.each(cases)('%s', async (_, body, status, message) => {
    await start({ config: { limits: { bodyBytes: 10_000, maxTokens: 4_096 } } });
    const answer = await stage.post('/v1/chat/completions', body);
    expect([answer.status, errorOf(answer.text).message]).toEqual([status, expect.stringContaining(message)]);
    expect(stage.workers.flatMap((w) => w.asked)).toEqual([]);
  });

  it('a wrong method and unknown paths', async () => {
    await start();
    expect((await fetch(`${stage.url}/v1/chat/completions`)).status).toBe(405);
    for (const path of ['/', '/v1', '/v1/chat', '/../etc/passwd', '/v1/models/%E0%A4%A'])
      expect((await fetch(stage.url + path)).status).toBe(404);
  });
});

describe('a worker that fails before it has begun', () => {
  const faults: [string, Fault][] = [
    ['dies', { kind: 'dies', after: 0 }],
    ['is full', { kind: 'status', status: 429 }],
    ['has an error', { kind: 'status', status: 500 }],
    ['is shutting down', { kind: 'status', status: 503 }],
    ['answers with a page', { kind: 'html' }],
    ['refuses the gateway’s key', { kind: 'status', status: 401 }],
  ];
  it.each(faults)('and %s is not noticed by the client', async (_, fault) => {
    await start();
    for (const stream of [true, false]) {
      for (const worker of stage.workers) worker.fault = { kind: 'none' };
      const [first] = stage.workers;
      if (first) first.fault = fault;
      for (let i = 0; i < 6; i++) {
        const { status, text } = await stage.post('/v1/chat/completions', chatBody(`question ${i}`, { stream }));
        expect(status).toBe(200);
        expect(text).toContain(answerTo(`question ${i}`, 12)[11]);
      }
    }
  });

  it('and whose key cannot be read is not noticed by the client', async () => {
    await start();
    const specs = stage.gateway.registry.all().map(({ spec }) => spec);
    stage.gateway.registry.set(
      'cluster',
      specs.map((spec, i) => (i === 0 ? { ...spec, keyFile: '/nowhere/key' } : spec)),
    );
    for (let i = 0; i < 6; i++) expect((await stage.chat(`question ${i}`)).text).toBe(answerTo(`question ${i}`, 12).join(''));
    expect(stage.workers[0]?.asked).toEqual([]);
  });

  it('is left alone for a while after three failures', async () => {
    await start();
    const [first] = stage.workers;
    if (first) first.fault = { kind: 'status', status: 500 };
    for (let i = 0; i < 30; i++) await stage.chat(`question ${i}`);
    expect(first?.asked.length).toBe(3);
    if (first) first.fault = { kind: 'none' };
    stage.later = 60_000;
    for (let i = 0; i < 30; i++) await stage.chat(`question ${i}`);
    expect(first?.asked.length).toBeGreaterThan(5);
  });

  it('is told to the client when every one fails', async () => {
    await start({ config: { limits: { queueSeconds: 0.05 } } });
    for (const worker of stage.workers) worker.fault = { kind: 'status', status: 500 };
    const { status, text, headers } = await stage.post('/v1/chat/completions', chatBody('x'));
    expect(status).toBe(503);
    expect(errorOf(text).code).toBe('no_worker_available');
    expect(headers.get('retry-after')).toBeTruthy();
  });
});

describe('an answer whose worker fails in the middle', () => {
  const faults: [string, Fault][] = [
    ['dies', { kind: 'dies', after: 5 }],
    ['dies at the first piece', { kind: 'dies', after: 1 }],
    ['dies at the last piece', { kind: 'dies', after: 11 }],
    ['gives up', { kind: 'givesUp', after: 5 }],
    ['ends without an end', { kind: 'stops', after: 7 }],
    ['stalls', { kind: 'stalls', after: 4 }],
    ['speaks nonsense', { kind: 'badJson' }],
  ];
  describe.each(['vllm', 'transformers', 'sglang'] as const)('%s', (engine) => {
    it.each(faults)('%s: goes on elsewhere, as if nothing had been', async (_, fault) => {
      await start({ workers: [{ engine }, { engine }], config: { limits: { idleSeconds: 0.1 } } });
      stage.seat(stage.workers, engine);
      const [first] = stage.workers;
      let broken = 0;
      for (let i = 0; i < 6; i++) {
        if (first) first.fault = fault;
        stage.later += 60_000; // past the breaker
        const before = first?.asked.length ?? 0;
        const streamed = await stage.chat(`question ${i}`, { stream_options: { include_usage: true } });
        if ((first?.asked.length ?? 0) > before) broken++;
        expect(streamed).toMatchObject({ text: answerTo(`question ${i}`, 12).join(''), finishReason: 'stop', done: true, error: null });
        expect(streamed.usage).toEqual({ prompt_tokens: 2, completion_tokens: 12, total_tokens: 14 });
        expect(streamed.ids.size).toBe(1);
      }
      expect(broken).toBeGreaterThan(0);
    });
  });

  it('keeps to max_tokens, with the right reason', async () => {
    await start();
    for (const worker of stage.workers) worker.fault = { kind: 'dies', after: 3 };
    stage.seat(stage.workers.slice(0, 1));
    const asked = stage.chat('short', { max_tokens: 8 });
    await vi.waitFor(() => expect(stage.workers[0]?.asked.length).toBe(1));
    const [, second] = stage.workers;
    if (second) second.fault = { kind: 'none' };
    stage.seat(stage.workers.slice(1));
    const streamed = await asked;
    expect(streamed).toMatchObject({ text: answerTo('short', 8).join(''), finishReason: 'length', done: true });
  });

  it('of plain completions goes on, too', async () => {
    await start();
    const [first] = stage.workers;
    if (first) first.fault = { kind: 'dies', after: 4 };
    for (let i = 0; i < 6; i++) {
      stage.later += 60_000;
      const answer = readStream(await stage.post('/v1/completions', { model: 'tiny', prompt: `once ${i} #`, stream: true }));
      expect(answer).toMatchObject({ text: answerTo(`once ${i} #`, 12).join(''), finishReason: 'stop', done: true });
    }
  });

  it('survives one worker after the other', async () => {
    await start({ workers: [{}, {}, {}] });
    for (const worker of stage.workers.slice(0, 2)) worker.fault = { kind: 'dies', after: 3 };
    for (let i = 0; i < 8; i++) {
      stage.later += 60_000;
      expect(await stage.chat(`question ${i}`)).toMatchObject({ text: answerTo(`question ${i}`, 12).join(''), done: true });
    }
  });

  it('tells those who ask to be told', async () => {
    await start();
    for (const worker of stage.workers) worker.fault = { kind: 'dies', after: 3 };
    stage.seat(stage.workers.slice(0, 1));
    const asked = stage.chat('x', {}, { 'x-vicuna-events': '1' });
    await vi.waitFor(() => expect(stage.workers[0]?.asked.length).toBe(1));
    const [, second] = stage.workers;
    if (second) second.fault = { kind: 'none' };
    stage.seat(stage.workers.slice(1));
    expect((await asked).comments).toEqual([
      'worker {"worker":"worker-0","zone":"zone-a"}',
      'continued {"worker":"worker-1","zone":"zone-a"}',
    ]);
  });

  it('that cannot go on ends with an error, not as if it were done', async () => {
    await start({ config: { continuation: false } });
    for (const worker of stage.workers) worker.fault = { kind: 'dies', after: 3 };
    const streamed = await stage.chat('x');
    expect(streamed).toMatchObject({ done: false, error: { code: 'worker_failed' } });
  });

  it('with several choices is not mixed up', async () => {
    await start();
    for (const worker of stage.workers) worker.fault = { kind: 'dies', after: 3 };
    expect(await stage.chat('x', { n: 2 })).toMatchObject({ done: false, error: { code: 'worker_failed' } });
  });
});

describe('a worker that is taken off the list', () => {
  it('finishes what it has begun', async () => {
    await start({ workers: [{ pace: 10 }, {}] });
    stage.seat(stage.workers.slice(0, 1));
    const asked = stage.chat('hello');
    await vi.waitFor(() => expect(stage.workers[0]?.running).toBe(1));
    stage.seat(stage.workers.slice(1));
    expect(await asked).toMatchObject({ text: answerTo('hello', 12).join(''), finishReason: 'stop', done: true });
    expect(stage.workers.map((w) => w.asked.length)).toEqual([1, 0]);
  });
});

describe('a client', () => {
  it('that goes away ends its request at the worker', async () => {
    await start({ workers: [{ pace: 20, pieces: 1_000 }] });
    const abort = new AbortController();
    const asked = stage.post('/v1/chat/completions', chatBody('x', { stream: true }), {}, abort.signal).catch(() => null);
    await vi.waitFor(() => expect(stage.workers[0]?.running).toBe(1));
    abort.abort();
    await asked;
    await vi.waitFor(() => expect(stage.workers[0]).toMatchObject({ running: 0, cancelled: 1 }));
    expect(stage.gateway.registry.all()[0]?.running).toBe(0);
  });

  it('that reads slowly holds its worker back, not the gateway’s memory', async () => {
    await start({ workers: [{ pieces: 200_000 }] });
    const response = await fetch(`${stage.url}/v1/chat/completions`, {
      method: 'POST',
      body: JSON.stringify(chatBody('x', { stream: true })),
    });
    const reader = response.body?.getReader();
    await reader?.read();
    const before = process.memoryUsage().arrayBuffers;
    await new Promise((resolve) => setTimeout(resolve, 300));
    expect(process.memoryUsage().arrayBuffers - before).toBeLessThan(20 << 20);
    await reader?.cancel();
  });
});

describe('a model without workers', () => {
  it('lets requests wait, tells the operator, and answers in the order of arrival when one comes', async () => {
    await start();
    stage.seat([]);
    const asked = stage.chat('x', {}, { 'x-vicuna-events': '1' });
    await vi.waitFor(() => expect(stage.demanded).toEqual(['tiny']));
    stage.seat();
    const streamed = await asked;
    expect(streamed.text).toBe(answerTo('x', 12).join(''));
    expect(streamed.comments[0]).toBe('queued {"position":1,"waitedSeconds":0}');
  });

  it('refuses more than may wait, and those who have waited too long', async () => {
    await start({ config: { limits: { queueLength: 1, queueSeconds: 0.2 } } });
    stage.seat([]);
    const first = stage.post('/v1/chat/completions', chatBody('x'));
    await vi.waitFor(() => expect(stage.demanded).toEqual(['tiny']));
    const second = await stage.post('/v1/chat/completions', chatBody('y'));
    expect([second.status, errorOf(second.text).message]).toEqual([503, expect.stringContaining('1 requests wait')]);
    expect((await first).status).toBe(503);
  });
});

describe('the log', () => {
  it('has a line per request, and nothing of what was asked or answered', async () => {
    await start();
    await stage.chat('my secret');
    await vi.waitFor(() => expect(stage.logged).toHaveLength(1));
    expect(stage.logged[0]).toMatchObject({
      path: '/v1/chat/completions',
      model: 'tiny',
      code: 200,
      worker: expect.stringMatching(/^worker-/),
    });
    expect(JSON.stringify(stage.logged)).not.toContain('secret');
  });
});
