import { lstatSync, readdirSync } from 'node:fs';
import { join } from 'node:path';
import { withFiles } from './buildah.ts';

/** Every file of an image, by its path from the root, with its bytes. Directories are not listed, nor gone into through links. */
export function filesOf(image: string): Promise<Map<string, number>> {
  return withFiles(image, (root) => {
    const entries = readdirSync(root, { recursive: true, withFileTypes: true }).filter((entry) => !entry.isDirectory());
    const paths = entries.map((entry) => join(entry.parentPath, entry.name));
    return new Map(paths.map((path) => [path.slice(root.length), lstatSync(path).size]));
  });
}
