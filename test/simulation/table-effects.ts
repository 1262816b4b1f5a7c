import { byHazard, byRemainingLife, type Cadence, daly, young } from './cadences.ts';
import { type EffectsCase, effectsCases } from './effects-traces.ts';
import { type MultiPoolPolicy, runMultiPool } from './multi-pool.ts';
import { inPool, MULTI_POOL_BASELINES } from './multi-pool-baselines.ts';
import { multiPoolOptimum } from './multi-pool-optimum.ts';
import { poolsPolicy } from './multi-pool-ours.ts';
import type { SinglePoolPolicy } from './single-pool.ts';
import { SINGLE_POOL_BASELINES } from './single-pool-baselines.ts';
import { SKY_NOMAD_H100, SKY_NOMAD_V100, skyNomad } from './sky-nomad.ts';
import { average, type Row, type Table, timed } from './table.ts';

const SAVE_SECONDS = 60;
const NOTICES = [0, 30, 120];
/** Intervals that each baseline is tried with, minutes. */
const INTERVALS = [5, 10, 20, 30, 60, 120];
/** On on-demand ours saves so often: that is what the operator's longest interval is. */
const OURS_SAVES_MINUTES = 30;
const BOUND = 'lower-bound';

interface Contestant {
  /** null = it is no policy for these pools. */
  readonly policy: (one: EffectsCase) => MultiPoolPolicy | null;
  /** Tried with every interval, and the best one counts, known only afterwards; else it has its own. */
  readonly fixed: boolean;
  /** Starts a successor at the notice. */
  readonly heedsNotice: boolean;
}

const baseline = (policy: Contestant['policy']): Contestant => ({ policy, fixed: true, heedsNotice: false });
const alone = (policy: SinglePoolPolicy) => baseline((one) => (one.pools.length === 1 ? inPool(0, policy) : null));
const ours = (cadence?: Cadence): Contestant => {
  const policy = poolsPolicy(cadence ? { cadence } : {});
  return { policy: () => policy, fixed: cadence === undefined, heedsNotice: true };
};

const CONTESTANTS: Readonly<Record<string, Contestant>> = {
  ...Object.fromEntries(Object.entries(SINGLE_POOL_BASELINES).map(([name, policy]) => [name, alone(policy)])),
  ...Object.fromEntries(Object.entries(MULTI_POOL_BASELINES).map(([name, policy]) => [name, baseline(() => policy)])),
  SkyNomad: baseline((one) => skyNomad(one.group.includes('H100') ? SKY_NOMAD_H100 : SKY_NOMAD_V100)),
  vicuna: ours(byHazard),
  'vicuna, by remaining life': ours(byRemainingLife),
  'vicuna, best fixed interval': ours(),
  "vicuna, Young's interval": ours(young),
  "vicuna, Daly's interval": ours(daly),
};

export const T6: Table = {
  id: 'T6',
  what: `what the published simulators leave out: a save stalls ${SAVE_SECONDS} s, unsaved work is lost, notice of ${NOTICES.join(', ')} s, whole gangs; US dollars a job`,
  policies: [...Object.keys(CONTESTANTS), BOUND],
  run(dir, name) {
    const groups = Map.groupBy(effectsCases(dir), (c) => c.group);
    const contestant = CONTESTANTS[name];
    if (!contestant && name !== BOUND) throw new Error('no such policy in table T6');
    return [...groups].flatMap(([group, cases]) =>
      contestant ? NOTICES.flatMap((notice) => best(name, contestant, group, cases, notice) ?? []) : bounds(group, cases),
    );
  },
};

/** The row of the interval that does best: first by late finishes, then by cost. */
function best(policy: string, contestant: Contestant, group: string, cases: readonly EffectsCase[], notice: number): Row | null {
  const minutes = contestant.fixed ? INTERVALS : [OURS_SAVES_MINUTES];
  const rows = minutes.flatMap((every) => rowWith(policy, contestant, group, cases, notice, every) ?? []);
  return rows.toSorted((a, b) => a.late - b.late || a.mean - b.mean)[0] ?? null;
}

function rowWith(
  name: string,
  { policy, fixed, heedsNotice }: Contestant,
  group: string,
  cases: readonly EffectsCase[],
  notice: number,
  saveEveryMinutes: number,
): Row | null {
  const effects = {
    saveSeconds: SAVE_SECONDS,
    noticeSeconds: notice,
    saveEverySeconds: saveEveryMinutes * 60,
    startsAtNotice: heedsNotice,
  };
  const { result, seconds } = timed(() =>
    cases.flatMap((one) => {
      const chosen = policy(one);
      return chosen ? [runMultiPool({ ...one, effects }, chosen)] : [];
    }),
  );
  if (result.length === 0) return null;
  const costs = result.map((r) => r.cost);
  return {
    table: 'T6',
    setting: setting(group, notice),
    policy: name,
    mean: average(costs),
    spread: spread(costs),
    scenarios: result.length,
    late: result.filter((r) => r.late).length,
    launches: average(result.map((r) => r.launches)),
    ...(fixed ? { saveEveryMinutes } : {}),
    lostHours: average(result.map((r) => r.lostSeconds)) / 3_600,
    published: null,
    seconds,
  };
}

/**
 * With saves for nothing, no work lost and the longest notice taken off every change-over, nobody who knows the trace could pay less.
 * Change-overs are rounded down to whole ticks where they are longer, which keeps it a bound and the time it takes short.
 */
function bounds(group: string, cases: readonly EffectsCase[]): Row[] {
  const { result, seconds } = timed(() =>
    cases.map((one) => {
      const least = Math.max(0, one.changeoverSeconds - Math.max(...NOTICES));
      const changeoverSeconds = least < one.gapSeconds ? least : Math.floor(least / one.gapSeconds) * one.gapSeconds;
      return multiPoolOptimum({ ...one, changeoverSeconds });
    }),
  );
  return NOTICES.map((notice) => ({
    table: 'T6',
    setting: setting(group, notice),
    policy: BOUND,
    mean: average(result),
    spread: spread(result),
    scenarios: result.length,
    late: 0,
    launches: 0,
    published: null,
    seconds: seconds / NOTICES.length,
  }));
}

function setting(group: string, notice: number): string {
  return `${group}; notice ${notice} s`;
}

function spread(costs: readonly number[]): number {
  const mean = average(costs);
  return Math.sqrt(average(costs.map((c) => (c - mean) ** 2)));
}
