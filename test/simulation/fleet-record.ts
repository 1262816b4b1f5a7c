import { type FleetPolicy, runFleet } from './fleet.ts';
import type { FleetCase } from './fleet-traces.ts';

/** What a serving's fleet did, tick by tick: for its chart. Costs in the price units of its scenario. */
export interface FleetRecord {
  readonly scenario: string;
  readonly policy: string;
  readonly tickSeconds: number;
  readonly target: number;
  /** Room for spot replicas, by zone and tick. */
  readonly room: readonly (readonly number[])[];
  readonly ticks: readonly FleetTick[];
  readonly availability: number;
  readonly cost: number;
  /** Of on-demand alone. */
  readonly reference: number;
  readonly launches: number;
}

export interface FleetTick {
  /** Replicas by zone. */
  readonly spot: readonly number[];
  readonly onDemand: number;
  readonly ready: number;
  readonly cost: number;
}

/** Runs one scenario and keeps what happened. */
export function recordFleet(one: FleetCase, policy: string, decide: FleetPolicy): FleetRecord {
  const ticks: FleetTick[] = [];
  const outcome = runFleet(one, decide, (spot, onDemand, ready, cost) => ticks.push({ spot, onDemand, ready, cost }));
  const { name, tickSeconds, target, capacity, reference } = one;
  return { scenario: name, policy, tickSeconds, target, room: capacity.map((zone) => [...zone]), ticks, reference, ...outcome };
}

const hours = (seconds: number) => `${(seconds / 3_600).toFixed(2)} h`;

/** A line for each stretch in which the same replicas ran. */
export function fleetLines({ policy, scenario, ticks, tickSeconds, target, availability, cost, reference, launches }: FleetRecord): string {
  const lines = [`${policy}: ${scenario}`, '', 'from       to         spot by zone        on-demand  answer'];
  let from = 0;
  for (const [i, tick] of ticks.entries()) {
    const next = ticks[i + 1];
    const isSame = next?.spot.join() === tick.spot.join() && next.onDemand === tick.onDemand && next.ready === tick.ready;
    if (next !== undefined && isSame) continue;
    const cells = [hours(from * tickSeconds).padEnd(11), hours((i + 1) * tickSeconds).padEnd(11), tick.spot.join(' + ').padEnd(20)];
    lines.push(`${cells.join('')}${String(tick.onDemand).padEnd(11)}${tick.ready} of ${target}`);
    from = i + 1;
  }
  const share = `${(100 * availability).toFixed(2)} % of the time all ${target} answer`;
  return [...lines, '', `${share}, at ${((100 * cost) / reference).toFixed(1)} % of on-demand's cost, ${launches} launches`].join('\n');
}
