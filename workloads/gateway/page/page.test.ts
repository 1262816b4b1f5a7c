import { describe, expect, it } from 'vitest';
// @ts-expect-error plain JavaScript, as the browser gets it
import { asText, History, messagesFor, titleOf } from './history.js';
// @ts-expect-error plain JavaScript, as the browser gets it
import { parseMarkdown } from './markdown.js';
// @ts-expect-error plain JavaScript, as the browser gets it
import { EventReader } from './sse.js';

describe('events', () => {
  it('are found however the text is cut', () => {
    const stream = ': queued {"position":1}\n\ndata: {"a":1}\r\n\r\ndata: one\ndata: two\n\ndata: [DONE]\n\n';
    const expected = [
      { type: 'comment', text: 'queued {"position":1}' },
      { type: 'data', data: '{"a":1}' },
      { type: 'data', data: 'one\ntwo' },
      { type: 'data', data: '[DONE]' },
    ];
    for (const size of [1, 2, 3, 7, 1_000]) {
      const reader = new EventReader();
      const found: unknown[] = [];
      for (let at = 0; at < stream.length; at += size) found.push(...reader.push(stream.slice(at, at + size)));
      expect(found).toEqual(expected);
    }
  });
});

describe('markdown', () => {
  const tags = (text: string) => parseMarkdown(text).map((b: { tag: string }) => b.tag);

  it('knows what models write', () => {
    expect(tags('# Title\n\ntext\nmore\n\n- a\n- b\n\n1. x\n2. y\n\n> said\n\n```js\nlet a;\n```\nend')).toEqual([
      'h3',
      'p',
      'ul',
      'ol',
      'blockquote',
      'code-block',
      'p',
    ]);
    expect(
      parseMarkdown('**bold** and *soft* and `a < b` and [here](https://example.org/x)')[0].children.map((c: { tag: string }) => c.tag),
    ).toEqual(['strong', '#text', 'em', '#text', 'code', '#text', 'a']);
  });

  it('shows a block of code while it is still being written', () => {
    expect(parseMarkdown('```python\nprint(1)')).toEqual([{ tag: 'code-block', text: 'python', code: 'print(1)' }]);
  });

  it('makes nothing of HTML, and links only to the web', () => {
    for (const text of [
      '<img src=x onerror=alert(1)>',
      '[x](javascript:alert(1))',
      '[x](data:text/html,hi)',
      '<script>alert(1)</script>',
    ]) {
      const [block] = parseMarkdown(text);
      expect(
        block.children.every((c: { tag: string }) => c.tag === '#text'),
        text,
      ).toBe(true);
    }
  });

  it('ends, whatever it is given', () => {
    const nasty = ['*'.repeat(5_000), '`'.repeat(5_000), '['.repeat(5_000), '- '.repeat(5_000), '#'.repeat(5_000), '```\n'.repeat(2_001)];
    const before = performance.now();
    for (const text of nasty) parseMarkdown(text);
    expect(performance.now() - before).toBeLessThan(1_000);
  });

  it('does not take a star in arithmetic for emphasis', () => {
    expect(parseMarkdown('2 * 3 * 4')[0].children).toEqual([{ tag: '#text', text: '2 * 3 * 4' }]);
  });
});

describe('conversations', () => {
  const storage = (limit = Number.POSITIVE_INFINITY) => {
    const kept = new Map<string, string>();
    return {
      getItem: (key: string) => kept.get(key) ?? null,
      setItem: (key: string, value: string) => {
        if (value.length > limit) throw new Error('full');
        kept.set(key, value);
      },
    };
  };
  const conversation = (id: string, changedAt: number, question = id) => ({
    id,
    changedAt,
    turns: [{ question, answers: [{ model: 'm', text: 'answer' }] }],
  });

  it('are kept, the newest first, and removed', () => {
    const history = new History(storage());
    for (const [id, at] of [
      ['a', 1],
      ['b', 3],
      ['c', 2],
    ] as const)
      history.save(conversation(id, at));
    expect(history.list().map((c: { id: string }) => c.id)).toEqual(['b', 'c', 'a']);
    history.remove('b');
    expect(history.get('b')).toBeUndefined();
  });

  it('give way, the oldest first, when the browser’s store is full', () => {
    const history = new History(storage(400));
    for (let i = 0; i < 9; i++) history.save(conversation(`c${i}`, i));
    const ids = history.list().map((c: { id: string }) => c.id);
    expect(ids[0]).toBe('c8');
    expect(ids.length).toBeLessThan(9);
  });

  it('survive nonsense in the store', () => {
    expect(new History({ getItem: () => '{"not":"a list"}', setItem: () => undefined }).list()).toEqual([]);
    expect(new History({ getItem: () => 'not json', setItem: () => undefined }).list()).toEqual([]);
  });

  it('have a title and a text, and tell each model only its own answers', () => {
    const compared = {
      id: 'x',
      changedAt: 1,
      turns: [
        {
          question: 'Why?',
          answers: [
            { model: 'a', text: 'A' },
            { model: 'b', text: 'B' },
          ],
        },
      ],
    };
    expect(titleOf(compared)).toBe('Why?');
    expect(titleOf(conversation('x', 1, 'long '.repeat(40)))).toHaveLength(60);
    expect(asText(compared)).toBe('You:\nWhy?\n\na:\nA\n\nb:\nB');
    expect(messagesFor(compared.turns, 1)).toEqual([
      { role: 'user', content: 'Why?' },
      { role: 'assistant', content: 'B' },
    ]);
    const refused = { question: 'Bad?', answers: [{ model: 'a', text: '', problem: 'refused' }] };
    expect(messagesFor([refused, ...compared.turns], 0)).toHaveLength(2);
  });
});
