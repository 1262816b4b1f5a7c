import type { ModelGroup } from './multiplex.ts';
import type { Parallelism } from './profile.ts';

/** Equal groups: the same models on as many GPUs, run the same way. */
export interface SharedGroup extends Parallelism {
  /** Says what it consists of: groups of one name are interchangeable. */
  readonly name: string;
  readonly models: readonly string[];
  readonly replicas: number;
}

export interface Grouping {
  readonly groups: readonly SharedGroup[];
  /** Share of the requests that would have met their SLO. */
  readonly attainment: number;
}

export interface RegroupInput {
  /** Names of all models to be served. */
  readonly models: readonly string[];
  /** The groups there are, and how the latest requests would fare in them; null = none yet. */
  readonly current: Grouping | null;
  readonly best: Grouping;
  /** Share of the requests that should meet their SLO. */
  readonly target: number;
  /** ms since the epoch. */
  readonly changedAt: number;
  readonly now: number;
}

export interface Regrouped extends Grouping {
  readonly changed: boolean;
  /** One sentence. */
  readonly reason: string;
}

/** Models are moved for no less: loading one takes minutes, in which its old place is still paid for. */
const WORTH_MOVING = 0.01;
/** GPUs are given back after so long without a change: load that went may come back. */
const SHRINK_AFTER_MS = 15 * 60_000;

/** Whether the groups become those of the newest plan. Small gains, and savings that may not last, change nothing. */
export function regroup({ models, current, best, target, changedAt, now }: RegroupInput): Regrouped {
  const take = (reason: string): Regrouped => ({ ...best, changed: true, reason });
  if (current === null || current.groups.length === 0)
    return take(`the first plan: ${percent(best.attainment)} of the requests expected should meet their SLO on ${gpus(best)}`);
  const missing = models.filter((name) => !current.groups.some((g) => g.models.includes(name)));
  if (missing.length > 0) return take(`${missing.join(', ')} had no group`);
  const gone = current.groups.flatMap((g) => g.models).filter((name) => !models.includes(name));
  if (gone.length > 0) return take(`${[...new Set(gone)].join(', ')} is no longer served`);
  const stay = { ...current, changed: false };
  const here = `${percent(current.attainment)} of the last half hour's requests would meet their SLO`;
  if (current.attainment < target && best.attainment >= current.attainment + WORTH_MOVING)
    return take(`${here} as it was, ${percent(best.attainment)} in these groups on ${gpus(best)}`);
  if (gpusOf(best) < gpusOf(current) && best.attainment >= target) {
    if (now - changedAt >= SHRINK_AFTER_MS) return take(`${gpus(best)} would do where there were ${gpusOf(current)}`);
    return { ...stay, reason: `${here}; ${gpus(best)} would do, if that lasts for 15 min` };
  }
  return { ...stay, reason: current.attainment < target ? `${here}, and spec.multiplexing.maxGpus allows nothing better` : here };
}

export function gpusOf({ groups }: Pick<Grouping, 'groups'>): number {
  return groups.reduce((sum, g) => sum + g.pipeline * g.tensor * g.replicas, 0);
}

/** Equal groups of a plan taken together. `order` = the models as the spec lists them; `nameOf` a short name for what a group consists of. */
export function sharedGroups(groups: readonly ModelGroup[], order: readonly string[], nameOf: (content: string) => string): SharedGroup[] {
  const shared = new Map<string, SharedGroup>();
  for (const { models, pipeline, tensor } of groups) {
    const sorted = models.toSorted((a, b) => order.indexOf(a) - order.indexOf(b));
    const name = nameOf(JSON.stringify([sorted.toSorted(), pipeline, tensor]));
    shared.set(name, { name, models: sorted, pipeline, tensor, replicas: (shared.get(name)?.replicas ?? 0) + 1 });
  }
  return [...shared.values()].sort((a, b) => (a.name < b.name ? -1 : 1));
}

/** Each replica with GPUs of its own, for the evaluation. */
export function placedGroups(groups: readonly SharedGroup[]): ModelGroup[] {
  return groups
    .flatMap((group) => Array.from({ length: group.replicas }, () => group))
    .map(({ models, pipeline, tensor }, node) => ({
      node,
      gpus: Array.from({ length: pipeline * tensor }, (_, i) => i),
      pipeline,
      tensor,
      models,
    }));
}

function gpus(grouping: Grouping): string {
  const count = gpusOf(grouping);
  return count === 1 ? '1 GPU' : `${count} GPUs`;
}

function percent(share: number): string {
  return `${(100 * share).toFixed(1)} %`;
}
