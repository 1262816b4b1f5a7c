import { type FleetOutcome, type FleetPolicy, runFleet } from './fleet.ts';
import { evenSpread, onDemandOnly, roundRobin, spotHedge } from './fleet-baselines.ts';
import { fleetOptimum } from './fleet-optimum.ts';
import { mixPolicy } from './fleet-ours.ts';
import { type FleetRecord, recordFleet } from './fleet-record.ts';
import { type FleetCase, fleetCases } from './fleet-traces.ts';
import { found, named, type Simulation } from './run-record.ts';
import { average, type Row, referenceFigure, type Table, timed } from './table.ts';

const OPTIMUM = 'omniscient-optimum';

interface Contestant {
  readonly policy: FleetPolicy;
  /** Its name and number of spares in reference.json; null = there is no figure. */
  readonly published: readonly [policy: string, extra: number] | null;
}

const CONTESTANTS: Readonly<Record<string, Contestant>> = {
  'on-demand-only': { policy: onDemandOnly, published: ['OnDemand', 0] },
  'even-spread': { policy: evenSpread(0), published: ['NaiveSpread', 0] },
  'round-robin': { policy: roundRobin(0), published: ['RoundRobin', 0] },
  'spot-hedge-0': { policy: spotHedge(0), published: ['SpotHedge', 0] },
  'spot-hedge-1': { policy: spotHedge(1), published: ['SpotHedge', 1] },
  'spot-hedge-2': { policy: spotHedge(2), published: ['SpotHedge', 2] },
  'spot-hedge-3': { policy: spotHedge(3), published: ['SpotHedge', 3] },
  'spot-hedge-safety-net': { policy: spotHedge(1, true), published: ['SpotHedge+safety-net', 1] },
  vicuna: { policy: mixPolicy(), published: null },
};

export const T5: Table = {
  id: 'T5',
  what: 'three replicas over three zones, percent of the cost of on-demand alone, and share of time with all three answering',
  policies: [...Object.keys(CONTESTANTS), OPTIMUM],
  run(dir, name) {
    const contestant = CONTESTANTS[name];
    if (!contestant && name !== OPTIMUM) throw new Error('no such policy in table T5');
    const run = (one: FleetCase) => (contestant ? runFleet(one, contestant.policy) : optimum(one));
    const byTrace = Map.groupBy(fleetCases(dir), (c) => c.trace);
    return [...byTrace].map(([trace, cases]) => row(dir, name, run, contestant?.published ?? null, trace, cases));
  },
};

/** The scenarios of the table one by one. */
export function fleetSimulation(dir: string): Simulation<FleetRecord> {
  const cases = fleetCases(dir);
  return {
    scenarios: cases.map((c) => c.name),
    policies: Object.keys(CONTESTANTS),
    run: (scenario, policy) => recordFleet(found(cases, scenario), policy, named(CONTESTANTS, policy).policy),
  };
}

/** Whoever knows the trace has all answering all the time, for the least that that can cost. */
function optimum(one: FleetCase): FleetOutcome {
  return { availability: 1, cost: fleetOptimum(one), launches: 0 };
}

function row(
  dir: string,
  policy: string,
  run: (one: FleetCase) => FleetOutcome,
  published: Contestant['published'],
  trace: string,
  cases: readonly FleetCase[],
): Row {
  const { result, seconds } = timed(() => cases.map((c) => ({ ...run(c), reference: c.reference })));
  const percents = result.map((r) => (r.cost / r.reference) * 100);
  const mean = average(percents);
  const where = published && { trace, policy: published[0], extra: published[1] };
  const publishedShare = where && referenceFigure(dir, 'T5', where, 'availability');
  return {
    table: 'T5',
    setting: trace,
    policy,
    mean,
    spread: Math.sqrt(average(percents.map((p) => (p - mean) ** 2))),
    scenarios: cases.length,
    late: 0,
    launches: average(result.map((r) => r.launches)),
    availability: average(result.map((r) => r.availability)) * 100,
    published: where && referenceFigure(dir, 'T5', where, 'costPercent'),
    ...(publishedShare === null ? {} : { publishedAvailability: publishedShare * 100 }),
    seconds,
  };
}
