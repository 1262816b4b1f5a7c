// `npm run simulate`: one run of a policy over traces, to be looked at tick by tick.
import { existsSync, writeFileSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { parseArgs } from 'node:util';
import { gammaTimes } from '../../operator/spot/multiplexing/arrivals.ts';
import { seededRandom } from '../../operator/spot/multiplexing/random.ts';
import { readRequestTimes } from './arrival-traces.ts';
import { fleetChart } from './fleet-chart.ts';
import { type FleetRecord, fleetLines } from './fleet-record.ts';
import { serveRequests } from './fleet-requests.ts';
import { runChart } from './run-chart.ts';
import { type RunRecord, simulationOf } from './run-record.ts';
import { fleetSimulation } from './table-fleet.ts';

const USAGE = `npm run simulate -- [--table T1] [--scenario N] [--policy NAME] [--data DIR] [--svg FILE] [--json FILE]

Runs one policy over one scenario of the tables T1 to T4 (a training) or T5 (a serving's fleet) and prints where it ran, when and at
what cost.
  --table ID      default: T1
  --scenario N    number or name of the scenario; "list" prints them (default: 1)
  --policy NAME   "list" prints them (default: vicuna, which is what the operator runs)
  --data DIR      traces (default: ../shared/data/spot)
  --requests N    T5: requests a second of the fleet's users, 10 s each (default: 0.15, as published)
  --arrivals FILE T5: their times from a gzipped trace (TIMESTAMP,…) instead of at random; --requests is then their mean
  --svg FILE      a picture of the run: pools, progress and cost over time
  --json FILE     the run, tick by tick`;

function fail(message: string): never {
  console.error(`${message}\n\n${USAGE}`);
  process.exit(2);
}

function argumentsOf() {
  try {
    return parseArgs({
      options: {
        table: { type: 'string', default: 'T1' },
        scenario: { type: 'string', default: '1' },
        policy: { type: 'string', default: 'vicuna' },
        data: { type: 'string', default: join(dirname(import.meta.dirname), '..', '..', 'shared', 'data', 'spot') },
        requests: { type: 'string', default: '0.15' },
        arrivals: { type: 'string' },
        svg: { type: 'string' },
        json: { type: 'string' },
        help: { type: 'boolean', default: false },
      },
    }).values;
  } catch (error) {
    fail((error as Error).message);
  }
}

const values = argumentsOf();
if (values.help) {
  console.log(USAGE);
  process.exit(0);
}
if (!existsSync(values.data)) fail(`There are no traces in ${values.data}: name their directory with --data`);
const simulation =
  (values.table === 'T5' ? fleetSimulation(values.data) : simulationOf(values.table, values.data)) ??
  fail(`There is no table ${values.table} to simulate: choose T1, T2, T3, T4 or T5`);
if (values.scenario === 'list' || values.policy === 'list') {
  const list = values.policy === 'list' ? simulation.policies : simulation.scenarios.map((name, i) => `${i + 1}  ${name}`);
  console.log(list.join('\n'));
  process.exit(0);
}
const scenario = simulation.scenarios[Number(values.scenario) - 1] ?? values.scenario;
if (!simulation.scenarios.includes(scenario))
  fail(`There is no scenario ${values.scenario}: there are ${simulation.scenarios.length}, "--scenario list" prints them`);
if (!simulation.policies.includes(values.policy)) fail(`There is no policy ${values.policy}: there are ${simulation.policies.join(', ')}`);

const run = simulation.run(scenario, values.policy);
const isFleet = 'target' in run;
console.log(isFleet ? `${fleetLines(run)}\n${requestLine(run)}` : table(run));
if (values.svg !== undefined) writeFileSync(values.svg, isFleet ? fleetChart(run) : runChart(run));
if (values.json !== undefined) writeFileSync(values.json, `${JSON.stringify(run, null, 1)}\n`);

/** How the fleet's users fared. */
function requestLine({ ticks, tickSeconds }: FleetRecord): string {
  const rate = Number(values.requests);
  if (!(rate > 0 && rate <= 1_000)) fail(`--requests ${values.requests} is no number of requests a second: give one above 0, up to 1000`);
  const duration = ticks.length * tickSeconds;
  const arrivals =
    values.arrivals === undefined ? gammaTimes(rate, 1, duration, seededRandom(1)) : scaled(readRequestTimes(values.arrivals));
  const ready = ticks.map((t) => t.ready);
  const users = serveRequests(ready, tickSeconds, { arrivals, serviceSeconds: 10, timeoutSeconds: 100, seed: 2 });
  const seconds = (value: number | null) => (value === null ? 'never' : `${value.toFixed(1)} s`);
  return `${users.requests} requests: ${(100 * users.failed).toFixed(2)} % failed, p50 ${seconds(users.p50)}, p99 ${seconds(users.p99)}, ${users.continued} went on at another replica`;

  /** The trace over and over, slower or faster, so that it has the wanted mean and lasts as long as the run. */
  function scaled(times: readonly number[]): number[] {
    const length = times.length / rate;
    const factor = length / Math.max(1e-9, times.at(-1) ?? 0);
    return Array.from({ length: Math.ceil(duration / length) }, (_, round) => times.map((time) => round * length + time * factor)).flat();
  }
}

/** A line for each stay in one place. */
function table(one: RunRecord): string {
  const lines = [`${one.policy}: ${one.scenario}`, '', 'from      to        where                         capacity   done      cost'];
  const hours = (seconds: number) => `${(seconds / 3_600).toFixed(1)} h`;
  let from = 0;
  for (const [i, tick] of one.ticks.entries()) {
    const next = one.ticks[i + 1];
    if (next !== undefined && next.pool === tick.pool && next.capacity === tick.capacity) continue;
    const place = tick.pool === null ? 'waits for spot' : (one.pools[tick.pool]?.name ?? '');
    const cells = [hours(from * one.gapSeconds), hours((i + 1) * one.gapSeconds)].map((cell) => cell.padEnd(10));
    const capacity = { spot: 'spot', onDemand: 'on-demand', none: '' }[tick.capacity ?? 'none'];
    lines.push(`${cells.join('')}${place.padEnd(30)}${capacity.padEnd(11)}${hours(tick.doneSeconds).padEnd(10)}$${tick.cost.toFixed(2)}`);
    from = i + 1;
  }
  const end = `done after ${hours(one.finishedAt)}, ${one.late ? 'LATE: the' : 'the'} deadline is ${hours(one.deadlineSeconds)}`;
  return [...lines, '', `$${one.cost.toFixed(2)}, ${one.launches} launches, ${end}`].join('\n');
}
