import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { ApiKeys } from './keys.ts';
import { FakeModeration } from './testing/fake-moderation.ts';
import { answerTo } from './testing/fake-worker.ts';
import { GatewayStage } from './testing/stage.ts';
import { TokenBucket } from './token-bucket.ts';

let stage: GatewayStage;
let directory: string;
beforeEach(() => {
  directory = mkdtempSync(join(tmpdir(), 'vicuna-keys-'));
});
afterEach(async () => {
  await stage?.stop();
  rmSync(directory, { recursive: true, force: true });
});

const body = (content: string, more: object = {}) => ({ model: 'tiny', messages: [{ role: 'user', content }], ...more });
const key = (name: string, value: object | string) =>
  writeFileSync(join(directory, name), typeof value === 'string' ? value : JSON.stringify(value));
const withKeys = async (copies = 1) => {
  stage = await GatewayStage.start({ config: { models: [{ name: 'tiny' }], apiKeys: { directory }, copies } });
};
const asked = (value?: string) =>
  stage.post('/v1/chat/completions', body('hello'), value === undefined ? {} : { authorization: `Bearer ${value}` });

describe('API keys', () => {
  it('let in whoever has one, and nobody else', async () => {
    key('alice', 'alice-has-this-key\n');
    key('bob', { key: 'bob-has-another' });
    await withKeys();
    expect((await asked('alice-has-this-key')).status).toBe(200);
    expect((await asked('bob-has-another')).status).toBe(200);
    for (const wrong of [undefined, 'wrong-key', 'alice-has-this-ke', 'alice-has-this-key1', '']) {
      const answer = await asked(wrong);
      expect([answer.status, JSON.parse(answer.text).error.code]).toEqual([401, 'invalid_api_key']);
      expect(answer.text).not.toContain('alice');
    }
    expect((await fetch(`${stage.url}/v1/models`)).status).toBe(401);
    expect(stage.workers.flatMap((w) => w.asked)).toHaveLength(2);
  });

  it('have a limit of requests, each its own', async () => {
    key('alice', { key: 'alice-has-this-key', requestsPerMinute: 2 });
    key('bob', 'bob-has-another');
    await withKeys();
    expect([(await asked('alice-has-this-key')).status, (await asked('alice-has-this-key')).status]).toEqual([200, 200]);
    const limited = await asked('alice-has-this-key');
    expect([limited.status, limited.headers.get('retry-after')]).toEqual([429, '30']);
    expect(JSON.parse(limited.text).error.code).toBe('rate_limit_exceeded');
    expect((await asked('bob-has-another')).status).toBe(200);
    stage.later = 30_000;
    expect((await asked('alice-has-this-key')).status).toBe(200);
  });

  it('have a limit of tokens, charged when an answer’s are known', async () => {
    key('alice', { key: 'alice-has-this-key', tokensPerMinute: 10 });
    await withKeys();
    expect((await asked('alice-has-this-key')).status).toBe(200); // 13 tokens
    const limited = await asked('alice-has-this-key');
    expect([limited.status, limited.headers.get('retry-after')]).toEqual([429, '24']);
    stage.later = 24_000;
    expect((await asked('alice-has-this-key')).status).toBe(200);
  });

  it('are shared between copies of the gateway, each granting its part', async () => {
    key('alice', { key: 'alice-has-this-key', requestsPerMinute: 4 });
    await withKeys(2);
    const codes = [];
    for (let i = 0; i < 3; i++) codes.push((await asked('alice-has-this-key')).status);
    expect(codes).toEqual([200, 200, 429]);
  });

  it('are read again, and refused when they are of no use, without showing them', () => {
    const keys = new ApiKeys(() => 0);
    key('..data', 'not a key');
    key('alice', 'short');
    expect(() => keys.load(directory, 1)).toThrow(/^API key alice: /);
    key('alice', '{"key": "a secret that is cut');
    expect(() => keys.load(directory, 1)).toThrow('API key alice begins as JSON and is none');
    key('alice', { key: 'long-enough', requestsPerMinut: 3 });
    expect(() => keys.load(directory, 1)).toThrow(/requestsPerMinut/);
    key('alice', { key: 'long-enough' });
    keys.load(directory, 1);
  });
});

describe('a token bucket', () => {
  it('fills with time, up to a minute’s worth, and recovers when overdrawn', () => {
    let now = 0;
    const bucket = new TokenBucket(60, () => now);
    expect(bucket.secondsUntil(60)).toBe(0);
    bucket.take(120);
    expect(bucket.secondsUntil(1)).toBe(61);
    now = 61_000;
    expect(bucket.secondsUntil(1)).toBe(0);
    now = 3_600_000;
    expect(bucket.secondsUntil(60)).toBe(0);
    expect(bucket.secondsUntil(61)).toBeGreaterThan(0);
  });
});

describe('moderation', () => {
  let moderation: FakeModeration;
  const start = async (words: string[], changes: object = {}) => {
    moderation = await FakeModeration.start(words);
    const settings = { url: moderation.url, on: ['input', 'output'], whenUnavailable: 'block', timeoutSeconds: 0.2, ...changes };
    stage = await GatewayStage.start({ config: { models: [{ name: 'tiny' }], moderation: settings }, workers: [{ pieces: 120 }] });
  };
  afterEach(() => moderation?.stop());

  it('keeps questions from workers, quotes and line ends and all', async () => {
    await start(['bad"\nword']);
    const refused = await stage.post('/v1/chat/completions', body('a "bad"\nword"'));
    expect([refused.status, JSON.parse(refused.text).error.code]).toEqual([400, 'content_filter']);
    expect(stage.workers[0]?.asked).toEqual([]);
    expect((await stage.post('/v1/chat/completions', body('a good word'))).status).toBe(200);
  });

  it('looks at every message and part of it, and at prompts', async () => {
    await start(['bad']);
    const parts = { model: 'tiny', messages: [{ role: 'user', content: [{ type: 'text', text: 'bad' }] }] };
    expect((await stage.post('/v1/chat/completions', parts)).status).toBe(400);
    expect((await stage.post('/v1/completions', { model: 'tiny', prompt: ['good', 'bad'] })).status).toBe(400);
    expect((await stage.post('/v1/embeddings', { model: 'tiny', input: 'bad' })).status).toBe(400);
  });

  it('passes a streamed answer on as it was, window by window', async () => {
    await start(['nothing of the kind']);
    const streamed = await stage.chat('hello', { stream_options: { include_usage: true } });
    expect(streamed).toMatchObject({ text: answerTo('hello', 120).join(''), finishReason: 'stop', done: true });
    expect(streamed.usage).toMatchObject({ completion_tokens: 120 });
    expect(moderation.checked.length).toBeGreaterThan(3);
  });

  it('ends an answer before the word that may not be seen, also one that falls on a window’s edge', async () => {
    const whole = answerTo('hello', 120).join('');
    for (const at of [250, 395, 400, 405]) {
      const word = whole.slice(at, at + 14);
      await start([word]);
      const streamed = await stage.chat('hello');
      expect(streamed).toMatchObject({ finishReason: 'content_filter', done: true });
      expect(streamed.text).not.toContain(word);
      expect(whole.startsWith(streamed.text)).toBe(true);
      await stage.stop();
      await moderation.stop();
    }
    await start([]);
  });

  it('empties a whole answer that may not be seen', async () => {
    await start([' quick']);
    const { text } = await stage.post('/v1/chat/completions', body('hello'));
    expect(JSON.parse(text).choices[0]).toMatchObject({ message: { content: '' }, finish_reason: 'content_filter' });
  });

  it.each(['status', 'nonsense', 'silence'] as const)('that does not work (%s) blocks or allows, as configured', async (fault) => {
    await start([]);
    moderation.fault = fault;
    const blocked = await stage.post('/v1/chat/completions', body('hello'));
    expect([blocked.status, JSON.parse(blocked.text).error.code]).toEqual([503, 'moderation_unavailable']);
    await stage.stop();
    await moderation.stop();
    await start([], { whenUnavailable: 'allow' });
    moderation.fault = fault;
    expect((await stage.post('/v1/chat/completions', body('hello'))).status).toBe(200);
    expect(await stage.gateway.metrics.registry.metrics()).toContain('vicuna_gateway_moderations_total{result="unavailable"}');
  });
});
