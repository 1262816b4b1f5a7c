import { durationSeconds } from '../api/duration.ts';
import { FINALIZER } from '../api/vicuna-training.ts';
import { chargeFailure } from './budget.ts';
import { budgetLeft } from './costs.ts';
import { Draft, isoTime, milliseconds, type Plan } from './draft.ts';
import { attributeFailures } from './failures.ts';
import { openRecords, recordInterruptions, resumedStep, timeLegs } from './interruptions.ts';
import { healthOf, reportOf } from './members.ts';
import { planRelease } from './release.ts';
import { resumePoint } from './resume.ts';
import type { TrainingState } from './state.ts';
import { collectCheckpoint, settleStatus } from './status.ts';
import { worldForBoard } from './world-message.ts';
import { createMissing, formNext, isTraining, removeStrays, repairForming, switchWorlds } from './worlds.ts';

/** How long a training that is suspended or deleted may take for its last save. */
const LAST_SAVE_MS = 60_000;
/** Pods of a finished training that are still running are given so long to end by themselves. */
const WIND_DOWN_MS = 60_000;

/** A step looks at the state, writes into the draft and says whether the plan is complete. */
type Step = (d: Draft) => boolean;

/** The order is the documentation: each step may rely on those above having let the training pass. */
const STEPS: readonly Step[] = [
  leaveToOthers, // another controller manages this training (spec.managedBy)
  keepCheckpoint, // what the workers committed counts, whatever happens next
  endDeleted, // deletion: a last save if asked, then the finalizer goes
  keepFinished, // Complete or Failed is for ever; the ttl removes the object
  attribute, // whose fault a failure is: the program's, or that of a member who died in silence
  noteInterruptions, // who is going, who is gone, and which legs of earlier interruptions are closed
  finish, // the last step is done and its checkpoint committed
  suspend, // save, then free every node
  keepToBudget, // save and free every node when the money is spent
  refuseIncomplete, // a missing Secret or dataset: nothing is started that cannot work
  fixDataset, // what a VicunaDataset has made is written down before it is used
  chargeFailures, // a program's own failure costs budget, and ends the training when that is used up
  refuseWrongResume, // a generation that resumed at another step than told is a failure too
  arrangeWorlds, // form, switch, clean up
];

/** Decides what happens to one training now. Pure: same state and time, same plan. */
export function planTraining(state: TrainingState, now: number): Plan {
  const d = new Draft(state, now);
  for (const step of STEPS) if (step(d)) break;
  if (!leaveToOthers(d)) planRelease(d);
  settleStatus(d);
  return {
    status: d.status,
    create: d.create,
    group: d.group,
    doneGroup: d.doneGroup,
    remove: [...d.remove.values()],
    releasePod: d.releasePod,
    events: d.events,
    observations: d.observations,
    world: d.isOver ? null : worldForBoard(d),
    publishAfterStatus: d.promoted,
    finalizer: d.finalizer,
    deleteTraining: d.deleteTraining,
    wakeAt: d.wakeAt,
  };
}

function leaveToOthers(d: Draft): boolean {
  const manager = d.spec.managedBy;
  return manager !== undefined && manager !== 'vicuna.run/operator';
}

function keepCheckpoint(d: Draft): boolean {
  collectCheckpoint(d);
  return false;
}

function endDeleted(d: Draft): boolean {
  const { metadata } = d.state.training;
  const wantsFinalizer = d.spec.checkpoint.finalSaveOnDelete === true;
  const hasFinalizer = metadata.finalizers?.includes(FINALIZER) ?? false;
  if (metadata.deletionTimestamp === undefined) {
    if (wantsFinalizer && !hasFinalizer && !d.isTrue('Complete') && !d.isTrue('Failed')) d.finalizer = 'add';
    return false;
  }
  d.phase = 'Deleting';
  if (!hasFinalizer) {
    d.isOver = true;
    return true;
  }
  const since = new Date(metadata.deletionTimestamp).getTime();
  if (stopWorld(d, since + LAST_SAVE_MS)) return true;
  d.finalizer = 'remove';
  d.isOver = true;
  return true;
}

/** Asks the world for a last save by `stopBy`; true while that is under way. */
function stopWorld(d: Draft, stopBy: number): boolean {
  const { world } = d.status;
  if (!world || !isTraining(d, world)) return false;
  world.stopBy ??= isoTime(Math.max(stopBy, d.now + 1_000));
  d.directive = { directive: 'stop', deadline: Date.parse(world.stopBy) };
  d.wake(Date.parse(world.stopBy));
  return isTraining(d, world);
}

function keepFinished(d: Draft): boolean {
  if (!d.isTrue('Complete') && !d.isTrue('Failed')) return false;
  d.phase = d.isTrue('Complete') ? 'Complete' : 'Failed';
  const finishedAt = milliseconds(d.status.finishedAt) ?? d.now;
  const failed = d.phase === 'Failed';
  for (const pod of d.state.pods.values()) {
    if (pod.phase === 'Succeeded' || pod.phase === 'Failed') continue;
    if (failed || d.now >= finishedAt + WIND_DOWN_MS) d.removePod(pod.name);
    else d.wake(finishedAt + WIND_DOWN_MS);
  }
  // Workers still around learn from the last world's directive that nothing more is wanted of them.
  d.isOver = failed;
  if (d.state.training.metadata.finalizers?.includes(FINALIZER)) d.finalizer = 'remove';
  if (d.spec.ttlAfterFinished !== undefined) {
    const removeAt = finishedAt + durationSeconds(d.spec.ttlAfterFinished) * 1000;
    if (d.now >= removeAt) d.deleteTraining = true;
    else d.wake(removeAt);
  }
  return true;
}

function attribute(d: Draft): boolean {
  const restartAfter = milliseconds(d.status.world?.restartAfter);
  if (restartAfter !== undefined) d.restart = { notBefore: restartAfter };
  d.failure = attributeFailures(d);
  return false;
}

function noteInterruptions(d: Draft): boolean {
  if (recordInterruptions(d)) return true;
  timeLegs(d);
  return false;
}

/** Rank 0 commits the last checkpoint and exports the model before it reports success: its word, or its pod's exit 0, is enough. */
function finish(d: Draft): boolean {
  const { world } = d.status;
  const chief = world?.members.find((m) => m.rank === 0);
  if (!world || !chief) return false;
  const pod = d.state.pods.get(chief.pod);
  const done = reportOf(d.state, chief, world.generation)?.report.state === 'succeeded' || healthOf(pod) === 'succeeded';
  if (!done) return false;
  d.status.finishedAt = isoTime(d.now);
  d.phase = 'Complete';
  delete d.status.next;
  for (const { pod: name } of world.members) {
    const worker = d.state.pods.get(name);
    if (worker) d.release(worker);
  }
  for (const record of openRecords(d)) record.resumedAt ??= isoTime(d.now);
  d.condition('Complete', 'True', 'Finished', `all ${d.status.progress?.totalSteps ?? ''} steps done`.replace('  ', ' '));
  d.condition('Running', 'False', 'Finished', 'the training is complete');
  d.event('Normal', 'Completed', `training complete at step ${d.status.progress?.step ?? d.status.checkpoint?.step ?? 0}`);
  d.wake(d.now + WIND_DOWN_MS);
  return true;
}

/** Money that is spent stops the training as a suspension would, until the budget is raised. */
function keepToBudget(d: Draft): boolean {
  const left = budgetLeft(d);
  if (left === null) return false;
  if (left.dollars > 0) {
    if (left.spentAt !== null) d.wake(left.spentAt);
    return false;
  }
  const wasRunning = d.status.world !== undefined;
  if (stopWorld(d, d.now + LAST_SAVE_MS)) return true;
  delete d.status.next;
  delete d.status.world;
  for (const pod of d.state.pods.values()) d.removePod(pod.name);
  d.isOver = true;
  const step = resumePoint(d)?.step;
  const message = `spec.placement.budget ($${d.spec.placement.budget}) is spent: raise it to go on ${step === undefined ? 'from the beginning' : `from step ${step}`}`;
  d.condition('Placed', 'False', 'BudgetSpent', message);
  if (wasRunning) d.event('Warning', 'BudgetSpent', message);
  return true;
}

function suspend(d: Draft): boolean {
  if (d.spec.suspend !== true) {
    if (d.isTrue('Suspended')) d.condition('Suspended', 'False', 'Resumed', 'spec.suspend is false');
    return false;
  }
  d.phase = 'Suspending';
  if (stopWorld(d, d.now + LAST_SAVE_MS)) {
    d.condition('Running', 'False', 'Suspending', 'saving a last checkpoint before the nodes are freed');
    return true;
  }
  delete d.status.next;
  delete d.status.world;
  for (const pod of d.state.pods.values()) d.removePod(pod.name);
  if (d.state.pods.size > 0) return true;
  d.phase = 'Suspended';
  d.isOver = true;
  if (!d.isTrue('Suspended')) {
    const step = d.status.checkpoint?.step;
    const where = step === undefined ? 'nothing to save yet' : `saved at step ${step}`;
    d.condition('Suspended', 'True', 'Suspended', `spec.suspend is true; ${where}`);
    d.condition('Running', 'False', 'Suspended', 'suspended');
    d.event('Normal', 'Suspended', where);
  }
  return true;
}

function refuseIncomplete(d: Draft): boolean {
  const { problem } = d.state;
  if (problem === null || d.status.world) return false;
  d.phase = 'Pending';
  d.condition('Placed', 'False', problem.reason, problem.message);
  d.wake(d.now + 15_000);
  return true;
}

/** Workers of all generations must train on the same conversations, whatever becomes of the VicunaDataset. */
function fixDataset(d: Draft): boolean {
  const { dataset } = d.state;
  if (dataset === null || d.status.dataset !== undefined) return false;
  d.status.dataset = dataset;
  d.phase = 'Pending';
  d.event('Normal', 'DatasetReady', `training on ${dataset.uri} of VicunaDataset ${dataset.name}`);
  d.wake(d.now);
  return true;
}

function chargeFailures(d: Draft): boolean {
  return d.failure === null ? false : chargeFailure(d, d.failure);
}

function refuseWrongResume(d: Draft): boolean {
  const { world, next } = d.status;
  if (!world || next || world.restartAfter !== undefined) return false;
  const told = world.resume?.step ?? 0;
  const resumed = resumedStep(d);
  if (resumed === null || resumed === told) return false;
  const chief = world.members[0];
  if (!chief) return false;
  const message = `generation ${world.generation} resumed at step ${resumed}, but was told step ${told}: check that checkpoint.storage is reachable and complete`;
  return chargeFailure(d, { member: chief, exitCode: null, message, at: d.now });
}

function arrangeWorlds(d: Draft): boolean {
  if (repairForming(d) || formNext(d)) return true;
  createMissing(d);
  switchWorlds(d);
  removeStrays(d);
  return true;
}
