// Every command line that the documentation has its readers run.
import { globSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, expect, it } from 'vitest';
import { ROOT } from '../cluster/paths.ts';
import { problemsOfBlock, problemsOfSpan } from './check.ts';
import { codeOf } from './markdown.ts';

const PAGES = ['README.md', 'charts/vicuna-operator/README.md', ...globSync('docs/**/*.md', { cwd: ROOT }).sort()];
const pages = PAGES.map((file) => ({ file, ...codeOf(file, readFileSync(join(ROOT, file), 'utf8')) }));

describe('the documentation', () => {
  it.each(pages.flatMap(({ blocks }) => blocks))('has a block at $at whose commands are right', async (block) => {
    expect(await problemsOfBlock(block)).toEqual([]);
  });

  it.each(pages.filter(({ spans }) => spans.length > 0))(
    'names in the sentences of $file only commands that there are',
    async ({ spans }) => {
      const problems = [];
      for (const span of spans) problems.push(...(await problemsOfSpan(span)).map((problem) => `${span.at} ${span.text}: ${problem}`));
      expect(problems).toEqual([]);
    },
  );
});
