import type { ScaleDecision } from '../state.ts';
import { scheduledMin, type Window } from './schedule.ts';
import { forecast, TREND_MS } from './trend.ts';

export interface Rate {
  /** Within it the most cautious proposal counts. */
  readonly stabilizationSeconds: number;
  /** What one period may add or remove; the larger of both counts. */
  readonly percent: number;
  readonly replicas: number;
  readonly periodSeconds: number;
}

export interface ScalingSettings {
  readonly min: number;
  readonly max: number;
  readonly tolerance: number;
  readonly scaleUp: Rate;
  readonly scaleDown: Rate;
  readonly panic: { readonly windowSeconds: number; readonly threshold: number };
  readonly schedule: readonly Window[];
}

/** A metric's value, or in a sentence why there is none. */
export type Sample = { readonly value: number } | { readonly problem: string };

export interface MetricInput {
  readonly name: string;
  readonly target: number;
  readonly type: 'perReplica' | 'value';
  readonly activation: number;
  readonly sample: Sample;
}

export interface ScalingInput {
  readonly settings: ScalingSettings;
  /** Replicas that were last decided on. */
  readonly current: number;
  /** Replicas that answer. */
  readonly ready: number;
  /** Seconds that a new one needs. */
  readonly startSeconds: number;
  readonly metrics: readonly MetricInput[];
  /** When requests last waited for a model without replicas (ms since epoch), or null. */
  readonly demandedAt: number | null;
}

/** What must be remembered from one decision to the next; after a restart it begins empty, and the present number counts as proposed. */
export interface ScalingMemory {
  readonly proposals: readonly { readonly at: number; readonly replicas: number }[];
  readonly changes: readonly { readonly at: number; readonly from: number; readonly to: number }[];
  /** Values of the metrics, newest last. */
  readonly values: Readonly<Record<string, readonly { readonly at: number; readonly value: number }[]>>;
}

export const EMPTY_MEMORY: ScalingMemory = { proposals: [], changes: [], values: {} };

/** A model that requests wait for is kept for so long after the last of them. */
const DEMAND_MS = 60_000;
/** How many replicas a model needs, with the reason, and what to remember. Pure. */
export function decideReplicas(
  input: ScalingInput,
  memory: ScalingMemory,
  now: number,
): { decision: ScaleDecision; memory: ScalingMemory } {
  const { settings, current } = input;
  const values = remember(input, memory, now);
  const floor = Math.min(settings.max, Math.max(settings.min, scheduledMin(settings.schedule, now, input.startSeconds)));
  const wish = wishOf(input, values, now);
  const proposals = [...memory.proposals.filter((p) => now - p.at <= longestWindow(settings) * 1000), { at: now, replicas: wish.replicas }];
  // Of a past that is not known, the present number stands for what was proposed.
  const known = memory.proposals.length === 0 ? [{ at: now - 1, replicas: current }, ...proposals] : proposals;
  const steady = stabilized(wish.replicas, current, known, settings, now);
  const paced = limitRate(steady, current, memory.changes, settings, now);
  const replicas = Math.min(settings.max, Math.max(floor, paced));
  const changes = replicas === current ? memory.changes : [...memory.changes, { at: now, from: current, to: replicas }];
  return {
    decision: {
      replicas,
      reason: reasonFor(wish, steady, paced, replicas, floor, input),
      limitedBy: limitOf(wish.replicas, steady, paced, replicas, settings.max),
      queue: firstValue(input),
    },
    memory: { proposals: known, changes: changes.filter((c) => now - c.at <= LONGEST_PERIOD_MS), values },
  };
}

const LONGEST_PERIOD_MS = 30 * 60_000;

interface Wish {
  readonly replicas: number;
  readonly reason: string;
}

/** What the metrics ask for, before any limit. */
function wishOf(input: ScalingInput, values: ScalingMemory['values'], now: number): Wish {
  const { settings, current, metrics, demandedAt } = input;
  const demanded = demandedAt !== null && now - demandedAt < DEMAND_MS;
  const problems = metrics.filter((m) => 'problem' in m.sample);
  if (current === 0) {
    const active = metrics.find((m) => 'value' in m.sample && m.sample.value > m.activation);
    if (demanded) return { replicas: 1, reason: 'requests wait at the gateway' };
    if (active) return { replicas: 1, reason: `${active.name} is above its activation of ${active.activation}` };
    return { replicas: 0, reason: problems.length > 0 ? `held: ${problemOf(problems)}` : 'nothing is asked of it' };
  }
  const wishes = metrics.flatMap((m) => ('value' in m.sample ? [wishOfMetric(m, m.sample.value, input, values, now)] : []));
  const highest = wishes.reduce<Wish | null>((best, w) => (best === null || w.replicas > best.replicas ? w : best), null);
  // What cannot be measured may be high: it never takes a replica away.
  if (problems.length > 0) {
    if (highest !== null && highest.replicas > current) return highest;
    return { replicas: current, reason: `held at ${current}: ${problemOf(problems)}` };
  }
  if (highest === null) return { replicas: current, reason: 'there is no metric' };
  if (highest.replicas < current && isPanic(input, values, now))
    return { replicas: current, reason: `held at ${current} while a burst lasts` };
  const idle = metrics.every((m) => 'value' in m.sample && m.sample.value <= m.activation);
  // The last replica goes only when nothing at all is asked, not when little is.
  if (settings.min === 0 && idle && !demanded) return { replicas: 0, reason: 'nothing is asked of it' };
  return { ...highest, replicas: Math.max(1, highest.replicas) };
}

/** The formula of Kubernetes' HorizontalPodAutoscaler. */
function wishOfMetric(metric: MetricInput, value: number, input: ScalingInput, values: ScalingMemory['values'], now: number): Wish {
  const { settings, current, startSeconds } = input;
  // Replicas that start have no part in the value yet, but will: as that autoscaler does, they are not counted on the way up.
  const ready = Math.max(1, Math.min(input.ready, current));
  const expected = forecast(values[metric.name] ?? [], { at: now, value }, startSeconds);
  const said = `${metric.name} is ${format(value)}${expected > value * 1.05 ? `, heading for ${format(expected)}` : ''}`;
  if (metric.type === 'perReplica') {
    // The whole load is known, whoever carries it now: it needs so many replicas.
    const per = `at ${format(metric.target)} a replica`;
    const ratio = expected / (current * metric.target);
    if (Math.abs(ratio - 1) <= settings.tolerance) return { replicas: current, reason: `${said} ${per}, about right for ${current}` };
    return { replicas: Math.ceil(expected / metric.target - 1e-9), reason: `${said} ${per}` };
  }
  const ratio = expected / metric.target;
  if (Math.abs(ratio - 1) <= settings.tolerance)
    return { replicas: current, reason: `${said}, about its target of ${format(metric.target)}` };
  const wanted = Math.ceil(ready * ratio - 1e-9);
  // Replicas that start already count: they will bring the value down.
  const replicas = ratio > 1 ? Math.max(current, wanted) : Math.min(current, wanted);
  return { replicas, reason: `${said}, target ${format(metric.target)}` };
}

/** Whether the load of the last seconds is so much more than the ready replicas are made for. */
function isPanic({ metrics, ready, settings }: ScalingInput, values: ScalingMemory['values'], now: number): boolean {
  return metrics.some((metric) => {
    const recent = (values[metric.name] ?? []).filter((v) => now - v.at <= settings.panic.windowSeconds * 1000);
    if (recent.length === 0) return false;
    const mean = recent.reduce((sum, v) => sum + v.value, 0) / recent.length;
    const made = metric.type === 'perReplica' ? metric.target * Math.max(1, ready) : metric.target;
    return mean >= settings.panic.threshold * made;
  });
}

/** Up: the lowest proposal of the window; down: the highest. */
function stabilized(
  wish: number,
  current: number,
  proposals: ScalingMemory['proposals'],
  { scaleUp, scaleDown }: ScalingSettings,
  now: number,
): number {
  const within = (seconds: number) => proposals.filter((p) => now - p.at < seconds * 1000).map((p) => p.replicas);
  // Somebody waits: a first replica is not put off.
  if (current === 0) return wish;
  if (wish > current) return Math.max(current, Math.min(wish, ...within(scaleUp.stabilizationSeconds)));
  return Math.min(current, Math.max(wish, ...within(scaleDown.stabilizationSeconds)));
}

/** At most so many more, or fewer, than at the beginning of the period. */
function limitRate(
  wish: number,
  current: number,
  changes: ScalingMemory['changes'],
  { scaleUp, scaleDown }: ScalingSettings,
  now: number,
): number {
  const rate = wish > current ? scaleUp : scaleDown;
  const recent = changes.filter((c) => now - c.at < rate.periodSeconds * 1000 && (wish > current ? c.to > c.from : c.to < c.from));
  const moved = recent.reduce((sum, c) => sum + Math.abs(c.to - c.from), 0);
  const before = wish > current ? current - moved : current + moved;
  const step = Math.max(rate.replicas, Math.ceil((before * rate.percent) / 100));
  return wish > current ? Math.min(wish, Math.max(current, before + step)) : Math.max(wish, Math.min(current, before - step));
}

function remember({ metrics, settings }: ScalingInput, memory: ScalingMemory, now: number): ScalingMemory['values'] {
  const keep = Math.max(TREND_MS, settings.panic.windowSeconds * 1000);
  const entries = metrics.map(({ name, sample }) => {
    const before = (memory.values[name] ?? []).filter((v) => now - v.at <= keep);
    return [name, 'value' in sample ? [...before, { at: now, value: sample.value }] : before] as const;
  });
  return Object.fromEntries(entries);
}

function longestWindow({ scaleUp, scaleDown }: ScalingSettings): number {
  return Math.max(scaleUp.stabilizationSeconds, scaleDown.stabilizationSeconds);
}

function reasonFor(wish: Wish, steady: number, paced: number, replicas: number, floor: number, { settings }: ScalingInput): string {
  if (replicas > paced)
    return floor > settings.min ? `the schedule keeps ${floor}` : `spec.replicas.min keeps ${settings.min}; ${wish.reason}`;
  if (wish.replicas > settings.max && replicas === settings.max)
    return `${wish.reason}: ${wish.replicas} are wanted, spec.replicas.max is ${settings.max}`;
  if (paced !== steady) return `${wish.reason}: on the way to ${steady}`;
  if (steady !== wish.replicas) return `${wish.reason}: waiting to see whether it stays so`;
  return wish.reason;
}

function limitOf(wish: number, steady: number, paced: number, replicas: number, max: number): ScaleDecision['limitedBy'] {
  if (wish > max && replicas === max) return 'max';
  if (replicas > paced) return 'min';
  return paced === steady ? null : 'rate';
}

function firstValue({ metrics }: ScalingInput): number | null {
  const sample = metrics[0]?.sample;
  return sample && 'value' in sample ? Math.max(0, sample.value) : null;
}

function problemOf(metrics: readonly MetricInput[]): string {
  return metrics.flatMap(({ name, sample }) => ('problem' in sample ? [`${name}: ${sample.problem}`] : [])).join('; ');
}

function format(value: number): string {
  return String(Number(value.toPrecision(3)));
}
