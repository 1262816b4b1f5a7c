import type { JudgeResult } from '../../../operator/api/judge-result.ts';
import type { JudgeTask } from '../config.ts';
import type { Question } from '../questions.ts';
import type { PairReport, Report } from '../report.ts';
import type { Interval } from '../statistics/bootstrap.ts';
import type { MadeReview } from './collect-reviews.ts';
import type { CostEstimate } from './estimate.ts';
import { plus } from './ledger.ts';
import type { Parts } from './parts.ts';
import { reviewsOf } from './review-request.ts';

interface Finished {
  readonly task: JudgeTask;
  readonly questions: readonly Question[];
  readonly report: Report;
  readonly made: readonly MadeReview[];
  readonly parts: Parts;
  readonly estimate: CostEstimate;
  readonly budgetReached: boolean;
}

const rounded = (digits: number) => (value: number) => Math.round(value * 10 ** digits) / 10 ** digits;
const share = rounded(4);
const cents = rounded(4);
const orNull = (value: number | null | undefined, round: (value: number) => number) =>
  value === null || value === undefined ? null : round(value);
const interval = (found: Interval | null | undefined): [number, number] | null => (found ? [share(found[0]), share(found[1])] : null);

/** What an evaluation says at its end. */
export function resultOf({ task, questions, report, made, parts, estimate, budgetReached }: Finished): JudgeResult {
  const answers = parts.spent('answers');
  const judge = parts.spent('reviews');
  const output = task.output.replace(/\/+$/, '');
  return {
    state: budgetReached ? 'budgetReached' : 'complete',
    questions: questions.length,
    candidateScore: orNull(candidateScore(task, report), share),
    baselines: task.baselines.map(({ name }) =>
      baselineResult(
        name,
        report.pairs.find((p) => p.baseline === name),
        turnsWithoutReview(name, task, made),
      ),
    ),
    reviews: {
      done: made.filter((m) => m.part !== null).length,
      total: [...reviewsOf(task, questions)].length,
      failed: report.reviews.unreadable + made.filter((m) => m.part === null).length,
    },
    tokens: plus(answers.usage, judge.usage),
    cost: {
      estimated: orNull(estimate.total.about, cents),
      answers: orNull(answers.cost, cents),
      judge: orNull(judge.cost, cents),
      total: answers.cost === null || judge.cost === null ? null : cents(answers.cost + judge.cost),
    },
    report: `${output}/report.json`,
    viewer: `${output}/viewer/index.html`,
  };
}

function baselineResult(name: string, pair: PairReport | undefined, withoutReview: number): JudgeResult['baselines'][number] {
  const c = pair?.parsed;
  return {
    name,
    judged: c?.judged ?? 0,
    candidateTotal: orNull(c?.candidateTotal, share),
    baselineTotal: orNull(c?.baselineTotal, share),
    wins: c?.wins ?? 0,
    ties: c?.ties ?? 0,
    losses: c?.losses ?? 0,
    winRate: orNull(c?.winRate, share),
    winRateInterval: interval(c?.winRateInterval),
    relativeQuality: orNull(c?.relativeQuality, share),
    relativeQualityInterval: interval(c?.relativeQualityInterval),
    orderAgreement: orNull(pair?.positionBias?.agreement, share),
    failed: (pair?.failed ?? 0) + withoutReview,
  };
}

/** Turns that this baseline is not judged on because an answer is missing or the judge refused. */
function turnsWithoutReview(name: string, { mode, candidate }: JudgeTask, made: readonly MadeReview[]): number {
  const concerns = ({ first, second }: MadeReview['planned']) =>
    first === name || second === name || (mode === 'single' && first === candidate.name);
  const turns = made.filter((m) => m.part === null && concerns(m.planned)).map((m) => `${m.planned.question.id}/${m.planned.turn}`);
  return new Set(turns).size;
}

/** Mean rating, or mean score over all pairs. */
function candidateScore({ candidate }: JudgeTask, { ratings, pairs }: Report): number | null {
  const rating = ratings?.[candidate.name];
  if (rating !== undefined) return rating.rated === 0 ? null : rating.mean;
  const judged = pairs.reduce((sum, p) => sum + p.parsed.judged, 0);
  const total = pairs.reduce(
    (sum: number | null, p) => (sum === null || p.parsed.candidateTotal === null ? null : sum + p.parsed.candidateTotal),
    0,
  );
  return total === null || judged === 0 ? null : total / judged;
}
