import { z } from 'zod';

const count = z.int().min(0);
const dollars = z.number().min(0).nullable();
const interval = z.tuple([z.number(), z.number()]).nullable();

/** What the program says at its end (workloads/judge/config.ts). */
export const evaluationResultSchema = z.object({
  state: z.enum(['complete', 'budgetReached']),
  candidateScore: z.number().nullable(),
  baselines: z
    .array(
      z.object({
        name: z.string().max(63),
        judged: count,
        candidateTotal: z.number().nullable(),
        baselineTotal: z.number().nullable(),
        wins: count,
        ties: count,
        losses: count,
        winRate: z.number().nullable(),
        winRateInterval: interval,
        relativeQuality: z.number().nullable(),
        relativeQualityInterval: interval,
        orderAgreement: z.number().nullable(),
        failed: count,
      }),
    )
    .max(8),
  cost: z.object({ estimated: dollars, answers: dollars, judge: dollars }),
  report: z.string().max(1_024),
  viewer: z.string().max(1_024),
});

export type EvaluationResult = z.output<typeof evaluationResultSchema>;
