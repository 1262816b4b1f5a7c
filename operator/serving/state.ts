import type { ServedModel, VicunaServing } from '../api/vicuna-serving.ts';
import type { Interruption } from '../signals/interruption.ts';
import type { SharedGroup } from '../spot/multiplexing/regroup.ts';
import type { PoolView } from '../spot/pool-view.ts';
import type { Track } from './names.ts';

/** Everything one reconcile sees, gathered once. The plan reads nothing else, so a test is a table of these. */
export interface ServingState {
  readonly serving: VicunaServing;
  readonly replicas: readonly Replica[];
  readonly deployments: readonly ExistingDeployment[];
  /** Pools that a replica of so many GPUs may use, with the room each has now, this serving's own pods counted as taken. */
  poolsFor(gpus: number): readonly PoolView[];
  /** How many replicas each model needs, and why. */
  readonly scale: ReadonlyMap<string, ScaleDecision>;
  /** Which models share GPUs; null = each replica has its own. */
  readonly groups: GroupsState | null;
  readonly metrics: MetricsState;
  /** Seconds to the first token that one in a hundred answers exceeds, by model, where it is known. */
  readonly firstTokenP99: ReadonlyMap<string, number>;
  readonly gateways: readonly GatewayCopy[];
  /** What the spec names and the cluster lacks, in one sentence, or null. */
  readonly missing: string | null;
  /** What the API server said of the last object that it refused, or null. */
  readonly refusal: string | null;
}

export interface GroupsState {
  readonly groups: readonly SharedGroup[];
  readonly attainment: number;
  /** ms since the epoch. */
  readonly changedAt: number;
  readonly reason: string;
  /** Why there can be no plan, in one sentence, or null. */
  readonly problem: string | null;
}

/** What replicas are made of: a model, or a group of models that share GPUs. */
export interface ServedUnit {
  readonly name: string;
  readonly models: readonly string[];
  readonly gpus: number;
  readonly canaryPercent: number;
  readonly startSeconds?: number | undefined;
}

/** What the serving's replicas are made of now. */
export function unitsOf({ serving, groups }: Pick<ServingState, 'serving' | 'groups'>): ServedUnit[] {
  const { models } = serving.spec;
  if (groups === null)
    return models.map((m) => ({
      name: m.name,
      models: [m.name],
      gpus: m.gpus,
      canaryPercent: m.canary?.percent ?? 0,
      startSeconds: m.startSeconds,
    }));
  return groups.groups.map((group) => ({
    name: group.name,
    models: group.models,
    gpus: group.pipeline * group.tensor,
    canaryPercent: 0,
    startSeconds: longestStart(models.filter((m) => group.models.includes(m.name))),
  }));
}

/** A group answers when the last of its models does. */
function longestStart(models: readonly ServedModel[]): number | undefined {
  const known = models.flatMap((m) => m.startSeconds ?? []);
  return known.length === 0 ? undefined : Math.max(...known);
}

export interface ScaleDecision {
  readonly replicas: number;
  /** One sentence. */
  readonly reason: string;
  readonly limitedBy: 'max' | 'min' | 'rate' | null;
  /** Requests that wait or run, as last measured; null = not measured. */
  readonly queue: number | null;
}

export interface MetricsState {
  readonly status: 'True' | 'False';
  readonly reason: 'Fresh' | 'Unavailable' | 'NotUsed';
  readonly message: string;
}

/** A pod of one of the models. */
export interface Replica {
  readonly name: string;
  readonly uid: string;
  /** Name of its unit: its model, or its group. */
  readonly model: string;
  /** Models that it answers for. */
  readonly models: readonly string[];
  readonly gpus: number;
  readonly track: Track;
  readonly pool: string;
  readonly node: string | null;
  readonly createdAt: number;
  /** The engine answers and the pod is routable; when that began (ms since epoch), or null. */
  readonly readyAt: number | null;
  /** Whether the gate is on. */
  readonly routable: boolean;
  /** Whether the gate was ever set. */
  readonly gateKnown: boolean;
  /** It ran to an end, or was told to end. */
  readonly ending: boolean;
  readonly interruption: Interruption | null;
  /** Its node is said to be at risk (a rebalance recommendation): nothing is lost yet. */
  readonly advised: boolean;
  /** Other pods of the operator's on its node. */
  readonly neighbours: number;
  /** Its pod's annotation; the ReplicaSet takes the cheapest first. */
  readonly deletionCost: number;
  readonly unschedulable: string | null;
  readonly startProblem: string | null;
  /** Its start is known to the pool's memory. */
  readonly counted: boolean;
}

/** A pod of the gateway. */
export interface GatewayCopy {
  readonly name: string;
  readonly uid: string;
  readonly ready: boolean;
  readonly startProblem: string | null;
  readonly ending: boolean;
  readonly interruption: Interruption | null;
}

export interface ExistingDeployment {
  readonly name: string;
  readonly model: string;
  readonly track: Track;
  readonly pool: string;
  readonly replicas: number;
}
