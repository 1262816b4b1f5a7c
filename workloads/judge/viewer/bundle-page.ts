import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { rolldown } from 'rolldown';

const PAGE = join(import.meta.dirname, 'page');
const ICON = join(import.meta.dirname, '..', '..', 'gateway', 'page', 'icon.svg');

/** The page's files. Its modules become one plain script: a page that is opened from a file may not load modules. */
export async function bundlePage(): Promise<Map<string, Buffer | string>> {
  const bundle = await rolldown({ input: join(PAGE, 'viewer.js') });
  const { output } = await bundle.generate({ format: 'iife' });
  await bundle.close();
  return new Map<string, Buffer | string>([
    ['viewer.js', output[0].code],
    ['icon.svg', readFileSync(ICON)],
    ...['index.html', 'viewer.css'].map((name) => [name, readFileSync(join(PAGE, name))] as const),
  ]);
}
