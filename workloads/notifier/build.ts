// The notifier as one file of plain JavaScript, as its image runs it.
import { join } from 'node:path';
import { rolldown } from 'rolldown';

/**
 * Options of Node for the notifier: it runs on every node, so its memory counts. As a CommonJS file, without ES modules' loader, it takes
 * 9 MB less.
 */
export const NOTIFIER_FLAGS = ['--max-semi-space-size=1', '--max-old-space-size=16'];

/** Writes `main.cjs` into a directory; its path. */
export async function buildNotifier(directory: string): Promise<string> {
  const bundle = await rolldown({ input: { main: join(import.meta.dirname, 'main.ts') }, platform: 'node' });
  await bundle.write({ dir: directory, format: 'cjs', entryFileNames: '[name].cjs', codeSplitting: false });
  await bundle.close();
  return join(directory, 'main.cjs');
}
