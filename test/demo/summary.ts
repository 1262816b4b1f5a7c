import type { VicunaTraining } from '../../operator/api/vicuna-training.ts';
import type { ServingSummary } from './serving-act.ts';

type Record = NonNullable<NonNullable<VicunaTraining['status']>['interruptions']>[number];

export interface Legs {
  readonly toCheckpoint: number | null;
  readonly toReplaced: number | null;
  readonly toResumed: number | null;
}

export interface InterruptionSummary {
  readonly pool: string;
  readonly node: string | null;
  readonly cause: string;
  readonly notice: boolean;
  readonly noticedAt: string;
  readonly legs: Legs;
  readonly lostSteps: number;
  readonly resumedStep: number | null;
}

export interface Summary {
  readonly training: string;
  readonly steps: number;
  readonly finalLoss: number | null;
  readonly interruptions: readonly InterruptionSummary[];
  readonly lostSteps: number;
  readonly goodput: number | null;
  readonly cost: number;
  readonly onDemandCost: number;
  /** What came of serving the trained model; null where it was not served. */
  readonly serving: ServingSummary | null;
  /** Seconds by phase of the demo. */
  readonly seconds: { readonly [phase: string]: number };
}

/** One interruption with its legs in seconds, from the record in the status. */
export function summarizeInterruption(record: Record): InterruptionSummary {
  const since = (time: string | undefined) => (time === undefined ? null : (Date.parse(time) - Date.parse(record.noticedAt)) / 1000);
  return {
    pool: record.pool,
    node: record.node ?? null,
    cause: record.cause,
    notice: record.notice,
    noticedAt: record.noticedAt,
    legs: { toCheckpoint: since(record.checkpointAckedAt), toReplaced: since(record.replacedAt), toResumed: since(record.resumedAt) },
    lostSteps: record.lostSteps ?? 0,
    resumedStep: record.resumedStep ?? null,
  };
}

/** The end of the demo in a few lines. */
export function summaryText(summary: Summary, interval: number): string {
  const { interruptions } = summary;
  const announced = interruptions.filter((i) => i.notice);
  const sudden = interruptions.filter((i) => !i.notice);
  const lost = (list: readonly InterruptionSummary[]) => list.reduce((sum, i) => sum + i.lostSteps, 0);
  const saved = summary.onDemandCost === 0 ? 0 : Math.round((1 - summary.cost / summary.onDemandCost) * 100);
  const lines = interruptions.map((i) => {
    const leg = (label: string, seconds: number | null) => (seconds === null ? '' : `  ${label} ${seconds.toFixed(1)} s`);
    return `  ${(i.notice ? 'notice' : 'no notice').padEnd(10)} ${i.pool.padEnd(26)}${leg('saved after', i.legs.toCheckpoint)}${leg('moved after', i.legs.toReplaced)}${leg('training again after', i.legs.toResumed)}  ${i.lostSteps} steps lost`;
  });
  return [
    ...lines,
    '',
    `  Done. ${summary.steps} steps, ${interruptions.length} interruptions (${announced.length} with notice), ${lost(announced)} steps lost with notice, ${lost(sudden)} without (interval ${interval}),`,
    `        goodput ${summary.goodput === null ? '?' : (summary.goodput * 100).toFixed(1)} %, $${summary.cost.toFixed(4)} instead of $${summary.onDemandCost.toFixed(4)} on-demand (${saved} % saved).`,
  ].join('\n');
}
