import type { V1Node } from '@kubernetes/client-node';
import { interruptionOfNode } from '../../operator/signals/interruption.ts';
import { INTERRUPTION_CONDITION, INTERRUPTION_TAINT } from '../../operator/signals/notices.ts';
import { type Announcement, isNotice } from './announcement.ts';

type Taint = NonNullable<NonNullable<V1Node['spec']>['taints']>[number];
/** Times are strings here, as in the API's own JSON. */
export interface Condition {
  readonly type: string;
  readonly status: string;
  readonly reason: string;
  readonly message: string;
  readonly lastHeartbeatTime: string;
  readonly lastTransitionTime: string;
}

/** What has to be written so that the node says what its cloud has announced. Absent = it says so already. */
export interface Marks {
  /** The whole list that the node's taints become. */
  readonly taints?: readonly Taint[];
  readonly condition?: Condition;
  /** Somebody else has marked the node for it: their row in the table of notices. */
  readonly markedBy?: string;
}

/** Another handler's deadline may be so much later than ours before ours adds something. */
const SAME_DEADLINE_MS = 5_000;
const TAINT_EFFECT = 'NoSchedule';

/** Compares the node with what is announced (null = nothing) at the cloud's time `now`. Touches only what this program has written. */
export function planMarks(node: V1Node, announced: Announcement | null, now: number): Marks {
  const conditions = (node.status?.conditions ?? []) as unknown as readonly Condition[];
  const condition = conditions.find((c) => c.type === INTERRUPTION_CONDITION);
  const taints = node.spec?.taints ?? [];
  const marked = condition?.status === 'True' ? deadlineIn(condition.message) : undefined;
  // The same taint without our condition, or with another deadline, is somebody else's: a rehearsal, for example.
  const isOwn = (t: Taint) => t.key === INTERRUPTION_TAINT && marked !== undefined && marked !== null && t.value === unixSeconds(marked);
  const others = taints.filter((t) => !isOwn(t));
  if (announced === null) {
    const calm = { status: 'False', reason: 'NothingAnnounced', message: 'the cloud has announced nothing, or has called it off' };
    return {
      ...(others.length < taints.length ? { taints: others } : {}),
      ...(condition?.status === 'True' ? { condition: conditionOf(calm, condition, now) } : {}),
    };
  }
  const deadline = wholeSeconds(settled(announced, marked));
  const urgent = isNotice({ ...announced, deadline }, now);
  const foreign = foreignMark(node, { deadline, urgent }, others, now);
  if (foreign !== null && condition?.status !== 'True') return { markedBy: foreign };

  const said = {
    status: 'True',
    reason: reasonOf(announced, urgent),
    message: `the node ${announced.words}.${deadline === null ? '' : ` Deadline: ${isoSeconds(deadline)}.`}`,
  };
  const isSaid = condition?.status === 'True' && condition.reason === said.reason && condition.message === said.message;
  const value = urgent && deadline !== null ? unixSeconds(deadline) : null;
  const isTainted =
    value === null ? others.length === taints.length : taints.some((t) => t.key === INTERRUPTION_TAINT && t.value === value);
  const withoutKey = others.filter((t) => value === null || t.key !== INTERRUPTION_TAINT || t.effect !== TAINT_EFFECT);
  return {
    ...(isSaid ? {} : { condition: conditionOf(said, condition, now) }),
    ...(isTainted
      ? {}
      : { taints: [...withoutKey, ...(value === null ? [] : [{ key: INTERRUPTION_TAINT, value, effect: TAINT_EFFECT }])] }),
  };
}

/** A deadline that is counted from the first sight stays where an earlier run of this program has put it. */
function settled({ deadline, estimated }: Announcement, marked: number | null | undefined): number | null {
  if (!estimated || deadline === null || marked === undefined || marked === null) return deadline;
  return Math.min(deadline, marked);
}

/** Whose sign says as much as ours would: aws-node-termination-handler, Karpenter, GKE, AKS or the kubelet were here first. */
function foreignMark(
  node: V1Node,
  { deadline, urgent }: { deadline: number | null; urgent: boolean },
  taints: readonly Taint[],
  now: number,
): string | null {
  const conditions = node.status?.conditions?.filter((c) => c.type !== INTERRUPTION_CONDITION && c.type !== 'Ready') ?? [];
  const foreign = taints.filter((t) => t.key !== INTERRUPTION_TAINT);
  const rest = { metadata: node.metadata, spec: { ...node.spec, taints: foreign }, status: { ...node.status, conditions } } as V1Node;
  const sign = interruptionOfNode(rest, now);
  if (sign === null || sign.lost || sign.advisory === urgent) return null;
  if (urgent && (sign.deadline === null || deadline === null || sign.deadline > deadline + SAME_DEADLINE_MS)) return null;
  return sign.source;
}

function reasonOf({ cause }: Announcement, urgent: boolean): string {
  if (cause === 'rebalance') return 'RebalanceRecommended';
  if (cause === 'spotPreemption') return 'SpotPreemption';
  return urgent ? 'Maintenance' : 'MaintenanceScheduled';
}

function conditionOf(said: Pick<Condition, 'status' | 'reason' | 'message'>, before: Condition | undefined, now: number): Condition {
  const time = isoSeconds(now);
  const lastTransitionTime = before?.status === said.status && before.reason === said.reason ? before.lastTransitionTime : time;
  return { type: INTERRUPTION_CONDITION, ...said, lastHeartbeatTime: time, lastTransitionTime };
}

/** The deadline in a condition's message; null when it names none. */
function deadlineIn(message: string): number | null {
  const found = /Deadline: (\S+)\.$/.exec(message)?.[1];
  const at = Date.parse(found ?? '');
  return Number.isNaN(at) ? null : at;
}

/** Down, never up: a second too early is safe. */
function wholeSeconds(ms: number | null): number | null {
  return ms === null ? null : Math.floor(ms / 1_000) * 1_000;
}

function unixSeconds(ms: number): string {
  return String(Math.floor(ms / 1_000));
}

function isoSeconds(ms: number): string {
  return `${new Date(ms).toISOString().slice(0, 19)}Z`;
}
