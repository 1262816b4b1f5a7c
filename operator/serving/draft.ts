import type { VicunaServingStatus } from '../api/vicuna-serving.ts';
import type { Fleet } from '../spot/fleet.ts';
import type { Track } from './names.ts';
import type { Replica, ServingState } from './state.ts';

export interface PlannedDeployment {
  readonly model: string;
  readonly track: Track;
  readonly pool: string;
  readonly replicas: number;
  readonly roomToSurge: boolean;
}

export interface PlannedEvent {
  readonly type: 'Normal' | 'Warning';
  readonly reason: string;
  readonly message: string;
}

/** GPUs in a pool that pods will take which do not exist yet. */
export interface Promised {
  readonly pool: string;
  readonly gpus: number;
}

/** Something that pools learn from a serving. */
export interface ReplicaObservation {
  readonly pool: string;
  readonly kind: 'launched' | 'noCapacity' | 'interrupted' | 'released';
  /** Seconds that the pod had lived, for interruptions and releases. */
  readonly livedSeconds?: number;
}

/** What to do now, in the order of the fields: routing stops first, replacements start next. */
export interface ServingPlan {
  /** Pods whose gate is to be set. */
  readonly gates: readonly { readonly pod: string; readonly routable: boolean }[];
  readonly deployments: readonly PlannedDeployment[];
  /** Deployments that no model or pool of the spec accounts for. */
  readonly removals: readonly string[];
  /** Replicas asked for that have no pod yet: their GPUs are spoken for. */
  readonly coming: readonly Promised[];
  /** Set before a Deployment shrinks: says whom to end first. */
  readonly deletionCosts: readonly { readonly pod: string; readonly cost: number }[];
  /** Pods on nodes that are going: they are told to end while there is time to finish what they have begun. */
  readonly evictions: readonly { readonly pod: string; readonly uid: string; readonly graceSeconds: number }[];
  readonly status: VicunaServingStatus;
  readonly events: readonly PlannedEvent[];
  readonly observations: readonly ReplicaObservation[];
  /** Pods whose start is now known to the pools. */
  readonly counted: readonly string[];
  /** When to look again without being told to (ms since epoch), or null. */
  readonly wakeAt: number | null;
}

/** A plan in the making. */
export class ServingDraft {
  readonly state: ServingState;
  readonly now: number;
  readonly gates: { pod: string; routable: boolean }[] = [];
  readonly deployments: PlannedDeployment[] = [];
  readonly deletionCosts: { pod: string; cost: number }[] = [];
  readonly evictions: { pod: string; uid: string; graceSeconds: number }[] = [];
  readonly events: PlannedEvent[] = [];
  readonly observations: ReplicaObservation[] = [];
  readonly counted: string[] = [];
  readonly fleets = new Map<string, readonly Fleet[]>();
  /** Replicas whose interruption is noticed in this plan. */
  readonly struck: Replica[] = [];
  /** Seconds that replicas needed to start, of those that were first seen to answer in this plan. */
  readonly starts = new Map<string, number[]>();
  wakeAt: number | null = null;

  constructor(state: ServingState, now: number) {
    this.state = state;
    this.now = now;
  }

  event(type: PlannedEvent['type'], reason: string, message: string): void {
    this.events.push({ type, reason, message });
  }

  wake(at: number): void {
    this.wakeAt = Math.min(this.wakeAt ?? Number.POSITIVE_INFINITY, at);
  }
}
