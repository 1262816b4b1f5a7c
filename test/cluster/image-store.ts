import { existsSync, readdirSync, renameSync, rmSync, statSync } from 'node:fs';
import { basename, dirname, join } from 'node:path';
import { startContainerd, storageOf, untilAnswering } from './containerd.ts';
import { withLock } from './lock.ts';
import { unmountBelow } from './remains.ts';
import { attempt, endAll, run } from './run.ts';
import { inScratch } from './scratch.ts';
import { toolPath } from './tools.ts';

/** Archives and stores that are older than this are removed when a new store is made. */
const KEPT_MS = 24 * 3_600_000;

/**
 * What a containerd that has unpacked an archive of images keeps, as a directory: unpacking 0.3 GB takes seconds on every node, and links to
 * files that nobody changes take none. Made once for each archive, beside it.
 */
export function ensureImageStore(archive: string): Promise<string> {
  const store = archive.replace(/\.tar$/, '.store');
  return withLock(join(dirname(archive), '.store-lock'), async () => {
    if (!existsSync(store)) await makeStore(archive, store);
    return store;
  });
}

async function makeStore(archive: string, store: string): Promise<void> {
  const images = dirname(archive);
  await inScratch(images, async (scratch) => {
    const { socket, daemon } = startContainerd(scratch, join(scratch, 'bin'));
    try {
      await untilAnswering(socket);
      await run(toolPath('ctr'), ['-a', socket, '-n', 'k8s.io', 'images', 'import', archive]);
    } finally {
      await endAll([daemon.pid], 10_000);
      await unmountBelow(scratch);
    }
    renameSync(storageOf(scratch), store);
  });
  for (const name of readdirSync(images).filter((n) => /^images-\w+\.(tar|store)$/.test(n))) {
    const path = join(images, name);
    const isOurs = [basename(archive), basename(store)].includes(name);
    if (!isOurs && Date.now() - statSync(path).mtimeMs > KEPT_MS) rmSync(path, { recursive: true, force: true });
  }
}

/** Gives a containerd that has not begun yet a store of its own: files that it changes are copied, all others are links. */
export async function placeImages(store: string, storage: string): Promise<void> {
  // Links do not reach another file system.
  if ((await attempt('cp', ['-al', store, storage])) === null) {
    rmSync(storage, { recursive: true, force: true });
    await run('cp', ['-a', store, storage]);
  }
  await run('find', [storage, '-name', '*.db', '-exec', 'cp', '-a', '{}', '{}.own', ';', '-exec', 'mv', '{}.own', '{}', ';']);
}
