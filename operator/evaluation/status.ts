import type { JudgeResult } from '../api/judge-result.ts';
import type { VicunaEvaluation, VicunaEvaluationStatus } from '../api/vicuna-evaluation.ts';
import { formatDollars, parseDollars } from '../spot/ledger.ts';
import type { TaskKind } from '../tasks/kind.ts';

type Comparison = NonNullable<VicunaEvaluationStatus['comparisons']>[number];

/** The part of the status that comes from the program's result. */
export function resultStatus({ candidateScore, baselines, cost, report, viewer }: JudgeResult): Partial<VicunaEvaluationStatus> {
  const comparisons = baselines.map(comparison);
  const list = (of: (c: Comparison) => string | number) => comparisons.map(of).join(',').slice(0, 255);
  const quality = comparisons.length === 0 ? (candidateScore?.toFixed(2) ?? '') : list((c) => percent(c.relativeQuality));
  return {
    comparisons,
    ...defined({ candidateScore }),
    summary: { wins: list((c) => c.wins), ties: list((c) => c.ties), losses: list((c) => c.losses), quality },
    cost: defined({ estimated: money(cost.estimated), answers: money(cost.answers), judge: money(cost.judge) }),
    report,
    viewer,
  };
}

function comparison(b: JudgeResult['baselines'][number]): Comparison {
  const range = (interval: readonly [number, number] | null) => (interval === null ? null : { low: interval[0], high: interval[1] });
  return {
    baseline: b.name,
    judged: b.judged,
    failed: b.failed,
    ...defined({ score: b.candidateTotal, baselineScore: b.baselineTotal }),
    wins: b.wins,
    ties: b.ties,
    losses: b.losses,
    ...defined({ winRate: b.winRate, relativeQuality: b.relativeQuality }),
    confidence: defined({ winRate: range(b.winRateInterval), relativeQuality: range(b.relativeQualityInterval) }),
    ...defined({ orderAgreement: b.orderAgreement }),
  };
}

/** What the judges said, as numbers; a figure that there is none of is left out. */
export function resultFigures({
  comparisons = [],
  candidateScore,
}: Pick<VicunaEvaluationStatus, 'comparisons' | 'candidateScore'>): ReturnType<TaskKind<VicunaEvaluation>['results']> {
  const figures = comparisons.flatMap(({ baseline, winRate, relativeQuality }) => [
    { metric: 'evaluationWinRate' as const, labels: { baseline }, value: winRate },
    { metric: 'evaluationQuality' as const, labels: { baseline }, value: relativeQuality },
  ]);
  return [...figures, { metric: 'evaluationScore' as const, labels: {}, value: candidateScore }].flatMap(({ value, ...figure }) =>
    value === undefined ? [] : [{ ...figure, value }],
  );
}

/** Adds what the pods themselves have cost. */
export function settleCost(status: VicunaEvaluationStatus): void {
  const { cost, totals } = status;
  if (totals?.cost === undefined && cost === undefined) return;
  const parts = [cost?.answers, cost?.judge, totals?.cost];
  const total = formatDollars(parts.reduce((sum, part) => sum + parseDollars(part), 0));
  status.cost = { ...cost, ...defined({ compute: totals?.cost ?? null }), total };
}

function percent(share: number | undefined): string {
  return share === undefined ? '-' : `${Math.round(share * 100)}%`;
}

function money(dollars: number | null): string | null {
  return dollars === null ? null : formatDollars(Math.round(dollars * 1e6));
}

/** The fields that have a value. */
function defined<T extends object>(fields: T): { [K in keyof T]?: NonNullable<T[K]> } {
  return Object.fromEntries(Object.entries(fields).filter(([, v]) => v !== null && v !== undefined)) as {
    [K in keyof T]?: NonNullable<T[K]>;
  };
}
