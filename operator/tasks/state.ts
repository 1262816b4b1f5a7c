import type { TaskReport } from '../api/protocol.ts';
import type { TaskRun, TaskSpec } from '../api/task.ts';
import type { Interruption } from '../signals/interruption.ts';
import type { PoolView } from '../spot/pool-view.ts';

/** Everything that the plan of one task sees. */
export interface TaskState {
  /** Name that its pods' names begin with. */
  readonly name: string;
  readonly placement: TaskSpec['placement'];
  /** As the status has it. */
  readonly run: TaskRun;
  /** The task's own pods, by name. */
  readonly pods: ReadonlyMap<string, TaskPod>;
  /** What each pod last said, by name. */
  readonly reports: ReadonlyMap<string, TaskReport>;
  /** The pools that the placement names, or all, with the room for a pod without GPUs. */
  readonly pools: readonly PoolView[];
  /** What is missing for a pod to start, or null. A pod that runs is left alone. */
  readonly problem: Problem | null;
  /** Why the API server last refused the pod, or null. */
  readonly podRefusal: string | null;
}

export interface Problem {
  readonly reason: string;
  readonly message: string;
}

export interface TaskPod {
  readonly name: string;
  readonly uid: string;
  readonly attempt: number;
  /** Empty when any node would do. */
  readonly pool: string;
  readonly node: string | null;
  readonly phase: 'Pending' | 'Running' | 'Succeeded' | 'Failed';
  readonly createdAt: number;
  readonly terminating: boolean;
  /** The scheduler's words, when it found no node. */
  readonly unschedulable: string | null;
  /** Why the container cannot start, when it cannot. */
  readonly startProblem: string | null;
  /** Null while the program runs, and when nobody knows. */
  readonly exitCode: number | null;
  /** What the program left behind: its result, or a sentence on what went wrong. */
  readonly message: string;
  /** Share of its node that the pod asks for, 0..1. */
  readonly share: number;
  readonly interruption: Interruption | null;
}

/** The pod is to be made, with this name, in this pool or (null) on any node. */
export interface PlannedTaskPod {
  readonly name: string;
  readonly attempt: number;
  readonly pool: string | null;
}

export interface TaskPodRemoval {
  readonly name: string;
  readonly uid: string;
  /** 0 = force: only for pods whose node no longer exists. */
  readonly gracePeriodSeconds?: number;
}

export interface TaskEvent {
  readonly type: 'Normal' | 'Warning';
  readonly reason: string;
  readonly message: string;
}

export interface TaskObservation {
  readonly pool: string;
  readonly kind: 'launched' | 'noCapacity' | 'interrupted' | 'released';
  readonly livedSeconds?: number;
}
