// That links within the repository lead somewhere.
import { existsSync, globSync, readFileSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { describe, expect, it } from 'vitest';
import { ROOT } from '../cluster/paths.ts';
import { anchorsOf, linksOf } from './markdown.ts';

const PAGES = ['README.md', 'charts/vicuna-operator/README.md', ...globSync('docs/**/*.md', { cwd: ROOT }).sort()];
const read = (file: string) => readFileSync(join(ROOT, file), 'utf8');

function broken(file: string): string[] {
  return linksOf(read(file)).filter((link) => {
    const [path = '', anchor] = link.split('#');
    const target = path === '' ? file : join(dirname(file), path);
    if (!existsSync(join(ROOT, target))) return true;
    return anchor !== undefined && target.endsWith('.md') && !anchorsOf(read(target)).includes(anchor);
  });
}

describe('the documentation', () => {
  it.each(PAGES)('%s has no link to what is not there', (file) => {
    expect(broken(file)).toEqual([]);
  });

  it('is reached from the README', () => {
    const linked = linksOf(read('README.md')).map((link) => link.split('#')[0]);
    const guides = PAGES.filter((file) => /^docs\/[^/]+\.md$/.test(file));
    expect(guides.filter((file) => !linked.includes(file))).toEqual([]);
  });
});
