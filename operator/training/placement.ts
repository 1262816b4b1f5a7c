import { durationSeconds } from '../api/duration.ts';
import { checkpointIntervalSeconds } from '../spot/cadence.ts';
import { uniformProgress } from '../spot/deadline.ts';
import { parseDollars } from '../spot/ledger.ts';
import { type Placement, place } from '../spot/placement.ts';
import { type Draft, milliseconds } from './draft.ts';

export type { PoolView } from '../spot/placement.ts';

/** Training time that a change of place costs until something better is known, seconds. */
const RESTART_SECONDS = 60;
/** Assumed stall of a save before one was measured, seconds. */
const FIRST_SAVE_SECONDS = 5;

/** Where the whole gang should run, by the spec's placement and what is known of the pools. */
export function choosePool(d: Draft, { min, max }: { min: number; max: number }): Placement {
  const { placement, workers } = d.spec;
  const spent = parseDollars(d.status.totals?.cost) / 1e6;
  return place(
    {
      min,
      max,
      gpusPerWorker: workers.gpusPerWorker,
      accelerator: placement.accelerator ?? null,
      capacity: placement.capacity,
      wanted: wantedCapacity(d),
      maxPricePerHour: placement.maxPricePerHour === undefined ? null : Number(placement.maxPricePerHour),
      budgetLeft: placement.budget === undefined ? null : Number(placement.budget) - spent,
      currentPool: d.status.pool ?? null,
      avoid: d.avoid,
      restartSeconds: RESTART_SECONDS,
    },
    d.state.pools,
    d.now,
  );
}

/** What the deadline asks for, by Uniform Progress, once the length of the run is known; null without a deadline. */
function wantedCapacity(d: Draft): 'spot' | 'onDemand' | null {
  const { placement } = d.spec;
  const { progress } = d.status;
  if (placement.capacity !== 'auto' || placement.deadline === undefined || !progress?.stepSeconds || progress.totalSteps === 0) return null;
  const choice = uniformProgress({
    now: d.now / 1000,
    start: (milliseconds(d.status.startedAt) ?? d.now) / 1000,
    deadline: Date.parse(placement.deadline) / 1000,
    totalSeconds: progress.totalSteps * progress.stepSeconds,
    doneSeconds: progress.step * progress.stepSeconds,
    changeoverSeconds: RESTART_SECONDS,
    current: 'idle',
    spotAvailable: d.state.pools.some((p) => p.capacity === 'spot' && p.freeSlots >= d.spec.workers.min),
  });
  return choice === 'idle' ? 'spot' : choice;
}

/** How often the next world saves: as the spec says, or from its pool's expected life and what a save has cost so far. */
export function checkpointIntervalFor(d: Draft): { seconds: number } | { steps: number } {
  const { interval } = d.spec.checkpoint;
  const steps = /^([0-9]+)steps$/.exec(interval);
  if (steps) return { steps: Number(steps[1]) };
  if (interval !== 'auto') return { seconds: durationSeconds(interval) };
  const pool = d.state.pools.find((p) => p.name === d.status.pool);
  const lifeHours = pool?.capacity === 'onDemand' ? 24 * 30 : (pool?.remainingLifeHours ?? 12);
  const members = d.status.next?.members.length ?? 1;
  return {
    seconds: checkpointIntervalSeconds({
      saveSeconds: d.status.checkpoint?.seconds ?? FIRST_SAVE_SECONDS,
      restartSeconds: RESTART_SECONDS,
      remainingLifeSeconds: (lifeHours * 3_600) / members,
    }),
  };
}
