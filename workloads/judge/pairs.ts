import type { EvaluationData, Review } from './data.ts';
import { badInput } from './failure.ts';
import { parseChoice, parseRating, parseScores, type Scores } from './review-parser.ts';
import { type Judged, type Opinion, verdictOf } from './statistics/outcomes.ts';

/** Whether the scores stored beside a review count, or what its words say. Where none are stored, the words count. */
export type ScoreSource = 'stored' | 'parsed';

/** Two models, and all that was said of their answers. */
export interface Pair {
  readonly set: string;
  readonly baseline: string;
  readonly candidate: string;
  readonly reviews: readonly Review[];
}

/** All pairs of an evaluation that were judged against each other, and in single mode the candidate with every other model. */
export function pairsOf({ reviews, about }: EvaluationData): Pair[] {
  const compared = reviews.filter((r) => r.second !== null);
  const pairs = [...Map.groupBy(compared, (r) => JSON.stringify([r.set, [r.first, r.second].toSorted()])).values()].map((own): Pair => {
    const [{ set = '', first = '', second = '' } = {}] = own;
    // The blog puts the candidate second; a run says which one it is.
    const candidate = about?.candidate === first ? first : (second ?? '');
    return { set, candidate, baseline: candidate === first ? (second ?? '') : first, reviews: own };
  });
  const alone = Map.groupBy(
    reviews.filter((r) => r.second === null),
    (r) => r.first,
  );
  const candidate = about?.candidate ?? '';
  for (const [baseline, own] of alone)
    if (baseline !== candidate)
      pairs.push({ set: own[0]?.set ?? '', candidate, baseline, reviews: [...(alone.get(candidate) ?? []), ...own] });
  return pairs;
}

/**
 * The verdicts on each turn of each question, seen from the candidate. Where both orders were to be judged and one is not there yet, the
 * turn is left out. A review that is there twice is refused.
 */
export function judgedOf(pair: Pair, { questions, about }: EvaluationData, source: ScoreSource): Judged[] {
  const categories = new Map(questions.map((q) => [q.id, q.category]));
  const turns = Map.groupBy(pair.reviews, (r) => `${r.question}/${r.turn}`);
  const judged = [...turns.values()].map((reviews): Judged => {
    const [{ question = '', turn = 1 } = {}] = reviews;
    const find = (first: string, second: string | null) => {
      const [one, ...more] = reviews.filter((r) => r.first === first && r.second === second);
      if (more.length > 0)
        throw badInput(`question ${question}, turn ${turn}: ${first} and ${second ?? 'nobody'} are judged twice in ${pair.set}`);
      return one;
    };
    const category = categories.get(question) ?? 'general';
    const [ours, theirs] = [find(pair.candidate, null), find(pair.baseline, null)];
    if (ours !== undefined || theirs !== undefined)
      return { question, turn, category, forward: ofRatings(ours, theirs, source), backward: undefined };
    return {
      question,
      turn,
      category,
      forward: opinionOf(find(pair.baseline, pair.candidate), source, false),
      backward: opinionOf(find(pair.candidate, pair.baseline), source, true),
    };
  });
  const twice = about?.bothOrders === true && pair.reviews.some((r) => r.second !== null);
  return judged.filter((j) => (twice ? j.forward !== undefined && j.backward !== undefined : true));
}

/** What a review of two answers says, seen from the candidate. */
function opinionOf(review: Review | undefined, source: ScoreSource, candidateFirst: boolean): Opinion | null | undefined {
  if (review === undefined) return undefined;
  if (review.prompts === 'mt-bench') {
    const parsed = parseChoice(review.text);
    if ('problem' in parsed) return null;
    if (parsed.choice === 'C') return { verdict: 'tie', scores: null };
    return { verdict: (parsed.choice === 'A') === candidateFirst ? 'win' : 'loss', scores: null };
  }
  const scores = scoresOf(review, source);
  if (scores === null) return null;
  const seen: Scores = candidateFirst ? scores : [scores[1], scores[0]];
  return { verdict: verdictOf(seen), scores: seen };
}

/** [first answer's, second answer's]. */
export function scoresOf({ stored, text }: Review, source: ScoreSource): Scores | null {
  if (source === 'stored' && stored?.[0] !== undefined && stored[1] !== undefined) return [stored[0], stored[1]];
  const parsed = parseScores(text);
  return 'problem' in parsed ? null : parsed.scores;
}

function ofRatings(ours: Review | undefined, theirs: Review | undefined, source: ScoreSource): Opinion | null | undefined {
  if (ours === undefined || theirs === undefined) return undefined;
  const [candidate, baseline] = [ratingOf(ours, source), ratingOf(theirs, source)];
  if (candidate === null || baseline === null) return null;
  return { verdict: verdictOf([candidate, baseline]), scores: [candidate, baseline] };
}

export function ratingOf({ stored, text }: Review, source: ScoreSource): number | null {
  if (source === 'stored' && stored?.[0] !== undefined) return stored[0];
  const parsed = parseRating(text);
  return 'problem' in parsed ? null : parsed.rating;
}
