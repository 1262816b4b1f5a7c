import { z } from 'zod';

// What an evaluation's program says at its end: written by workloads/judge as its pod's termination message, read by the operator.

/** Longest result, bytes: Kubernetes keeps 4,096 of a termination message. */
export const MAX_RESULT_BYTES = 4_000;
export const MAX_BASELINES = 8;

const count = z.int().min(0);
const dollars = z.number().min(0).nullable();
/** [low, high] of a 95 % interval, by bootstrap over the questions. */
const interval = z.tuple([z.number(), z.number()]).nullable();

export const judgeResultSchema = z.object({
  /** budgetReached: stopped before a request that might have exceeded the budget; go on with a larger one. */
  state: z.enum(['complete', 'budgetReached']),
  /** Questions of the set. */
  questions: count,
  /** The candidate’s mean score over all that was judged, 1 to 10; null where the judge gives no scores (MT-bench pairwise). */
  candidateScore: z.number().nullable(),
  baselines: z
    .array(
      z.object({
        name: z.string().max(63),
        /** Questions with a verdict; the figures of this baseline are about these. */
        judged: count,
        /** Sums of scores; a question judged in both orders counts with its mean. Null where the judge gives no scores. */
        candidateTotal: z.number().nullable(),
        baselineTotal: z.number().nullable(),
        /** Of the candidate. */
        wins: count,
        ties: count,
        losses: count,
        /** Wins and half of the ties, as a share of those judged; null when none was. */
        winRate: z.number().nullable(),
        winRateInterval: interval,
        /** candidateTotal / baselineTotal. */
        relativeQuality: z.number().nullable(),
        relativeQualityInterval: interval,
        /** Share of questions for which both orders give the same verdict; null when only one order was judged. */
        orderAgreement: z.number().nullable(),
        /** Reviews without a verdict that can be read, and pairs without an answer. */
        failed: count,
      }),
    )
    .max(MAX_BASELINES),
  /** Reviews that are there, those that were to be, and those that have no verdict. */
  reviews: z.object({ done: count, total: count, failed: count }),
  tokens: z.object({ input: count, output: count }),
  /** Dollars; null where a price is not known. estimated: as was expected before the first request. */
  cost: z.object({ estimated: dollars, answers: dollars, judge: dollars, total: dollars }),
  /** URIs of the report (JSON; a Markdown one lies beside it) and of the viewer’s first page. */
  report: z.string().max(1_024),
  viewer: z.string().max(1_024),
});

export type JudgeResult = z.output<typeof judgeResultSchema>;
