// The gateway as one file of plain JavaScript, and its page beside it, as its image runs it.
import { cpSync } from 'node:fs';
import { join } from 'node:path';
import { rolldown } from 'rolldown';

/**
 * Options of Node for the gateway: with the space for new objects at half of Node's default, 256 connections with long answers take
 * 235 MiB at most instead of 270, at the same speed; with less, objects are kept that nobody needs, and collecting them costs time.
 */
export const GATEWAY_FLAGS = ['--max-semi-space-size=16'];

/** Writes `main.js` and what it needs into a directory; the path of main.js. */
export async function buildGateway(directory: string): Promise<string> {
  const bundle = await rolldown({
    input: {
      main: join(import.meta.dirname, 'main.ts'),
      'credentials-reader': join(import.meta.dirname, '..', '..', 'operator', 'kube', 'credentials-reader.ts'),
    },
    platform: 'node',
  });
  await bundle.write({ dir: directory, format: 'esm', entryFileNames: '[name].js' });
  await bundle.close();
  cpSync(join(import.meta.dirname, 'page'), join(directory, 'page'), { recursive: true, filter: (path) => !path.includes('.test.') });
  return join(directory, 'main.js');
}
