import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { createServer } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { ROOT } from '../cluster/paths.ts';
import { pythonEnvironment, tinyModel } from '../demo/stage.ts';

export const MODEL = 'tiny';
export const KEY = 'key-without-limits';
/** A key for one request a minute. */
export const LIMITED_KEY = 'key-for-one-request';
/** A key for thirty requests a minute: one in two seconds, once the first thirty are used up. */
export const QUICK_KEY = 'key-for-thirty-requests';
const WAIT_MS = 90_000;

/** The gateway and one engine behind it, each a process of its own, as they are run. */
export class Stack {
  readonly url: string;
  readonly #engineUrl: string;
  readonly #processes: readonly ChildProcess[];
  readonly #directory: string;

  private constructor(url: string, engineUrl: string, processes: readonly ChildProcess[], directory: string) {
    this.url = url;
    this.#engineUrl = engineUrl;
    this.#processes = processes;
    this.#directory = directory;
  }

  /** `registration` = the secret by which FastChat's workers may plug themselves in. */
  static async start({ registration }: { registration?: string } = {}): Promise<Stack> {
    const directory = mkdtempSync(join(tmpdir(), 'vicuna-clients-'));
    const [port, privatePort, enginePort] = await Promise.all([freePort(), freePort(), freePort()]);
    const engineUrl = `http://127.0.0.1:${enginePort}`;
    const keys = join(directory, 'keys');
    mkdirSync(keys);
    writeFileSync(join(keys, 'free'), KEY);
    writeFileSync(join(keys, 'limited'), JSON.stringify({ key: LIMITED_KEY, requestsPerMinute: 1 }));
    writeFileSync(join(keys, 'quick'), JSON.stringify({ key: QUICK_KEY, requestsPerMinute: 30 }));
    const config = join(directory, 'gateway.json');
    const models = [{ name: MODEL, engine: 'transformers' }];
    const secretFile = join(directory, 'registration');
    if (registration !== undefined) writeFileSync(secretFile, registration);
    const workers = [{ url: engineUrl, models: [MODEL] }];
    const plugging = registration === undefined ? {} : { registration: { secretFile } };
    writeFileSync(config, JSON.stringify({ models, workers, apiKeys: { directory: keys }, ...plugging }));

    const python = await pythonEnvironment();
    const path = { ...python, PYTHONPATH: `${join(ROOT, 'workloads', 'engine')}:${python.PYTHONPATH}` };
    const model = await tinyModel();
    const options = [
      '--model',
      `file://${model}`,
      '--served-model-name',
      MODEL,
      '--host',
      '127.0.0.1',
      '--port',
      String(enginePort),
      '--device',
      'cpu',
    ];
    const engine = start('python3', ['-m', 'vicuna_engine', ...options], path);
    const gateway = start(process.execPath, [join(ROOT, 'workloads', 'gateway', 'main.ts')], {
      VICUNA_GATEWAY_CONFIG: config,
      VICUNA_PORT: String(port),
      VICUNA_PRIVATE_PORT: String(privatePort),
      VICUNA_LOG_LEVEL: 'warn',
    });
    const stack = new Stack(`http://127.0.0.1:${port}`, engineUrl, [engine, gateway], directory);
    try {
      await until('the engine answers', () => answers(`${engineUrl}/health`));
      await until('the gateway answers', () => answers(`${stack.url}/v1/models`, { authorization: `Bearer ${KEY}` }));
    } catch (error) {
      await stack.stop();
      throw error;
    }
    return stack;
  }

  /** Requests that the engine works on or keeps waiting. */
  async busy(): Promise<number> {
    const text = await (await fetch(`${this.#engineUrl}/metrics`)).text();
    const samples = [...text.matchAll(/^vllm:num_requests_(?:running|waiting)\S* (\S+)$/gm)];
    if (samples.length < 2) throw new Error(`the engine's metrics lack its requests: ${text.slice(0, 200)}`);
    return samples.reduce((sum, [, value]) => sum + Number(value), 0);
  }

  async stop(): Promise<void> {
    await Promise.all(
      this.#processes.map(async (child) => {
        if (child.exitCode !== null || child.signalCode !== null) return;
        const exited = once(child, 'exit');
        child.kill('SIGKILL');
        await exited;
      }),
    );
    rmSync(this.#directory, { recursive: true, force: true });
  }
}

/** Waits until a condition holds. */
export async function until(what: string, condition: () => Promise<boolean>): Promise<void> {
  const deadline = performance.now() + WAIT_MS;
  while (!(await condition())) {
    if (performance.now() > deadline) throw new Error(`waited ${WAIT_MS / 1000} s in vain until ${what}`);
    await new Promise((resolve) => setTimeout(resolve, 50));
  }
}

function start(command: string, args: readonly string[], env: NodeJS.ProcessEnv): ChildProcess {
  return spawn(command, args, { env: { ...process.env, ...env }, stdio: ['ignore', 'ignore', 'inherit'] });
}

async function answers(url: string, headers: Record<string, string> = {}): Promise<boolean> {
  try {
    return (await fetch(url, { headers })).ok;
  } catch {
    return false; // it does not listen yet
  }
}

export async function freePort(): Promise<number> {
  const server = createServer().listen(0, '127.0.0.1');
  await once(server, 'listening');
  const address = server.address();
  server.close();
  await once(server, 'close');
  if (address === null || typeof address === 'string') throw new Error('no port');
  return address.port;
}
