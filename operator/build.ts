// `npm run build`: the operator as one file of plain JavaScript, as its image runs it. Node could run the sources as they are, but
// taking the types off at start costs 29 MB for as long as the process lives, and hundreds of files to load cost more.
import { join } from 'node:path';
import { rolldown } from 'rolldown';

const ROOT = join(import.meta.dirname, '..');

/** Options of Node for the operator: a small young generation keeps resident memory low, and costs little. */
export const OPERATOR_FLAGS = ['--max-semi-space-size=2'];

/** Writes `main.js` and what it starts into a directory; the path of main.js. */
export async function buildOperator(directory: string): Promise<string> {
  const bundle = await rolldown({
    input: {
      main: join(ROOT, 'operator', 'main.ts'),
      'planner-process': join(ROOT, 'operator', 'serving', 'multiplexing', 'planner-process.ts'),
      'credentials-reader': join(ROOT, 'operator', 'kube', 'credentials-reader.ts'),
    },
    platform: 'node',
  });
  await bundle.write({ dir: directory, format: 'esm', entryFileNames: '[name].js' });
  await bundle.close();
  // Google's package asks for its own directory, which only CommonJS modules have.
  const prices = await rolldown({
    input: { 'price-reader': join(ROOT, 'operator', 'pools', 'prices', 'price-reader.ts') },
    platform: 'node',
  });
  await prices.write({ dir: directory, format: 'cjs', entryFileNames: '[name].cjs', chunkFileNames: '[name]-[hash].cjs' });
  await prices.close();
  return join(directory, 'main.js');
}

if (import.meta.main) console.log(`wrote ${await buildOperator(join(ROOT, 'out', 'operator'))}`);
