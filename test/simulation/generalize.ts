import type { SpotProcess } from '../../operator/spot/availability.ts';
import { likeliestProcess, seriesIn } from './fit.ts';
import { type FleetPolicy, runFleet } from './fleet.ts';
import { spotHedge } from './fleet-baselines.ts';
import { mixPolicy } from './fleet-ours.ts';
import { fleetCases } from './fleet-traces.ts';
import { type MultiPoolPolicy, runMultiPool } from './multi-pool.ts';
import { MULTI_POOL_BASELINES } from './multi-pool-baselines.ts';
import { poolsPolicy } from './multi-pool-ours.ts';
import { h100Cases, type MultiPoolCase, v100Cases } from './multi-pool-traces.ts';
import { runSinglePool, type SinglePoolPolicy } from './single-pool.ts';
import { SINGLE_POOL_BASELINES } from './single-pool-baselines.ts';
import { slackPolicy } from './single-pool-ours.ts';
import { SKY_NOMAD_H100, SKY_NOMAD_V100, skyNomad } from './sky-nomad.ts';
import { average } from './table.ts';
import { type SinglePoolCase, singlePoolCases } from './traces.ts';

/** Ours and the best baseline on a part of the windows. */
export interface Split {
  readonly table: string;
  readonly part: string;
  readonly scenarios: number;
  readonly ours: number;
  readonly baseline: string;
  readonly theirs: number;
  readonly late: number;
}

/** What the usual process is with each series left out, and the whole. */
export function fits(dir: string): { readonly without: string; readonly process: SpotProcess }[] {
  const series = seriesIn(dir);
  const kept = (name: string) => series.filter((s) => s.name !== name);
  return [
    { without: 'none', process: likeliestProcess(series) },
    ...series.map(({ name }) => ({ without: name, process: likeliestProcess(kept(name)) })),
  ];
}

/** Windows in halves, shifted windows, and series that the usual process was not fitted to. */
export function splits(dir: string): Split[] {
  const single = singlePoolCases(dir);
  const starts = single.map((c) => c.startTick).toSorted((a, b) => a - b);
  const middle = starts[starts.length >> 1] ?? 0;
  const left = fits(dir).slice(1);
  const pools = (table: string, part: string, cases: readonly MultiPoolCase[]) =>
    multiPool(table, part, cases, table === 'T3' ? skyNomad(SKY_NOMAD_H100) : skyNomad(SKY_NOMAD_V100));
  const shifts = (cases: (shift: number) => MultiPoolCase[], by: readonly number[]) => by.flatMap(cases);
  return [
    singlePool(
      'windows that begin in the first half',
      single.filter((c) => c.startTick < middle),
      slackPolicy(),
    ),
    singlePool(
      'windows that begin in the second half',
      single.filter((c) => c.startTick >= middle),
      slackPolicy(),
    ),
    ...left.map(({ without, process }) =>
      singlePool(
        `${without}, with the process fitted to the others`,
        single.filter((c) => c.series === without),
        slackPolicy(process),
      ),
    ),
    pools('T3', 'published windows', h100Cases(dir)),
    pools(
      'T3',
      'windows between them',
      shifts((shift) => h100Cases(dir, shift), [60, 104, 155, 207, 260]),
    ),
    pools('T3', 'published windows, gangs of 16', h100Cases(dir, 0, 'gang')),
    pools(
      'T3',
      'windows between them, gangs of 16',
      shifts((shift) => h100Cases(dir, shift, 'gang'), [60, 104, 155, 207, 260]),
    ),
    pools('T4', 'published windows', v100Cases(dir)),
    pools(
      'T4',
      'windows between them',
      shifts((shift) => v100Cases(dir, shift), [-1_106, -553, 553, 1_106, 1_659]),
    ),
    ...[0, 1_440, 5_000].flatMap((shift) => fleets(dir, shift === 0 ? 'published offsets' : `offsets ${shift} ticks later`, shift)),
  ];
}

function singlePool(part: string, cases: readonly SinglePoolCase[], ours: SinglePoolPolicy): Split {
  const outcomes = cases.map((c) => runSinglePool(c, ours));
  const baseline = cheapest(
    SINGLE_POOL_BASELINES,
    ({ name }) => name !== 'up-knows-next-spot-length',
    (policy) => average(cases.map((c) => runSinglePool(c, policy).cost)),
  );
  return { table: 'T1', part, ...compared(outcomes), ...baseline };
}

function multiPool(table: string, part: string, cases: readonly MultiPoolCase[], nomad: MultiPoolPolicy): Split {
  const ours = poolsPolicy();
  const outcomes = cases.map((c) => runMultiPool(c, ours));
  const baseline = cheapest(
    { ...MULTI_POOL_BASELINES, SkyNomad: nomad },
    () => true,
    (policy) => average(cases.map((c) => runMultiPool(c, policy).cost)),
  );
  return { table, part, ...compared(outcomes), ...baseline };
}

/** Share of time with enough replicas, percent; SpotHedge as published, with one spare. */
function fleets(dir: string, part: string, shift: number): Split[] {
  return [...Map.groupBy(fleetCases(dir, shift), (c) => c.trace)].map(([trace, cases]) => {
    const share = (policy: FleetPolicy) => 100 * average(cases.map((c) => runFleet(c, policy).availability));
    return {
      table: 'T5',
      part: `${trace}, ${part}`,
      scenarios: cases.length,
      ours: share(mixPolicy()),
      baseline: 'spot-hedge-1',
      theirs: share(spotHedge(1)),
      late: 0,
    };
  });
}

function compared(outcomes: readonly { readonly cost: number; readonly late: boolean }[]) {
  return {
    scenarios: outcomes.length,
    ours: average(outcomes.map((o) => o.cost)),
    late: outcomes.filter((o) => o.late).length,
  };
}

function cheapest<T>(policies: Readonly<Record<string, T>>, counts: (one: { name: string }) => boolean, cost: (policy: T) => number) {
  const costs = Object.entries(policies)
    .filter(([name]) => counts({ name }))
    .map(([name, policy]) => ({ baseline: name, theirs: cost(policy) }));
  return costs.toSorted((a, b) => a.theirs - b.theirs)[0] ?? { baseline: 'none', theirs: Number.NaN };
}
