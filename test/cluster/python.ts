import { createHash } from 'node:crypto';
import { existsSync, readFileSync, renameSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { withLock } from './lock.ts';
import { CACHE, ROOT } from './paths.ts';
import { run } from './run.ts';
import { inScratch } from './scratch.ts';

const LOCK = join(ROOT, 'workloads', 'requirements-cpu.lock');
const UV = 'uv==0.13.9';

/**
 * The Python packages of a lock file (the trainer's for CPUs, if none is named), installed into one directory of the cache. Pods mount it read-only:
 * four copies in four image stores would take 15 GB.
 */
export async function pythonSitePackages(lock = LOCK): Promise<string> {
  const key = createHash('sha256').update(readFileSync(lock)).digest('hex').slice(0, 12);
  const target = join(CACHE, 'python', key);
  if (!existsSync(target)) {
    await withLock(join(CACHE, 'python', '.lock'), async () => {
      if (!existsSync(target)) await install(lock, target);
    });
  }
  return target;
}

async function install(lock: string, target: string): Promise<void> {
  const uv = await ensureUv();
  await inScratch(dirname(target), async (scratch) => {
    const site = join(scratch, 'site');
    const source = ['--no-deps', '--require-hashes', '--only-binary', ':all:', '-r', lock];
    const place = ['--python-version', '3.11', '--link-mode', 'copy', '--no-cache', '--target', site];
    await run(uv, ['pip', 'install', '--quiet', ...source, ...place]);
    renameSync(site, target);
  });
}

/** uv installs in a minute what pip installs in three. */
async function ensureUv(): Promise<string> {
  const directory = join(CACHE, 'python', UV.replace('==', '-'));
  const uv = join(directory, 'bin', 'uv');
  if (existsSync(uv)) return uv;
  await run('python3', ['-m', 'venv', directory]);
  await run(join(directory, 'bin', 'pip'), ['install', '--quiet', UV]);
  return uv;
}
