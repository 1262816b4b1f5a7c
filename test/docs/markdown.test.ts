import { describe, expect, it } from 'vitest';
import { anchorsOf, codeOf, linksOf } from './markdown.ts';
import { commandsIn } from './shell.ts';

const page = [
  'Run `npm test` or',
  '',
  '<!-- not tested: needs an AWS account -->',
  '',
  '```sh',
  'pulumi up',
  '```',
  '',
  '1. In a list:',
  '',
  '   ```',
  '   NAME',
  '     deeper `no span`',
  '   ```',
].join('\n');

describe('a page', () => {
  it('has blocks with language, place and mark, without the indentation of their list', () => {
    expect(codeOf('a.md', page).blocks).toEqual([
      { at: 'a.md:6', language: 'sh', text: 'pulumi up', notTested: 'needs an AWS account' },
      { at: 'a.md:12', language: '', text: 'NAME\n  deeper `no span`', notTested: null },
    ]);
  });

  it('has spans outside of blocks', () => {
    expect(codeOf('a.md', page).spans).toEqual([{ at: 'a.md:1', text: 'npm test' }]);
  });

  it('is refused with a block that has no end, which would hide what follows', () => {
    expect(() => codeOf('a.md', 'text\n```sh\nls')).toThrow('a.md:3: the block has no end');
  });
});

describe('links', () => {
  it('are those to the repository, outside of code', () => {
    expect(linksOf('[a](b.md#c) and [`d`](e) `[f](g)` [h](https://i)\n```text\n[j](k)\n```')).toEqual(['b.md#c', 'e']);
  });

  it('find headings by the names that GitHub gives them', () => {
    expect(anchorsOf('# What has been tried, and what not\n## `kubectl` and more_less')).toEqual([
      'what-has-been-tried-and-what-not',
      'kubectl-and-more_less',
    ]);
  });
});

describe('shell text', () => {
  it.each([
    ['a b # c', [['a', 'b']]],
    ['a#b "c # d"', [['a#b', 'c # d']]],
    ['a \\\n  b\nc', [['a', 'b'], ['c']]],
    ['a | b && c; d', [['a'], ['b'], ['c'], ['d']]],
    ['X=1 Y=$PWD/z a b > out', [['a', 'b']]],
    ['a -p \'{"b": 1}\'', [['a', '-p', '{"b": 1}']]],
    [
      "a $(b -o name | grep 'c$')",
      [
        ['b', '-o', 'name'],
        ['grep', 'c$'],
        ['a', "$(b -o name | grep 'c$')"],
      ],
    ],
    [
      'a "$(date -u)"',
      [
        ['date', '-u'],
        ['a', '$(date -u)'],
      ],
    ],
  ])('%j is read as the shell does', (text, commands) => {
    expect(commandsIn(text)).toEqual(commands);
  });

  it('is refused with a quote or a substitution that has no end', () => {
    for (const text of ["a 'b", 'a "b', 'a $(b']) expect(() => commandsIn(text)).toThrow('without an end');
  });
});
