import { existsSync, realpathSync } from 'node:fs';
import { homedir } from 'node:os';
import { basename, dirname, join, resolve } from 'node:path';

/**
 * The path as the kernel tells it, absolute and without symbolic links, also of what is not there yet: /proc names a process's
 * executable and a mount's place that way, and what a cluster leaves behind is found by comparing with them.
 */
export function kernelPath(path: string): string {
  const absolute = resolve(path);
  return existsSync(absolute) ? realpathSync(absolute) : join(kernelPath(dirname(absolute)), basename(absolute));
}

/** The directory of the cache; a variable that is set to nothing counts as not set. */
export function cacheDirectory(env: NodeJS.ProcessEnv): string {
  return kernelPath(env.VICUNA_CACHE || join(env.XDG_CACHE_HOME || join(homedir(), '.cache'), 'vicuna-operator'));
}

/** Where everything is kept that can be fetched or built again: tools, Python packages, images. Never inside the repository. */
export const CACHE = cacheDirectory(process.env);
/** Where running clusters keep their state; on the same disk as the cache, since containers' layers live here. */
export const RUN = join(CACHE, 'run');
export const ROOT = join(import.meta.dirname, '..', '..');
