import { spawn } from 'node:child_process';
import { existsSync, mkdtempSync, readdirSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { withLock } from './lock.ts';
import { identityOf, isRunning } from './process-identity.ts';

let directory: string;
beforeEach(() => {
  directory = mkdtempSync(join(tmpdir(), 'vicuna-lock-'));
});
afterEach(() => rmSync(directory, { recursive: true }));

describe('a lock between processes', () => {
  it('lets one work at a time, and leaves nothing behind', async () => {
    let inside = 0;
    let most = 0;
    const work = async () => {
      most = Math.max(most, ++inside);
      await new Promise(setImmediate);
      inside--;
    };
    await Promise.all(Array.from({ length: 20 }, () => withLock(join(directory, 'lock'), work, 1)));
    expect(most).toBe(1);
    expect(readdirSync(directory)).toEqual([]);
  });

  it('is released when the work fails', async () => {
    const file = join(directory, 'lock');
    await expect(withLock(file, () => Promise.reject(new Error('no disk')))).rejects.toThrow('no disk');
    expect(existsSync(file)).toBe(false);
  });

  it('is taken over from a holder that has died', async () => {
    const child = spawn('sleep', ['60']);
    const identity = identityOf(child.pid ?? 0);
    writeFileSync(join(directory, 'lock'), JSON.stringify(identity));
    const exit = new Promise((resolve) => child.once('exit', resolve));
    child.kill('SIGKILL');
    await exit;
    expect(await withLock(join(directory, 'lock'), async () => 'done', 1)).toBe('done');
  });

  it('is taken over when the pid of its holder has come again', async () => {
    const stale = { pid: process.pid, started: '1' };
    expect(isRunning(stale)).toBe(false);
    writeFileSync(join(directory, 'lock'), JSON.stringify(stale));
    expect(await withLock(join(directory, 'lock'), async () => 'done', 1)).toBe('done');
  });
});
