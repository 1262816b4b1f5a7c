import { mkdirSync, mkdtempSync, rmSync } from 'node:fs';
import { join } from 'node:path';

/** Runs `work` with an empty directory below `parent` that is gone afterwards, also when the work fails. */
export async function inScratch<T>(parent: string, work: (directory: string) => Promise<T>): Promise<T> {
  mkdirSync(parent, { recursive: true });
  const scratch = mkdtempSync(join(parent, 'tmp-'));
  try {
    return await work(scratch);
  } finally {
    rmSync(scratch, { recursive: true, force: true });
  }
}
