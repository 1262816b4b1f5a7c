import { accrue, formatDollars, type Ledger, parseDollars, savedShare } from '../spot/ledger.ts';
import { onDemandPerHour, type PoolView, pricePerHour } from '../spot/pool-view.ts';
import { type Draft, isoTime, milliseconds } from './draft.ts';
import { openRecords, resumedStep } from './interruptions.ts';
import type { WorkerPod } from './state.ts';

/** Brings totals up to now: every worker on a node is paid for, whether it trains, starts or waits. */
export function accrueCosts(d: Draft): void {
  const holding = holdingPods(d);
  const since = milliseconds(d.status.accruedUntil);
  if (since === undefined && holding.length === 0) return;
  d.status.accruedUntil = isoTime(d.now);
  d.status.startedAt ??= d.status.world ? isoTime(d.now) : undefined;
  if (d.status.startedAt === undefined) delete d.status.startedAt;
  d.status.totals ??= {};
  const { totals } = d.status;
  const seconds = since === undefined ? 0 : (d.now - since) / 1000;
  let ledger: Ledger = {
    gpuHours: totals.gpuHours ?? 0,
    costMicros: parseDollars(totals.cost),
    onDemandMicros: parseDollars(totals.onDemandCost),
  };
  for (const pod of holding) ledger = accrue(ledger, { seconds, ...rates(d, pod) });
  totals.gpuHours = Number(ledger.gpuHours.toFixed(6));
  totals.cost = formatDollars(ledger.costMicros);
  totals.onDemandCost = formatDollars(ledger.onDemandMicros);
  const saved = savedShare(ledger);
  if (saved !== null) totals.savedPercent = `${Math.round(saved * 100)}%`;
  accrueGoodput(d, totals, seconds);
}

/**
 * What is left of spec.placement.budget now, US dollars, and when it will be spent at the present rate (ms since epoch; null when nothing
 * is being paid for). Null without a budget.
 */
export function budgetLeft(d: Draft): { readonly dollars: number; readonly spentAt: number | null } | null {
  const { budget } = d.spec.placement;
  if (budget === undefined) return null;
  const perHour = holdingPods(d).reduce((sum, pod) => sum + rates(d, pod).pricePerHour, 0);
  const since = milliseconds(d.status.accruedUntil) ?? d.now;
  const pending = (perHour * (d.now - since)) / 3_600_000;
  const dollars = Number(budget) - parseDollars(d.status.totals?.cost) / 1e6 - pending;
  return { dollars, spentAt: perHour === 0 ? null : d.now + Math.ceil((dollars / perHour) * 3_600_000) };
}

function holdingPods(d: Draft): WorkerPod[] {
  return [...d.state.pods.values()].filter((p) => p.node !== null && (p.phase === 'Running' || p.phase === 'Pending'));
}

function rates(d: Draft, pod: WorkerPod): { gpus: number; pricePerHour: number; onDemandPerHour: number } {
  const gpus = d.spec.workers.gpusPerWorker;
  const pool: PoolView | undefined = d.state.pools.find((p) => p.name === pod.pool);
  if (!pool) return { gpus, pricePerHour: 0, onDemandPerHour: 0 };
  return { gpus, pricePerHour: pricePerHour(pool, 1, gpus), onDemandPerHour: onDemandPerHour(pool, 1, gpus) };
}

/**
 * Goodput: time in steps that count over time since the first world. While one world trains without a break its whole time counts,
 * saves included; over a break only the steps gained do, each at the pace of before. Steps that were lost are taken off again.
 */
function accrueGoodput(d: Draft, totals: NonNullable<Draft['status']['totals']>, seconds: number): void {
  const { progress, startedAt, world } = d.status;
  const before = d.state.training.status;
  if (startedAt === undefined) return;
  const unbroken =
    before?.phase === 'Running' &&
    d.status.phase === 'Running' &&
    before.world?.generation === world?.generation &&
    openRecords(d).length === 0;
  const pace = before?.progress?.stepSeconds ?? 0;
  const gained = ((progress?.step ?? 0) - (before?.progress?.step ?? 0)) * pace;
  const trained = unbroken && resumedStep(d) !== null ? seconds : Math.min(seconds, gained);
  const wall = (d.now - Date.parse(startedAt)) / 1000;
  const useful = Math.min(wall, Math.max(0, (totals.usefulSeconds ?? 0) + trained));
  totals.usefulSeconds = Number(useful.toFixed(2));
  if (wall > 0) totals.goodput = Number((useful / wall).toFixed(4));
}
