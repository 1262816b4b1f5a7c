import { cpSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it, vi } from 'vitest';
import { readEvaluation } from './data.ts';
import { makeReport, type PairReport, type Report } from './report.ts';
import { reportMarkdown } from './report-markdown.ts';

const EVALUATION = join(import.meta.dirname, '..', '..', 'examples', 'evaluation');
const VICUNA = 'vicuna-13b:20230322-clean-lang';

/** On a busy machine. */
vi.setConfig({ testTimeout: 30_000, hookTimeout: 30_000 });

let report: Report;
let scratch: string;
beforeAll(async () => {
  scratch = mkdtempSync(join(tmpdir(), 'vicuna-judge-'));
  report = makeReport(await readEvaluation(EVALUATION));
});
afterAll(() => rmSync(scratch, { recursive: true, force: true }));

const against = (baseline: string): PairReport => {
  const found = report.pairs.find((p) => p.candidate === VICUNA && report.names[p.baseline] === baseline);
  if (found === undefined) throw new Error(`no pair with ${baseline}`);
  return found;
};

describe('the blog’s evaluation', () => {
  it.each([
    ['LLaMA-13B', 513, 694, 77, 0, 3],
    ['Alpaca-13B', 583, 704, 76, 1, 3],
    ['Bard', 664, 655.5, 40, 10, 30],
    ['ChatGPT', 693, 638, 14, 22, 44],
  ])('gives Table 2 from the stored scores: %s', (baseline, theirs, ours, wins, ties, losses) => {
    const pair = against(baseline);
    expect(pair.stored).toMatchObject({ baselineTotal: theirs, candidateTotal: ours, wins, ties, losses, judged: 80 });
    expect(pair.published).toEqual({ baseline: theirs, candidate: ours, equal: true });
    expect(pair.failed).toBe(0);
  });

  it.each([
    ['LLaMA-13B', 513, 696],
    ['Alpaca-13B', 583, 704],
    ['Bard', 664, 657.5],
    ['ChatGPT', 693, 638],
  ])('gives what its reviews say by the strict parser: %s', (baseline, theirs, ours) => {
    expect(against(baseline).parsed).toMatchObject({ baselineTotal: theirs, candidateTotal: ours, judged: 80 });
  });

  it('has 1,038 of 1,040 stored scores that are those of the text, and two that are explained', () => {
    expect(report.reviews).toEqual({ total: 1_040, unreadable: 0, scoresStored: 1_040, scoresAgree: 1_038 });
    const differences = report.pairs.flatMap((p) => p.differences);
    expect(
      differences.map(({ question, models, stored, parsed, rule }) => [question, report.names[models[0]], stored, parsed, rule]),
    ).toEqual([
      ['70', 'Bard', [10, 2], [10, 4], 'named scores'],
      ['70', 'LLaMA-13B', [10, 2], [10, 4], 'named scores'],
    ]);
    for (const { explanation } of differences) expect(explanation).toContain('typed in by hand');
  });

  it('has the figures of the text of the blog', () => {
    const chatgpt = against('ChatGPT').stored;
    expect(chatgpt.winOrTieRate).toBe(0.45);
    expect(chatgpt.relativeQuality).toBeCloseTo(0.9206, 4);
    expect(chatgpt.byCategory.fermi).toMatchObject({ wins: 0, ties: 0, losses: 10 });
    expect(Object.values(chatgpt.byCategory).map((c) => c.judged)).toEqual([10, 10, 10, 10, 10, 10, 7, 3, 10]);
    expect(chatgpt.relativeQualityInterval?.[0]).toBeLessThan(0.9206);
    expect(chatgpt.relativeQualityInterval?.[1]).toBeGreaterThan(0.9206);
  });

  it('ranks all seven models on one scale', () => {
    expect(report.ranking.map((r) => r.group)).toEqual([0, 0, 0, 0, 0, 0, 0]);
    expect(report.names[report.ranking[0]?.model ?? '']).toBe('ChatGPT');
    expect(report.ranking.map((r) => report.names[r.model]).slice(-2)).toEqual(['Alpaca-13B', 'LLaMA-13B']);
  });

  it('is told in Markdown', () => {
    const text = reportMarkdown(report);
    expect(text).toContain('| LLaMA-13B | 513 / 694 | 513 / 694 | yes | 513 / 696 |');
    expect(text).toContain('1038 of 1040');
    expect(text).toContain('- Question 70 (math), Bard and Vicuna-13B: stored 10 and 2, the text says 10 and 4 (named scores).');
    expect(text).toContain('in one order only');
  });
});

describe('reviews', () => {
  it('are enough: without answers, models are named after the file', async () => {
    const directory = join(scratch, 'alone');
    cpSync(join(EVALUATION, 'review', 'vicuna-13b_20230322-clean-lang'), directory, { recursive: true });
    const alone = makeReport(await readEvaluation(directory));
    expect(alone.pairs.map((p) => [p.baseline, p.candidate, p.stored.candidateTotal])).toEqual([
      ['alpaca-13b', 'vicuna-13b', 704],
      ['bard', 'vicuna-13b', 655.5],
      ['gpt35', 'vicuna-13b', 638],
      ['llama-13b', 'vicuna-13b', 694],
    ]);
    expect(Object.keys(alone.pairs[0]?.stored.byCategory ?? {})).toHaveLength(9);
  });

  it('find questions and answers above them', async () => {
    const set = join(EVALUATION, 'review', 'vicuna-7b_20230322-fp16');
    const found = makeReport(await readEvaluation(set));
    expect(found.pairs.map((p) => found.names[p.baseline])).toContain('ChatGPT');
  });

  it.each([
    ['no directory with reviews', '', 'has no reviews'],
    ['a broken line', '{"review_id": "a"\n', 'review_a_b.jsonl, line 1 is no JSON'],
    ['a missing field', '{"review_id":"a","question_id":1,"answer1_id":"x","answer2_id":"y"}\n', 'review_a_b.jsonl, line 1: text'],
    [
      'a review twice',
      '{"review_id":"a","question_id":1,"answer1_id":"x","answer2_id":"y","text":"8 9"}\n'.repeat(2),
      'question 1, turn 1: a and b are judged twice',
    ],
  ])('are refused with a sentence: %s', async (name, content, sentence) => {
    const directory = join(scratch, name);
    cpSync(join(EVALUATION, 'model.jsonl'), join(directory, 'model.jsonl'));
    if (content !== '') writeFileSync(join(directory, 'review_a_b.jsonl'), content);
    await expect(readEvaluation(directory).then(makeReport)).rejects.toThrow(sentence);
  });
});
