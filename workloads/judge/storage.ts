import { randomUUID } from 'node:crypto';
import { mkdir, open, readdir, readFile, rename, rm, stat } from 'node:fs/promises';
import { dirname, join, resolve } from 'node:path';
import { fileURLToPath, pathToFileURL } from 'node:url';
import { badConfiguration, badInput, Failure, storageFailed } from './failure.ts';
import { MAX_FILE_BYTES, type Storage, tooLarge } from './storage-contract.ts';

/** Part of the name of a file that is being written. */
const PART = '.part-';

class Directory implements Storage {
  readonly uri: string;
  readonly #root: string;

  constructor(root: string) {
    this.#root = root;
    this.uri = pathToFileURL(root).href;
  }

  async read(path: string): Promise<Buffer | null> {
    const full = join(this.#root, path);
    try {
      const { size } = await stat(full);
      if (size > MAX_FILE_BYTES) throw tooLarge(full, size);
      return await readFile(full);
    } catch (error) {
      if (isMissing(error)) return null;
      throw error instanceof Failure ? error : storageFailed(full, error);
    }
  }

  async write(path: string, content: string | Uint8Array): Promise<void> {
    const full = join(this.#root, path);
    const part = `${full}${PART}${randomUUID().slice(0, 8)}`;
    try {
      await mkdir(dirname(full), { recursive: true });
      const file = await open(part, 'w');
      try {
        await file.writeFile(content);
        await file.sync();
      } finally {
        await file.close();
      }
      await rename(part, full);
    } catch (error) {
      await rm(part, { force: true }).catch(() => undefined);
      throw storageFailed(full, error);
    }
  }

  async list(directory: string): Promise<string[]> {
    const root = join(this.#root, directory);
    try {
      const entries = await readdir(root, { recursive: true, withFileTypes: true });
      return entries
        .filter((entry) => entry.isFile() && !entry.name.includes(PART))
        .map((entry) => join(entry.parentPath, entry.name).slice(this.#root.length + 1))
        .toSorted();
    } catch (error) {
      if (isMissing(error)) return [];
      throw storageFailed(root, error);
    }
  }
}

/** The storage below a URI or a path of this machine. */
export async function openStorage(place: string): Promise<Storage> {
  const uri = asUri(place).replace(/([^:/])\/+$/, '$1');
  if (uri.startsWith('file:///')) return new Directory(fileURLToPath(uri));
  if (uri.startsWith('s3://')) return (await import('./s3.ts')).openBucket(uri);
  throw badConfiguration(`${place} cannot be used: give s3://bucket/prefix, file:///directory or a path`);
}

/** The content of one file, by its URI or path. A file that is not there is refused. */
export async function readPlace(place: string): Promise<Buffer> {
  const { storage, name } = await openParent(place);
  const content = await storage.read(name);
  if (content === null) throw badInput(`${place} is not there: give the URI of a file that can be read`);
  return content;
}

export async function writePlace(place: string, content: string): Promise<void> {
  const { storage, name } = await openParent(place);
  await storage.write(name, content);
}

/** The directory of a file, and its name there. */
async function openParent(place: string): Promise<{ storage: Storage; name: string }> {
  const uri = asUri(place);
  const end = uri.lastIndexOf('/') + 1;
  const name = uri.slice(end);
  // In a file's URI a name may have %20 and the like; an object's key is what it is.
  return { storage: await openStorage(uri.slice(0, end)), name: uri.startsWith('file:') ? decodeURIComponent(name) : name };
}

export const asUri = (place: string) => (/^[a-z][a-z0-9+.-]*:\/\//.test(place) ? place : pathToFileURL(resolve(place)).href);

const isMissing = (error: unknown) => ['ENOENT', 'ENOTDIR'].includes((error as NodeJS.ErrnoException).code ?? '');
