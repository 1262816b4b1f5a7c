import type { FleetScenario } from './fleet.ts';

/**
 * Least cost at which the target is met in every tick by one who knows the trace: a proven lower bound, and
 * exact but for one thing, that replicas which start take no room from those that leave.
 *
 * Dynamic programme over the ready replicas by zone. Never more of them than the target: of the replicas ready in a tick with one too
 * many, one was not needed before it, and could have become ready later. Becoming ready in a tick costs the cold start before it.
 */
export function fleetOptimum({ capacity, target, startTicks, spotPrice, onDemandPrice }: FleetScenario): number {
  const ticks = capacity[0]?.length ?? 0;
  const places = [...capacity, null];
  const prices = places.map((zone) => (zone === null ? onDemandPrice : spotPrice));
  const states = fleetsUpTo(target, places.length);
  const withoutOne = neighbours(states);
  const full = states.map((state) => sum(state) === target);
  const bills = states.map((state) => state.reduce((total, n, place) => total + n * (prices[place] as number), 0));
  const least = new Float64Array(states.length);
  for (let tick = startTicks; tick < ticks; tick++) {
    const billed = Math.min(startTicks, tick - startTicks);
    const room = places.map((zone) => (zone === null ? target : Math.min(...zone.subarray(tick - startTicks, tick + 1))));
    // States are in the order of their sizes: first every way to give replicas up, then every way to have others ready.
    for (let i = states.length - 1; i >= 0; i--)
      for (const smaller of withoutOne[i] ?? [])
        if (smaller !== undefined) least[smaller] = Math.min(least[smaller] as number, least[i] as number);
    for (let i = 0; i < states.length; i++)
      for (const [place, smaller] of (withoutOne[i] ?? []).entries())
        if (smaller !== undefined) least[i] = Math.min(least[i] as number, (least[smaller] as number) + (prices[place] as number) * billed);
    for (const [i, state] of states.entries()) {
      const fits = full[i] && state.every((n, place) => n <= (room[place] as number));
      least[i] = fits ? (least[i] as number) + (bills[i] as number) : Infinity;
    }
  }
  return Math.min(...least);
}

/** All ways to have at most so many replicas in so many places, small fleets first. */
function fleetsUpTo(target: number, places: number): number[][] {
  let states: number[][] = [[]];
  for (let place = 0; place < places; place++)
    states = states.flatMap((state) => Array.from({ length: target - sum(state) + 1 }, (_, n) => [...state, n]));
  return states.sort((a, b) => sum(a) - sum(b));
}

/** For each fleet and place, the fleet with one replica less there. */
function neighbours(states: readonly (readonly number[])[]): (number | undefined)[][] {
  const index = new Map(states.map((state, i) => [state.join(), i]));
  return states.map((state) => state.map((n, place) => (n === 0 ? undefined : index.get(state.with(place, n - 1).join()))));
}

function sum(numbers: readonly number[]): number {
  return numbers.reduce((total, n) => total + n, 0);
}
