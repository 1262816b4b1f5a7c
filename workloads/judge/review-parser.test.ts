import { describe, expect, it } from 'vitest';
import { parseChoice, parseRating, parseScores } from './review-parser.ts';

const scoresIn = (text: string) => {
  const found = parseScores(text);
  return 'problem' in found ? found.problem : [...found.scores, found.rule];
};

describe('two scores', () => {
  it.each([
    ['8 9\nBoth are good.', [8, 9, 'first line']],
    ['8.5, 7\nThe first …', [8.5, 7, 'first line']],
    ['0 9\nAssistant 1 said nothing.', [0, 9, 'first line']],
    ['I solve it.\n\nOutput: (1, 7)', [1, 7, 'tuple on a line']],
    ['So:\n(10, 4)\nBecause …', [10, 4, 'tuple on a line']],
    ['Scores:\nAssistant 1: 10\nAssistant 2: 4\n\nAssistant 1 was better.', [10, 4, 'named scores']],
    ['Assistant 1: 1/10 (wrong)\nAssistant 2: 4/10 (steps)', [1, 4, 'named scores']],
    ['Assistant 1: 2/10 - no steps.\n\nAssistant 2: 3/10 - some.', [2, 3, 'named scores']],
    ['**Assistant 1:** 7\n**Assistant 2:** 8', [7, 8, 'named scores']],
    ['The output tuple is (10, 1). Assistant 1 was better.', [10, 1, 'tuple in a sentence']],
    ['the scores are (1, 5) for Assistant 1 and Assistant 2', [1, 5, 'tuple in a sentence']],
  ])('are found: %j', (text, expected) => expect(scoresIn(text)).toEqual(expected));

  it.each([
    ['', 'no two scores in it'],
    ['Both assistants are good.', 'no two scores in it'],
    ['The endpoints are (2, -2) and (10, 4).', 'no two scores in it'],
    ['Between (2, 2) and (10, 4) it is 8.2 units.', 'no two scores in it'],
    ['8 9 7\nThree numbers.', 'no two scores in it'],
    ['85 90\nOf a hundred.', 'scores 85 and 90 are not from 0 to 10'],
    ['Assistant 1: 10 steps are right\nAssistant 2: 4 are', 'no two scores in it'],
    ['Assistant 1: 10', 'no two scores in it'],
    ['Assistant 1:\nf(2) = 39\nAssistant 2:\nf(2) = 40', 'no two scores in it'],
  ])('are not made up: %j', (text, problem) => expect(scoresIn(text)).toBe(problem));

  it('are the last ones of a kind, and line 1 goes before all', () => {
    expect(scoresIn('Assistant 1: 3\nAssistant 2: 4\nAfter a second look:\nAssistant 1: 5\nAssistant 2: 6')).toEqual([
      5,
      6,
      'named scores',
    ]);
    expect(scoresIn('9 8\nOutput: (1, 2)')).toEqual([9, 8, 'first line']);
  });

  it('end, whatever the text', () => {
    const before = performance.now();
    for (const text of ['('.repeat(50_000), '1 '.repeat(50_000), `${' '.repeat(50_000)}x`, 'score '.repeat(20_000), '*'.repeat(50_000)])
      parseScores(text);
    expect(performance.now() - before).toBeLessThan(2_000);
  });
});

describe('a choice', () => {
  it('is one of three, said once or more', () => {
    expect(parseChoice('… so my verdict is [[B]].')).toEqual({ choice: 'B' });
    expect(parseChoice('[[C]] … again: [[C]]')).toEqual({ choice: 'C' });
  });
  it('is none when two are named, or none', () => {
    expect(parseChoice('"[[A]]" if A is better. [[B]]')).toEqual({ problem: 'both [[A]] and [[B]] in it' });
    expect(parseChoice('A is better')).toEqual({ problem: 'no [[A]], [[B]] or [[C]] in it' });
  });
});

describe('a rating', () => {
  it('stands in two brackets, or after its word in one', () => {
    expect(parseRating('Rating: [[7]]')).toEqual({ rating: 7 });
    expect(parseRating('Rating: [6.5]')).toEqual({ rating: 6.5 });
  });
  it('is none when it is unclear or out of range', () => {
    expect(parseRating('[3] is a footnote')).toEqual({ problem: 'no [[rating]] in it' });
    expect(parseRating('[[3]] or [[4]]')).toEqual({ problem: 'ratings 3 and 4 in it' });
    expect(parseRating('[[85]]')).toEqual({ problem: 'the rating 85 is not from 0 to 10' });
  });
});
