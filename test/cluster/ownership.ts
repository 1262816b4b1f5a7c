import { type ChildProcess, spawn } from 'node:child_process';
import { existsSync, mkdirSync, openSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import type { Socket } from 'node:net';
import { join } from 'node:path';
import { CACHE } from './paths.ts';
import { identityOf, isRunning, type ProcessIdentity } from './process-identity.ts';

function ownerFile(directory: string): string {
  return join(directory, 'owner.json');
}

/** The process that a cluster lives and dies with; null when it is kept, or its starter has died. */
export function livingOwner(directory: string): number | null {
  if (!existsSync(ownerFile(directory))) return null;
  const owner = JSON.parse(readFileSync(ownerFile(directory), 'utf8')) as ProcessIdentity;
  return isRunning(owner) ? owner.pid : null;
}

/** Whether the cluster was started to outlive the command that made it. */
export function isKept(directory: string): boolean {
  return existsSync(directory) && !existsSync(ownerFile(directory));
}

/** This process owns the cluster: a reaper removes the cluster when it ends. Call `release` when there is nothing to remove any more. */
export class Ownership {
  readonly #directory: string;
  readonly #reaper: ChildProcess;

  private constructor(directory: string, reaper: ChildProcess) {
    this.#directory = directory;
    this.#reaper = reaper;
  }

  static take(directory: string): Ownership {
    mkdirSync(directory, { recursive: true });
    writeFileSync(ownerFile(directory), JSON.stringify(identityOf(process.pid)));
    const log = openSync(join(CACHE, 'reaper.log'), 'a');
    const reaper = spawn(process.execPath, [join(import.meta.dirname, 'reaper.ts'), directory], {
      cwd: '/',
      detached: true,
      stdio: ['pipe', log, log],
    });
    reaper.unref();
    const pipe = reaper.stdin as Socket | null;
    if (reaper.pid === undefined || pipe === null) throw new Error(`${process.execPath} could not be started to watch over the cluster`);
    // A reaper that has done its work already is no news.
    pipe.on('error', () => undefined);
    pipe.unref();
    return new Ownership(directory, reaper);
  }

  /** The cluster outlives this process. */
  keep(): void {
    rmSync(ownerFile(this.#directory), { force: true });
    void this.release();
  }

  /** Resolves when the reaper has gone home: what is left of a cluster must not be its reaper. */
  async release(): Promise<void> {
    const reaper = this.#reaper;
    if (reaper.exitCode !== null || reaper.signalCode !== null) return;
    const gone = new Promise<void>((resolve) => reaper.once('exit', () => resolve()));
    reaper.ref();
    reaper.stdin?.end('keep');
    await gone;
  }
}
