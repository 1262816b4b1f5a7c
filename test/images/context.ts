import { cpSync, mkdirSync, readdirSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { ROOT } from '../cluster/paths.ts';

/** What of the trainer's and the engine's packages has gigabytes, for GPUs; a package's name as it begins. */
const HEAVY = /^(torch|triton|nvidia-|cuda-|bitsandbytes)/;
/** What those that run without a GPU install. */
const HEAVY_FILES = /^(torch|torchgen|functorch|nvidia)$|^torch-.*\.dist-info$/;
const SITE_PACKAGES = '/opt/venv/lib/python3.11/site-packages';

/** Writes a context for the Dockerfiles of trainer and engine whose lock file lacks the heavy packages: it is the same otherwise. */
export function writeLightContext(directory: string): void {
  mkdirSync(directory, { recursive: true });
  cpSync(join(ROOT, '.dockerignore'), join(directory, '.dockerignore'));
  for (const room of ['trainer', 'engine']) cpSync(join(ROOT, 'workloads', room), join(directory, 'workloads', room), { recursive: true });
  const lock = readFileSync(join(ROOT, 'workloads', 'requirements.lock'), 'utf8');
  const requirements = lock.split(/^(?=\S)/m);
  writeFileSync(join(directory, 'workloads', 'requirements.lock'), requirements.filter((one) => !HEAVY.test(one)).join(''));
}

/** Where a container finds the heavy packages of this machine's own directory of them: where its image would have them. */
export function heavyPackages(directory: string): Record<string, string> {
  const names = readdirSync(directory).filter((name) => HEAVY_FILES.test(name));
  return Object.fromEntries(names.map((name) => [join(SITE_PACKAGES, name), join(directory, name)]));
}
