import type { FleetMoment, FleetPolicy, FleetScenario } from './fleet.ts';

export const onDemandOnly: FleetPolicy =
  ({ target, capacity }) =>
  () => ({ spot: capacity.map(() => 0), onDemand: target });

/** The same number in every zone, whatever happens. */
export const evenSpread =
  (extra: number): FleetPolicy =>
  ({ target, capacity }) =>
  () => ({
    spot: capacity.map((_, i) => Math.floor((target + extra) / capacity.length) + (i < (target + extra) % capacity.length ? 1 : 0)),
    onDemand: 0,
  });

/** Each missing replica goes to the next zone in turn. */
export const roundRobin =
  (extra: number): FleetPolicy =>
  ({ target, capacity }) => {
    let next = 0;
    return ({ zones }) => {
      const spot = zones.map((z) => z.running);
      for (let missing = target + extra - sum(spot); missing > 0; missing--) {
        const zone = next++ % capacity.length;
        spot[zone] = (spot[zone] ?? 0) + 1;
      }
      return { spot, onDemand: 0 };
    };
  };

/**
 * SpotHedge as its artifact has it (SkyServe, EuroSys'25; rules in shared/data/spot/README.md): new spot goes to active zones, a zone
 * that lost or refused one is not active until it launches well again, and on-demand stands in for what of target + extra is not ready.
 * With a safety net it also runs all on-demand while availability so far is no better than 0.99, and lets go of it one start later.
 */
export const spotHedge =
  (extra: number, safetyNet = false): FleetPolicy =>
  (scenario: FleetScenario) => {
    const { capacity, target, startTicks } = scenario;
    let last = { tick: -1, onDemand: -1 };
    const ordered: number[] = [];
    const random = seeded(scenario.name);
    const active = new Set(capacity.map((_, i) => i));
    let readyBefore = 0;
    let asked: readonly number[] = capacity.map(() => 0);
    let good = 0;
    return ({ tick, zones }: FleetMoment) => {
      zones.forEach((zone, i) => {
        if (zone.lost > 0 || zone.refused > 0) active.delete(i);
        else if ((asked[i] ?? 0) > 0) active.add(i);
      });
      if (active.size <= Math.min(1, capacity.length - 3)) for (const i of capacity.keys()) active.add(i);
      const spot = zones.map((z) => z.running);
      for (let missing = target + extra - sum(spot); missing > 0; missing--) {
        const choices = [...active];
        const empty = choices.filter((i) => spot[i] === 0);
        const from = empty.length > 0 ? empty : choices;
        const zone = from[Math.floor(random() * from.length)];
        if (zone === undefined) break;
        spot[zone] = (spot[zone] ?? 0) + 1;
      }
      asked = spot.map((n, i) => Math.max(0, n - (zones[i]?.running ?? 0)));
      let wanted = Math.min(target, Math.max(0, target + extra - readyBefore));
      if (safetyNet) {
        const onDemandBefore = tick > startTicks ? Math.min(...ordered.slice(-startTicks - 1)) : 0;
        if (tick > 0 && readyBefore + onDemandBefore >= target) good++;
        const isShort = wanted > 0;
        if (good / (tick + 1) <= 0.99) wanted = target;
        if (isShort) last = { tick, onDemand: wanted };
        else if (tick - last.tick < startTicks) wanted = Math.max(wanted, last.onDemand);
        ordered.push(wanted);
      }
      readyBefore = sum(zones.map((z) => z.ready));
      return { spot, onDemand: wanted };
    };
  };

function sum(numbers: readonly number[]): number {
  return numbers.reduce((a, b) => a + b, 0);
}

/** Random numbers 0..1 that depend on the name alone (mulberry32). */
function seeded(name: string): () => number {
  let state = 0;
  for (const character of name) state = (Math.imul(state, 31) + character.charCodeAt(0)) | 0;
  return () => {
    state = (state + 0x6d2b79f5) | 0;
    let t = Math.imul(state ^ (state >>> 15), 1 | state);
    t = (t + Math.imul(t ^ (t >>> 7), 61 | t)) ^ t;
    return ((t ^ (t >>> 14)) >>> 0) / 4_294_967_296;
  };
}
