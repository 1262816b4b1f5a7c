import type { World } from '../api/protocol.ts';
import type { VicunaTraining, VicunaTrainingStatus } from '../api/vicuna-training.ts';
import type { PlannedTaskPod } from '../tasks/state.ts';
import type { Member } from './members.ts';
import type { TrainingState, WorkerPod } from './state.ts';

export type Spec = VicunaTraining['spec'];
export type Status = VicunaTrainingStatus;
export type StatusWorld = NonNullable<Status['world']>;
export type StatusNext = NonNullable<Status['next']>;

export interface PlannedEvent {
  readonly type: 'Normal' | 'Warning';
  readonly reason: string;
  readonly message: string;
}

export interface PlannedPod {
  readonly name: string;
  readonly generation: number;
  readonly rank: number;
  readonly pool: string;
}

/** Pods that are of use only together: the new ones of a generation. */
export interface PlannedGroup {
  readonly name: string;
  readonly minCount: number;
}

export interface PodRemoval {
  readonly name: string;
  readonly uid: string;
  /** 0 = force: only for pods whose node no longer exists. Absent = the pod's own grace period. */
  readonly gracePeriodSeconds?: number;
}

/** Something that pools learn from a training: a launch that worked or did not, an interruption, a node given up in good health. */
export interface PoolObservation {
  readonly pool: string;
  readonly kind: 'launched' | 'noCapacity' | 'interrupted' | 'released';
  /** Seconds that the pod had lived on its node, for interruptions and releases. */
  readonly livedSeconds?: number;
}

/** What to do now. The status is whole; the controller writes it only if it differs, before it creates or deletes a pod. */
export interface Plan {
  readonly status: Status;
  readonly create: readonly PlannedPod[];
  /** The gang that the pods to be created belong to, where there is more than one. */
  readonly group: PlannedGroup | null;
  /** Name of the group that has done its work: its pods run. */
  readonly doneGroup: string | null;
  readonly remove: readonly PodRemoval[];
  /** The pod that makes the release; only once the status names it. */
  readonly releasePod: PlannedTaskPod | null;
  readonly events: readonly PlannedEvent[];
  readonly observations: readonly PoolObservation[];
  /** The world for the board. `publishAfterStatus`: it is new, so it must be in the status before a worker may act on it. */
  readonly world: World | null;
  readonly publishAfterStatus: boolean;
  readonly finalizer: 'add' | 'remove' | 'keep';
  readonly deleteTraining: boolean;
  /** When to look again without being told to (ms since epoch), or null. */
  readonly wakeAt: number | null;
}

/** A worker's program that ended badly, for a cause that lies in itself. */
export interface Failure {
  readonly member: Member;
  readonly exitCode: number | null;
  readonly message: string;
  readonly at: number;
}

/** A plan in the making: each step of plan.ts reads the state and writes here. */
export class Draft {
  readonly state: TrainingState;
  readonly now: number;
  readonly spec: Spec;
  readonly status: Status;
  readonly create: PlannedPod[] = [];
  group: PlannedGroup | null = null;
  doneGroup: string | null = null;
  readonly remove = new Map<string, PodRemoval>();
  releasePod: PlannedTaskPod | null = null;
  readonly events: PlannedEvent[] = [];
  readonly observations: PoolObservation[] = [];
  /** `after`: the step after which somebody has asked for a save; it tells one request from the next. */
  directive: { directive: World['directive']; deadline: number | null; after?: number } = { directive: 'run', deadline: null };
  promoted = false;
  /** A phase that a step has settled; otherwise it follows from the worlds. */
  phase: NonNullable<Status['phase']> | null = null;
  /** Nothing is to be told to workers any more. */
  isOver = false;
  /** The published world failed by its own doing and may start again. */
  restart: { readonly notBefore: number | null } | null = null;
  /** A failure that the training itself has to answer for. */
  failure: Failure | null = null;
  /** Members that stay silent while others fail: taken for lost. */
  readonly silent = new Set<string>();
  /** Pools not to be tried in this plan: they have just failed. */
  readonly avoid = new Set<string>();
  finalizer: Plan['finalizer'] = 'keep';
  deleteTraining = false;
  wakeAt: number | null = null;

  constructor(state: TrainingState, now: number) {
    this.state = state;
    this.now = now;
    this.spec = state.training.spec;
    this.status = structuredClone(state.training.status ?? {}) as Status;
    this.status.observedGeneration = state.training.metadata.generation ?? 0;
  }

  event(type: PlannedEvent['type'], reason: string, message: string): void {
    this.events.push({ type, reason, message });
  }

  /** Asks to be woken at `at` at the latest. */
  wake(at: number): void {
    this.wakeAt = Math.min(this.wakeAt ?? Number.POSITIVE_INFINITY, at);
  }

  /** Tells the pool how long a node lasted that is given up in good health. */
  release(pod: WorkerPod): void {
    if (pod.phase !== 'Running' || pod.interruption !== null) return;
    this.observations.push({ pool: pod.pool, kind: 'released', livedSeconds: Math.max(0, (this.now - pod.createdAt) / 1000) });
  }

  removePod(name: string): void {
    const pod = this.state.pods.get(name);
    if (pod === undefined || this.remove.has(name)) return;
    const nodeGone = pod.interruption?.source === 'node-absent';
    if (pod.terminating && !nodeGone) return;
    if (!this.isTrue('Complete')) this.release(pod);
    this.remove.set(name, nodeGone ? { name, uid: pod.uid, gracePeriodSeconds: 0 } : { name, uid: pod.uid });
  }

  condition(type: string, status: 'True' | 'False' | 'Unknown', reason: string, message: string): void {
    this.status.conditions ??= [];
    const { conditions } = this.status;
    const previous = conditions.find((c) => c.type === type);
    const lastTransitionTime = previous?.status === status ? previous.lastTransitionTime : isoTime(this.now);
    const observedGeneration = this.status.observedGeneration ?? 0;
    const next = { type, status, reason, message: message.slice(0, 1024), lastTransitionTime, observedGeneration };
    if (previous === undefined) conditions.push(next);
    else Object.assign(previous, next);
  }

  isTrue(type: string): boolean {
    return this.status.conditions?.find((c) => c.type === type)?.status === 'True';
  }
}

export function isoTime(ms: number): string {
  return new Date(ms).toISOString();
}

export function milliseconds(time: string | undefined): number | undefined {
  return time === undefined ? undefined : Date.parse(time);
}
