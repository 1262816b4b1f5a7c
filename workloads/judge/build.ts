// The judge as plain JavaScript, with the viewer's page and the blog's questions beside it, as its image runs it.
import { cpSync, mkdirSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { rolldown } from 'rolldown';
import { BUILT_QUESTIONS, VICUNA_80 } from './questions.ts';
import { bundlePage } from './viewer/bundle-page.ts';
import { BUILT_PAGE } from './viewer/page-files.ts';

/** Writes `main.js` and what it needs into a directory; the path of main.js. */
export async function buildJudge(directory: string): Promise<string> {
  const bundle = await rolldown({ input: { main: join(import.meta.dirname, 'main.ts') }, platform: 'node', external: ['rolldown'] });
  // One directory: what is loaded later (the S3 client) finds the page beside it as main.js does.
  await bundle.write({ dir: directory, format: 'esm', entryFileNames: '[name].js', chunkFileNames: '[name]-[hash].js' });
  await bundle.close();
  const page = join(directory, BUILT_PAGE);
  mkdirSync(page, { recursive: true });
  for (const [name, content] of await bundlePage()) writeFileSync(join(page, name), content);
  cpSync(VICUNA_80, join(directory, BUILT_QUESTIONS));
  return join(directory, 'main.js');
}
