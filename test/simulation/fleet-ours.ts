import { type Availability, ageHours, endsFactor, look, USUAL_PROCESS } from '../../operator/spot/availability.ts';
import { cheapestMix, STARTS_AHEAD } from '../../operator/spot/fleet-mix.ts';
import { endsWithin } from '../../operator/spot/hazard.ts';
import type { FleetPolicy } from './fleet.ts';

/** The operator's mix, its zones' outlook learned from what its own replicas and launches meet. */
export function mixPolicy(): FleetPolicy {
  return ({ capacity, target, startTicks, tickSeconds, spotPrice, onDemandPrice }) => {
    const known: (Availability | null)[] = capacity.map(() => null);
    let asked = capacity.map(() => 0);
    const aheadHours = (STARTS_AHEAD * (startTicks + 1) * tickSeconds) / 3_600;
    return ({ tick, zones, onDemand }) => {
      const now = tick * tickSeconds;
      zones.forEach((zone, i) => {
        const held = zone.lost === 0 && zone.refused === 0;
        if (tick > 0 && (!held || zone.running > 0 || (asked[i] ?? 0) > 0)) known[i] = look(known[i] ?? null, held, now);
      });
      const open = zones.map(({ running, refused }, i) => refused === 0 && (running > 0 || (known[i]?.available ?? true)));
      const outlooks = zones.map(({ running }, i) => ({
        running,
        room: open[i] ? Number.POSITIVE_INFINITY : running,
        loss: lossWithin(known[i] ?? null, now, aheadHours),
      }));
      const mix = cheapestMix({ needed: target, spotPrice, onDemandPrice, onDemandRoom: target }, outlooks);
      // A zone that is shut is tried for one more: a launch that finds nothing costs nothing, and tells.
      const spot = mix.spot.map((count, i) => (open[i] ? count : Math.max(count, (zones[i]?.running ?? 0) + 1)));
      asked = spot.map((count, i) => Math.max(0, count - (zones[i]?.running ?? 0)));
      const ready = zones.reduce((sum, zone, i) => sum + Math.min(zone.ready, mix.spot[i] ?? 0), 0);
      // On-demand stays until spot that answers stands in its place.
      return { spot, onDemand: Math.max(mix.onDemand, Math.min(onDemand.running, target - ready)) };
    };
  };
}

function lossWithin(zone: Availability | null, now: number, hours: number): number {
  const { up } = USUAL_PROCESS;
  if (zone === null) return endsWithin(up, 1, hours);
  return endsWithin({ ...up, perHour: up.perHour * endsFactor(zone.up) }, zone.available ? ageHours(zone, now) : 0, hours);
}
