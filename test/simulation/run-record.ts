import { poolAt, runMultiPool } from './multi-pool.ts';
import { MULTI_POOL_BASELINES, MULTI_REGION_BASELINES } from './multi-pool-baselines.ts';
import { poolsPolicy } from './multi-pool-ours.ts';
import { h100Cases, type MultiPoolCase, multiRegionCases, v100Cases } from './multi-pool-traces.ts';
import { runSinglePool } from './single-pool.ts';
import { SINGLE_POOL_BASELINES } from './single-pool-baselines.ts';
import { slackPolicy } from './single-pool-ours.ts';
import { SKY_NOMAD_H100, SKY_NOMAD_V100, skyNomad } from './sky-nomad.ts';
import { type SinglePoolCase, singlePoolCases } from './traces.ts';

/** What a run did, tick by tick: for its chart. Times in seconds, costs in US dollars. */
export interface RunRecord {
  readonly scenario: string;
  readonly policy: string;
  readonly gapSeconds: number;
  readonly durationSeconds: number;
  readonly deadlineSeconds: number;
  /** Pools, and whether each had spot, by tick. */
  readonly pools: readonly { readonly name: string; readonly spot: readonly boolean[] }[];
  readonly ticks: readonly RecordedTick[];
  readonly cost: number;
  readonly launches: number;
  readonly finishedAt: number;
  readonly late: boolean;
}

export interface RecordedTick {
  /** null = it waited. */
  readonly pool: number | null;
  readonly capacity: 'spot' | 'onDemand' | null;
  readonly doneSeconds: number;
  readonly cost: number;
}

/** Runs that can be looked at one by one. */
export interface Simulation<R = RunRecord> {
  readonly scenarios: readonly string[];
  readonly policies: readonly string[];
  run(scenario: string, policy: string): R;
}

const OURS = 'vicuna';

/** The scenarios of a table, T1 to T4, in a directory of traces; null if there is no such table. */
export function simulationOf(table: string, dir: string): Simulation | null {
  if (table === 'T1') return singlePool(singlePoolCases(dir));
  const cases: Readonly<Record<string, () => MultiPoolCase[]>> = {
    T2: () => multiRegionCases(dir),
    T3: () => h100Cases(dir),
    T4: () => v100Cases(dir),
  };
  const found = cases[table];
  const nomad = { SkyNomad: skyNomad(table === 'T3' ? SKY_NOMAD_H100 : SKY_NOMAD_V100) };
  return found ? multiPool(found(), table === 'T2' ? MULTI_REGION_BASELINES : { ...MULTI_POOL_BASELINES, ...nomad }) : null;
}

function singlePool(cases: readonly SinglePoolCase[]): Simulation {
  const policies = { ...SINGLE_POOL_BASELINES, [OURS]: slackPolicy() };
  return {
    scenarios: cases.map((c) => c.name),
    policies: Object.keys(policies),
    run(scenario, policy) {
      const one = found(cases, scenario);
      const ticks: RecordedTick[] = [];
      const outcome = runSinglePool(one, named(policies, policy), (_, mode, doneSeconds, cost) => {
        ticks.push({ pool: mode === 'idle' ? null : 0, capacity: mode === 'idle' ? null : mode, doneSeconds, cost });
      });
      const spot = ticks.map((_, t) => one.available[t] === 1);
      return { ...described(one), policy, pools: [{ name: one.series, spot }], ticks, ...outcome };
    },
  };
}

function multiPool(cases: readonly MultiPoolCase[], baselines: typeof MULTI_POOL_BASELINES): Simulation {
  const policies = { ...baselines, [OURS]: poolsPolicy() };
  const all = cases.map((c) => ({ ...c, name: c.group === 'all' || c.name.startsWith(c.group) ? c.name : `${c.group}, ${c.name}` }));
  return {
    scenarios: all.map((c) => c.name),
    policies: Object.keys(policies),
    run(scenario, policy) {
      const one = found(all, scenario);
      const ticks: RecordedTick[] = [];
      const outcome = runMultiPool(one, named(policies, policy), (place, doneSeconds, cost) => {
        ticks.push({ pool: place?.pool ?? null, capacity: place?.capacity ?? null, doneSeconds, cost });
      });
      const pools = one.pools.map(({ name }, i) => ({ name, spot: ticks.map((_, t) => poolAt(one.pools, i).available[t] === 1) }));
      return { ...described(one), policy, pools, ticks, ...outcome };
    },
  };
}

type Described = Pick<SinglePoolCase, 'name' | 'gapSeconds' | 'durationSeconds' | 'deadlineSeconds'>;

function described({ name, gapSeconds, durationSeconds, deadlineSeconds }: Described) {
  return { scenario: name, gapSeconds, durationSeconds, deadlineSeconds };
}

export function found<T extends { readonly name: string }>(cases: readonly T[], name: string): T {
  const one = cases.find((c) => c.name === name);
  if (one === undefined) throw new Error(`There is no scenario "${name}"`);
  return one;
}

export function named<T>(policies: Readonly<Record<string, T>>, name: string): T {
  const policy = policies[name];
  if (policy === undefined) throw new Error(`There is no policy ${name}: there are ${Object.keys(policies).join(', ')}`);
  return policy;
}
