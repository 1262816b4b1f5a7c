import { isDeepStrictEqual } from 'node:util';
import { charge } from '../spot/budgets.ts';
import { accrueCosts, LEDGER_INTERVAL_MS } from './costs.ts';
import { TaskDraft, type TaskPlan } from './draft.ts';
import { choosePlace } from './placement.ts';
import { completeProgress, copyProgress, PROGRESS_INTERVAL_MS } from './progress.ts';
import type { TaskPod, TaskState } from './state.ts';
import { isoTime, milliseconds } from './time.ts';

/** Exit codes of task programs that no repetition changes, and what they mean. */
const FINAL: ReadonlyMap<number, { readonly reason: string; readonly words: string }> = new Map([
  [64, { reason: 'ConfigurationRefused', words: 'the configuration cannot work' }],
  [66, { reason: 'InputUnusable', words: 'the input is missing or damaged' }],
]);
/** Of a program that was told to stop (SIGTERM) and did. */
const STOPPED = 143;
/** A pod that somebody stops again and again must not start again in a tight loop. */
const STOPPED_PAUSE_MS = 5_000;
/** A pod that has found no node, or whose container has not started, is looked for elsewhere after so long. */
const READY_DEADLINE_MS = 600_000;
/** The scheduler found no node for so long: there is none, unless the pool can grow. */
const UNSCHEDULABLE_MS = 15_000;
/** What is missing is looked for again after so long. */
const MISSING_AGAIN_MS = 15_000;

/** A step looks at the state, writes into the draft and says whether the plan is complete. */
type Step = (d: TaskDraft) => boolean;

/** The order is the documentation: each step may rely on those above having let the task pass. */
const STEPS: readonly Step[] = [
  keepFinished, // Complete or Failed is for ever
  finish, // a pod has done the work, whichever it was
  noteInterruption, // its node goes or is gone: no failure, and another one takes over
  chargeFailure, // the program's own failure: final, or tried again a few times
  repairStart, // it does not start where it was put
  clearTheWay, // two at a time must not write to one place
  startNext, // the next pod, when there is nothing in its way
];

/** Decides what happens to one task now. Pure: same state and time, same plan. */
export function planTask(state: TaskState, now: number): TaskPlan {
  const d = new TaskDraft(state, now);
  for (const step of STEPS) if (step(d)) break;
  settle(d);
  const { run, placed, running, ending, create, events, observations, wakeAt } = d;
  return { run, placed, running, ending, create, remove: [...d.remove.values()], events, observations, wakeAt };
}

function keepFinished(d: TaskDraft): boolean {
  if (d.run.phase !== 'Complete' && d.run.phase !== 'Failed') return false;
  for (const pod of d.state.pods.values()) if (isAlive(pod)) d.removePod(pod);
  return true;
}

function finish(d: TaskDraft): boolean {
  const done = [...d.state.pods.values()].find((p) => p.phase === 'Succeeded');
  if (done === undefined) return false;
  d.run.phase = 'Complete';
  d.run.pod = done.name;
  d.run.finishedAt = isoTime(d.now);
  delete d.run.notBefore;
  d.ending = { result: done.message };
  d.running = { status: 'False', reason: 'Finished', message: 'it is complete' };
  d.observe(done, 'released');
  for (const pod of d.state.pods.values()) if (isAlive(pod)) d.removePod(pod);
  return true;
}

/** Whether something of it may still run. */
function isAlive(pod: TaskPod): boolean {
  return (pod.phase === 'Pending' || pod.phase === 'Running') && pod.interruption?.lost !== true;
}

function noteInterruption(d: TaskDraft): boolean {
  const { current: pod, run } = d;
  if (run.pod === undefined) return false;
  if (pod === undefined) {
    // Before it was seen to run it may not have been made yet, or not be in the cache.
    if (run.phase === 'Running') interrupted(d, `pod ${run.pod} is gone without notice`);
    return false;
  }
  if (pod.exitCode !== null && FINAL.has(pod.exitCode)) return false;
  const { interruption } = pod;
  const going = interruption !== null && !interruption.advisory;
  if (!going && !pod.terminating && !(pod.phase === 'Failed' && pod.exitCode === STOPPED)) return false;
  d.observe(pod, 'interrupted');
  interrupted(d, going ? interruption.message : `pod ${pod.name} was told to stop`);
  if (!going) d.run.notBefore = isoTime(d.now + STOPPED_PAUSE_MS);
  return false;
}

function interrupted(d: TaskDraft, words: string): void {
  delete d.run.pod;
  d.run.totals = { ...d.run.totals, interruptions: (d.run.totals?.interruptions ?? 0) + 1 };
  d.event('Warning', 'Interrupted', `${words}; another pod goes on from what is done`);
}

function chargeFailure(d: TaskDraft): boolean {
  const pod = d.current;
  if (pod?.phase !== 'Failed') return false;
  const { exitCode } = pod;
  const code = exitCode === null ? '' : ` with exit code ${exitCode}`;
  const words = `pod ${pod.name} failed${code}: ${pod.message.trim().slice(-600) || `no message; see kubectl logs ${pod.name}`}`;
  const final = exitCode === null ? undefined : FINAL.get(exitCode);
  if (final) return d.fail(final.reason, `${final.words}: ${words}. Mend it and create the object again`);
  const stored = d.run.retries?.find((r) => r.cause === 'error');
  const history = stored && { cause: 'error' as const, count: stored.count, times: stored.times.map((t) => Date.parse(t)) };
  const verdict = charge([], history, 'error', exitCode, d.now);
  const { count, times } = verdict.history;
  d.run.retries = [...(d.run.retries ?? []).filter((r) => r.cause !== 'error'), { cause: 'error', count, times: times.map(isoTime) }];
  if (!verdict.allowed)
    return d.fail('RetriesExhausted', `${words}. ${verdict.message}: mend the cause and create the object again; what is done is kept`);
  delete d.run.pod;
  d.run.notBefore = isoTime(verdict.notBefore);
  d.event('Warning', 'Restarting', `${words} (${verdict.message}; goes on from what is done)`);
  return false;
}

function repairStart(d: TaskDraft): boolean {
  const pod = d.current;
  if (pod?.phase !== 'Pending' || pod.pool === '') return false;
  const pool = d.state.pools.find((p) => p.name === pod.pool);
  const limit = pod.unschedulable !== null && pool?.growableSlots === 0 ? UNSCHEDULABLE_MS : READY_DEADLINE_MS;
  if (d.now < pod.createdAt + limit) {
    d.wake(pod.createdAt + limit);
    return false;
  }
  d.observe(pod, 'noCapacity');
  d.avoid.add(pod.pool);
  delete d.run.pod;
  const why = pod.startProblem ?? pod.unschedulable ?? 'its container did not start';
  d.event('Warning', 'NoCapacity', `${pod.pool}: pod ${pod.name} did not start in time (${why}); trying elsewhere`);
  return false;
}

/** Ends every pod but the current one. True while one that may still work is in the way of the next. */
function clearTheWay(d: TaskDraft): boolean {
  const { current } = d;
  let blocked = false;
  for (const pod of d.state.pods.values()) {
    if (pod === current) continue;
    // One that has ended is kept for its log until its successor is there.
    if (isAlive(pod) || current !== undefined || pod.interruption?.source === 'node-absent') d.removePod(pod);
    blocked ||= isAlive(pod);
  }
  if (d.run.pod !== undefined || !blocked) return false;
  d.run.phase = 'Waiting';
  d.running = { status: 'False', reason: 'Waiting', message: 'the pod before is still ending' };
  return true;
}

function startNext(d: TaskDraft): boolean {
  const { run, state, now, current } = d;
  if (current !== undefined) return true;
  // A pod that was decided on goes where it was to go, so that doing it twice changes nothing; its pool may be gone by now.
  const decided = run.pod !== undefined && (run.pool === undefined || state.pools.some((p) => p.name === run.pool));
  if (decided) {
    d.create = { name: run.pod ?? '', attempt: run.attempt ?? 1, pool: run.pool ?? null };
    return true;
  }
  delete run.pod;
  if (state.problem !== null) {
    run.phase = 'Pending';
    d.placed = { status: 'False', ...state.problem };
    d.running = { status: 'False', reason: 'Waiting', message: 'something it needs is missing: see condition Placed' };
    d.wake(now + MISSING_AGAIN_MS);
    return true;
  }
  run.phase = 'Waiting';
  const notBefore = milliseconds(run.notBefore);
  if (notBefore !== undefined && now < notBefore) {
    d.running = { status: 'False', reason: 'BackingOff', message: `starts again at ${run.notBefore}` };
    d.wake(notBefore);
    return true;
  }
  const place = choosePlace(d);
  d.placed = place.verdict;
  if (!place.found) {
    d.running = { status: 'False', reason: 'Waiting', message: 'no place to run: see condition Placed' };
    d.wake(place.retryAt);
    return true;
  }
  const attempt = Math.max(run.attempt ?? 0, ...[...state.pods.values()].map((p) => p.attempt)) + 1;
  run.phase = 'Starting';
  run.attempt = attempt;
  run.pod = `${state.name}-${attempt}`;
  delete run.notBefore;
  delete run.pool;
  delete run.capacity;
  if (place.pool !== null) {
    run.pool = place.pool.name;
    run.capacity = place.pool.capacity;
  }
  d.create = { name: run.pod, attempt, pool: run.pool ?? null };
  return true;
}

/** The rest follows from what the steps decided: phase, progress, costs. */
function settle(d: TaskDraft): void {
  const { run, state, current } = d;
  const isOver = run.phase === 'Complete' || run.phase === 'Failed';
  if (!isOver && run.pod !== undefined) {
    const runs = current?.phase === 'Running';
    if (runs && state.run.phase !== 'Running') d.observe(current, 'launched');
    run.phase = runs ? 'Running' : 'Starting';
    if (runs) run.startedAt ??= isoTime(d.now);
    d.running = runs
      ? { status: 'True', reason: 'Working', message: `pod ${current.name}${run.pool === undefined ? '' : ` on ${run.pool}`}` }
      : { status: 'False', reason: 'Starting', message: whyStarting(d) };
  }
  const urgent = !isDeepStrictEqual(run, state.run);
  copyProgress(d, urgent);
  if (d.ending !== null && 'result' in d.ending) completeProgress(d);
  const accruedUntil = milliseconds(state.run.accruedUntil);
  const ledgerDue = accruedUntil !== undefined && d.now - accruedUntil >= LEDGER_INTERVAL_MS && state.pods.size > 0 && !isOver;
  if (ledgerDue || !isDeepStrictEqual(run, state.run)) accrueCosts(d);
  if (run.phase === 'Running') d.wake(d.now + (state.reports.has(run.pod ?? '') ? PROGRESS_INTERVAL_MS : LEDGER_INTERVAL_MS));
}

function whyStarting({ run, current, state }: TaskDraft): string {
  if (current === undefined && state.podRefusal !== null) return `the API server refuses pod ${run.pod}: ${state.podRefusal}`;
  const trouble = current?.startProblem ?? current?.unschedulable;
  return `waiting for pod ${run.pod}${trouble ? `: ${trouble}` : ''}`;
}
