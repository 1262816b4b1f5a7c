import type { Scores } from '../review-parser.ts';
import { bootstrap, type Interval } from './bootstrap.ts';

// Two models compared: from the judge's words on each question to totals, wins, and what they are worth.

/** Of the candidate. */
export type Verdict = 'win' | 'tie' | 'loss';

/** Scores so near are a tie (llm_judge's rule for two scores). */
const TIE = 0.1;

/** What one review says, seen from the candidate; its scores are [candidate, baseline] where the judge gives any. */
export interface Opinion {
  readonly verdict: Verdict;
  readonly scores: Scores | null;
}

/** One question's turn with what was said of it. A null is a review that has no verdict, an undefined one that is not there. */
export interface Judged {
  readonly question: string;
  /** Counted from 1. */
  readonly turn: number;
  readonly category: string;
  /** The baseline's answer stands first. */
  readonly forward: Opinion | null | undefined;
  /** The candidate's answer stands first. */
  readonly backward: Opinion | null | undefined;
}

/** A question's turn with its verdict. */
export interface Outcome {
  readonly question: string;
  readonly turn: number;
  readonly category: string;
  readonly verdict: Verdict;
  /** [candidate, baseline]: the mean of both orders. */
  readonly scores: Scores | null;
}

export const verdictOf = ([candidate, baseline]: Scores): Verdict =>
  Math.abs(candidate - baseline) <= TIE ? 'tie' : candidate > baseline ? 'win' : 'loss';

/**
 * The verdict on one turn. With both orders a win or a loss counts only when both say so, else it is a tie; with a review that has no
 * verdict in either order, there is none (llm_judge's rules).
 */
export function outcomeOf({ question, turn, category, forward, backward }: Judged): Outcome | null {
  const opinions = [forward, backward].filter((o) => o !== undefined);
  const [one, other] = opinions;
  if (one === undefined || opinions.some((o) => o === null) || one === null) return null;
  const both = other ?? one;
  const verdict = one.verdict === both.verdict ? one.verdict : 'tie';
  return { question, turn, category, verdict, scores: mean(one.scores, both.scores) };
}

const mean = (a: Scores | null, b: Scores | null): Scores | null =>
  a === null || b === null ? null : [(a[0] + b[0]) / 2, (a[1] + b[1]) / 2];

export interface Tally {
  /** Turns with a verdict. */
  readonly judged: number;
  readonly candidateTotal: number | null;
  readonly baselineTotal: number | null;
  readonly wins: number;
  readonly ties: number;
  readonly losses: number;
  /** (wins + ties / 2) / judged. */
  readonly winRate: number | null;
  /** (wins + ties) / judged: "better or equal" in the blog. */
  readonly winOrTieRate: number | null;
  /** candidateTotal / baselineTotal. */
  readonly relativeQuality: number | null;
}

export function tally(outcomes: readonly Outcome[]): Tally {
  const count = (verdict: Verdict) => outcomes.filter((o) => o.verdict === verdict).length;
  const [wins, ties, losses] = [count('win'), count('tie'), count('loss')];
  const judged = outcomes.length;
  const total = (side: 0 | 1) =>
    judged === 0 || outcomes.some((o) => o.scores === null) ? null : outcomes.reduce((sum, o) => sum + (o.scores?.[side] ?? 0), 0);
  return {
    judged,
    candidateTotal: total(0),
    baselineTotal: total(1),
    wins,
    ties,
    losses,
    winRate: winRate(outcomes),
    winOrTieRate: judged === 0 ? null : (wins + ties) / judged,
    relativeQuality: relativeQuality(outcomes),
  };
}

function winRate(outcomes: readonly Outcome[]): number | null {
  if (outcomes.length === 0) return null;
  return outcomes.reduce((sum, { verdict }) => sum + (verdict === 'win' ? 1 : verdict === 'tie' ? 0.5 : 0), 0) / outcomes.length;
}

function relativeQuality(outcomes: readonly Outcome[]): number | null {
  let [candidate, baseline] = [0, 0];
  for (const { scores } of outcomes) {
    if (scores === null) return null;
    candidate += scores[0];
    baseline += scores[1];
  }
  return baseline === 0 ? null : candidate / baseline;
}

export interface Comparison extends Tally {
  readonly winRateInterval: Interval | null;
  readonly relativeQualityInterval: Interval | null;
  readonly byCategory: Readonly<Record<string, Tally>>;
}

export function compare(outcomes: readonly Outcome[]): Comparison {
  const questions = [...Map.groupBy(outcomes, (o) => o.question).values()];
  const categories = Map.groupBy(outcomes, (o) => o.category);
  return {
    ...tally(outcomes),
    winRateInterval: bootstrap(questions, winRate),
    relativeQualityInterval: bootstrap(questions, relativeQuality),
    byCategory: Object.fromEntries([...categories].map(([category, within]) => [category, tally(within)])),
  };
}

export interface PositionBias {
  /** Turns with a verdict in both orders. */
  readonly judgedTwice: number;
  /** Share with the same verdict in both orders. */
  readonly agreement: number;
  /** Cohen's kappa of the two orders' verdicts: 1 is full agreement, 0 what chance gives; null where one verdict is all there is. */
  readonly kappa: number | null;
  /** Share in which whichever answer stood first won more, and in which the second did. */
  readonly prefersFirst: number;
  readonly prefersSecond: number;
  /** Mean points that an answer has more for standing first; null where the judge gives no scores. */
  readonly firstPlaceAdvantage: number | null;
}

const POINTS: Readonly<Record<Verdict, number>> = { win: 1, tie: 0, loss: -1 };

/** How the verdicts change with the order; null when no turn was judged in both. */
export function positionBias(judged: readonly Judged[]): PositionBias | null {
  const twice = judged.flatMap(({ forward, backward }) => (forward && backward ? [{ forward, backward }] : []));
  const n = twice.length;
  if (n === 0) return null;
  const share = (which: (pair: (typeof twice)[number]) => boolean) => twice.filter(which).length / n;
  const agreement = share(({ forward, backward }) => forward.verdict === backward.verdict);
  const chance = (['win', 'tie', 'loss'] as const).reduce(
    (sum, v) => sum + share(({ forward }) => forward.verdict === v) * share(({ backward }) => backward.verdict === v),
    0,
  );
  // Standing first, the candidate is judged backward; what it gains there it owes to its place.
  const gain = ({ forward, backward }: (typeof twice)[number]) => POINTS[backward.verdict] - POINTS[forward.verdict];
  const difference = ({ scores }: Opinion) => (scores === null ? null : scores[0] - scores[1]);
  const advantages = twice.map(({ forward, backward }) => {
    const [there, here] = [difference(backward), difference(forward)];
    return there === null || here === null ? null : (there - here) / 2;
  });
  return {
    judgedTwice: n,
    agreement,
    kappa: chance === 1 ? null : (agreement - chance) / (1 - chance),
    prefersFirst: share((pair) => gain(pair) > 0),
    prefersSecond: share((pair) => gain(pair) < 0),
    firstPlaceAdvantage: advantages.some((a) => a === null) ? null : advantages.reduce((sum: number, a) => sum + (a ?? 0), 0) / n,
  };
}
