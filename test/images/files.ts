import { lstatSync, readdirSync } from 'node:fs';
import { join } from 'node:path';
import { withFiles } from './buildah.ts';

/** Every file of an image, by its path from the root, with its bytes. Directories are not listed. */
export function filesOf(image: string): Promise<Map<string, number>> {
  return withFiles(image, (root) => new Map(walk(root, '')));
}

/** Node's own recursion goes through links to directories. */
function walk(root: string, directory: string): [string, number][] {
  return readdirSync(join(root, directory), { withFileTypes: true }).flatMap((entry): [string, number][] => {
    const path = `${directory}/${entry.name}`;
    return entry.isDirectory() ? walk(root, path) : [[path, lstatSync(join(root, path)).size]];
  });
}
