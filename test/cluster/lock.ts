import { randomUUID } from 'node:crypto';
import { linkSync, mkdirSync, readFileSync, renameSync, rmSync, writeFileSync } from 'node:fs';
import { dirname } from 'node:path';
import { identityOf, isRunning, type ProcessIdentity } from './process-identity.ts';

/**
 * Runs `work` while no other process runs its own under the same file: two commands that start together on a fresh machine must not
 * build Kubernetes twice. A lock whose holder has died is taken over.
 */
export async function withLock<T>(file: string, work: () => Promise<T>, everyMs = 200): Promise<T> {
  mkdirSync(dirname(file), { recursive: true });
  const self = JSON.stringify(identityOf(process.pid));
  while (!take(file, self)) {
    const holder = read(file);
    if (holder === null) continue;
    if (!isRunning(JSON.parse(holder) as ProcessIdentity)) breakLock(file, holder);
    else await new Promise((resolve) => setTimeout(resolve, everyMs));
  }
  try {
    return await work();
  } finally {
    rmSync(file, { force: true });
  }
}

/** The file appears with its content at once, by a link that fails where it exists, so that nobody reads half a holder. */
function take(file: string, self: string): boolean {
  const draft = `${file}.${randomUUID()}`;
  writeFileSync(draft, self);
  try {
    linkSync(draft, file);
    return true;
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code !== 'EEXIST') throw error;
    return false;
  } finally {
    rmSync(draft);
  }
}

function read(file: string): string | null {
  try {
    return readFileSync(file, 'utf8');
  } catch {
    return null; // released just now
  }
}

/** Moves a dead holder's file away; one that somebody has taken meanwhile is put back. */
function breakLock(file: string, holder: string): void {
  const aside = `${file}.${randomUUID()}`;
  try {
    renameSync(file, aside);
  } catch {
    return; // somebody else has broken it
  }
  if (read(aside) !== holder) linkSync(aside, file);
  rmSync(aside);
}
