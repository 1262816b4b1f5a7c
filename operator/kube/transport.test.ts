import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { createServer, type IncomingMessage, type Server } from 'node:http';
import { type AddressInfo, connect } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, it, vi } from 'vitest';
import type { Credentials } from './credentials.ts';
import { Transport } from './transport.ts';

let server: Server;
let url: string;
let requests: IncomingMessage[];
/** Authorization that the server accepts; null for any. */
let accepted: string | null;
/** Whether it answers at all, and whether only the head at once. */
let silent: boolean;
let streaming: boolean;
let open: Transport[];
let directory: string;

beforeEach(async () => {
  requests = [];
  accepted = null;
  silent = false;
  streaming = false;
  open = [];
  directory = mkdtempSync(join(tmpdir(), 'transport-'));
  server = createServer((request, response) => {
    requests.push(request);
    if (silent) return;
    response.writeHead(accepted === null || request.headers.authorization === accepted ? 200 : 401);
    response.flushHeaders();
    if (streaming) server.once('more', () => response.end('late'));
    else response.end('{}');
  });
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  url = `http://127.0.0.1:${(server.address() as AddressInfo).port}`;
});

afterEach(async () => {
  vi.restoreAllMocks();
  for (const transport of open) transport.close();
  server.closeAllConnections();
  await new Promise((resolve) => server.close(resolve));
  rmSync(directory, { recursive: true });
});

function transport(
  credentials: Partial<Credentials> = {},
  reload: (() => Promise<Credentials>) | null = null,
  silenceMs?: number,
): Transport {
  const created = new Transport({ server: url, rejectUnauthorized: true, ...credentials }, reload, silenceMs);
  open.push(created);
  return created;
}

async function statusOf(t: Transport): Promise<number> {
  const response = await t.send({ method: 'GET', path: '/x' });
  response.resume();
  await new Promise((resolve) => response.on('end', resolve));
  return response.statusCode ?? 0;
}

const authorizations = () => requests.map((request) => request.headers.authorization);

describe('credentials', () => {
  it('go with every request', async () => {
    await statusOf(transport({ authorization: 'Bearer fixed' }));
    await statusOf(transport());
    expect(authorizations()).toEqual(['Bearer fixed', undefined]);
  });

  it('from a token file are read anew every minute: kubelet replaces a pod’s token', async () => {
    const tokenFile = join(directory, 'token');
    const now = vi.spyOn(performance, 'now').mockReturnValue(0);
    const t = transport({ tokenFile, authorization: 'Bearer at-start' });
    await statusOf(t);
    writeFileSync(tokenFile, 'one\n');
    await statusOf(t);
    writeFileSync(tokenFile, 'two\n');
    now.mockReturnValue(59_000);
    await statusOf(t);
    now.mockReturnValue(61_000);
    await statusOf(t);
    rmSync(tokenFile);
    now.mockReturnValue(200_000);
    await statusOf(t);
    expect(authorizations()).toEqual(['Bearer at-start', 'Bearer one', 'Bearer one', 'Bearer two', 'Bearer two']);
  });

  it('that were refused are fetched anew once, by all who were refused together', async () => {
    accepted = 'Bearer new';
    let reloads = 0;
    const reload = async () => {
      reloads++;
      return { server: url, rejectUnauthorized: true, authorization: 'Bearer new' };
    };
    const t = transport({ authorization: 'Bearer old' }, reload);
    expect(await Promise.all([statusOf(t), statusOf(t), statusOf(t)])).toEqual([200, 200, 200]);
    expect(reloads).toBe(1);
    accepted = 'Bearer newer';
    expect(await statusOf(t)).toBe(401);
    expect(reloads).toBe(1);
  });

  it('in a file that was replaced early are read anew when the old are refused, on the same connection', async () => {
    const tokenFile = join(directory, 'token');
    writeFileSync(tokenFile, 'one');
    const credentials = { server: url, rejectUnauthorized: true, tokenFile };
    const t = transport(credentials, async () => ({ ...credentials }));
    await statusOf(t);
    writeFileSync(tokenFile, 'two');
    accepted = 'Bearer two';
    expect(await statusOf(t)).toBe(200);
    expect(authorizations()).toEqual(['Bearer one', 'Bearer one', 'Bearer two']);
    await statusOf(t);
    expect(new Set(requests.map((request) => request.socket.remotePort)).size).toBe(1);
  });

  it('that cannot be fetched leave the refusal to the caller', async () => {
    accepted = 'Bearer new';
    expect(await statusOf(transport())).toBe(401);
    const failing = transport({ authorization: 'Bearer old' }, () => Promise.reject(new Error('no')));
    expect(await statusOf(failing)).toBe(401);
  });

  it('with other certificates get other connections', async () => {
    accepted = 'Bearer new';
    const t = transport({ authorization: 'Bearer old', cert: 'a' }, async () => ({
      server: url,
      rejectUnauthorized: true,
      authorization: 'Bearer new',
      cert: 'b',
    }));
    expect(await statusOf(t)).toBe(200);
    expect(new Set(requests.map((request) => request.socket.remotePort)).size).toBe(2);
  });
});

describe('connections', () => {
  it('are kept and used again', async () => {
    const t = transport();
    await statusOf(t);
    await statusOf(t);
    expect(new Set(requests.map((request) => request.socket.remotePort)).size).toBe(1);
  });

  it('go through the proxy that the kubeconfig names', async () => {
    const through: string[] = [];
    const proxy = createServer((request, response) => {
      through.push(request.url ?? '');
      response.end('{}');
    });
    proxy.on('connect', (request, socket, head) => {
      through.push(request.url ?? '');
      const { hostname, port } = new URL(`http://${request.url}`);
      const upstream = connect(Number(port), hostname, () => {
        socket.write('HTTP/1.1 200 OK\r\n\r\n');
        upstream.write(head);
        upstream.pipe(socket).pipe(upstream);
      });
    });
    await new Promise<void>((resolve) => proxy.listen(0, '127.0.0.1', resolve));
    const t = transport({ proxy: `http://127.0.0.1:${(proxy.address() as AddressInfo).port}` });
    await statusOf(t);
    expect(through).toHaveLength(1);
    expect(requests).toHaveLength(0);
    t.close();
    proxy.closeAllConnections();
    proxy.close();
  });

  it('are given up when the server does not answer', async () => {
    silent = true;
    const t = transport({}, null, 30);
    await expect(statusOf(t)).rejects.toThrow(`GET /x: the API server ${url} cannot be reached: no answer within 0.03 s`);
  });

  it('that carry a stream may be silent for longer, once it is open', async () => {
    const t = transport({}, null, 30);
    streaming = true;
    const response = await t.send({ method: 'GET', path: '/x', stream: true });
    setTimeout(() => server.emit('more'), 90);
    const chunks: Buffer[] = [];
    for await (const chunk of response) chunks.push(chunk as Buffer);
    expect(Buffer.concat(chunks).toString()).toBe('late');
  });
});
