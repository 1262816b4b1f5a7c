import { type MultiPoolOutcome, type MultiPoolPolicy, poolAt, runMultiPool } from './multi-pool.ts';
import { MULTI_POOL_BASELINES, MULTI_REGION_BASELINES, uniformProgressIn } from './multi-pool-baselines.ts';
import { freeMovesOptimum, multiPoolOptimum } from './multi-pool-optimum.ts';
import { poolsPolicy } from './multi-pool-ours.ts';
import { h100Cases, type MultiPoolCase, multiRegionCases, v100Cases } from './multi-pool-traces.ts';
import { SKY_NOMAD_H100, SKY_NOMAD_V100, type SkyNomadSettings, skyNomad } from './sky-nomad.ts';
import { average, type Measured, type Row, referenceFigure, rowsOf, type Table, timed } from './table.ts';

const OURS = 'vicuna';
const SKY_NOMAD = 'SkyNomad';
const OPTIMUM = 'omniscient-optimum';
/** Uniform Progress in a single zone: the mean over the zones. */
const SINGLE = 'UP';
/** Names that reference.json has for the same. */
const PUBLISHED: Readonly<Record<string, string>> = { [OPTIMUM]: 'Optimal' };

function simulate(cases: readonly MultiPoolCase[], policy: string, settings: SkyNomadSettings): Measured[] {
  if (policy === OPTIMUM) return cases.map((c) => ({ setting: c.group, cost: multiPoolOptimum(c), late: false, launches: 0 }));
  if (policy === SINGLE) {
    return cases.flatMap((c) =>
      c.pools.map((_, pool) => measured(c, runMultiPool({ ...c, guard: 'keepsWarmSpot', billsLastTick: true }, uniformProgressIn(pool)))),
    );
  }
  const one = policy === SKY_NOMAD ? skyNomad(settings) : named(MULTI_POOL_BASELINES, policy);
  return cases.map((c) => measured(c, runMultiPool(c, one)));
}

function measured({ group }: MultiPoolCase, { cost, late, launches }: MultiPoolOutcome): Measured {
  return { setting: group, cost, late, launches };
}

function named(policies: Readonly<Record<string, MultiPoolPolicy>>, name: string): MultiPoolPolicy {
  const policy = name === OURS ? poolsPolicy() : policies[name];
  if (policy === undefined) throw new Error(`There is no policy ${name} for several pools`);
  return policy;
}

const POLICIES = [...Object.keys(MULTI_POOL_BASELINES), SINGLE, SKY_NOMAD, OURS, OPTIMUM];

export const T3: Table = {
  id: 'T3',
  what: 'one training with a deadline over six H100 zones, by deadline over duration, US dollars a job',
  policies: POLICIES,
  run(dir, policy) {
    const { result, seconds } = timed(() => simulate(h100Cases(dir), policy, SKY_NOMAD_H100));
    return rowsOf('T3', policy, result, seconds, (ratio) =>
      referenceFigure(dir, 'T3', { policy: PUBLISHED[policy] ?? policy, ratio: Number(ratio) }, 'mean'),
    );
  },
};

export const T4: Table = {
  id: 'T4',
  what: 'one training with a deadline over three V100 zones with changing prices, US dollars a job',
  policies: POLICIES,
  run(dir, policy) {
    const { result, seconds } = timed(() => simulate(v100Cases(dir), policy, SKY_NOMAD_V100));
    return rowsOf('T4', policy, result, seconds, () => referenceFigure(dir, 'T4', { policy: PUBLISHED[policy] ?? policy }, 'mean'));
  },
};

/** What the published scorer bills: every spot tick at the first price of the zone in which the run ended. */
export function billedAtTheEnd(c: MultiPoolCase, { spotTicks, onDemandTicks, lastPool }: MultiPoolOutcome): number {
  const { spotPrice, onDemandPrice } = poolAt(c.pools, lastPool);
  return ((spotTicks * (spotPrice[0] as number) + onDemandTicks * onDemandPrice) * c.gapSeconds) / 3_600;
}

/** The published average: of the scenarios' means, so that each set of zones weighs the same, however many windows it has. */
function overall(rows: readonly Row[], published: number | null): Row {
  const mean = (figure: (row: Row) => number) => average(rows.map(figure));
  const total = (figure: (row: Row) => number) => rows.reduce((sum, row) => sum + figure(row), 0);
  return {
    ...(rows[0] as Row),
    setting: 'all',
    mean: mean((r) => r.mean),
    spread: mean((r) => r.spread),
    scenarios: total((r) => r.scenarios),
    late: total((r) => r.late),
    launches: mean((r) => r.launches),
    seconds: total((r) => r.seconds),
    published,
  };
}

export const T2: Table = {
  id: 'T2',
  what: 'one training with a deadline over zones of several regions, US dollars a job',
  policies: [...Object.keys(MULTI_REGION_BASELINES), OURS, OPTIMUM],
  run(dir, policy) {
    const cases = multiRegionCases(dir);
    const { result, seconds } = timed((): Measured[] => {
      if (policy === OPTIMUM) return cases.map((c) => ({ setting: c.group, cost: freeMovesOptimum(c), late: false, launches: 0 }));
      const one = named(MULTI_REGION_BASELINES, policy);
      return cases.map((c) => {
        const outcome = runMultiPool(c, one);
        return { ...measured(c, outcome), cost: billedAtTheEnd(c, outcome) };
      });
    });
    const rows = rowsOf('T2', policy, result, seconds, () => null);
    return [overall(rows, referenceFigure(dir, 'T2', { policy }, 'average')), ...rows];
  },
};
