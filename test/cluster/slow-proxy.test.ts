import { createServer, type Server } from 'node:http';
import type { AddressInfo } from 'node:net';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { SlowProxy } from './slow-proxy.ts';

let server: Server;
let proxy: SlowProxy;
let received: () => void;
const arrived = () =>
  new Promise<void>((resolve) => {
    received = resolve;
  });

beforeEach(async () => {
  received = () => undefined;
  server = createServer((request, response) => {
    received();
    if (request.url === '/never') return;
    request.pipe(response);
  });
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  const target = `http://127.0.0.1:${(server.address() as AddressInfo).port}`;
  proxy = await SlowProxy.start({ target, address: '127.0.0.1', latencyMs: 0 });
});
afterEach(async () => {
  await proxy.stop();
  server.closeAllConnections();
  server.close();
});

describe('a slow proxy', () => {
  it('passes everything on, in order', async () => {
    const body = 'sample '.repeat(50_000);
    const response = await fetch(proxy.url, { method: 'POST', body });
    expect(await response.text()).toBe(body);
  });

  it('makes question and answer late', async () => {
    proxy.latencyMs = 60;
    const startedAt = performance.now();
    await (await fetch(proxy.url, { method: 'POST', body: 'x' })).text();
    // Once there and once back; timers may fire a millisecond early.
    expect(performance.now() - startedAt).toBeGreaterThanOrEqual(118);
  });

  it('makes much data as late as little: a save of many megabytes does not wait once for each piece', async () => {
    proxy.latencyMs = 100;
    const startedAt = performance.now();
    await (await fetch(proxy.url, { method: 'POST', body: Buffer.alloc(8 * 1024 * 1024) })).arrayBuffer();
    // 128 pieces of 64 KiB, one after the other, would take 12.8 s.
    expect(performance.now() - startedAt).toBeLessThan(4_000);
  });

  it('cuts what is under way, and serves what comes after', async () => {
    const there = arrived();
    const broken = expect(fetch(`${proxy.url}/never`)).rejects.toThrow();
    await there;
    proxy.cut();
    await broken;
    expect((await fetch(proxy.url, { method: 'POST', body: 'again' })).ok).toBe(true);
  });
});
