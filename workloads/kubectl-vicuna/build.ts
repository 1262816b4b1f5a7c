// `kubectl vicuna` as a few files of plain JavaScript, as its package has it.
import { cpSync } from 'node:fs';
import { join } from 'node:path';
import { rolldown } from 'rolldown';

const ROOT = join(import.meta.dirname, '..', '..');

const LAUNCHERS = ['kubectl-vicuna', 'kubectl_complete-vicuna'];

/** Writes `main.js`, what it starts and what starts it into a directory, which may then be on the PATH; the path of main.js. */
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
  for (const name of LAUNCHERS) cpSync(join(import.meta.dirname, name), join(directory, name));
  return join(directory, 'main.js');
}

if (import.meta.main) console.log(`wrote ${await buildPlugin(join(ROOT, 'out', 'kubectl-vicuna'))}`);
