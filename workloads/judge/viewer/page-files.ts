import { existsSync, readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';

/** Where the program's image has the page, ready. */
export const BUILT_PAGE = 'viewer-page';

/** The page's own files by name: as the image has them or, in the repository, made now. */
export async function pageFiles(): Promise<Map<string, Buffer | string>> {
  const built = join(import.meta.dirname, BUILT_PAGE);
  if (!existsSync(built)) return (await import('./bundle-page.ts')).bundlePage();
  return new Map(readdirSync(built).map((name) => [name, readFileSync(join(built, name))]));
}
