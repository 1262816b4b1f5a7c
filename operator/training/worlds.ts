import { durationSeconds } from '../api/duration.ts';
import { SAVE_AFTER_ANNOTATION } from '../api/vicuna-training.ts';
import { chargeLoss, chargeWaiting, forgetWaiting } from './budget.ts';
import { type Draft, isoTime, milliseconds, type PlannedGroup, type StatusNext, type StatusWorld } from './draft.ts';
import { openRecords, resumedStep } from './interruptions.ts';
import { hasStopped, healthOf, type Member, reportOf } from './members.ts';
import { betterPlace, checkpointIntervalFor, choosePool, keepDecision, keepEstimate, shortageNote } from './placement.ts';
import { podGroupName, workerPodName } from './pods.ts';
import { lastGeneration, resumePoint } from './resume.ts';

/** Longest that a planned change-over waits for the old world's save before it goes on without it. */
const STOP_TIMEOUT_MS = 120_000;
/** A world is not made larger in its first minute: a restart costs more than it would gain if capacity flickers. */
const GROW_AFTER_MS = 60_000;
/** A supervisor speaks once it can train at once. If it has not by then, the world is published to a container that runs. */
const SUPERVISOR_START_MS = 90_000;
/** The scheduler found no node for so long: there is none, unless the pool can grow. */
const UNSCHEDULABLE_MS = 15_000;

/**
 * Drops the forming world when one of its members will not come: the healthy ones are kept for the one that follows. True when the
 * training has failed by it.
 */
export function repairForming(d: Draft): boolean {
  const { next } = d.status;
  if (!next) return false;
  const pool = d.state.pools.find((p) => p.name === next.pool);
  // What cannot be made there now is made elsewhere; what was made is removed once the cluster can be reached again.
  if (pool?.outOfReach !== undefined && next.members.some((m) => !isInWorld(d, m) && d.state.pods.get(m.pod)?.phase !== 'Running')) {
    d.event('Warning', 'NoCapacity', `${next.pool}: ${pool.outOfReach}; trying elsewhere`);
    d.avoid.add(next.pool);
    delete d.status.next;
    return false;
  }
  const bad = next.members.filter((m) => {
    const health = healthOf(d.state.pods.get(m.pod));
    if (health === 'absent') return !isNew(d, m, next.generation);
    return health === 'lost' || health === 'doomed' || health === 'failed';
  });
  if (bad.length > 0) {
    delete d.status.next;
    return false;
  }
  const late = next.members.filter((m) => isLate(d, m));
  if (late.length === 0) return false;
  const pending = d.state.pods.get(late[0]?.pod ?? '');
  const why = pending?.startProblem ?? pending?.unschedulable ?? 'the pod did not start';
  d.observations.push({ pool: next.pool, kind: 'noCapacity' });
  const words = `${next.pool}: ${late.length} of ${next.members.length} workers did not start in time (${why})`;
  d.event('Warning', 'NoCapacity', `${words}; trying elsewhere`);
  d.avoid.add(next.pool);
  for (const member of next.members) if (!isInWorld(d, member)) d.removePod(member.pod);
  delete d.status.next;
  // An attempt to grow or to move costs nothing while the world goes on training.
  return d.status.world && isTraining(d, d.status.world) ? false : chargeLoss(d, 'capacity', words);
}

function isNew(d: Draft, member: Member, generation: number): boolean {
  return member.pod === workerPodName(d.state.training.metadata.name ?? '', generation, member.rank);
}

function isInWorld(d: Draft, member: Member): boolean {
  return d.status.world?.members.some((m) => m.pod === member.pod) ?? false;
}

/** Whether a member of the forming world has used up its time to start. */
function isLate(d: Draft, member: Member): boolean {
  const pod = d.state.pods.get(member.pod);
  if (pod === undefined || healthOf(pod) !== 'pending') return false;
  const age = d.now - pod.createdAt;
  const deadline = durationSeconds(d.spec.workers.readyDeadline) * 1000;
  const pool = d.state.pools.find((p) => p.name === pod.pool);
  const limit = pod.unschedulable !== null && pool?.growableSlots === 0 ? Math.min(UNSCHEDULABLE_MS, deadline) : deadline;
  if (age >= limit) return true;
  d.wake(pod.createdAt + limit);
  return false;
}

/** Why a world other than the published one is wanted, or null. */
function whyNewWorld(d: Draft): StatusNextReason | null {
  const { world } = d.status;
  if (!world) return 'start';
  const healths = world.members.map((m) => healthOf(d.state.pods.get(m.pod)));
  if (healths.some((h) => h === 'absent' || h === 'lost' || h === 'doomed')) return 'interruption';
  if (d.silent.size > 0) return 'interruption';
  if (d.restart !== null) return 'error';
  if (world.members.some((m) => hasStopped(d.state, m, world.generation))) return 'restart';
  // Changes that nobody forces wait until the world trains: whatever brought it here must be over first.
  if (resumedStep(d) === null || openRecords(d).length > 0) return null;
  if (betterPlace(d, world) !== null) return 'move';
  if (world.members.length < d.spec.workers.max && d.now - Date.parse(world.startedAt) >= GROW_AFTER_MS && roomInPool(d, world.pool) > 0)
    return 'grow';
  return null;
}

type StatusNextReason = 'start' | 'interruption' | 'error' | 'restart' | 'grow' | 'move';

function roomInPool(d: Draft, name: string): number {
  const pool = d.state.pools.find((p) => p.name === name);
  if (pool === undefined || d.avoid.has(name)) return 0;
  return pool.freeSlots + pool.growableSlots;
}

/**
 * Decides the next world's members and place. Survivors keep pod, caches and, where the size allows, their rank. True when there has
 * been no place for longer than spec.retry allows, and the training has failed.
 */
export function formNext(d: Draft): boolean {
  const { status, spec, now } = d;
  if (status.next) return false;
  const reason = whyNewWorld(d);
  if (reason === null) return false;
  const { min, max } = spec.workers;
  // Where the next world was forming, and where the last one still has members: healthy workers are kept in either.
  // Pods that no status knows of were made by an operator that died before it could write down why.
  const unknown = [...d.state.pods.values()].filter((p) => p.generation > (status.generation ?? 0)).map((p) => p.pool);
  const homes = reason === 'move' ? [] : [...new Set([status.pool, status.world?.pool, ...unknown])].filter((p) => p !== undefined);
  for (const home of homes) {
    const survivors = survivorsIn(d, home);
    const refill = Math.min(max - survivors.length, roomInPool(d, home));
    if (reason === 'grow' && refill <= 0) return false;
    if (survivors.length === 0 || survivors.length + refill < min) continue;
    const capacity = d.state.pools.find((p) => p.name === home)?.capacity ?? status.capacity ?? 'spot';
    setNext(d, home, capacity, survivors, survivors.length + refill, reason);
    return false;
  }
  const better = reason === 'move' && status.world ? betterPlace(d, status.world) : null;
  const choice = better ?? choosePool(d, { min, max });
  keepEstimate(d);
  if (choice.pool === null) {
    keepDecision(d, choice);
    d.condition('Placed', 'False', choice.reason, choice.message);
    if (choice.retryAt !== null) d.wake(choice.retryAt);
    else d.wake(now + 30_000);
    // While the old world still trains, nothing is being waited for.
    return status.world && isTraining(d, status.world) ? false : chargeWaiting(d, choice.message);
  }
  if (status.pool === undefined) d.event('Normal', 'Placed', `${choice.pool.name}: ${choice.message}`);
  else if (status.pool !== choice.pool.name) d.event('Normal', 'Moved', `${status.pool} → ${choice.pool.name}: ${choice.message}`);
  const stay = homes.includes(choice.pool.name) ? survivorsIn(d, choice.pool.name) : [];
  setNext(d, choice.pool.name, choice.pool.capacity, stay, choice.workers, reason);
  keepDecision(d, choice);
  d.condition('Placed', 'True', 'Placed', `${choice.message}${shortageNote(d, choice.pool.name)}`);
  return false;
}

/** Healthy pods in the pool, members of the published world first, by rank. */
function survivorsIn(d: Draft, pool: string): Member[] {
  const { world } = d.status;
  const inWorld = new Map((world?.members ?? []).map((m) => [m.pod, m.rank]));
  return [...d.state.pods.values()]
    .filter((p) => p.pool === pool && !d.remove.has(p.name) && !d.silent.has(p.name))
    .filter((p) => {
      const health = healthOf(p);
      // Without a node it may wait for others of its gang that will never come: a new one is as quick.
      return health === 'ready' || (health === 'pending' && p.node !== null);
    })
    .map((p) => ({ pod: p.name, rank: inWorld.get(p.name) ?? p.rank, inWorld: inWorld.has(p.name) }))
    .sort((a, b) => Number(b.inWorld) - Number(a.inWorld) || a.rank - b.rank || (a.pod < b.pod ? -1 : 1))
    .slice(0, d.spec.workers.max)
    .map(({ pod, rank }) => ({ pod, rank }));
}

function setNext(d: Draft, pool: string, capacity: 'spot' | 'onDemand', survivors: Member[], size: number, reason: StatusNextReason): void {
  // A name is never used twice, not even by a generation that never came into the status.
  const generation = Math.max(lastGeneration(d), ...[...d.state.pods.values()].map((p) => p.generation)) + 1;
  const run = d.state.training.metadata.name ?? '';
  const byRank = assignRanks(survivors, size);
  const members = Array.from({ length: size }, (_, rank) => ({ rank, pod: byRank.get(rank) ?? workerPodName(run, generation, rank) }));
  d.status.generation = generation;
  d.status.pool = pool;
  d.status.capacity = capacity;
  d.status.next = {
    generation,
    pool,
    capacity,
    members,
    since: isoTime(d.now),
    reason,
    ...(d.restart?.notBefore ? { notBefore: isoTime(d.restart.notBefore) } : {}),
  };
}

/** Survivors keep their rank where it still exists and is not taken; the others get the lowest free ones. */
export function assignRanks(survivors: readonly Member[], size: number): Map<number, string> {
  const byRank = new Map<number, string>();
  const homeless: string[] = [];
  for (const { rank, pod } of survivors.slice(0, size)) {
    if (rank < size && !byRank.has(rank)) byRank.set(rank, pod);
    else homeless.push(pod);
  }
  for (let rank = 0; homeless.length > 0 && rank < size; rank++) {
    const pod = byRank.has(rank) ? undefined : homeless.shift();
    if (pod !== undefined) byRank.set(rank, pod);
  }
  return byRank;
}

/** Creates what the forming world lacks. Names are deterministic, so doing it twice changes nothing. */
export function createMissing(d: Draft): void {
  const { next } = d.status;
  if (!next) return;
  for (const member of next.members) {
    if (d.state.pods.has(member.pod)) continue;
    d.create.push({ name: member.pod, generation: next.generation, rank: member.rank, pool: next.pool });
  }
  if (d.create.length > 0) d.group = groupOf(d, next);
}

/** All pods that the generation adds, also those made before: from the status alone, so that it is the same after a restart. */
function groupOf(d: Draft, next: StatusNext): PlannedGroup | null {
  const minCount = next.members.filter((m) => isNew(d, m, next.generation)).length;
  return minCount < 2 ? null : { name: podGroupName(d.state.training.metadata.name ?? '', next.generation), minCount };
}

/** Tells the published world what to do, and puts the forming one in its place when that costs no work. */
export function switchWorlds(d: Draft): void {
  const { world, next, status } = { world: d.status.world, next: d.status.next, status: d.status };
  const nextReady = next !== undefined && isReady(d, next.members, world !== undefined && isTraining(d, world));
  if (!world || !isTraining(d, world)) {
    // What was told to stop is not told to run again.
    if (world?.stopBy !== undefined) d.directive = { directive: 'stop', deadline: Date.parse(world.stopBy) };
    if (next && nextReady) promote(d);
    return;
  }
  const doom = earliestDoom(d, world);
  if (world.stopBy === undefined) {
    const lastCall = doom === null ? null : doom - saveMargin(d);
    const planned = next !== undefined && nextReady;
    if (planned || (lastCall !== null && d.now >= lastCall)) world.stopBy = isoTime(doom ?? d.now + STOP_TIMEOUT_MS);
    else if (lastCall !== null) d.wake(lastCall);
  }
  if (world.stopBy !== undefined) {
    d.directive = { directive: 'stop', deadline: Date.parse(world.stopBy) };
    d.wake(Date.parse(world.stopBy));
    return;
  }
  const after = requestedSave(d);
  if (doom !== null) d.directive = { directive: 'checkpoint', deadline: doom };
  else if (after !== null) d.directive = { directive: 'checkpoint', deadline: null, after };
  status.world = world;
}

/** The step after which the annotation asks for a save, while there is none yet; else null. */
function requestedSave(d: Draft): number | null {
  const asked = d.state.training.metadata.annotations?.[SAVE_AFTER_ANNOTATION] ?? '';
  const isOpen = /^[0-9]{1,9}$/.test(asked) && (d.status.checkpoint?.step ?? 0) <= Number(asked);
  return isOpen ? Number(asked) : null;
}

/** Whether the published world's processes are at work: all its members there, none ended, and a stop, if asked, not yet done. */
export function isTraining(d: Draft, world: StatusWorld): boolean {
  if (d.restart !== null || d.status.next?.reason === 'error' || d.silent.size > 0) return false;
  const alive = world.members.filter((m) => {
    const health = healthOf(d.state.pods.get(m.pod));
    return health === 'ready' || health === 'doomed';
  });
  if (alive.length < world.members.length) return false;
  if (alive.every((m) => hasEnded(d, m, world.generation))) return false;
  const stopBy = milliseconds(world.stopBy);
  return stopBy === undefined || d.now < stopBy;
}

function hasEnded(d: Draft, member: Member, generation: number): boolean {
  const state = reportOf(d.state, member, generation)?.report.state;
  if (state === 'failed') return true;
  return hasStopped(d.state, member, generation) || (state === 'terminating' && d.state.pods.get(member.pod)?.phase !== 'Running');
}

function earliestDoom(d: Draft, world: StatusWorld): number | null {
  let earliest: number | null = null;
  for (const member of world.members) {
    if (healthOf(d.state.pods.get(member.pod)) !== 'doomed') continue;
    // The record keeps the deadline as it was first seen: signs without a time of their own would move it with every look.
    const record = d.status.interruptions?.find((r) => r.pods.includes(member.pod));
    const deadline = milliseconds(record?.deadline);
    if (deadline !== undefined) earliest = Math.min(earliest ?? deadline, deadline);
  }
  return earliest;
}

/** Time to leave for the last save: three times what the last one took and the way there and back, between 5 s and 60 s. */
export function saveMargin(d: Draft): number {
  const seconds = d.status.checkpoint?.seconds ?? 5;
  return Math.min(60_000, Math.max(5_000, 3_000 * seconds + 2_000));
}

/** All members run; where a world must be stopped for it, their supervisors have also spoken, so the gap is as short as can be. */
function isReady(d: Draft, members: readonly Member[], makeBeforeBreak: boolean): boolean {
  const notBefore = milliseconds(d.status.next?.notBefore);
  if (notBefore !== undefined && d.now < notBefore) {
    d.wake(notBefore);
    return false;
  }
  return members.every((m) => {
    const pod = d.state.pods.get(m.pod);
    if (pod === undefined || healthOf(pod) !== 'ready') return false;
    if (!makeBeforeBreak || d.state.reports.has(m.pod)) return true;
    const speaksBy = pod.createdAt + SUPERVISOR_START_MS;
    if (d.now >= speaksBy) return true;
    d.wake(speaksBy);
    return false;
  });
}

/** The forming world becomes the published one; it resumes from the last committed checkpoint, and workers outside it go. */
function promote(d: Draft): void {
  const { world, next } = d.status;
  if (!next) return;
  const resume = resumePoint(d);
  const stoppedStep = Math.max(
    0,
    d.status.progress?.step ?? 0,
    ...(world?.members ?? []).map((m) => reportOf(d.state, m, world?.generation ?? 0)?.report.step ?? 0),
  );
  d.status.world = {
    generation: next.generation,
    pool: next.pool,
    capacity: next.capacity,
    members: next.members,
    startedAt: isoTime(d.now),
    stoppedStep,
    checkpointInterval: checkpointIntervalFor(d),
    ...(resume ? { resume } : {}),
  };
  for (const record of openRecords(d)) record.replacedAt ??= isoTime(d.now);
  if (next.reason === 'start' || next.pool !== world?.pool) d.observations.push({ pool: next.pool, kind: 'launched' });
  delete d.status.next;
  forgetWaiting(d);
  d.doneGroup = groupOf(d, next)?.name ?? null;
  d.directive = { directive: 'run', deadline: null };
  d.promoted = true;
}

/** Removes pods that belong to neither world. */
export function removeStrays(d: Draft): void {
  const wanted = new Set([...(d.status.world?.members ?? []), ...(d.status.next?.members ?? [])].map((m) => m.pod));
  for (const pod of d.state.pods.values()) if (!wanted.has(pod.name)) d.removePod(pod.name);
}
