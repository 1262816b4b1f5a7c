import { once } from 'node:events';
import { connect } from 'node:net';
import { setTimeout as later } from 'node:timers/promises';
import { afterEach, beforeEach, describe, expect, it, vi } from 'vitest';
import { GatewayStage } from './testing/stage.ts';

let stage: GatewayStage;
beforeEach(async () => {
  stage = await GatewayStage.start();
});
afterEach(() => stage?.stop());

const question = JSON.stringify({ model: 'tiny', messages: [{ role: 'user', content: 'hello' }], stream: true });

/** What the gateway says to these bytes, each piece sent when there is an answer to the one before, until it closes the connection. */
async function said(...pieces: string[]): Promise<string> {
  const { hostname, port } = new URL(stage.url);
  const socket = connect(Number(port), hostname);
  let text = '';
  socket.setEncoding('utf8').on('data', (chunk: string) => {
    text += chunk;
  });
  socket.on('error', () => {}); // a reset is an end, too
  const closed = once(socket, 'close');
  await once(socket, 'connect');
  for (const [i, piece] of pieces.entries()) {
    if (i > 0) await vi.waitFor(() => expect(text).not.toBe(''));
    socket.write(piece);
  }
  await Promise.race([closed, later(3_000, undefined, { ref: false })]);
  socket.destroy();
  return text;
}

const statusOf = (text: string) => Number(/^HTTP\/1\.1 (\d+)/.exec(text)?.[1] ?? 0);
const post = (headers: string[], body: string) => ['POST /v1/chat/completions HTTP/1.1', 'host: a', ...headers, '', body].join('\r\n');
const get = (target: string, ...headers: string[]) =>
  [`GET ${target} HTTP/1.1`, 'host: a', 'connection: close', ...headers, '', ''].join('\r\n');

describe('a client that plays tricks', () => {
  it.each([
    [
      'both lengths, so that another server sees another end',
      post(['content-length: 4', 'transfer-encoding: chunked'], '0\r\n\r\nGET /metrics HTTP/1.1\r\n\r\n'),
      400,
    ],
    ['two lengths', post(['content-length: 4', 'content-length: 44'], question), 400],
    ['a negative length', post(['content-length: -1'], question), 400],
    ['a chunk that is none', post(['transfer-encoding: chunked'], 'zz\r\nhello'), 400],
    ['a header without end', `GET /v1/models HTTP/1.1\r\nhost: a\r\nx: ${'a'.repeat(40_000)}`, 431],
    ['many headers', get('/v1/models', ...Array.from({ length: 3_000 }, (_, i) => `x-${i}: aaaaaaaaaa`)), 431],
    ['a header with a line break in it', 'GET /v1/models HTTP/1.1\r\nhost: a\r\nx: a\n b\u0000c\r\n\r\n', 400],
    ['a method that is none', 'BREW /v1/models HTTP/1.1\r\nhost: a\r\n\r\n', 400],
    ['no host', 'GET /v1/models HTTP/1.1\r\n\r\n', 400],
    ['TLS', '\u0016\u0003\u0001\u0002\u0000\u0001\u0000', 400],
  ])('by %s is told so and cut off', async (_, bytes, status) => {
    const text = await said(bytes);
    expect(statusOf(text)).toBe(status);
    const body = text.slice(text.indexOf('\r\n\r\n') + 4);
    if (text.includes('application/json'))
      expect(JSON.parse(body)).toMatchObject({ error: { type: expect.any(String), message: expect.any(String) } });
    expect(stage.workers.flatMap((w) => w.asked)).toEqual([]);
    expect((await fetch(`${stage.url}/v1/models`)).status).toBe(200);
  });

  it.each([
    '//v1/models',
    '/v1/../metrics',
    '/v1/%2e%2e/metrics',
    '/v1/..%2fmetrics',
    '/metrics',
    '/healthz',
    '/v1/models%00',
    '/v1/models/../../etc/passwd',
    '*',
  ])('finds nothing at %s', async (target) => {
    expect([400, 404]).toContain(statusOf(await said(get(target))));
  });

  it('may send a whole address, as to a proxy, and gets no further by it', async () => {
    const text = await said(get('http://169.254.169.254/latest/meta-data/'));
    expect([400, 404]).toContain(statusOf(text));
  });

  it('and writes nonsense during an answer is cut off, with no word of ours in the answer', async () => {
    for (const worker of stage.workers) worker.fault = { kind: 'stalls', after: 3 };
    const text = await said(
      post([`content-length: ${Buffer.byteLength(question)}`, 'content-type: application/json'], question),
      'no request\r\n\r\n',
    );
    expect(statusOf(text)).toBe(200);
    expect(text.match(/HTTP\/1\.1/g)).toHaveLength(1);
  });

  it('of an old kind is served', async () => {
    const text = await said('GET /v1/models HTTP/1.0\r\n\r\n');
    expect(statusOf(text)).toBe(200);
    expect(text).toContain('"tiny"');
  });
});
