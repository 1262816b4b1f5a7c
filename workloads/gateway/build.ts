// The gateway as one file of plain JavaScript, and its page beside it, as its image runs it.
import { cpSync } from 'node:fs';
import { join } from 'node:path';
import { rolldown } from 'rolldown';

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
