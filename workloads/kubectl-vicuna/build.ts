// `kubectl vicuna` as a few files of plain JavaScript, as its package has it.
import { join } from 'node:path';
import { rolldown } from 'rolldown';

const ROOT = join(import.meta.dirname, '..', '..');

/** Writes `main.js` and what it starts into a directory; the path of main.js. */
export async function buildPlugin(directory: string): Promise<string> {
  const bundle = await rolldown({
    input: {
      main: join(import.meta.dirname, 'main.ts'),
      'credentials-reader': join(ROOT, 'operator', 'kube', 'credentials-reader.ts'),
    },
    platform: 'node',
  });
  await bundle.write({ dir: directory, format: 'esm', entryFileNames: '[name].js' });
  await bundle.close();
  return join(directory, 'main.js');
}

if (import.meta.main) console.log(`wrote ${await buildPlugin(join(ROOT, 'out', 'kubectl-vicuna'))}`);
