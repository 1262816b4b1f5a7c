import { homedir } from 'node:os';
import { join } from 'node:path';

/** Where everything is kept that can be fetched or built again: tools, Python packages, images. Never inside the repository. */
export const CACHE = process.env.VICUNA_CACHE ?? join(process.env.XDG_CACHE_HOME ?? join(homedir(), '.cache'), 'vicuna-operator');
/** Where running clusters keep their state; on the same disk as the cache, since containers' layers live here. */
export const RUN = join(CACHE, 'run');
export const ROOT = join(import.meta.dirname, '..', '..');
