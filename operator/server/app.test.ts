import { once } from 'node:events';
import { type AddressInfo, connect, createServer as createTcpServer, type Socket } from 'node:net';
import { pino } from 'pino';
import { afterEach, describe, expect, it, vi } from 'vitest';
import type { Report } from '../api/protocol.ts';
import { createServer, type ListenOptions } from './app.ts';
import { Authenticator, type Worker } from './authenticator.ts';
import { FORWARDED } from './leader-forwarder.ts';
import { OperatorMetrics } from './metrics.ts';
import { ReportInbox } from './report-inbox.ts';
import { TaskInbox } from './task-inbox.ts';
import { checkpoint, forged, report, reviewer, STORAGE, TRAINING, token, world } from './test-support.ts';
import type { Delivery, ServerLimits } from './worker-calls.ts';
import { WorldBoard } from './world-board.ts';

const POD = 'vicuna-13b-g1-0';
const PODS = [POD, 'vicuna-13b-g1-1'];
const WORLD = `/v1/trainings/${TRAINING}/world`;
const REPORT = `/v1/trainings/${TRAINING}/report`;
const TASK_POD = 'team-a/chats-dataset-1';
const TASK_REPORT = `/v1/tasks/${TASK_POD}/report`;

const cleanups: (() => Promise<unknown> | unknown)[] = [];
afterEach(async () => {
  for (const cleanup of cleanups.splice(0).reverse()) await cleanup();
});

type Leading = { leads: boolean; url: string | null };

type StartOptions = { limits?: Partial<ServerLimits>; leading?: Leading; listen?: ListenOptions };

async function start({
  limits = {},
  leading = { leads: true, url: null },
  listen = { host: '127.0.0.1', port: 0, metricsPort: 0 },
}: StartOptions = {}) {
  const lines: string[] = [];
  const log = pino({ level: 'debug' }, { write: (line: string) => lines.push(line) });
  const now = Date.now;
  const pods = new Map<string, Worker>();
  const addPods = (training: string, names: string[]) => {
    for (const pod of names) pods.set(`${training} ${pod}`, { pod, podUid: `uid-of-${pod}`, storage: STORAGE });
  };
  addPods(TRAINING, PODS);
  const board = new WorldBoard({ now });
  const metrics = new OperatorMetrics({ now });
  const inbox = new ReportInbox({ now, worldOf: (key) => board.get(key), onReport: (key, latest) => metrics.reported(key, latest) });
  const api = { down: false, reviews: 0, review: async () => {} };
  const authenticator = new Authenticator({
    review: async (candidate) => {
      api.reviews++;
      await api.review();
      if (api.down) throw new Error('down');
      return reviewer(candidate);
    },
    memberOf: (training, pod) => pods.get(`${training} ${pod}`) ?? null,
    taskPodOf: (namespace, pod) => (`${namespace}/${pod}` === TASK_POD ? `uid-of-${pod}` : null),
    now,
  });
  const tasks = new TaskInbox({ now });
  const deliveries: Delivery[] = [];
  const ready: { waiting: string | null } = { waiting: null };
  const server = createServer({
    board,
    inbox,
    tasks,
    authenticator,
    leader: { isLeader: () => leading.leads, leaderUrl: () => leading.url },
    metrics,
    notReady: () => ready.waiting,
    log,
    now,
    limits,
    onDelivery: (delivery) => deliveries.push(delivery),
  });
  const { port, metricsPort } = await server.listen(listen);
  const close = vi.fn(() => server.close(100));
  cleanups.push(() => close());
  const url = `http://127.0.0.1:${port}`;
  const get = (path: string, { as = token(), ...init }: RequestInit & { as?: string | null } = {}) =>
    fetch(url + path, { ...init, headers: { ...(as === null ? {} : { authorization: `Bearer ${as}` }), ...init.headers } });
  const post = (path: string, body: string | Report, init: RequestInit & { as?: string | null } = {}) =>
    get(path, { method: 'POST', body: typeof body === 'string' ? body : JSON.stringify(body), ...init });
  return { board, inbox, tasks, metrics, deliveries, ready, api, leading, lines, addPods, url, port, metricsPort, get, post, close };
}

type Started = Awaited<ReturnType<typeof start>>;

async function refusal(response: Response | Promise<Response>) {
  const { status, headers, ...rest } = await response;
  void rest;
  const { code, message } = (await (await response).json()) as { code: string; message: string };
  return { status, code, message, retryAfter: headers.get('retry-after') };
}

const waiters = ({ board }: Started, count: number) => vi.waitFor(() => expect(board.waiting).toBe(count), { timeout: 5_000, interval: 5 });

describe('asking for the world', () => {
  it('answers at once while the worker knows another', async () => {
    const server = await start();
    server.board.publish(TRAINING, world(2, PODS));
    for (const query of ['', '?after=1-run', '?after=']) {
      const response = await server.get(WORLD + query);
      expect([response.status, response.headers.get('content-type')]).toEqual([200, 'application/json; charset=utf-8']);
      expect(await response.json()).toEqual(world(2, PODS));
    }
  });

  it('waits for the next one', async () => {
    const server = await start();
    server.board.publish(TRAINING, world(1, PODS));
    const answer = server.get(`${WORLD}?after=1-run`);
    await waiters(server, 1);
    server.board.publish(TRAINING, world(1, PODS, { revision: '1-stop', directive: 'stop', deadline: '2026-11-23T12:00:00Z' }));
    expect(await (await answer).json()).toMatchObject({ directive: 'stop', deadline: '2026-11-23T12:00:00Z' });
  });

  it('waits before the first world', async () => {
    const server = await start();
    const answer = server.get(WORLD);
    await waiters(server, 1);
    server.board.publish(TRAINING, world(1, PODS));
    expect((await answer).status).toBe(200);
  });

  it('answers 204 when nothing has happened', async () => {
    const { get } = await start({ limits: { pollMs: 20 } });
    const response = await get(WORLD);
    expect([response.status, await response.text()]).toEqual([204, '']);
  });

  it('tells when a pod has been sent a world, and whether it was waiting', async () => {
    const server = await start();
    server.board.publish(TRAINING, world(1, PODS));
    await (await server.get(WORLD)).json();
    const next = server.get(`${WORLD}?after=1-run`);
    await waiters(server, 1);
    server.board.publish(TRAINING, world(2, PODS));
    await (await next).json();
    await vi.waitFor(() => expect(server.deliveries).toHaveLength(2));
    expect(server.deliveries.map(({ training, pod, world, waited }) => [training, pod, world.generation, waited])).toEqual([
      [TRAINING, POD, 1, false],
      [TRAINING, POD, 2, true],
    ]);
    expect(await server.metrics.registry.metrics()).toContain('vicuna_world_delivery_seconds_count 1');
  });

  it('keeps nothing of clients that go away', async () => {
    const server = await start();
    const gone = new AbortController();
    const asked = Array.from({ length: 4 }, () => server.get(WORLD, { signal: gone.signal }).catch((error: Error) => error.name));
    await waiters(server, 4);
    gone.abort();
    expect(await Promise.all(asked)).toEqual(Array(4).fill('AbortError'));
    await waiters(server, 0);
    const again = server.get(WORLD); // its four places are free again
    await waiters(server, 1);
    server.board.publish(TRAINING, world(1, PODS));
    expect((await again).status).toBe(200);
    expect(await server.metrics.registry.metrics()).toContain('vicuna_worker_requests_total{call="world",code="aborted"} 4');
  });

  it('keeps nothing of a client that went away while its token was reviewed', async () => {
    const server = await start();
    let answer: () => void = () => {};
    server.api.review = () => new Promise<void>((resolve) => (answer = resolve));
    const socket = await dial(server.port);
    socket.write(`GET ${WORLD} HTTP/1.1\r\nhost: operator\r\nauthorization: Bearer ${token()}\r\n\r\n`);
    await vi.waitFor(() => expect(server.api.reviews).toBe(1), { interval: 5 });
    socket.destroy();
    await vi.waitFor(async () => expect(await server.metrics.registry.metrics()).toContain('code="aborted"} 1'));
    answer();
    const published = server.get(WORLD); // shares the review, so it comes after
    await waiters(server, 1);
    server.board.publish(TRAINING, world(1, PODS));
    expect((await published).status).toBe(200);
  });

  it('lets a pod wait a few times, not any number of times', async () => {
    const server = await start({ limits: { pollsPerPod: 2 } });
    const asked = [server.get(WORLD), server.get(WORLD)];
    await waiters(server, 2);
    expect(await refusal(server.get(WORLD))).toMatchObject({ status: 429, code: 'TooManyPolls', retryAfter: '1' });
    server.board.publish(TRAINING, world(1, PODS));
    expect((await Promise.all(asked)).map(({ status }) => status)).toEqual([200, 200]);
    const again = [server.get(`${WORLD}?after=1-run`), server.get(`${WORLD}?after=1-run`)];
    await waiters(server, 2);
    server.board.publish(TRAINING, world(2, PODS));
    expect((await Promise.all(again)).map(({ status }) => status)).toEqual([200, 200]);
  });

  it('wakes a thousand waiting pods within 200 ms', async () => {
    const server = await start();
    const pods = Array.from({ length: 1_000 }, (_, rank) => `big-g1-${rank}`);
    server.addPods('team-a/big', pods);
    let answeredAt = 0;
    const sockets = await Promise.all(
      pods.map(async (pod) => {
        const socket = await dial(server.port);
        socket.write(`GET /v1/trainings/team-a/big/world HTTP/1.1\r\nhost: operator\r\nauthorization: Bearer ${token({ pod })}\r\n\r\n`);
        return socket;
      }),
    );
    await waiters(server, 1_000);
    const answers = sockets.map(async (socket) => {
      const [head] = (await once(socket, 'data')) as [Buffer];
      answeredAt = performance.now();
      return head.toString('latin1', 0, 15);
    });
    const published = performance.now();
    server.board.publish('team-a/big', world(1, ['big-g1-0', 'big-g1-1']));
    expect(new Set(await Promise.all(answers))).toEqual(new Set(['HTTP/1.1 200 OK']));
    expect(answeredAt - published).toBeLessThan(200);
  });
});

async function dial(port: number): Promise<Socket> {
  const socket = connect(port, '127.0.0.1');
  cleanups.push(() => socket.destroy());
  await once(socket, 'connect');
  socket.on('error', () => {});
  return socket;
}

describe('reporting', () => {
  it('takes a report and has metrics follow', async () => {
    const server = await start();
    server.board.publish(TRAINING, world(1, PODS));
    const response = await server.post(REPORT, report({ step: 42, checkpoint: checkpoint(40) }));
    expect([response.status, await response.json()]).toEqual([200, {}]);
    expect(server.inbox.get(TRAINING, POD)).toMatchObject({ podUid: `uid-of-${POD}`, report: { step: 42, checkpoint: { step: 40 } } });
    expect(await server.metrics.registry.metrics()).toContain('vicuna_training_step{namespace="team-a",training="vicuna-13b"} 42');
  });

  it.each<[string, string | Report, number, string, RegExp]>([
    ['no JSON', '{"step":', 400, 'MalformedJson', /send one JSON object/],
    ['nothing', '', 400, 'MalformedJson', /not JSON/],
    ['a loss that is NaN', JSON.stringify(report()).replace('2.5', 'NaN'), 400, 'MalformedJson', /NaN .* as null/],
    ['a list', '[]', 400, 'InvalidReport', /the report: /],
    ['a field too few', JSON.stringify({ ...report(), step: undefined }), 400, 'InvalidReport', /step: /],
    ['a wrong type', JSON.stringify({ ...report(), step: 'ten' }), 400, 'InvalidReport', /step: /],
    ['a negative step', report({ step: -1 }), 400, 'InvalidReport', /step: /],
    ['an unknown state', JSON.stringify({ ...report(), state: 'dancing' }), 400, 'InvalidReport', /state: /],
    ['an old generation', report({ generation: 1 }), 409, 'OldGeneration', /generation 2 is current/],
    ['a generation yet to come', report({ generation: 3 }), 422, 'UnknownGeneration', /no generation 3/],
    ['another rank', report({ generation: 2, rank: 1 }), 422, 'WrongRank', /has rank 0/],
    ['a step beyond the end', report({ generation: 2, step: 101 }), 422, 'StepBeyondEnd', /100 steps/],
    ['a body of 1 MB', 'x'.repeat(1_000_000), 413, 'BodyTooLarge', /larger than 65536 bytes/],
  ])('refuses %s', async (_what, body, status, code, sentence) => {
    const server = await start();
    server.board.publish(TRAINING, world(2, PODS));
    expect(await refusal(server.post(REPORT, body))).toMatchObject({ status, code, message: expect.stringMatching(sentence) });
    expect(server.inbox.list(TRAINING)).toEqual([]);
  });

  it('refuses a step that goes backwards', async () => {
    const server = await start();
    await server.post(REPORT, report({ step: 50 }));
    expect(await refusal(server.post(REPORT, report({ step: 49 })))).toMatchObject({ status: 422, code: 'StepWentBackwards' });
  });

  it("takes Unicode in a failure's message", async () => {
    const server = await start();
    const message = 'Ошибка: 火山 🌋';
    expect((await server.post(REPORT, report({ state: 'failed', exitCode: 1, message }))).status).toBe(200);
    expect(server.inbox.get(TRAINING, POD)?.report.message).toBe(message);
  });

  it('refuses a body of unknown length once it is too large', async () => {
    const { port } = await start({ limits: { bodyBytes: 1_000 } });
    const socket = await dial(port);
    socket.write(`POST ${REPORT} HTTP/1.1\r\nhost: operator\r\nauthorization: Bearer ${token()}\r\ntransfer-encoding: chunked\r\n\r\n`);
    socket.write(`7d0\r\n${'x'.repeat(2_000)}\r\n`); // and no end
    expect(String(await once(socket, 'data'))).toMatch(/^HTTP\/1.1 413 .*"BodyTooLarge"/s);
  });

  it('refuses a body that is announced as too large before it comes', async () => {
    const { port } = await start();
    const socket = await dial(port);
    socket.write(`POST ${REPORT} HTTP/1.1\r\nhost: operator\r\nauthorization: Bearer ${token()}\r\ncontent-length: 1000000\r\n\r\n`);
    expect(String(await once(socket, 'data'))).toMatch(/^HTTP\/1.1 413 .*"BodyTooLarge"/s);
  });

  it('does not wait for a slow body', async () => {
    const { port } = await start({ limits: { bodyMs: 30 } });
    const socket = await dial(port);
    socket.write(`POST ${REPORT} HTTP/1.1\r\nhost: operator\r\nauthorization: Bearer ${token()}\r\ncontent-length: 100\r\n\r\n{`);
    expect(String(await once(socket, 'data'))).toMatch(/^HTTP\/1.1 408 .*"SlowBody"/s);
  });

  it('survives a client that goes away within its body', async () => {
    const server = await start();
    const socket = await dial(server.port);
    socket.write(`POST ${REPORT} HTTP/1.1\r\nhost: operator\r\nauthorization: Bearer ${token()}\r\ncontent-length: 100\r\n\r\n{`);
    await new Promise((resolve) => setImmediate(resolve));
    socket.destroy();
    await vi.waitFor(async () => expect(await server.metrics.registry.metrics()).toContain('call="report",code="aborted"} 1'));
    expect((await server.post(REPORT, report())).status).toBe(200);
  });

  it('holds back a pod that reports without end, and no other', async () => {
    const server = await start({ limits: { reports: { perSecond: 0.001, burst: 3 } } });
    const statuses: number[] = [];
    for (let index = 0; index < 5; index++) statuses.push((await server.post(REPORT, report())).status);
    expect(statuses).toEqual([200, 200, 200, 429, 429]);
    expect((await server.post(REPORT, report({ rank: 1 }), { as: token({ pod: PODS[1] ?? '' }) })).status).toBe(200);
  });
});

describe('who may call', () => {
  it.each<[string, string | null, string, number, string]>([
    ['no token', null, REPORT, 401, 'TokenMissing'],
    ['a forged token', forged(), REPORT, 401, 'TokenRefused'],
    ['an expired token', token({ exp: 1_000 }), REPORT, 401, 'TokenExpired'],
    ['a pod of another namespace', token({ namespace: 'team-b' }), REPORT, 403, 'OtherNamespace'],
    ['a pod of another training', token(), '/v1/trainings/team-a/other/report', 403, 'NotAWorker'],
    ['a path that names no training', token(), '/v1/trainings/team-a/..%2Fother/report', 400, 'MalformedRequest'],
    ['a path that is not properly encoded', token(), '/v1/trainings/team-a/%ff/report', 400, 'MalformedRequest'],
  ])('refuses %s', async (_what, as, path, status, code) => {
    const server = await start();
    expect(await refusal(server.post(path, report(), { as }))).toMatchObject({
      status,
      code,
      message: expect.stringMatching(/^[A-Z].*\.$/),
    });
    expect(server.inbox.list(TRAINING)).toEqual([]);
    expect(await refusal(server.get(path.replace(/report$/, 'world'), { as }))).toMatchObject({ status, code });
  });

  it('asks again later when the API server is away', async () => {
    const server = await start();
    server.api.down = true;
    expect(await refusal(server.get(WORLD))).toMatchObject({ status: 503, code: 'ReviewUnavailable', retryAfter: '2' });
  });

  it('logs a refusal once, and no token', async () => {
    const server = await start();
    for (let index = 0; index < 3; index++) await server.post(REPORT, report(), { as: forged() });
    await server.get(`${WORLD}?after=${token()}`, { as: null });
    expect(server.lines.filter((line) => line.includes('TokenRefused'))).toHaveLength(1);
    expect(server.lines.join('')).not.toContain(token().slice(0, 40));
  });
});

describe('other requests', () => {
  it.each<[string, string, string, number, string]>([
    ['an unknown path', 'GET', '/v1/nothing', 404, 'NotFound'],
    ['a call to GET with POST', 'POST', WORLD, 405, 'MethodNotAllowed'],
    ['a call to POST with GET', 'GET', REPORT, 405, 'MethodNotAllowed'],
    ["metrics on the workers' port", 'GET', '/metrics', 404, 'NotFound'],
    ['two revisions', 'GET', `${WORLD}?after=1&after=2`, 400, 'MalformedRequest'],
    ['an endless revision', 'GET', `${WORLD}?after=${'x'.repeat(300)}`, 400, 'MalformedRequest'],
  ])('refuses %s', async (_what, method, path, status, code) => {
    const server = await start();
    expect(await refusal(server.get(path, { method }))).toMatchObject({ status, code });
  });

  it('names the method to use', async () => {
    const { get } = await start();
    expect((await get(REPORT)).headers.get('allow')).toBe('POST');
  });

  it('is healthy at once, and ready when its caches are', async () => {
    const server = await start();
    server.ready.waiting = 'The cache of pods has not synced yet.';
    for (const port of [server.port, server.metricsPort]) {
      expect((await fetch(`http://127.0.0.1:${port}/healthz`)).status).toBe(200);
      expect(await refusal(fetch(`http://127.0.0.1:${port}/readyz`))).toMatchObject({
        status: 503,
        code: 'NotReady',
        message: 'The cache of pods has not synced yet.',
      });
    }
    server.ready.waiting = null;
    server.leading.leads = false;
    expect((await server.get('/readyz')).status).toBe(200);
  });

  it('serves metrics on their own port', async () => {
    const server = await start();
    const waiting = server.get(WORLD);
    await waiters(server, 1);
    const response = await fetch(`http://127.0.0.1:${server.metricsPort}/metrics`);
    expect(response.headers.get('content-type')).toMatch(/^text\/plain; version=0.0.4/);
    expect(await response.text()).toContain('vicuna_world_waiters 1');
    server.board.release();
    await waiting;
  });

  it("may serve metrics on the workers' port", async () => {
    const server = await start({ listen: { host: '127.0.0.1', port: 0 } });
    expect(server.metricsPort).toBe(server.port);
    expect(await (await server.get('/metrics')).text()).toContain('# TYPE vicuna_training_step gauge');
  });

  it('says when its port is taken', async () => {
    const { port } = await start();
    await expect(start({ listen: { host: '127.0.0.1', port } })).rejects.toMatchObject({ code: 'EADDRINUSE' });
  });

  it('hides why it failed from the caller, and tells the log', async () => {
    const server = await start();
    server.inbox.onChange(TRAINING, () => {
      throw new Error('a secret of the controller');
    });
    const answer = await refusal(server.post(REPORT, report()));
    expect(answer).toMatchObject({ status: 500, code: 'Internal' });
    expect(answer.message).not.toContain('secret');
    expect(server.lines.join('')).toContain('a secret of the controller');
  });
});

describe('closing', () => {
  it('answers those who wait, and takes no more', async () => {
    const server = await start();
    const waiting = server.get(WORLD);
    await waiters(server, 1);
    const closed = server.close();
    const response = await waiting;
    expect([response.status, response.headers.get('connection')]).toEqual([204, 'close']);
    await closed;
    await expect(server.get('/healthz')).rejects.toThrow();
  });

  it('does not wait for one that never ends', async () => {
    const server = await start();
    const socket = await dial(server.port);
    socket.write(`POST ${REPORT} HTTP/1.1\r\nhost: operator\r\nauthorization: Bearer ${token()}\r\ncontent-length: 100\r\n\r\n{`);
    await new Promise((resolve) => setImmediate(resolve));
    await server.close();
  });
});

describe('a standby', () => {
  async function pair(limits: Partial<ServerLimits> = {}) {
    const leader = await start({ limits });
    const standby = await start({ limits, leading: { leads: false, url: leader.url } });
    return { leader, standby };
  }

  it('has the leader answer both calls', async () => {
    const { leader, standby } = await pair();
    leader.board.publish(TRAINING, world(1, PODS));
    expect((await standby.post(REPORT, report({ step: 7 }))).status).toBe(200);
    expect(leader.inbox.get(TRAINING, POD)?.report.step).toBe(7);
    expect(standby.inbox.list(TRAINING)).toEqual([]);
    const answer = standby.get(`${WORLD}?after=1-run`);
    await waiters(leader, 1);
    leader.board.publish(TRAINING, world(2, PODS));
    expect(await (await answer).json()).toEqual(world(2, PODS));
  });

  it("passes the leader's refusals on as they are", async () => {
    const { standby } = await pair();
    expect(await refusal(standby.post(REPORT, report(), { as: forged() }))).toMatchObject({ status: 401, code: 'TokenRefused' });
    expect(await refusal(standby.post(REPORT, 'x'.repeat(1_000_000)))).toMatchObject({ status: 413, code: 'BodyTooLarge' });
    expect((await standby.get(REPORT)).status).toBe(405);
  });

  it('passes 204 on', async () => {
    const { standby } = await pair({ pollMs: 20 });
    expect((await standby.get(WORLD)).status).toBe(204);
  });

  it('lets go of the leader when the worker goes away', async () => {
    const { leader, standby } = await pair();
    const gone = new AbortController();
    const asked = standby.get(WORLD, { signal: gone.signal }).catch((error: Error) => error.name);
    await waiters(leader, 1);
    gone.abort();
    expect(await asked).toBe('AbortError');
    await waiters(leader, 0);
  });

  it('passes requests to the leader only, whatever host they name', async () => {
    const other = createTcpServer();
    let asked = 0;
    other.on('connection', () => asked++).listen(0, '127.0.0.1');
    await once(other, 'listening');
    cleanups.push(() => other.close());
    const { leader, standby } = await pair();
    leader.board.publish(TRAINING, world(1, PODS));
    const socket = await dial(standby.port);
    const elsewhere = `http://127.0.0.1:${(other.address() as AddressInfo).port}`;
    socket.write(`GET ${elsewhere}${WORLD} HTTP/1.1\r\nhost: operator\r\nauthorization: Bearer ${token()}\r\n\r\n`);
    expect(String(await once(socket, 'data'))).toMatch(/^HTTP\/1.1 200 .*"generation":1/s);
    expect(asked).toBe(0);
  });

  it('answers 503 while there is no leader', async () => {
    const standby = await start({ leading: { leads: false, url: null } });
    expect(await refusal(standby.get(WORLD))).toMatchObject({ status: 503, code: 'NoLeader', retryAfter: '1' });
    expect(await refusal(standby.post(REPORT, report()))).toMatchObject({ status: 503, code: 'NoLeader' });
  });

  it('answers 503 when the leader cannot be reached', async () => {
    const { leader, standby } = await pair();
    await leader.close();
    expect(await refusal(standby.get(WORLD))).toMatchObject({ status: 503, code: 'NoLeader', retryAfter: '1' });
  });

  it('answers 503 when the leader dies before it has answered', async () => {
    const hung = createTcpServer();
    const accepted = new Promise<Socket>((resolve) => hung.once('connection', resolve));
    hung.listen(0, '127.0.0.1');
    await once(hung, 'listening');
    cleanups.push(() => hung.close());
    const standby = await start({ leading: { leads: false, url: `http://127.0.0.1:${(hung.address() as AddressInfo).port}` } });
    const answer = refusal(standby.get(WORLD));
    (await accepted).destroy();
    expect(await answer).toMatchObject({ status: 503, code: 'NoLeader' });
  });

  it('never passes a request on twice', async () => {
    const first = await start({ leading: { leads: false, url: null } });
    const second = await start({ leading: { leads: false, url: first.url } });
    first.leading.url = second.url;
    expect(await refusal(first.get(WORLD))).toMatchObject({
      status: 503,
      code: 'NoLeader',
      message: expect.stringMatching(/passed on to it/),
    });
    expect((await first.get(WORLD, { headers: { [FORWARDED]: '1' } })).status).toBe(503);
  });

  it('frees the workers of a leader that hangs as soon as there is another', async () => {
    const { leader: hung, standby } = await pair();
    const next = await start();
    next.board.publish(TRAINING, world(2, PODS));
    const waiting = refusal(standby.get(WORLD));
    await waiters(hung, 1);
    standby.leading.url = next.url;
    expect(await waiting).toMatchObject({ status: 503, code: 'NoLeader', retryAfter: '1' });
    expect(await (await standby.get(WORLD)).json()).toEqual(world(2, PODS));
  });

  it('answers itself once it leads', async () => {
    const { standby } = await pair();
    standby.leading.leads = true;
    standby.board.publish(TRAINING, world(3, PODS));
    expect(await (await standby.get(WORLD)).json()).toEqual(world(3, PODS));
  });
});

describe('a task’s report', () => {
  const as = token({ pod: 'chats-dataset-1' });
  const told = { stage: 'split', done: 3, total: 10, unit: 'conversations', etaSeconds: null };
  const send = (server: Started, body: unknown, init: RequestInit & { as?: string | null } = { as }, path = TASK_REPORT) =>
    server.post(path, typeof body === 'string' ? body : JSON.stringify(body), init);

  it('is taken from the pod itself, and its first one is announced', async () => {
    const server = await start();
    const first: string[] = [];
    server.tasks.onFirst(({ namespace, pod }) => first.push(`${namespace}/${pod}`));
    expect((await send(server, told)).status).toBe(200);
    expect((await send(server, { ...told, done: 4 })).status).toBe(200);
    expect(server.tasks.get('team-a', 'chats-dataset-1', 'uid-of-chats-dataset-1')).toEqual({ ...told, done: 4 });
    expect(server.tasks.get('team-a', 'chats-dataset-1', 'another')).toBeNull();
    expect(first).toEqual([TASK_POD]);
  });

  it.each<[string, string, unknown, RequestInit & { as?: string | null }, number, string]>([
    ['without a token', TASK_REPORT, told, { as: null }, 401, 'TokenMissing'],
    ['with a forged token', TASK_REPORT, told, { as: forged({ pod: 'chats-dataset-1' }) }, 401, 'TokenRefused'],
    ['with the token of another pod', TASK_REPORT, told, { as: token() }, 403, 'OtherPod'],
    ['from another namespace', TASK_REPORT, told, { as: token({ pod: 'chats-dataset-1', namespace: 'team-b' }) }, 403, 'OtherPod'],
    ['of a pod that is no task', `/v1/tasks/team-a/${POD}/report`, told, { as: token() }, 403, 'NotATask'],
    ['that is no JSON', TASK_REPORT, '{', { as }, 400, 'MalformedJson'],
    ['with a field too many', TASK_REPORT, { ...told, more: 1 }, { as }, 400, 'InvalidReport'],
    ['with less than nothing done', TASK_REPORT, { ...told, done: -1 }, { as }, 400, 'InvalidReport'],
    ['with a stage that is a novel', TASK_REPORT, { ...told, stage: 'x'.repeat(64) }, { as }, 400, 'InvalidReport'],
    ['that is too large', TASK_REPORT, 'x'.repeat(70_000), { as }, 413, 'BodyTooLarge'],
    ['by another method', TASK_REPORT, told, { as, method: 'PUT' }, 405, 'MethodNotAllowed'],
    ['of an impossible name', '/v1/tasks/team-a/A_B/report', told, { as }, 400, 'MalformedRequest'],
  ])('%s is refused', async (_what, path, body, init, status, code) => {
    const server = await start();
    expect(await refusal(send(server, body, init, path))).toMatchObject({ status, code });
    expect(server.tasks.get('team-a', 'chats-dataset-1', 'uid-of-chats-dataset-1')).toBeNull();
  });

  it('that comes too often is refused for a second', async () => {
    const server = await start({ limits: { taskReports: { perSecond: 1, burst: 2 } } });
    expect([(await send(server, told)).status, (await send(server, told)).status]).toEqual([200, 200]);
    expect(await refusal(send(server, told))).toMatchObject({ status: 429, code: 'TooManyReports', retryAfter: '1' });
  });

  it('is passed on by a standby', async () => {
    const leader = await start();
    const standby = await start({ leading: { leads: false, url: leader.url } });
    expect((await send(standby, told)).status).toBe(200);
    expect(leader.tasks.get('team-a', 'chats-dataset-1', 'uid-of-chats-dataset-1')).toEqual(told);
  });
});
