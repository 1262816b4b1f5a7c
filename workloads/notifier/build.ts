// The notifier as one file of plain JavaScript, as its image runs it.
import { join } from 'node:path';
import { rolldown } from 'rolldown';

/**
 * Options of Node for the notifier: it runs on every node, so its memory counts, and it computes next to nothing. Measured at its peak,
 * with TLS to the API server: 59 MB, of which 44 MB are Node itself, shared with other processes; with compiled code 62 MB, as an ES
 * module 9 MB more.
 */
export const NOTIFIER_FLAGS = ['--jitless', '--max-semi-space-size=1', '--max-old-space-size=16'];

/** Writes `main.cjs` into a directory; its path. */
export async function buildNotifier(directory: string): Promise<string> {
  const bundle = await rolldown({ input: { main: join(import.meta.dirname, 'main.ts') }, platform: 'node' });
  await bundle.write({ dir: directory, format: 'cjs', entryFileNames: '[name].cjs', codeSplitting: false });
  await bundle.close();
  return join(directory, 'main.cjs');
}
