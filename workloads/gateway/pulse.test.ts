import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { type AddressInfo, createServer } from 'node:net';
import { afterEach, describe, expect, it, vi } from 'vitest';
import { canConnect, Pulse } from './pulse.ts';
import { answerTo } from './testing/fake-worker.ts';
import { GatewayStage } from './testing/stage.ts';
import { Worker } from './worker.ts';

let stage: GatewayStage;
afterEach(() => stage?.stop());

/** The worker that answers a question of this text. */
async function askedWorker(count = 1) {
  await vi.waitFor(() => expect(stage.workers.flatMap((w) => w.asked)).toHaveLength(count));
  const index = stage.workers.findIndex((w) => w.running > 0);
  return stage.gateway.registry.all()[index] as Worker;
}

describe('a worker whose machine vanishes', () => {
  it.each([
    ['before its answer begins', 0],
    ['in the middle of its answer', 5],
  ])('%s loses its requests to others', async (_, after) => {
    stage = await GatewayStage.start();
    for (const worker of stage.workers) worker.fault = { kind: 'stalls', after };
    const answer = stage.chat('hello');
    const worker = await askedWorker();
    for (const other of stage.workers) if (other.running === 0) other.fault = { kind: 'none' };
    const pulse = new Pulse(
      () => stage.gateway.registry.living(),
      async (w) => w !== worker,
    );
    let answered = false;
    void answer.then(() => {
      answered = true;
    });
    await vi.waitFor(async () => {
      await pulse.tick();
      expect(answered).toBe(true);
    });
    expect(await answer).toMatchObject({ text: answerTo('hello', 12).join(''), done: true });
    expect(worker.breaker.closed).toBe(false);
  });

  it('is lost also when it is in no list any more', async () => {
    stage = await GatewayStage.start();
    for (const worker of stage.workers) worker.fault = { kind: 'stalls', after: 3 };
    const answer = stage.chat('hello');
    const worker = await askedWorker();
    const others = stage.workers.filter((w) => w.running === 0);
    for (const other of others) other.fault = { kind: 'none' };
    stage.seat(others);
    const pulse = new Pulse(
      () => stage.gateway.registry.living(),
      async (w) => w !== worker,
    );
    await vi.waitFor(async () => {
      await pulse.tick();
      expect(worker.running).toBe(0);
    });
    expect((await answer).text).toBe(answerTo('hello', 12).join(''));
    expect([...stage.gateway.registry.living()]).not.toContain(worker);
  });

  it('is asked again when it can be reached again', async () => {
    stage = await GatewayStage.start({ workers: [{}] });
    const [worker] = stage.gateway.registry.all() as [Worker];
    worker.vanished();
    let there = false;
    const pulse = new Pulse(
      () => stage.gateway.registry.living(),
      async () => there,
    );
    await pulse.tick();
    expect(worker.breaker.closed).toBe(false);
    there = true;
    await pulse.tick();
    expect((await stage.chat('hello')).text).toBe(answerTo('hello', 12).join(''));
  });
});

describe('a worker that is only slow', () => {
  it('keeps its requests', async () => {
    stage = await GatewayStage.start({ workers: [{}] });
    for (const worker of stage.workers) worker.fault = { kind: 'stalls', after: 2 };
    const leave = new AbortController();
    const answer = stage
      .post('/v1/chat/completions', { model: 'tiny', messages: [{ role: 'user', content: 'x' }], stream: true }, {}, leave.signal)
      .catch(() => null);
    const worker = await askedWorker();
    const pulse = new Pulse(() => stage.gateway.registry.living());
    for (let i = 0; i < 5; i++) await pulse.tick();
    expect(worker).toMatchObject({ running: 1, breaker: { closed: true } });
    leave.abort();
    await answer;
  });

  it('is not asked for a connection while it sends, or owes nothing', async () => {
    stage = await GatewayStage.start({ workers: [{}] });
    const [worker] = stage.gateway.registry.all() as [Worker];
    const reach = vi.fn(async () => true);
    const pulse = new Pulse(() => [worker], reach);
    await pulse.tick();
    await pulse.tick();
    worker.running = 1;
    for (let i = 0; i < 3; i++) {
      worker.heard++;
      await pulse.tick();
    }
    expect(reach).not.toHaveBeenCalled();
  });
});

describe('a connection to a worker', () => {
  const workerAt = (port: number) =>
    new Worker(
      {
        name: 'w',
        url: `http://127.0.0.1:${port}`,
        models: ['tiny'],
        track: 'stable',
        protocol: 'openai',
        engine: null,
        zone: null,
        keyFile: null,
      },
      Date.now,
    );

  it('is completed by a machine that is there, and refused by one where nothing listens', async () => {
    const server = createServer().listen(0, '127.0.0.1');
    await once(server, 'listening');
    const worker = workerAt((server.address() as AddressInfo).port);
    expect(await canConnect(worker)).toBe(true);
    await new Promise((resolve) => server.close(resolve));
    expect(await canConnect(worker)).toBe(false);
  });

  it('is given up when nobody answers at all', async () => {
    // A stopped process takes no connection from its queue; when that is full, its system answers as a machine that is gone.
    const script =
      "const s = require('net').createServer().listen({ port: 0, host: '127.0.0.1', backlog: 1 }, () => console.log(s.address().port))";
    const child: ChildProcess = spawn(process.execPath, ['-e', script], { stdio: ['ignore', 'pipe', 'inherit'] });
    try {
      const [port] = await once(child.stdout as NodeJS.ReadableStream, 'data');
      child.kill('SIGSTOP');
      const worker = workerAt(Number(String(port)));
      let reached = true;
      for (let i = 0; i < 8 && reached; i++) reached = await canConnect(worker);
      expect(reached).toBe(false);
    } finally {
      child.kill('SIGKILL');
    }
  });
});
