import type { Contestant, VicunaEvaluation } from '../../operator/api/vicuna-evaluation.ts';
import { mishaps, taskPage } from './explain-task.ts';
import { money } from './format.ts';
import type { ExplainOptions, Page } from './page.ts';
import { plain } from './terminal.ts';

type Status = NonNullable<VicunaEvaluation['status']>;

/** Why an evaluation is where it is, what it waits for, and what it has found. Pure. */
export function explainEvaluation(evaluation: VicunaEvaluation, options: ExplainOptions): string[] {
  const { spec, status = {} } = evaluation;
  const page = taskPage('VicunaEvaluation', evaluation, terms(spec), options);
  if (status.comparisons) resultOf(page, status, status.comparisons);
  mishaps(page, status, options.now);
  moneyOf(page, status, spec.budget);
  return page.lines;
}

function terms({ candidate, baselines, mode, judge, questions, output }: VicunaEvaluation['spec']): string {
  const work = mode === 'single' ? `Rates ${[candidate, ...baselines].map(contestant).join(', ')}` : comparing(candidate, baselines);
  const few = questions.limit === undefined ? '' : `, the first ${questions.limit}`;
  return `${work}; ${judge.model} at ${judge.url} judges. Questions: ${questions.set ?? questions.uri}${few}. Into ${output}.`;
}

function comparing(candidate: Contestant, baselines: readonly Contestant[]): string {
  return `Compares ${contestant(candidate)} with ${baselines.map(contestant).join(', ')}`;
}

function contestant({ name, serving, endpoint, answers }: Contestant): string {
  if (serving) return `${name} (serving ${serving.name})`;
  return endpoint ? `${name} (${endpoint.url})` : `${name} (answers in ${answers})`;
}

function resultOf(page: Page, { candidateScore, report, viewer }: Status, comparisons: NonNullable<Status['comparisons']>): void {
  page.head('Result');
  if (comparisons.length > 0)
    page.table(
      ['AGAINST', 'JUDGED', 'WIN', 'TIE', 'LOSS', 'WIN RATE', 'QUALITY', 'ORDERS AGREE', 'FAILED'],
      comparisons.map((c) => [
        plain(c.baseline),
        String(c.judged),
        String(c.wins),
        String(c.ties),
        String(c.losses),
        rate(c.winRate, c.confidence.winRate),
        rate(c.relativeQuality, c.confidence.relativeQuality),
        rate(c.orderAgreement),
        String(c.failed),
      ]),
    );
  if (candidateScore !== undefined) page.say(`Mean score of the candidate: ${candidateScore.toFixed(2)} of 10.`);
  if (report) page.say(`Report: ${plain(report)}`);
  if (viewer) page.say(`Page: ${plain(viewer)}`);
}

/** "62% (55-70%)": the figure, and where it lies with 95 % confidence. */
function rate(share: number | undefined, range?: { readonly low: number; readonly high: number }): string {
  if (share === undefined) return '-';
  const whole = (n: number) => Math.round(100 * n);
  return `${whole(share)}%${range ? ` (${whole(range.low)}-${whole(range.high)}%)` : ''}`;
}

/** Requests are counted when the program ends; its pods, all the time. */
function moneyOf(page: Page, { cost, totals }: Status, budget: string | undefined): void {
  page.head('Money');
  const { answers, judge, compute, estimated, total } = cost ?? {};
  if (total === undefined) {
    page.say(`Nothing was paid yet${budget === undefined ? '' : `, of a budget of ${money(budget)}`}.`);
    return;
  }
  const parts = Object.entries({ answers, judge, pods: compute }).flatMap(([what, sum]) =>
    sum === undefined ? [] : [`${what} ${money(sum)}`],
  );
  const requests = Number(answers ?? 0) + Number(judge ?? 0);
  const left = budget === undefined || judge === undefined ? '' : `; ${money(Number(budget) - requests)} of the budget left`;
  page.say(`${money(total)} spent: ${parts.join(', ')}${left}.`);
  if (judge === undefined) page.say('The judge’s requests are not in it: they are counted at the end, and only with spec.judge.price.');
  if (estimated !== undefined) page.say(`Estimated before the first request: ${money(estimated)}.`);
  if (totals?.savedPercent) page.say(`On demand its pods would have cost ${money(totals.onDemandCost)}: ${totals.savedPercent} saved.`);
}
