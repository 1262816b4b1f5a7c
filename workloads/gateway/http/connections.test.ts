import { execFileSync } from 'node:child_process';
import { once } from 'node:events';
import { mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { createServer as createHttpServer, type Server } from 'node:http';
import { createServer as createHttpsServer } from 'node:https';
import { type AddressInfo, createServer, type Socket } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { getCACertificates, setDefaultCACertificates } from 'node:tls';
import { afterEach, describe, expect, it, vi } from 'vitest';
import { Connections, type Exchange, type ExchangeHandler } from './connections.ts';

const closing: (() => void)[] = [];
afterEach(() => {
  for (const close of closing.splice(0)) close();
});

/** A server of raw connections, in the order in which they came. */
async function rawServer(onData: (socket: Socket, data: Buffer) => void): Promise<{ origin: string; sockets: Socket[] }> {
  const sockets: Socket[] = [];
  const server = createServer((socket) => {
    sockets.push(socket);
    socket.on('data', (data) => onData(socket, data)).on('error', () => {});
  });
  server.listen(0, '127.0.0.1');
  await once(server, 'listening');
  closing.push(() => {
    for (const socket of sockets) socket.destroy();
    server.close();
  });
  return { origin: `http://127.0.0.1:${(server.address() as AddressInfo).port}`, sockets };
}

function open(origin: string, keptMs?: number): Connections {
  const connections = new Connections(origin, keptMs);
  closing.push(() => connections.destroy(new Error('the test is over')));
  return connections;
}

interface Answered {
  readonly status: number;
  readonly body: string;
}

interface Asked {
  readonly exchange: Exchange;
  readonly answer: Promise<Answered>;
}

/** Asks; rejects with what the exchange failed for. Every call after the last one is an error. */
function ask(
  connections: Connections,
  body = 'question',
  headers: Record<string, string> = {},
  hooks: Partial<ExchangeHandler> = {},
): Asked {
  const { promise, resolve, reject } = Promise.withResolvers<Answered>();
  promise.catch(() => {});
  const chunks: Buffer[] = [];
  let status = 0;
  let over = false;
  const alive = () => {
    if (over) throw new Error('told of an exchange that is over');
  };
  const exchange = connections.post('/path', headers, Buffer.from(body), {
    head(code, received) {
      alive();
      status = code;
      hooks.head?.(code, received);
    },
    data(chunk) {
      alive();
      chunks.push(chunk);
      hooks.data?.(chunk);
    },
    end() {
      alive();
      over = true;
      resolve({ status, body: Buffer.concat(chunks).toString() });
    },
    fail(error) {
      alive();
      over = true;
      reject(error);
    },
  });
  return { exchange, answer: promise };
}

const answerOf = (body: string, more = '') => `HTTP/1.1 200 OK\r\ncontent-length: ${body.length}\r\n${more}\r\n${body}`;

describe('a connection', () => {
  it('is kept for the next request, and opened only when none is free', async () => {
    const { origin, sockets } = await rawServer((socket, data) => socket.write(answerOf(data.toString().split('\r\n\r\n')[1] ?? '')));
    const connections = open(origin);
    expect(await ask(connections, 'one').answer).toEqual({ status: 200, body: 'one' });
    expect(await ask(connections, 'two').answer).toEqual({ status: 200, body: 'two' });
    expect(sockets).toHaveLength(1);
    const both = [ask(connections, 'three'), ask(connections, 'four')];
    expect(await Promise.all(both.map((a) => a.answer))).toMatchObject([{ body: 'three' }, { body: 'four' }]);
    expect(sockets).toHaveLength(2);
  });

  it('carries the whole request, with its length, whatever its size', async () => {
    const bodies: { headers: Record<string, unknown>; body: string }[] = [];
    const server = createHttpServer(async (request, response) => {
      let body = '';
      for await (const chunk of request) body += chunk;
      bodies.push({ headers: request.headers, body });
      response.end('ok');
    });
    await listening(server);
    const connections = open(`http://127.0.0.1:${(server.address() as AddressInfo).port}`);
    for (const body of ['', 'é', 'x'.repeat(3_000_000)]) {
      expect(await ask(connections, body, { 'x-request-id': 'ä1' }).answer).toMatchObject({ status: 200, body: 'ok' });
      expect(bodies.pop()).toMatchObject({ body, headers: { 'x-request-id': 'ä1', host: expect.stringContaining('127.0.0.1:') } });
    }
  });

  it('is not kept after an answer that says so, or that has something behind it', async () => {
    const replies = [answerOf('a', 'connection: close\r\n'), `${answerOf('b')}more`, answerOf('c')];
    const { origin, sockets } = await rawServer((socket) => socket.write(replies.shift() ?? ''));
    const connections = open(origin);
    for (const body of ['a', 'b', 'c']) expect((await ask(connections).answer).body).toBe(body);
    expect(sockets).toHaveLength(3);
  });

  it('is not kept when the answer came before the request was sent', async () => {
    // It reads nothing of the request, which is too large to be under way as a whole.
    const sockets: Socket[] = [];
    const server = createServer({ pauseOnConnect: true }, (socket) => {
      sockets.push(socket);
      socket.on('error', () => {}).write('HTTP/1.1 413 Too Large\r\ncontent-length: 0\r\n\r\n');
    });
    server.listen(0, '127.0.0.1');
    await once(server, 'listening');
    closing.push(() => {
      for (const socket of sockets) socket.destroy();
      server.close();
    });
    const connections = open(`http://127.0.0.1:${(server.address() as AddressInfo).port}`);
    const large = 'x'.repeat(32 << 20);
    expect(await ask(connections, large).answer).toMatchObject({ status: 413 });
    expect(await ask(connections, large).answer).toMatchObject({ status: 413 });
    expect(sockets).toHaveLength(2);
  });

  it('is ended when it has been idle for long, or for almost as long as its server keeps it', async () => {
    const { origin, sockets } = await rawServer((socket) => socket.write(answerOf('')));
    await ask(open(origin, 20)).answer;
    await vi.waitFor(() => expect(sockets[0]?.closed).toBe(true));
    const hinted = await rawServer((socket) => socket.write(answerOf('', 'keep-alive: timeout=2\r\n')));
    await ask(open(hinted.origin, 60_000)).answer;
    await vi.waitFor(() => expect(hinted.sockets[0]?.closed).toBe(true), 5_000);
  });

  it('that its server keeps for no longer than a second is not used again', async () => {
    const { origin, sockets } = await rawServer((socket) => socket.write(answerOf('', 'keep-alive: timeout=1\r\n')));
    const connections = open(origin);
    for (let i = 0; i < 2; i++) await ask(connections).answer;
    expect(sockets).toHaveLength(2);
  });

  it('that its server ends while idle is not used again', async () => {
    const { origin, sockets } = await rawServer((socket) => socket.write(answerOf('')));
    const connections = open(origin);
    await ask(connections).answer;
    sockets[0]?.end();
    await vi.waitFor(() => expect(sockets[0]?.closed).toBe(true));
    expect(await ask(connections).answer).toMatchObject({ status: 200 });
    expect(sockets).toHaveLength(2);
  });

  it('on which something comes that nobody asked for is ended', async () => {
    const { origin, sockets } = await rawServer((socket) => socket.write(answerOf('')));
    const connections = open(origin);
    await ask(connections).answer;
    sockets[0]?.write(answerOf('of somebody else'));
    await vi.waitFor(() => expect(sockets[0]?.closed).toBe(true));
    expect(await ask(connections).answer).toMatchObject({ body: '' });
  });

  it('closes with the others, those under way at their end', async () => {
    let waiting: Socket | null = null;
    const { origin, sockets } = await rawServer((socket, data) => {
      if (data.includes('slow')) waiting = socket;
      else socket.write(answerOf('quick'));
    });
    const connections = open(origin);
    const slow = ask(connections, 'slow');
    await vi.waitFor(() => expect(waiting).not.toBeNull());
    await ask(connections, 'quick').answer;
    connections.close();
    await vi.waitFor(() => expect(sockets[1]?.closed).toBe(true));
    expect(sockets[0]?.closed).toBe(false);
    (waiting as Socket | null)?.write(answerOf('at last'));
    expect((await slow.answer).body).toBe('at last');
    await vi.waitFor(() => expect(sockets[0]?.closed).toBe(true));
  });
});

describe('an exchange', () => {
  it.each([
    ['cannot connect', null, /ECONNREFUSED/],
    ['has its connection ended before the answer', '', /closed the connection/],
    ['has its connection ended in the middle', 'HTTP/1.1 200 OK\r\ncontent-length: 9\r\n\r\nhalf', /closed the connection/],
    ['is answered with something else', 'SSH-2.0\r\n\r\n', /does not speak HTTP/],
  ])('fails when it %s', async (_, reply, reason) => {
    const { origin, sockets } = await rawServer((socket) => socket.end(reply ?? ''));
    const connections = open(reply === null ? 'http://127.0.0.1:1' : origin);
    await expect(ask(connections).answer).rejects.toThrow(reason);
    if (reply !== null) await vi.waitFor(() => expect(sockets[0]?.closed).toBe(true));
  });

  it('without a length ends with its connection', async () => {
    const { origin } = await rawServer((socket) => socket.end('HTTP/1.1 200 OK\r\n\r\nall of it'));
    expect(await ask(open(origin)).answer).toEqual({ status: 200, body: 'all of it' });
  });

  it('can be given up before it is connected, while it waits, and in the middle of what is told of it', async () => {
    const { origin, sockets } = await rawServer((socket) => socket.write('HTTP/1.1 200 OK\r\ncontent-length: 4\r\n\r\nhalf'));
    const connections = open(origin);
    const early = ask(connections);
    early.exchange.abort(new Error('too early'));
    await expect(early.answer).rejects.toThrow('too early');
    const told = ask(connections, 'x', {}, { head: () => told.exchange.abort(new Error('at its head')) });
    await expect(told.answer).rejects.toThrow('at its head');
    const data = ask(connections, 'x', {}, { data: () => data.exchange.abort(new Error('at its data')) });
    await expect(data.answer).rejects.toThrow('at its data');
    await vi.waitFor(() => expect(sockets.every((s) => s.closed)).toBe(true));
  });

  it('that is over leaves the next one on its connection alone', async () => {
    const { origin } = await rawServer((socket, data) =>
      setImmediate(() => socket.write(answerOf(data.toString().split('\r\n\r\n')[1] ?? ''))),
    );
    const connections = open(origin);
    const first = ask(connections, 'first');
    await first.answer;
    const second = ask(connections, 'second');
    first.exchange.pause();
    first.exchange.abort(new Error('late'));
    expect((await second.answer).body).toBe('second');
  });

  it('that is paused holds its server back, and goes on', async () => {
    const large = 'x'.repeat(32 << 20);
    let written = false;
    const { origin } = await rawServer((socket) => socket.write(answerOf(large), () => (written = true)));
    const quick = await rawServer((socket) => socket.write(answerOf('')));
    let received = 0;
    const asked = ask(
      open(origin),
      'x',
      {},
      {
        data(chunk) {
          if (received === 0) asked.exchange.pause();
          received += chunk.length;
        },
      },
    );
    await vi.waitFor(() => expect(received).toBeGreaterThan(0));
    // While others come and go, all of it would have come.
    for (let i = 0; i < 200; i++) await ask(open(quick.origin)).answer;
    expect(received).toBeLessThan(1 << 20);
    expect(written).toBe(false);
    asked.exchange.resume();
    expect((await asked.answer).body.length).toBe(large.length);
  });

  it('is failed with all the others when its server is gone', async () => {
    const { origin, sockets } = await rawServer((socket, data) => data.includes('ready') && socket.write(answerOf('ready')));
    const connections = open(origin);
    await ask(connections, 'ready').answer;
    const two = [ask(connections, 'x'), ask(connections, 'y')];
    await vi.waitFor(() => expect(sockets).toHaveLength(2));
    connections.destroy(new Error('its machine has vanished'));
    for (const { answer } of two) await expect(answer).rejects.toThrow('vanished');
    expect((await ask(connections, 'ready').answer).body).toBe('ready');
  });

  it.each(['a\r\nx-evil: 1', 'a\0', 'a\u2028'])('cannot have a header with %j', async (value) => {
    const { origin, sockets } = await rawServer(() => {});
    expect(() => ask(open(origin), '', { authorization: value })).toThrow(/^the header authorization has characters that cannot be sent$/);
    expect(sockets).toEqual([]);
  });
});

it('speaks TLS, and only to a server whose certificate is good', async () => {
  const directory = mkdtempSync(join(tmpdir(), 'vicuna-tls-'));
  const [key, cert] = [join(directory, 'key'), join(directory, 'cert')];
  const subject = ['-subj', '/CN=localhost', '-addext', 'subjectAltName=DNS:localhost'];
  execFileSync(
    'openssl',
    ['req', '-x509', '-newkey', 'ec', '-pkeyopt', 'ec_paramgen_curve:prime256v1', '-nodes', ...subject, '-keyout', key, '-out', cert],
    { stdio: 'pipe' },
  );
  const server = createHttpsServer({ key: readFileSync(key), cert: readFileSync(cert) }, (request, response) => {
    request.resume().on('end', () => response.end('secret'));
  });
  await listening(server);
  const trusted = getCACertificates();
  closing.push(() => {
    setDefaultCACertificates(trusted);
    rmSync(directory, { recursive: true });
  });
  const origin = `https://localhost:${(server.address() as AddressInfo).port}`;
  await expect(ask(open(origin)).answer).rejects.toThrow(/self-signed|certificate/);
  setDefaultCACertificates([...trusted, readFileSync(cert, 'utf8')]);
  const connections = open(origin);
  for (let i = 0; i < 2; i++) expect(await ask(connections).answer).toEqual({ status: 200, body: 'secret' });
});

async function listening(server: Pick<Server, 'listen' | 'close' | 'closeAllConnections'> & NodeJS.EventEmitter): Promise<void> {
  server.listen(0);
  await once(server, 'listening');
  closing.push(() => {
    server.closeAllConnections();
    server.close();
  });
}
