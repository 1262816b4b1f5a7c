import { runSinglePool, type SinglePoolPolicy } from './single-pool.ts';
import { SINGLE_POOL_BASELINES } from './single-pool-baselines.ts';
import { singlePoolOptimum } from './single-pool-optimum.ts';
import { slackPolicy } from './single-pool-ours.ts';
import { type Measured, referenceFigure, rowsOf, type Table, timed } from './table.ts';
import { type SinglePoolCase, singlePoolCases } from './traces.ts';

const OPTIMUM = 'omniscient-optimum';
const POLICIES: Readonly<Record<string, () => SinglePoolPolicy>> = {
  ...Object.fromEntries(Object.entries(SINGLE_POOL_BASELINES).map(([name, policy]) => [name, () => policy])),
  vicuna: () => slackPolicy(),
};

export const T1: Table = {
  id: 'T1',
  what: 'one training with a deadline on one spot pool, US dollars a job',
  policies: [...Object.keys(POLICIES), OPTIMUM],
  run(dir, policy) {
    const cases = singlePoolCases(dir);
    const { result, seconds } = timed(() => (policy === OPTIMUM ? cases.map(optimum) : simulate(cases, POLICIES[policy]?.())));
    const measured = [...result.map((m) => ({ ...m, setting: 'all' })), ...result];
    return rowsOf('T1', policy, measured, 2 * seconds, (setting) =>
      referenceFigure(dir, 'T1', { policy }, setting === 'all' ? 'all' : `R0_${parseInt(setting, 10)}`),
    );
  },
};

function simulate(cases: readonly SinglePoolCase[], policy: SinglePoolPolicy | undefined): Measured[] {
  if (!policy) throw new Error('no such policy in table T1');
  return cases.map((scenario) => ({ ...runSinglePool(scenario, policy), setting: setting(scenario) }));
}

function optimum(scenario: SinglePoolCase): Measured {
  return { cost: singlePoolOptimum(scenario), late: false, launches: 0, setting: setting(scenario) };
}

const setting = (scenario: SinglePoolCase) => `${scenario.deadlineHours} h`;
