import type { TaskRun } from '../api/task.ts';
import type { PlannedTaskPod, TaskEvent, TaskObservation, TaskPod, TaskPodRemoval, TaskState } from './state.ts';
import { isoTime } from './time.ts';

/** What a condition shall say. */
export interface Verdict {
  readonly status: 'True' | 'False';
  readonly reason: string;
  readonly message: string;
}

/** How a task ended: with what its program left behind, or why it was given up. */
export type Ending = { readonly result: string } | { readonly reason: string; readonly message: string };

/** What to do now. `run` is whole and must be in the status before a pod is made. */
export interface TaskPlan {
  readonly run: TaskRun;
  /** Null = as it was. */
  readonly placed: Verdict | null;
  readonly running: Verdict | null;
  /** Set by the plan that ends the task, and by no later one. */
  readonly ending: Ending | null;
  readonly create: PlannedTaskPod | null;
  readonly remove: readonly TaskPodRemoval[];
  readonly events: readonly TaskEvent[];
  readonly observations: readonly TaskObservation[];
  /** When to look again without being told to (ms since epoch), or null. */
  readonly wakeAt: number | null;
}

/** A plan in the making: each step of plan.ts reads the state and writes here. */
export class TaskDraft {
  readonly state: TaskState;
  readonly now: number;
  readonly run: TaskRun;
  placed: Verdict | null = null;
  running: Verdict | null = null;
  ending: Ending | null = null;
  create: PlannedTaskPod | null = null;
  readonly remove = new Map<string, TaskPodRemoval>();
  readonly events: TaskEvent[] = [];
  readonly observations: TaskObservation[] = [];
  /** Pools not to be tried in this plan: they have just failed. */
  readonly avoid = new Set<string>();
  wakeAt: number | null = null;

  constructor(state: TaskState, now: number) {
    this.state = state;
    this.now = now;
    this.run = structuredClone(state.run);
  }

  /** The pod that the status names, if it is there. */
  get current(): TaskPod | undefined {
    return this.run.pod === undefined ? undefined : this.state.pods.get(this.run.pod);
  }

  event(type: TaskEvent['type'], reason: string, message: string): void {
    this.events.push({ type, reason, message });
  }

  /** Asks to be woken at `at` at the latest. */
  wake(at: number): void {
    this.wakeAt = Math.min(this.wakeAt ?? Number.POSITIVE_INFINITY, at);
  }

  observe(pod: TaskPod, kind: TaskObservation['kind']): void {
    if (pod.pool === '') return;
    const livedSeconds = Math.max(0, (this.now - pod.createdAt) / 1000);
    this.observations.push({ pool: pod.pool, kind, ...(kind === 'interrupted' || kind === 'released' ? { livedSeconds } : {}) });
  }

  removePod(pod: TaskPod): void {
    const nodeGone = pod.interruption?.source === 'node-absent';
    if (pod.terminating && !nodeGone) return;
    this.remove.set(pod.name, { name: pod.name, uid: pod.uid, ...(nodeGone ? { gracePeriodSeconds: 0 } : {}) });
  }

  /** Ends the task without success. */
  fail(reason: string, message: string): true {
    this.run.phase = 'Failed';
    this.run.finishedAt = isoTime(this.now);
    this.ending = { reason, message };
    this.running = { status: 'False', reason: 'Failed', message: 'it has failed: see condition Failed' };
    return true;
  }
}
