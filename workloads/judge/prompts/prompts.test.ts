import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, expect, it } from 'vitest';
import { BLOG_MAX_TOKENS, BLOG_SYSTEM, BLOG_TEMPERATURE, blogMessage } from './blog.ts';
import { pairMessage, singleMessage } from './mt-bench.ts';

const EVALUATION = join(import.meta.dirname, '..', '..', '..', 'examples', 'evaluation');
const lines = (name: string) =>
  readFileSync(join(EVALUATION, name), 'utf8')
    .trim()
    .split('\n')
    .map((line) => JSON.parse(line));

describe('the blog’s prompts', () => {
  it.each(lines('prompt.jsonl'))('are those of prompt.jsonl: $category', ({ category, system_prompt, prompt_template, defaults }) => {
    const fields: Record<string, string> = { question: 'Why?', answer_1: 'One {answer_2} $& .', answer_2: 'Two', prompt: defaults.prompt };
    const expected = prompt_template.replace(/\{(question|answer_1|answer_2|prompt)\}/g, (_: string, name: string) => fields[name]);
    expect(blogMessage(category, 'Why?', 'One {answer_2} $& .', 'Two')).toBe(expected);
    expect(BLOG_SYSTEM).toBe(system_prompt);
  });

  it('are asked with the settings of reviewer.jsonl', () => {
    for (const { metadata } of lines('reviewer.jsonl'))
      expect(metadata).toEqual({ temperature: BLOG_TEMPERATURE, max_tokens: BLOG_MAX_TOKENS });
  });
});

describe('MT-bench’s form', () => {
  it('shows whole conversations, the reference, and says which turn counts', () => {
    const a = { questions: ['q1', 'q2'], answers: ['a1', 'a2'] };
    const b = { questions: ['q1', 'q2'], answers: ['b1', 'b2'] };
    const text = pairMessage(a, b, ['r1', 'r2']);
    for (const said of ['### User:\nq2\n\n### Assistant A:\na2', '### Assistant B:\nb1', '### Answer 2:\nr2', 'to the last question'])
      expect(text).toContain(said);
    expect(singleMessage({ questions: ['q'], answers: ['a'] }, [])).not.toMatch(/reference|last question/);
  });
});
