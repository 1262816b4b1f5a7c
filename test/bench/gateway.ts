import { type ChildProcess, spawn } from 'node:child_process';
import { existsSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { connect } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { buildGateway, GATEWAY_FLAGS } from '../../workloads/gateway/build.ts';
import { freePorts } from '../cluster/control-plane.ts';
import { until } from '../cluster/run.ts';

export const GATEWAY_SETTINGS = { seconds: 3, warmUpSeconds: 1, connections: [1, 16, 256], kinds: ['short', 'long', 'stream'], bursts: 5 };

export interface LoadFigures {
  readonly perSecond: number;
  /** Seconds. */
  readonly p50: number;
  readonly p99: number;
  readonly firstByteP99: number;
}

const STREAM_END = Buffer.from('0\r\n\r\n');

function requestFor(kind: string): Buffer {
  const body = JSON.stringify({
    model: 'm',
    messages: [{ role: 'user', content: kind === 'stream' ? 'short' : kind }],
    ...(kind === 'stream' || kind === 'paced' ? { stream: true } : {}),
  });
  const head = `POST /v1/chat/completions HTTP/1.1\r\nhost: bench\r\ncontent-type: application/json\r\ncontent-length: ${body.length}\r\n\r\n`;
  return Buffer.from(head + body);
}

/** So many connections that each send one request after the other; raw sockets, so that the client costs little. */
export async function load(port: number, kind: string, connections: number, seconds: number): Promise<LoadFigures> {
  const bytes = requestFor(kind);
  const times: number[] = [];
  const firsts: number[] = [];
  const end = performance.now() + seconds * 1000;
  const startedAt = performance.now();
  await Promise.all(
    Array.from({ length: connections }, () => {
      const { promise, resolve, reject } = Promise.withResolvers<void>();
      const socket = connect(port, '127.0.0.1');
      socket.setNoDelay(true);
      let sentAt = 0;
      let first = 0;
      let left = -1;
      let tail: Buffer = Buffer.alloc(0);
      const send = () => {
        sentAt = performance.now();
        first = 0;
        left = -1;
        socket.write(bytes);
      };
      const done = () => {
        const now = performance.now();
        times.push((now - sentAt) / 1000);
        firsts.push((first - sentAt) / 1000);
        if (now < end) return send();
        socket.destroy();
        resolve();
      };
      socket.on('connect', send);
      socket.on('error', reject);
      socket.on('close', () => resolve());
      socket.on('data', (data) => {
        if (first === 0) {
          first = performance.now();
          const headers = data.toString('latin1');
          if (!headers.startsWith('HTTP/1.1 200')) return reject(new Error(headers.slice(0, 300)));
          const length = /content-length: (\d+)/i.exec(headers)?.[1];
          if (length !== undefined) left = Number(length) + headers.indexOf('\r\n\r\n') + 4;
        }
        if (left >= 0) {
          left -= data.length;
          if (left <= 0) done();
          return;
        }
        tail =
          data.length >= STREAM_END.length ? data.subarray(-STREAM_END.length) : Buffer.concat([tail, data]).subarray(-STREAM_END.length);
        if (tail.equals(STREAM_END)) done();
      });
      return promise;
    }),
  );
  const sorted = (list: number[], q: number) => list.toSorted((a, b) => a - b)[Math.min(list.length - 1, Math.floor(list.length * q))] ?? 0;
  return {
    perSecond: Math.round(times.length / ((performance.now() - startedAt) / 1000)),
    p50: sorted(times, 0.5),
    p99: sorted(times, 0.99),
    firstByteP99: sorted(firsts, 0.99),
  };
}

interface Contestant {
  readonly name: string;
  readonly port: number;
}

/**
 * Others to be compared with: `NAME=COMMAND` a line; {worker} in the command is the worker's port, {port} the one to listen at, {other}
 * one more that is free.
 */
function peersOf(text = ''): { name: string; command: string }[] {
  return text.split('\n').flatMap((line) => {
    const at = line.indexOf('=');
    return at < 0 ? [] : [{ name: line.slice(0, at).trim(), command: line.slice(at + 1).trim() }];
  });
}

/** Ours and others before the same worker, each in a process of its own, one after the other in the same run. */
export async function benchGateway(say: (line: string) => void): Promise<Record<string, number>> {
  const directory = mkdtempSync(join(tmpdir(), 'vicuna-bench-'));
  const children: ChildProcess[] = [];
  const start = (command: string, args: string[], env: NodeJS.ProcessEnv = {}) => {
    const child = spawn(command, args, { stdio: 'ignore', env: { ...process.env, ...env } });
    children.push(child);
    return child;
  };
  try {
    const [worker = 0, floor = 0, gateway = 0, gatewayPrivate = 0, nginx = 0] = await freePorts(5);
    const helper = join(import.meta.dirname, 'gateway-worker.ts');
    start(process.execPath, [helper, 'worker', String(worker)]);
    start(process.execPath, [helper, 'floor', String(floor), String(worker)]);
    const config = join(directory, 'gateway.json');
    writeFileSync(config, JSON.stringify({ models: [{ name: 'm' }], workers: [{ url: `http://127.0.0.1:${worker}`, models: ['m'] }] }));
    const main = await buildGateway(join(directory, 'gateway'));
    const own = start(process.execPath, [...GATEWAY_FLAGS, main], {
      VICUNA_GATEWAY_CONFIG: config,
      VICUNA_PORT: String(gateway),
      VICUNA_PRIVATE_PORT: String(gatewayPrivate),
      VICUNA_LOG_LEVEL: 'warn',
    });
    const contestants: Contestant[] = [
      { name: 'direct', port: worker },
      { name: 'bareNode', port: floor },
      { name: 'gateway', port: gateway },
    ];
    if (existsSync('/usr/sbin/nginx')) {
      const file = join(directory, 'nginx.conf');
      writeFileSync(file, nginxConfig(directory, nginx, worker));
      start('/usr/sbin/nginx', ['-c', file, '-g', 'daemon off;']);
      contestants.push({ name: 'nginx', port: nginx });
    }
    const peers = peersOf(process.env.VICUNA_BENCH_PEERS);
    const ports = await freePorts(2 * peers.length);
    for (const [i, { name, command }] of peers.entries()) {
      const [port = 0, other = 0] = ports.slice(2 * i);
      const numbers: Record<string, number> = { worker, port, other };
      start('sh', ['-c', `exec ${command.replace(/\{(\w+)\}/g, (_, key: string) => String(numbers[key] ?? ''))}`]);
      contestants.push({ name, port });
    }
    const figures: Record<string, number> = {};
    for (const { name, port } of contestants) {
      const answers = () =>
        load(port, 'short', 1, 0.05).then(
          (f) => f.perSecond > 0,
          () => false,
        );
      try {
        await until(`${name} answering`, 60_000, answers);
      } catch (error) {
        // Others may need what this machine lacks; ours may not.
        if (!peers.some((peer) => peer.name === name)) throw error;
        say(`${name} does not answer`);
        continue;
      }
      for (const kind of GATEWAY_SETTINGS.kinds) {
        for (const connections of GATEWAY_SETTINGS.connections) {
          await load(port, kind, connections, GATEWAY_SETTINGS.warmUpSeconds);
          const { perSecond, p50, p99 } = await load(port, kind, connections, GATEWAY_SETTINGS.seconds);
          figures[`${name} ${kind} ${connections} perSecond`] = perSecond;
          figures[`${name} ${kind} ${connections} p50`] = p50;
          figures[`${name} ${kind} ${connections} p99`] = p99;
          say(
            `${name.padEnd(9)} ${kind.padEnd(7)} ${String(connections).padStart(4)} connections  ${String(perSecond).padStart(7)}/s  p50 ${ms(p50)}  p99 ${ms(p99)}`,
          );
        }
      }
      // All streams begin at once: one burst alone tells little.
      const bursts: number[] = [];
      for (let i = 0; i < GATEWAY_SETTINGS.bursts; i++) bursts.push((await load(port, 'paced', 64, 1)).firstByteP99);
      const median = bursts.toSorted((a, b) => a - b)[Math.floor(bursts.length / 2)] ?? 0;
      figures[`${name} paced 64 firstByteP99`] = median;
      say(`${name.padEnd(9)} paced     64 streams      first byte p99 ${ms(median)}`);
    }
    const of = (name: string, what: string) => figures[`${name} ${what}`] ?? 0;
    figures.gatewayOfBareNode = of('gateway', 'short 16 perSecond') / of('bareNode', 'short 16 perSecond');
    figures.addedP50 = of('gateway', 'short 1 p50') - of('direct', 'short 1 p50');
    for (const { name } of peers.filter((peer) => `${peer.name} short 16 perSecond` in figures))
      for (const what of ['short 16', 'stream 1', 'stream 16'])
        figures[`gateway of ${name} ${what}`] = of('gateway', `${what} perSecond`) / of(name, `${what} perSecond`);
    figures.gatewayPeakMiB = Number(/VmHWM:\s+(\d+)/.exec(readFileSync(`/proc/${own.pid}/status`, 'utf8'))?.[1] ?? 0) / 1024;
    return figures;
  } finally {
    for (const child of children) child.kill('SIGKILL');
    rmSync(directory, { recursive: true, force: true });
  }
}

function ms(seconds: number): string {
  return `${(seconds * 1000).toFixed(2)} ms`;
}

function nginxConfig(directory: string, port: number, worker: number): string {
  return `master_process off; pid ${directory}/nginx.pid; error_log /dev/null;
events { worker_connections 1024; }
http {
  access_log off; client_body_temp_path ${directory}; proxy_temp_path ${directory}; fastcgi_temp_path ${directory};
  uwsgi_temp_path ${directory}; scgi_temp_path ${directory};
  upstream w { server 127.0.0.1:${worker}; keepalive 256; }
  server { listen 127.0.0.1:${port}; location / { proxy_pass http://w; proxy_http_version 1.1; proxy_set_header Connection ""; proxy_buffering off; } }
}
`;
}
