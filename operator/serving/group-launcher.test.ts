import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { createServer, type Server } from 'node:http';
import type { AddressInfo } from 'node:net';
import { afterEach, describe, expect, it } from 'vitest';
import { GROUP_HEALTH, GROUP_LAUNCHER } from './group-launcher.ts';

const running: ChildProcess[] = [];
const servers: Server[] = [];

afterEach(() => {
  for (const child of running.splice(0)) child.kill('SIGKILL');
  for (const server of servers.splice(0)) server.close();
});

function python(...args: string[]): ChildProcess {
  const child = spawn('python3', ['-c', ...args], { stdio: ['ignore', 'pipe', 'inherit'] });
  running.push(child);
  return child;
}

/** A server that says that it runs, and ends as told by SIGTERM after a word. */
const POLITE =
  'import signal,sys,time\nsignal.signal(signal.SIGTERM, lambda *_: (print("bye", flush=True), sys.exit(0)))\nprint("up", flush=True)\ntime.sleep(60)';
const polite = JSON.stringify(['python3', '-c', POLITE]);

describe('servers in one container', () => {
  it('are all told to end, and are waited for', async () => {
    const child = python(GROUP_LAUNCHER, polite, polite);
    const end = once(child, 'exit');
    let text = '';
    child.stdout?.on('data', (chunk) => {
      text += String(chunk);
      if (text.split('up').length > 2) child.kill('SIGTERM');
    });
    expect(await end).toEqual([0, null]);
    expect(text.split('bye')).toHaveLength(3);
  });

  it('end together with the first that ends, with its exit code', async () => {
    const failing = JSON.stringify(['python3', '-c', 'import sys; sys.exit(7)']);
    const child = python(GROUP_LAUNCHER, polite, failing);
    expect(await once(child, 'exit')).toEqual([7, null]);
    const killed = python(GROUP_LAUNCHER, JSON.stringify(['python3', '-c', 'import os, signal; os.kill(os.getpid(), signal.SIGKILL)']));
    expect(await once(killed, 'exit')).toEqual([137, null]);
  });

  it('are healthy when all of them are', async () => {
    const serve = async (status: number) => {
      const server = createServer((_, response) => response.writeHead(status).end());
      servers.push(server);
      await once(server.listen(0, '127.0.0.1'), 'listening');
      return String((server.address() as AddressInfo).port);
    };
    const [good, bad] = [await serve(200), await serve(503)];
    expect(await once(python(GROUP_HEALTH, good, good), 'exit')).toEqual([0, null]);
    const quiet = spawn('python3', ['-c', GROUP_HEALTH, good, bad], { stdio: 'ignore' });
    expect(await once(quiet, 'exit')).toEqual([1, null]);
  });
});
