import { type ChildProcess, fork } from 'node:child_process';
import { once } from 'node:events';
import { writeFileSync } from 'node:fs';
import { cpus } from 'node:os';
import { fileURLToPath } from 'node:url';
import { parseArgs } from 'node:util';
import { pino } from 'pino';
import { Agent, request } from 'undici';
import type { Report, World } from '../../operator/api/protocol.ts';
import { createServer } from '../../operator/server/app.ts';
import { Authenticator } from '../../operator/server/authenticator.ts';
import { OperatorMetrics } from '../../operator/server/metrics.ts';
import { ReportInbox } from '../../operator/server/report-inbox.ts';
import { TaskInbox } from '../../operator/server/task-inbox.ts';
import { WorldBoard } from '../../operator/server/world-board.ts';

/**
 * The worker protocol's speed. The server runs in a process of its own, so that its CPU time is not mixed with the workers' who
 * load it; both share the machine, so the latencies are those of a busy one.
 */
export type ProtocolSettings = {
  trainings: number;
  podsPerTraining: number;
  floodSeconds: number;
  pacedSeconds: number;
  publishes: number;
};

export const PROTOCOL_SETTINGS: ProtocolSettings = {
  trainings: 1_000,
  podsPerTraining: 2,
  floodSeconds: 4,
  pacedSeconds: 6,
  publishes: 200,
};

type Latency = { p50: number; p99: number; max: number };

export type ProtocolFigures = {
  /** As many reports as the server takes, from 64 connections. */
  flood: { reportsPerSecond: number; serverCpuMicrosPerReport: number };
  /** Every pod reports each 2 s, as workers do. */
  paced: { reportsPerSecond: number; serverCpuPercent: number; latencyMs: Latency };
  /** From publishing a gang's world to its having arrived at the last member, one gang after another, all others waiting. */
  wakeOneMs: Latency;
  /** The same with every training's world published at once. */
  wakeAllMs: Latency;
  serverRssMiB: number;
};

type Question = { publish: string[]; generation: number } | 'usage' | 'close';
type Usage = { cpuMicros: number; rssMiB: number };

const STORAGE = 's3://bench/checkpoints';
const FLOOD_CONNECTIONS = 64;

/** Runs the whole bench; takes about 20 s with the usual settings. */
export async function benchProtocol(settings: ProtocolSettings): Promise<ProtocolFigures> {
  const server = fork(fileURLToPath(import.meta.url), ['--serve'], { stdio: ['ignore', 'inherit', 'inherit', 'ipc'] });
  try {
    const [{ port }] = (await once(server, 'message')) as [{ port: number }];
    const bench = new Bench(server, `http://127.0.0.1:${port}`, settings);
    const flood = await bench.flood();
    const paced = await bench.paced();
    const { wakeOneMs, wakeAllMs } = await bench.wake();
    const { rssMiB } = await bench.usage();
    return { flood, paced, wakeOneMs, wakeAllMs, serverRssMiB: rssMiB };
  } finally {
    server.kill();
  }
}

type Pod = { training: string; rank: number; token: string; step: number };

class Bench {
  readonly #server: ChildProcess;
  readonly #url: string;
  readonly #settings: ProtocolSettings;
  readonly #trainings: string[];
  readonly #pods: Pod[];

  constructor(server: ChildProcess, url: string, settings: ProtocolSettings) {
    this.#server = server;
    this.#url = url;
    this.#settings = settings;
    this.#trainings = Array.from({ length: settings.trainings }, (_, index) => `bench/run-${index}`);
    this.#pods = this.#trainings.flatMap((training) =>
      Array.from({ length: settings.podsPerTraining }, (_, rank) => ({ training, rank, token: tokenOf(podName(training, rank)), step: 0 })),
    );
  }

  async flood(): Promise<ProtocolFigures['flood']> {
    const agent = new Agent({ connections: FLOOD_CONNECTIONS });
    for (const pod of this.#pods) await this.#report(agent, pod); // tokens reviewed, connections open
    const before = await this.usage();
    const started = performance.now();
    const end = started + this.#settings.floodSeconds * 1000;
    let next = 0;
    let done = 0;
    const lane = async () => {
      while (performance.now() < end) {
        const pod = this.#pods[next++ % this.#pods.length];
        if (pod !== undefined) await this.#report(agent, pod);
        done++;
      }
    };
    await Promise.all(Array.from({ length: FLOOD_CONNECTIONS }, lane));
    const seconds = (performance.now() - started) / 1000;
    const cpu = (await this.usage()).cpuMicros - before.cpuMicros;
    await agent.close();
    return { reportsPerSecond: Math.round(done / seconds), serverCpuMicrosPerReport: Math.round(cpu / done) };
  }

  async paced(): Promise<ProtocolFigures['paced']> {
    const agent = new Agent({ connections: this.#pods.length });
    const latencies: number[] = [];
    const before = await this.usage();
    const started = performance.now();
    const end = started + this.#settings.pacedSeconds * 1000;
    await Promise.all(
      this.#pods.map(async (pod, index) => {
        let at = started + (index / this.#pods.length) * 2_000; // spread evenly over the two seconds
        for (; at < end; at += 2_000) {
          await until(at);
          const sent = performance.now();
          await this.#report(agent, pod);
          latencies.push(performance.now() - sent);
        }
      }),
    );
    const seconds = (performance.now() - started) / 1000;
    const cpu = (await this.usage()).cpuMicros - before.cpuMicros;
    await agent.close();
    return {
      reportsPerSecond: Math.round(latencies.length / seconds),
      serverCpuPercent: round(cpu / 1e4 / seconds),
      latencyMs: latencyOf(latencies),
    };
  }

  async wake(): Promise<Pick<ProtocolFigures, 'wakeOneMs' | 'wakeAllMs'>> {
    const agent = new Agent({ connections: this.#pods.length, headersTimeout: 60_000 });
    const arrivals = new Map<string, { at: number[]; arrived: () => void }>();
    const stop = new AbortController();
    const polls = this.#pods.map(async (pod) => {
      let after: string | undefined;
      while (!stop.signal.aborted) {
        try {
          const world = await this.#poll(agent, pod, after, stop.signal);
          if (world === null) continue;
          after = world.revision;
          const arrival = arrivals.get(`${pod.training} ${world.generation}`);
          arrival?.at.push(now());
          if (arrival?.at.length === this.#settings.podsPerTraining) arrival.arrived();
        } catch (error) {
          if (!stop.signal.aborted) throw error;
        }
      }
    });
    let generation = 1;
    /** Publishes a new world of the trainings; resolves to each training's ms until its last member had it. */
    const publish = async (trainings: string[]): Promise<number[]> => {
      generation++;
      const expected = trainings.map((training) => {
        const at: number[] = [];
        return new Promise<number[]>((resolve) => arrivals.set(`${training} ${generation}`, { at, arrived: () => resolve(at) }));
      });
      const { publishedAt } = await this.#ask<{ publishedAt: number }>({ publish: trainings, generation });
      const all = await Promise.all(expected);
      arrivals.clear();
      return all.map((at) => Math.max(...at) - publishedAt);
    };
    await publish(this.#trainings); // everyone is connected and knows a world
    await publish(this.#trainings);
    const one: number[] = [];
    for (let index = 0; index < this.#settings.publishes; index++) {
      const training = this.#trainings[(index * 7) % this.#trainings.length];
      if (training !== undefined) one.push(...(await publish([training])));
      await until(performance.now() + 5); // its members ask again meanwhile
    }
    const all = await publish(this.#trainings);
    stop.abort();
    await Promise.all(polls);
    await agent.destroy();
    return { wakeOneMs: latencyOf(one), wakeAllMs: latencyOf(all) };
  }

  usage(): Promise<Usage> {
    return this.#ask<Usage>('usage');
  }

  async #ask<T>(question: Question): Promise<T> {
    const answer = once(this.#server, 'message');
    this.#server.send(question as object);
    return (await answer)[0] as T;
  }

  async #report(agent: Agent, pod: Pod): Promise<void> {
    const step = ++pod.step;
    const report: Report = {
      generation: 1,
      rank: pod.rank,
      state: 'running',
      step,
      totalSteps: 1_000_000,
      epoch: step / 1_000,
      loss: 2.5,
      tokensPerSecond: 12_345.6,
      checkpoint: {
        step: 0,
        uri: `${STORAGE}/step-00000000-g1`,
        bytes: 26_000_000_000,
        savedAt: '2026-11-23T12:00:00Z',
        seconds: 31.5,
        stallSeconds: 1.25,
        generation: 1,
      },
    };
    const { statusCode, body } = await request(`${this.#url}/v1/trainings/${pod.training}/report`, {
      dispatcher: agent,
      method: 'POST',
      headers: { authorization: `Bearer ${pod.token}`, 'content-type': 'application/json' },
      body: JSON.stringify(report),
    });
    const text = await body.text();
    // Several lanes may carry one pod's reports: a later one can overtake an earlier one.
    if (statusCode !== 200 && !text.includes('StepWentBackwards')) throw new Error(`report answered ${statusCode}: ${text}`);
  }

  async #poll(agent: Agent, pod: Pod, after: string | undefined, signal: AbortSignal): Promise<World | null> {
    const query = after === undefined ? '' : `?after=${after}`;
    const { statusCode, body } = await request(`${this.#url}/v1/trainings/${pod.training}/world${query}`, {
      dispatcher: agent,
      headers: { authorization: `Bearer ${pod.token}` },
      signal,
    });
    if (statusCode === 200) return (await body.json()) as World;
    const text = await body.text();
    if (statusCode !== 204) throw new Error(`world answered ${statusCode}: ${text}`);
    return null;
  }
}

function podName(training: string, rank: number): string {
  return `${training.split('/')[1]}-g1-${rank}`;
}

function tokenOf(pod: string): string {
  const part = (value: unknown) => Buffer.from(JSON.stringify(value)).toString('base64url');
  const claims = { exp: 4_000_000_000, aud: ['vicuna.run'], pod, padding: 'x'.repeat(600) }; // as long as a real one
  return `${part({ alg: 'RS256' })}.${part(claims)}.${'s'.repeat(342)}`;
}

/** The clock both processes share, in ms with fractions. */
function now(): number {
  return performance.timeOrigin + performance.now();
}

function until(at: number): Promise<void> {
  return new Promise((resolve) => setTimeout(resolve, Math.max(0, at - performance.now())));
}

function latencyOf(values: number[]): Latency {
  const sorted = values.toSorted((a, b) => a - b);
  const at = (part: number) => round(sorted[Math.min(sorted.length - 1, Math.floor(sorted.length * part))] ?? 0);
  return { p50: at(0.5), p99: at(0.99), max: at(1) };
}

function round(value: number): number {
  return Math.round(value * 100) / 100;
}

/** The server's process: accepts every well-formed token, and does what its parent asks. */
async function serve(): Promise<void> {
  const clock = Date.now;
  const board = new WorldBoard({ now: clock });
  const metrics = new OperatorMetrics({ now: clock });
  const server = createServer({
    board,
    inbox: new ReportInbox({ now: clock, worldOf: () => null, onReport: (training, report) => metrics.reported(training, report) }),
    tasks: new TaskInbox({ now: clock }),
    authenticator: new Authenticator({
      review: async (token) => {
        const { pod } = JSON.parse(Buffer.from(token.split('.')[1] ?? '', 'base64url').toString());
        const extra = { 'authentication.kubernetes.io/pod-name': [pod], 'authentication.kubernetes.io/pod-uid': [pod] };
        return { authenticated: true, audiences: ['vicuna.run'], user: { username: 'system:serviceaccount:bench:trainer', extra } };
      },
      memberOf: (_training, pod) => ({ pod, podUid: pod, storage: STORAGE }),
      taskPodOf: () => null,
      now: clock,
    }),
    leader: { isLeader: () => true, leaderUrl: () => null },
    metrics,
    notReady: () => null,
    log: pino({ level: 'warn' }),
    now: clock,
    limits: { reports: { perSecond: 1e6, burst: 1e6 } },
  });
  process.on('message', (question: Question) => {
    if (question === 'usage') {
      const { user, system } = process.cpuUsage();
      process.send?.({ cpuMicros: user + system, rssMiB: round(process.memoryUsage.rss() / 2 ** 20) });
    } else if (typeof question === 'object') {
      const publishedAt = now();
      for (const training of question.publish) board.publish(training, worldOf(training, question.generation));
      process.send?.({ publishedAt });
    }
  });
  const { port } = await server.listen({ host: '127.0.0.1', port: 0 });
  process.send?.({ port });
}

function worldOf(training: string, generation: number): World {
  return {
    training,
    generation,
    revision: `${generation}-run`,
    members: [0, 1].map((rank) => ({ rank, pod: podName(training, rank), address: `10.0.0.${rank + 1}` })),
    directive: 'run',
    deadline: null,
    resume: null,
    checkpointInterval: { seconds: 600 },
  };
}

if (process.argv[1] === fileURLToPath(import.meta.url)) {
  const { values } = parseArgs({ options: { serve: { type: 'boolean' }, json: { type: 'string' } } });
  if (values.serve) await serve();
  else {
    const figures = await benchProtocol(PROTOCOL_SETTINGS);
    const machine = { cpu: cpus()[0]?.model ?? 'unknown', cores: cpus().length, node: process.version };
    const text = JSON.stringify({ bench: 'protocol', settings: PROTOCOL_SETTINGS, machine, figures }, null, 2);
    if (values.json !== undefined) writeFileSync(values.json, `${text}\n`);
    console.log(text);
  }
}
