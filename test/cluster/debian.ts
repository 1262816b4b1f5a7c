import { createHash } from 'node:crypto';
import { existsSync, renameSync } from 'node:fs';
import { join } from 'node:path';
import { CACHE } from './paths.ts';
import { run } from './run.ts';
import { inScratch } from './scratch.ts';

/** Nothing in a pod reads these; every node unpacks what is left out a moment sooner. */
const LEFT_OUT = ['/usr/share/doc/*', '/usr/share/man/*', '/usr/share/locale/*', '/usr/share/info/*'];
export const IMAGES = join(CACHE, 'images');

/** The root file system of Debian 12 with packages (their names with commas between them), as a tar: the same bytes for the same packages. */
export async function debianRoot(packages: string): Promise<string> {
  const key = createHash('sha256')
    .update(packages + LEFT_OUT)
    .digest('hex')
    .slice(0, 12);
  const target = join(IMAGES, `base-${key}.tar`);
  if (existsSync(target)) return target;
  const what = ['--variant=minbase', `--include=${packages}`, ...LEFT_OUT.map((path) => `--dpkgopt=path-exclude=${path}`)];
  await inScratch(IMAGES, async (scratch) => {
    const tar = join(scratch, 'rootfs.tar');
    await run('mmdebstrap', ['--quiet', ...what, 'bookworm', tar], { env: { SOURCE_DATE_EPOCH: '0' } });
    renameSync(tar, target);
  });
  return target;
}
