import { type ChildProcess, spawn } from 'node:child_process';
import { openSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { OPERATOR_FLAGS } from '../../operator/build.ts';
import { freePorts } from './control-plane.ts';
import { ROOT } from './paths.ts';
import { Fatal, until } from './run.ts';

export interface OperatorOptions {
  readonly kubeconfig: string;
  readonly address?: string;
  readonly port?: number;
  readonly logFile: string;
  readonly env?: NodeJS.ProcessEnv;
  /** Program to run. Default: the sources. */
  readonly main?: string;
}

/** Of the embedded cluster. */
const DEVELOPMENT_IMAGES = {
  VICUNA_ENGINE_IMAGE: 'vicuna/engine:dev',
  VICUNA_GATEWAY_IMAGE: 'vicuna/gateway:dev',
  VICUNA_DATA_IMAGE: 'vicuna/data:dev',
  VICUNA_JUDGE_IMAGE: 'vicuna/judge:dev',
};

const SOURCES = join(ROOT, 'operator', 'main.ts');

/** The operator as a process of this machine. */
export class OperatorProcess {
  readonly url: string;
  readonly #child: ChildProcess;
  readonly ended: Promise<number | null>;

  private constructor(child: ChildProcess, url: string) {
    this.#child = child;
    this.url = url;
    this.ended = new Promise((resolve) => child.once('exit', (code) => resolve(code)));
  }

  /** Starts it and waits until it serves. */
  static async start({
    kubeconfig,
    address = '127.0.0.1',
    port,
    logFile,
    env = {},
    main = SOURCES,
  }: OperatorOptions): Promise<OperatorProcess> {
    const [free = 0] = port === undefined ? await freePorts(1) : [port];
    const url = `http://${address}:${free}`;
    const log = openSync(logFile, 'a');
    const settings = {
      VICUNA_KUBECONFIG: kubeconfig,
      VICUNA_PORT: String(free),
      VICUNA_ADVERTISE_URL: url,
      POD_NAMESPACE: 'default',
      ...DEVELOPMENT_IMAGES,
    };
    const child = spawn(process.execPath, [...OPERATOR_FLAGS, main], {
      stdio: ['ignore', log, log],
      env: { ...process.env, ...settings, ...env },
    });
    const operator = new OperatorProcess(child, url);
    await until(`the operator serving (log: ${logFile})`, 30_000, async () => {
      if (child.exitCode !== null) throw new Fatal(`the operator ended with code ${child.exitCode}: see ${logFile}`);
      return (await fetch(`${url}/readyz`)).ok;
    });
    return operator;
  }

  get pid(): number {
    return this.#child.pid ?? 0;
  }

  /** CPU seconds used so far. */
  get cpuSeconds(): number {
    const fields = readFileSync(`/proc/${this.pid}/stat`, 'utf8').split(') ')[1]?.split(' ') ?? [];
    return (Number(fields[11]) + Number(fields[12])) / 100;
  }

  /** Largest resident memory so far, in MiB. */
  get peakMemory(): number {
    return Number(/VmHWM:\s+(\d+)/.exec(readFileSync(`/proc/${this.pid}/status`, 'utf8'))?.[1] ?? 0) / 1024;
  }

  async metrics(): Promise<string> {
    return (await fetch(`${this.url}/metrics`)).text();
  }

  kill(): void {
    this.#child.kill('SIGKILL');
  }

  /** Lets it give its lease back and end. */
  async stop(): Promise<void> {
    this.#child.kill('SIGTERM');
    await this.ended;
  }
}
