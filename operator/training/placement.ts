import { durationSeconds } from '../api/duration.ts';
import { type Availability, look } from '../spot/availability.ts';
import { checkpointIntervalSeconds, presentLifeSeconds } from '../spot/cadence.ts';
import type { DeadlineTerms } from '../spot/deadline-placement.ts';
import { type Alternative, type Placement, place } from '../spot/placement.ts';
import { type PoolView, pricePerHour } from '../spot/pool-view.ts';
import { type Draft, isoTime, milliseconds, type StatusWorld } from './draft.ts';
import { estimateTraining, gib, memoryShortage } from './estimate.ts';
import { formatParameters } from './model-shape.ts';

/** Training time that a change of place costs until something better is known, seconds. */
const RESTART_SECONDS = 60;
/** Assumed stall of a save before one was measured, seconds. */
const FIRST_SAVE_SECONDS = 5;

/** A decision as placement makes it, or none because the model is too large for every pool that would be right otherwise. */
export type Choice = Placement | (Omit<Extract<Placement, { pool: null }>, 'reason'> & { readonly reason: 'DoesNotFit' });

/** Where the whole gang should run, by the spec's placement and what is known of the pools; `world` is the one that could go on, if any. */
export function choosePool(d: Draft, size: { min: number; max: number }, world: StatusWorld | null = null): Choice {
  const estimate = estimateTraining(d.state.training, d.state.pools);
  // Of a size that is only guessed nothing is refused.
  const small = estimate?.isTold ? estimate.pools.filter((p) => p.gpuMemoryGiB !== null && p.leastGiB > p.gpuMemoryGiB) : [];
  const names = new Set(small.map((p) => p.pool));
  const choice = placeIn(d, size, world, (pool) => !names.has(pool.name));
  if (estimate === null || small.length === 0) return choice;
  const refused = small.flatMap((p): Alternative[] => {
    const pool = d.state.pools.find(({ name }) => name === p.pool);
    const verdict = `needs at least ${gib(p.leastGiB)} GiB a GPU, has ${gib(p.gpuMemoryGiB ?? 0)}`;
    if (!pool) return [];
    const price = pricePerHour(pool, size.min, d.spec.workers.gpusPerWorker);
    return [{ pool, pricePerHour: price, effectivePricePerHour: null, lastsHours: pool.remainingLifeHours, verdict }];
  });
  const alternatives = [...choice.alternatives, ...refused];
  const shortage = memoryShortage(estimate);
  if (choice.pool !== null || shortage === null) return { ...choice, alternatives };
  const message = `The model is too large: it ${shortage}. Take more workers or larger GPUs, or train an adapter (recipe.overrides.lora)`;
  return { ...choice, reason: 'DoesNotFit', message, alternatives: [...refused, ...choice.alternatives] };
}

/** Writes down what the run will take, where that is something else than before: prices move a little all the time. */
export function keepEstimate(d: Draft): void {
  const made = estimateTraining(d.state.training, d.state.pools);
  if (made === null) {
    delete d.status.estimate;
    return;
  }
  const pools = made.pools.slice(0, KEPT_ALTERNATIVES);
  const before = d.status.estimate;
  const isSame = pools.every((p, i) => {
    const old = before?.pools[i];
    const near = (a: number | null, b: number | undefined) => (a === null ? b === undefined : Math.abs(a - (b ?? 0)) <= 0.1 * a);
    return (
      old?.pool === p.pool &&
      (old.fits ?? null) === p.fits &&
      near(p.hours, old.hours) &&
      near(p.dollars, old.cost === undefined ? undefined : Number(old.cost))
    );
  });
  if (before?.parameters === formatParameters(made.parameters) && before.pools.length === pools.length && isSame) return;
  d.status.estimate = {
    parameters: formatParameters(made.parameters),
    message: made.message.slice(0, LONGEST_MESSAGE),
    pools: pools.map((p) => ({
      pool: p.pool,
      neededMemory: `${gib(p.neededGiB)}Gi`,
      ...(p.fits === null ? {} : { fits: p.fits }),
      ...(p.gpuMemoryGiB === null ? {} : { gpuMemory: `${gib(p.gpuMemoryGiB)}Gi` }),
      ...(p.hours === null ? {} : { hours: Number(p.hours.toFixed(2)) }),
      ...(p.dollars === null ? {} : { cost: p.dollars.toFixed(2) }),
    })),
  };
}

/** "; needs about 140 GiB a GPU, pool a100 has 40", where that is so of the pool that was chosen; else nothing. */
export function shortageNote(d: Draft, pool: string): string {
  const estimate = estimateTraining(d.state.training, d.state.pools);
  const shortage = estimate === null ? null : memoryShortage(estimate, pool);
  return shortage === null ? '' : `; by the estimate it ${shortage}`;
}

function placeIn(
  d: Draft,
  { min, max }: { min: number; max: number },
  world: StatusWorld | null,
  isOffered: (pool: PoolView) => boolean,
): Placement {
  const { placement, workers } = d.spec;
  return place(
    {
      min,
      max,
      gpusPerWorker: workers.gpusPerWorker,
      accelerator: placement.accelerator ?? null,
      capacity: placement.capacity,
      deadline: deadlineTerms(d, world),
      maxPricePerHour: placement.maxPricePerHour === undefined ? null : Number(placement.maxPricePerHour),
      currentPool: d.status.pool ?? null,
      avoid: d.avoid,
      restartSeconds: restartSeconds(d),
    },
    d.state.pools.filter(isOffered),
    d.now,
  );
}

/** What the deadline's plan needs to know, once the length of the run is known; null without a deadline, or after it. */
function deadlineTerms(d: Draft, world: StatusWorld | null): DeadlineTerms | null {
  const { placement } = d.spec;
  const { progress, checkpoint } = d.status;
  const deadline = milliseconds(placement.deadline);
  if (placement.capacity !== 'auto' || deadline === undefined || deadline <= d.now) return null;
  if (!progress?.stepSeconds || progress.totalSteps === 0) return null;
  // Only what is committed counts: the next world resumes from there.
  const done = Math.min(progress.step, checkpoint?.step ?? 0);
  return {
    deadline: deadline / 1_000,
    remainingSeconds: (progress.totalSteps - done) * progress.stepSeconds,
    changeoverSeconds: restartSeconds(d),
    checkpointGiB: (checkpoint?.bytes ?? 0) / 2 ** 30,
    runningIn: world?.pool ?? null,
    spotSeen: spotSeen(d),
  };
}

/** How spot came and went, as the last decision left it; spot that the training ran on until it was taken away was there until then. */
function spotSeen(d: Draft): Availability | null {
  const kept = (d.status.placement?.spotSeen as Availability | undefined) ?? null;
  const lost = d.status.interruptions?.at(-1);
  const ran = d.state.pools.find((p) => p.name === lost?.pool)?.capacity === 'spot';
  return kept !== null && lost !== undefined && ran ? look(kept, true, Date.parse(lost.noticedAt) / 1_000) : kept;
}

/** What the status has room for. */
const KEPT_ALTERNATIVES = 32;
const LONGEST_MESSAGE = 1_024;
const LONGEST_VERDICT = 256;

/** Writes the decision down, for people and for the next one. */
export function keepDecision(d: Draft, { message, alternatives, spotSeen }: Choice): void {
  const before = d.status.placement;
  const kept = alternatives.slice(0, KEPT_ALTERNATIVES);
  const isSame = (a: Alternative, i: number) =>
    before?.alternatives[i]?.pool === a.pool.name && before.alternatives[i].verdict === a.verdict.slice(0, LONGEST_VERDICT);
  // Prices and lives change a little all the time: that alone is no new decision, and not worth a write.
  if (before?.message === message && before.alternatives.length === kept.length && kept.every(isSame)) return;
  d.status.placement = {
    decidedAt: isoTime(d.now),
    message: message.slice(0, LONGEST_MESSAGE),
    alternatives: kept.map((a) => ({
      pool: a.pool.name,
      capacity: a.pool.capacity,
      pricePerHour: a.pricePerHour.toFixed(2),
      ...(a.effectivePricePerHour === null ? {} : { effectivePricePerHour: a.effectivePricePerHour.toFixed(2) }),
      ...(a.lastsHours === null ? {} : { lastsHours: Number(a.lastsHours.toFixed(2)) }),
      verdict: a.verdict.slice(0, LONGEST_VERDICT),
    })),
    ...(spotSeen === null ? {} : { spotSeen: { ...spotSeen } }),
  };
}

/** A move must save at least twice what it costs: estimates are rough, and a move may be followed by an interruption. */
const MOVE_MARGIN = 2;

/**
 * Where a training that runs would rather go on: with a deadline where its plan says; without one to spot from on-demand, when what the
 * rest of the run would save is well above what the change-over costs. Null = it stays.
 */
export function betterPlace(d: Draft, world: StatusWorld): Choice | null {
  const { progress } = d.status;
  const size = world.members.length;
  if (
    d.spec.placement.capacity !== 'auto' ||
    !progress?.stepSeconds ||
    progress.totalSteps === 0 ||
    world.generation !== d.status.generation
  )
    return null;
  const hasDeadline = deadlineTerms(d, world) !== null;
  if (!hasDeadline && world.capacity !== 'onDemand') return null;
  const choice = choosePool(d, { min: size, max: size }, world);
  if (choice.pool === null || choice.pool.name === world.pool) return null;
  if (hasDeadline) return choice;
  const here = d.state.pools.find((p) => p.name === world.pool);
  if (!here || choice.pool.capacity !== 'spot') return null;
  const gpus = d.spec.workers.gpusPerWorker;
  const priceHere = pricePerHour(here, size, gpus);
  const remaining = (progress.totalSteps - progress.step) * progress.stepSeconds;
  const saves = remaining * (priceHere - pricePerHour(choice.pool, size, gpus));
  return saves > MOVE_MARGIN * restartSeconds(d) * priceHere ? choice : null;
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
  const members = d.status.next?.members.length ?? 1;
  const onSpot = pool?.capacity !== 'onDemand';
  // The first of several nodes that goes counts; and all may go at once, as the pool's spot has come and gone.
  const nodes = ((onSpot ? (pool?.remainingLifeHours ?? 12) : 24 * 30) * 3_600) / members;
  const seen = onSpot ? (pool?.seen ?? null) : null;
  return {
    seconds: checkpointIntervalSeconds({
      saveSeconds: d.status.checkpoint?.seconds ?? FIRST_SAVE_SECONDS,
      restartSeconds: RESTART_SECONDS,
      remainingLifeSeconds: seen === null ? nodes : Math.min(nodes, presentLifeSeconds(seen, d.now / 1_000)),
      noticeSeconds: onSpot ? (pool?.noticeSeconds ?? 0) : 0,
    }),
  };
}
