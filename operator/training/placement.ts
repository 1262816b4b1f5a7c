import { durationSeconds } from '../api/duration.ts';
import { checkpointIntervalSeconds } from '../spot/cadence.ts';
import { type DeadlineInput, onDemandStartsAt, uniformProgress } from '../spot/deadline.ts';
import { type Placement, place, pricePerHour } from '../spot/placement.ts';
import { type Draft, milliseconds, type StatusWorld } from './draft.ts';

export type { PoolView } from '../spot/placement.ts';

/** Training time that a change of place costs until something better is known, seconds. */
const RESTART_SECONDS = 60;
/** Assumed stall of a save before one was measured, seconds. */
const FIRST_SAVE_SECONDS = 5;

/** Where the whole gang should run, by the spec's placement and what is known of the pools. */
export function choosePool(d: Draft, { min, max }: { min: number; max: number }): Placement {
  const { placement, workers } = d.spec;
  const deadline = deadlineInput(d);
  const wanted = deadline === null ? null : uniformProgress(deadline);
  return place(
    {
      min,
      max,
      gpusPerWorker: workers.gpusPerWorker,
      accelerator: placement.accelerator ?? null,
      capacity: placement.capacity,
      wanted: wanted === 'idle' ? 'spot' : wanted,
      onDemandAt: deadline !== null && wanted === 'idle' ? onDemandStartsAt(deadline) * 1000 : null,
      maxPricePerHour: placement.maxPricePerHour === undefined ? null : Number(placement.maxPricePerHour),
      currentPool: d.status.pool ?? null,
      avoid: d.avoid,
      restartSeconds: restartSeconds(d),
    },
    d.state.pools,
    d.now,
  );
}

/** What the deadline's policy needs to know, once the length of the run is known; null without a deadline. */
function deadlineInput(d: Draft): DeadlineInput | null {
  const { placement } = d.spec;
  const { progress, checkpoint } = d.status;
  if (placement.capacity !== 'auto' || placement.deadline === undefined || !progress?.stepSeconds || progress.totalSteps === 0) return null;
  return {
    now: d.now / 1000,
    start: (milliseconds(d.status.startedAt) ?? d.now) / 1000,
    deadline: Date.parse(placement.deadline) / 1000,
    totalSeconds: progress.totalSteps * progress.stepSeconds,
    // Only what is committed counts: the next world resumes from there.
    doneSeconds: Math.min(progress.step, checkpoint?.step ?? 0) * progress.stepSeconds,
    changeoverSeconds: restartSeconds(d),
    current: 'idle',
    spotAvailable: d.state.pools.some((p) => p.capacity === 'spot' && p.freeSlots >= d.spec.workers.min),
  };
}

/** A move to spot must save at least twice what it costs: estimates are rough, and a move may be followed by an interruption. */
const MOVE_MARGIN = 2;

/**
 * Whether a training on on-demand nodes, which capacity auto would rather run on spot, should go there: when what the rest of the
 * run would save is well above what the change-over costs, and the deadline does not forbid it.
 */
export function isWorthMoving(d: Draft, world: StatusWorld): boolean {
  const { progress } = d.status;
  if (d.spec.placement.capacity !== 'auto' || world.capacity !== 'onDemand' || !progress?.stepSeconds || progress.totalSteps === 0)
    return false;
  const deadline = deadlineInput(d);
  if ((deadline !== null && uniformProgress(deadline) === 'onDemand') || world.generation !== d.status.generation) return false;
  const size = world.members.length;
  const gpus = d.spec.workers.gpusPerWorker;
  const here = d.state.pools.find((p) => p.name === world.pool);
  const there = d.state.pools.find((p) => p.capacity === 'spot' && p.freeSlots >= size && p.blockedUntil === null && gpus <= p.gpusPerNode);
  if (!here || !there) return false;
  const remaining = (progress.totalSteps - progress.step) * progress.stepSeconds;
  const priceHere = pricePerHour(here, size, gpus);
  const saves = remaining * (priceHere - pricePerHour(there, size, gpus));
  const costs = restartSeconds(d) * priceHere;
  return saves > MOVE_MARGIN * costs;
}

/** Seconds from a world's publication until it trains, as last measured. */
function restartSeconds(d: Draft): number {
  const measured = (d.status.interruptions ?? []).flatMap((r) =>
    r.replacedAt && r.resumedAt ? [(Date.parse(r.resumedAt) - Date.parse(r.replacedAt)) / 1000] : [],
  );
  return measured.at(-1) ?? RESTART_SECONDS;
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
