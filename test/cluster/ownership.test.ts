import { existsSync, mkdtempSync, readdirSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { isKept, livingOwner, Ownership } from './ownership.ts';

let directory: string;
beforeEach(() => {
  directory = mkdtempSync(join(tmpdir(), 'vicuna-owner-'));
});
afterEach(() => rmSync(directory, { recursive: true, force: true }));

/** Processes with the cluster's directory on their command line. */
function watchers(): string[] {
  return readdirSync('/proc').filter((name) => {
    if (!/^[0-9]+$/.test(name)) return false;
    try {
      return readFileSync(`/proc/${name}/cmdline`, 'utf8').includes(directory);
    } catch {
      return false;
    }
  });
}

describe('the owner of a cluster', () => {
  it('is known while it lives', async () => {
    const ownership = Ownership.take(directory);
    expect(livingOwner(directory)).toBe(process.pid);
    expect(watchers()).toHaveLength(1);
    await ownership.release();
  });

  it('is rid of its reaper when it has released the cluster, and the cluster stays', async () => {
    const ownership = Ownership.take(directory);
    await ownership.release();
    expect(watchers()).toEqual([]);
    expect(existsSync(directory)).toBe(true);
    await ownership.release();
  });

  it('is none once the cluster is kept', () => {
    const ownership = Ownership.take(directory);
    ownership.keep();
    expect(livingOwner(directory)).toBeNull();
    expect(isKept(directory)).toBe(true);
  });
});
