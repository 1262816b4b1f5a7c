import type { Report, TaskReport } from '../api/protocol.ts';
import type { VicunaEvaluation } from '../api/vicuna-evaluation.ts';
import type { VicunaTraining } from '../api/vicuna-training.ts';
import type { Interruption } from '../signals/interruption.ts';
import type { PoolView } from '../spot/pool-view.ts';
import type { TaskPod } from '../tasks/state.ts';

/** Everything one reconcile sees, gathered once by observe.ts. The plan reads nothing else, so a test is a table of these. */
export interface TrainingState {
  readonly training: VicunaTraining;
  /** This training's worker pods, by pod name. */
  readonly pods: ReadonlyMap<string, WorkerPod>;
  /** What each worker last said, by pod name; empty right after the operator's own start. */
  readonly reports: ReadonlyMap<string, MemberReport>;
  /** The pools that the training may use, with the room each has now, this training's own pods counted as taken. */
  readonly pools: readonly PoolView[];
  /** What the spec's VicunaDataset has made, once it is complete; null also where the spec names none. */
  readonly dataset: DatasetUse | null;
  /** What the release of a complete training needs to know; null before, and where none is asked for. */
  readonly release: ReleaseState | null;
  /** What the spec refers to and the cluster lacks; nothing starts while it is set. */
  readonly problem: { readonly reason: string; readonly message: string } | null;
  /** Why the API server last refused a worker pod (a template it cannot take, a quota), or null. */
  readonly podRefusal: string | null;
  /** Since when reports have been received (the operator's start): silence before it means nothing. */
  readonly listeningSince: number;
}

/** Where a VicunaDataset's conversations lie, as the training's status keeps it. */
export type DatasetUse = NonNullable<NonNullable<VicunaTraining['status']>['dataset']>;

export interface ReleaseState {
  readonly pods: ReadonlyMap<string, TaskPod>;
  readonly reports: ReadonlyMap<string, TaskReport>;
  readonly pools: readonly PoolView[];
  /** The evaluation that the gate names, as it is now. */
  readonly evaluation: VicunaEvaluation | null;
}

export interface WorkerPod {
  readonly name: string;
  readonly uid: string;
  readonly generation: number;
  readonly rank: number;
  readonly pool: string;
  readonly node: string | null;
  readonly address: string | null;
  readonly phase: 'Pending' | 'Running' | 'Succeeded' | 'Failed';
  readonly createdAt: number;
  readonly terminating: boolean;
  /** The scheduler's words, when it found no node. */
  readonly unschedulable: string | null;
  /** Why the container cannot start (bad image, missing key), when it cannot. */
  readonly startProblem: string | null;
  readonly exitCode: number | null;
  /** The most urgent sign that this pod's days are numbered, from the pod or its node. */
  readonly interruption: Interruption | null;
}

export interface MemberReport {
  readonly report: Report;
  readonly receivedAt: number;
  /** Since when the state has been the same in this generation. */
  readonly stateSince: number;
}
