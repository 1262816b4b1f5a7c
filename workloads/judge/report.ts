import type { EvaluationData, Review } from './data.ts';
import { judgedOf, type Pair, pairsOf, ratingOf, type ScoreSource, scoresOf } from './pairs.ts';
import { KNOWN_DIFFERENCES, publishedTotals } from './published.ts';
import { parseChoice, parseScores } from './review-parser.ts';
import { type Comparison, compare, type Outcome, outcomeOf, type PositionBias, positionBias } from './statistics/outcomes.ts';
import { type Battle, type Rating, rate } from './statistics/ratings.ts';

/** A review whose stored scores are not those of its text. */
export interface Difference {
  readonly review: string;
  readonly question: string;
  readonly category: string;
  /** Models whose answers stand first and second. */
  readonly models: readonly [string, string];
  readonly stored: readonly number[];
  /** Null where the text has no scores that can be read; `rule` says where they were found, or why not. */
  readonly parsed: readonly number[] | null;
  readonly rule: string;
  readonly explanation: string | null;
}

export interface PairReport {
  readonly set: string;
  readonly baseline: string;
  readonly candidate: string;
  readonly stored: Comparison;
  readonly parsed: Comparison;
  /** Turns of questions without a verdict in their words. */
  readonly failed: number;
  readonly positionBias: PositionBias | null;
  readonly length: LengthBias | null;
  /** The blog's totals, where the pair is in its Table 2, and whether the stored scores give them. */
  readonly published: { readonly baseline: number; readonly candidate: number; readonly equal: boolean } | null;
  readonly differences: readonly Difference[];
}

/** How often the longer answer won, of the turns that somebody won. */
export interface LengthBias {
  readonly decided: number;
  readonly longerWins: number;
}

export interface Report {
  readonly names: Readonly<Record<string, string>>;
  readonly candidate: string | null;
  readonly judge: string | null;
  readonly questions: number;
  /** Mean rating of each model, where answers were rated alone; null where none was. */
  readonly ratings: Readonly<Record<string, { readonly mean: number; readonly rated: number; readonly failed: number }>> | null;
  readonly pairs: readonly PairReport[];
  /** All models on one scale, from what the reviews' words say. */
  readonly ranking: readonly Rating[];
  /** How many stored scores are those of the text. */
  readonly reviews: { readonly total: number; readonly unreadable: number; readonly scoresStored: number; readonly scoresAgree: number };
}

/** Everything that can be said about an evaluation. Pure; the same data gives the same report. */
export function makeReport(data: EvaluationData): Report {
  const categories = new Map(data.questions.map((q) => [q.id, q.category]));
  const pairs = pairsOf(data);
  const withScores = data.reviews.filter((r) => r.second !== null && r.prompts === 'vicuna' && r.stored !== null);
  const differences = withScores.flatMap((r) => differenceOf(r, categories) ?? []);
  return {
    names: Object.fromEntries(data.titles),
    candidate: data.about?.candidate ?? null,
    judge: data.judge,
    questions: data.questions.length,
    ratings: ratingsOf(data.reviews),
    pairs: pairs.map((pair) => reportPair(pair, data, differences)),
    ranking: rate(pairs.flatMap((pair) => battlesOf(pair, outcomesOf(pair, data, 'parsed')))),
    reviews: {
      total: data.reviews.length,
      unreadable: data.reviews.filter((r) => isUnreadable(r)).length,
      scoresStored: withScores.length,
      scoresAgree: withScores.length - differences.length,
    },
  };
}

const outcomesOf = (pair: Pair, data: EvaluationData, source: ScoreSource): Outcome[] =>
  judgedOf(pair, data, source).flatMap((j) => outcomeOf(j) ?? []);

function reportPair(pair: Pair, data: EvaluationData, differences: readonly Difference[]): PairReport {
  const { set, baseline, candidate, reviews } = pair;
  const judged = judgedOf(pair, data, 'parsed');
  const outcomes = judged.flatMap((j) => outcomeOf(j) ?? []);
  const stored = compare(outcomesOf(pair, data, 'stored'));
  const published = publishedTotals(baseline, candidate);
  const own = new Set(reviews.map((r) => r.id));
  return {
    set,
    baseline,
    candidate,
    stored,
    parsed: compare(outcomes),
    failed: judged.length - outcomes.length,
    positionBias: positionBias(judged),
    length: lengthBias(pair, outcomes, data),
    published: published && {
      ...published,
      equal: published.baseline === stored.baselineTotal && published.candidate === stored.candidateTotal,
    },
    differences: differences.filter((d) => own.has(d.review)),
  };
}

function isUnreadable(review: Review): boolean {
  if (review.second === null) return ratingOf(review, 'parsed') === null;
  return review.prompts === 'vicuna' ? scoresOf(review, 'parsed') === null : 'problem' in parseChoice(review.text);
}

function differenceOf(review: Review, categories: ReadonlyMap<string, string>): Difference | null {
  const { id, question, first, second, stored, text } = review;
  if (stored === null || second === null) return null;
  const found = parseScores(text);
  const parsed = 'problem' in found ? null : found.scores;
  if (parsed?.every((score, i) => score === stored[i])) return null;
  return {
    review: id,
    question,
    category: categories.get(question) ?? 'general',
    models: [first, second],
    stored,
    parsed,
    rule: 'problem' in found ? found.problem : found.rule,
    explanation: KNOWN_DIFFERENCES.get(id) ?? null,
  };
}

function battlesOf({ candidate, baseline }: Pair, outcomes: readonly Outcome[]): Battle[] {
  return outcomes.map(({ verdict, question }) => ({
    first: candidate,
    second: baseline,
    result: verdict === 'win' ? 1 : verdict === 'tie' ? 0.5 : 0,
    question,
  }));
}

function lengthBias({ candidate, baseline }: Pair, outcomes: readonly Outcome[], { answers }: EvaluationData): LengthBias | null {
  const length = (model: string, question: string, turn: number) => answers.get(model)?.get(question)?.turns[turn - 1]?.length;
  let [decided, longerWins] = [0, 0];
  for (const { verdict, question, turn } of outcomes) {
    const [ours, theirs] = [length(candidate, question, turn), length(baseline, question, turn)];
    if (verdict === 'tie' || ours === undefined || theirs === undefined || ours === theirs) continue;
    decided++;
    if ((verdict === 'win') === ours > theirs) longerWins++;
  }
  return decided === 0 ? null : { decided, longerWins };
}

function ratingsOf(reviews: readonly Review[]): Report['ratings'] {
  const alone = Map.groupBy(
    reviews.filter((r) => r.second === null),
    (r) => r.first,
  );
  if (alone.size === 0) return null;
  return Object.fromEntries(
    [...alone].map(([model, own]) => {
      const rated = own.flatMap((r) => ratingOf(r, 'parsed') ?? []);
      const mean = rated.length === 0 ? 0 : rated.reduce((a, b) => a + b, 0) / rated.length;
      return [model, { mean, rated: rated.length, failed: own.length - rated.length }];
    }),
  );
}
