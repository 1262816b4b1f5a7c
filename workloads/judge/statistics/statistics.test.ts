import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { bootstrap } from './bootstrap.ts';
import { compare, type Judged, type Opinion, outcomeOf, positionBias, tally, verdictOf } from './outcomes.ts';
import { type Battle, rate } from './ratings.ts';

const scored = (candidate: number, baseline: number): Opinion => ({
  verdict: verdictOf([candidate, baseline]),
  scores: [candidate, baseline],
});
const judged = (forward: Judged['forward'], backward?: Judged['backward'], question = 'q', category = 'c'): Judged => ({
  question,
  turn: 1,
  category,
  forward,
  backward,
});

describe('a verdict', () => {
  it('is a tie up to a tenth of a point', () => {
    expect([verdictOf([8, 8]), verdictOf([8, 8.1]), verdictOf([8.5, 8]), verdictOf([1, 10])]).toEqual(['tie', 'tie', 'win', 'loss']);
  });

  it('of both orders is a win when both say so, else a tie; scores are the mean', () => {
    expect(outcomeOf(judged(scored(9, 8), scored(8, 6)))).toMatchObject({ verdict: 'win', scores: [8.5, 7] });
    expect(outcomeOf(judged(scored(9, 8), scored(6, 8)))).toMatchObject({ verdict: 'tie' });
    expect(outcomeOf(judged(scored(9, 8), scored(8, 8)))).toMatchObject({ verdict: 'tie' });
  });

  it('is none when either review has none', () => {
    expect(outcomeOf(judged(null))).toBeNull();
    expect(outcomeOf(judged(scored(9, 8), null))).toBeNull();
    expect(outcomeOf(judged(undefined))).toBeNull();
    expect(outcomeOf(judged(undefined, scored(9, 8)))).toMatchObject({ verdict: 'win' });
  });
});

describe('totals', () => {
  it('are null where nothing was scored, and by category', () => {
    const outcomes = [judged(scored(9, 8), undefined, 'a', 'x'), judged(scored(5, 5), undefined, 'b', 'y')].flatMap(
      (j) => outcomeOf(j) ?? [],
    );
    expect(compare(outcomes)).toMatchObject({
      judged: 2,
      candidateTotal: 14,
      baselineTotal: 13,
      wins: 1,
      ties: 1,
      losses: 0,
      winRate: 0.75,
      winOrTieRate: 1,
      byCategory: { x: { wins: 1, relativeQuality: 9 / 8 }, y: { ties: 1 } },
    });
    expect(tally([])).toMatchObject({ candidateTotal: null, winRate: null, relativeQuality: null });
    const choice: Opinion = { verdict: 'win', scores: null };
    expect(tally([outcomeOf(judged(choice))].flatMap((o) => o ?? []))).toMatchObject({ wins: 1, candidateTotal: null });
  });
});

describe('bias of position', () => {
  it('is seen in what changes with the order', () => {
    // Always the first: the candidate loses forward and wins backward.
    const first = positionBias([judged(scored(6, 8), scored(8, 6)), judged(scored(5, 9), scored(9, 5))]);
    expect(first).toMatchObject({ judgedTwice: 2, agreement: 0, prefersFirst: 1, prefersSecond: 0, firstPlaceAdvantage: 3 });
    const none = positionBias([judged(scored(8, 6), scored(8, 6)), judged(scored(5, 9), scored(5, 9))]);
    expect(none).toMatchObject({ agreement: 1, kappa: 1, prefersFirst: 0, prefersSecond: 0, firstPlaceAdvantage: 0 });
    expect(positionBias([judged(scored(8, 6))])).toBeNull();
  });
});

describe('the bootstrap', () => {
  const mean = (values: readonly number[]) => values.reduce((a, b) => a + b, 0) / values.length;

  it('is the same every time, and holds the estimate', () => {
    const groups = Array.from({ length: 80 }, (_, i) => [i % 10]);
    const [low, high] = bootstrap(groups, mean) ?? [0, 0];
    expect(bootstrap(groups, mean)).toEqual([low, high]);
    expect(low).toBeLessThan(4.5);
    expect(high).toBeGreaterThan(4.5);
    // Normal theory: 1.96 · 2.87 / √80 = 0.63.
    expect(high - low).toBeGreaterThan(1.1);
    expect(high - low).toBeLessThan(1.4);
  });

  it('has no interval for one question, and one of no width where all agree', () => {
    expect(bootstrap([[1, 2, 3]], mean)).toBeNull();
    expect(bootstrap([[5], [5], [5]], mean)).toEqual([5, 5]);
  });
});

describe('ratings', () => {
  const battles = (first: string, second: string, results: readonly Battle['result'][]): Battle[] =>
    results.map((result, i) => ({ first, second, result, question: `q${i}` }));
  const strength = (all: readonly Battle[], model: string) => rate(all).find((r) => r.model === model)?.bradleyTerry ?? Number.NaN;

  it('are 400 points apart for ten to one', () => {
    // 9.5 of 10 and the tie of the prior: 10 to 1.
    const all = battles('a', 'b', [1, 1, 1, 1, 1, 1, 1, 1, 1, 0.5]);
    expect(strength(all, 'a') - strength(all, 'b')).toBeCloseTo(400, 3);
  });

  it('do not depend on who is named first', () => {
    fc.assert(
      fc.property(fc.array(fc.constantFrom<Battle['result']>(0, 0.5, 1), { minLength: 1, maxLength: 12 }), (results) => {
        const swapped = battles(
          'b',
          'a',
          results.map((r) => (1 - r) as Battle['result']),
        );
        expect(strength(battles('a', 'b', results), 'a')).toBeCloseTo(strength(swapped, 'a'), 6);
      }),
      { numRuns: 20 },
    );
  });

  it('order models that met only through others, and say who cannot be compared', () => {
    const all = [...battles('a', 'b', [1, 1, 0.5]), ...battles('b', 'c', [1, 0.5, 1]), ...battles('x', 'y', [1, 0])];
    const rated = rate(all);
    expect(rated.map((r) => r.model)).toEqual(['a', 'b', 'c', 'x', 'y']);
    expect(new Set(rated.map((r) => r.group)).size).toBe(2);
    for (const { elo, bradleyTerry } of rated) expect(Number.isFinite(elo) && Number.isFinite(bradleyTerry)).toBe(true);
  });
});
