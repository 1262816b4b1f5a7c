import { execFile, spawn } from 'node:child_process';
import { closeSync, openSync } from 'node:fs';

/** Runs a command to its end; throws with its last words when it fails. */
export function run(
  command: string,
  args: readonly string[],
  options: { cwd?: string; env?: NodeJS.ProcessEnv; input?: string } = {},
): Promise<string> {
  return new Promise((resolve, reject) => {
    const child = execFile(
      command,
      args,
      { cwd: options.cwd, env: { ...process.env, ...options.env }, maxBuffer: 64 * 1024 * 1024 },
      (error, stdout, stderr) => {
        if (error)
          reject(new Error(`${command} ${args.slice(0, 6).join(' ')} failed: ${(stderr || stdout || error.message).trim().slice(-2_000)}`));
        else resolve(stdout);
      },
    );
    if (options.input !== undefined) child.stdin?.end(options.input);
  });
}

/** Like `run`, but a failure is no news: for cleaning up what may not be there. */
export async function attempt(command: string, args: readonly string[]): Promise<string | null> {
  return run(command, args).catch(() => null);
}

export interface Daemon {
  readonly name: string;
  readonly pid: number;
  /** Resolves when the process has ended. */
  readonly ended: Promise<number | null>;
}

/** Starts a process of its own session, its output in a log file, so that a cluster outlives the command that made it. */
export function startDaemon(name: string, command: string, args: readonly string[], logFile: string, env: NodeJS.ProcessEnv = {}): Daemon {
  const log = openSync(logFile, 'a');
  const child = spawn(command, args, { detached: true, stdio: ['ignore', log, log], env: { ...process.env, ...env } });
  closeSync(log);
  if (child.pid === undefined) throw new Error(`${name} could not be started: ${command}`);
  const ended = new Promise<number | null>((resolve) => child.once('exit', (code) => resolve(code)));
  child.unref();
  return { name, pid: child.pid, ended };
}

export function isAlive(pid: number): boolean {
  try {
    process.kill(pid, 0);
    return true;
  } catch {
    return false;
  }
}

export function kill(pid: number, signal: NodeJS.Signals): void {
  try {
    process.kill(pid, signal);
  } catch {
    // It has ended already.
  }
}

/** Thrown by a condition that can no longer come true. */
export class Fatal extends Error {}

/** Polls until `condition` holds; throws `what` after `timeoutMs`. */
export async function until(what: string, timeoutMs: number, condition: () => Promise<boolean> | boolean, everyMs = 50): Promise<void> {
  const deadline = performance.now() + timeoutMs;
  let last: unknown;
  while (performance.now() < deadline) {
    try {
      if (await condition()) return;
      last = undefined;
    } catch (error) {
      if (error instanceof Fatal) throw error;
      last = error;
    }
    await new Promise((resolve) => setTimeout(resolve, everyMs));
  }
  throw new Error(`${what} did not happen within ${Math.round(timeoutMs / 1000)} s${last instanceof Error ? `: ${last.message}` : ''}`);
}

/** Ends processes: asks first, then forces. */
export async function endAll(pids: readonly number[], graceMs: number): Promise<void> {
  for (const pid of pids) kill(pid, 'SIGTERM');
  await until('processes end', graceMs, () => !pids.some(isAlive)).catch(() => undefined);
  for (const pid of pids) kill(pid, 'SIGKILL');
  await until('killed processes end', 5_000, () => !pids.some(isAlive)).catch(() => undefined);
}
