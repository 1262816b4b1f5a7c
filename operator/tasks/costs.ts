import { accrue, formatDollars, type Ledger, parseDollars, savedShare } from '../spot/ledger.ts';
import { onDemandPerHour, pricePerHour } from '../spot/pool-view.ts';
import type { TaskDraft } from './draft.ts';
import { isoTime, milliseconds } from './time.ts';

/** Costs are brought up to date at least so often while nothing else changes. */
export const LEDGER_INTERVAL_MS = 60_000;

/** Brings totals up to now: a pod on a node pays for its share of it. Nodes outside of pools have no price. */
export function accrueCosts(d: TaskDraft): void {
  const { run, state, now } = d;
  const paid = paidPods(d);
  const since = milliseconds(run.accruedUntil);
  if (since === undefined && paid.length === 0) return;
  run.accruedUntil = isoTime(now);
  const seconds = since === undefined ? 0 : (now - since) / 1000;
  let ledger: Ledger = { gpuHours: 0, costMicros: parseDollars(run.totals?.cost), onDemandMicros: parseDollars(run.totals?.onDemandCost) };
  for (const pod of paid) {
    const pool = state.pools.find((p) => p.name === pod.pool);
    if (!pool) continue;
    const prices = { pricePerHour: pod.share * pricePerHour(pool, 1, 0), onDemandPerHour: pod.share * onDemandPerHour(pool, 1, 0) };
    ledger = accrue(ledger, { seconds, gpus: 0, ...prices });
  }
  const saved = savedShare(ledger);
  run.totals = {
    ...run.totals,
    cost: formatDollars(ledger.costMicros),
    onDemandCost: formatDollars(ledger.onDemandMicros),
    ...(saved === null ? {} : { savedPercent: `${Math.round(saved * 100)}%` }),
  };
}

/** Pods that held a node since the last count; one that ended meanwhile held it until about now. */
function paidPods({ state }: TaskDraft) {
  const { pod: last, phase } = state.run;
  return [...state.pods.values()].filter(
    (p) =>
      p.node !== null &&
      p.interruption?.lost !== true &&
      (p.phase === 'Running' || p.phase === 'Pending' || (p.name === last && phase === 'Running')),
  );
}
