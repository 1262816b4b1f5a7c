/** A zone as the mix of a fleet sees it. */
export interface ZoneOutlook {
  /** Chance that its replicas are lost within the time looked ahead. Nodes of one zone are taken to go together. */
  readonly loss: number;
  /** Spot replicas there now: to keep them costs no start. */
  readonly running: number;
  /** Most spot replicas that it can hold. */
  readonly room: number;
}

export interface MixRequest {
  /** Replicas that must answer. */
  readonly needed: number;
  /** Prices of a replica, in any unit. */
  readonly spotPrice: number;
  readonly onDemandPrice: number;
  /** Most on-demand replicas. */
  readonly onDemandRoom: number;
}

export interface Mix {
  /** Replicas by zone, in the order of the zones. */
  readonly spot: readonly number[];
  readonly onDemand: number;
  /** Replicas that are expected to be missing. */
  readonly missing: number;
}

/**
 * What a missing replica costs, in prices of a spot replica for the same time: a spare is worth its price where it is needed three
 * hours in a hundred. Of the tables' figures, docs/policies.md shows how they depend on it.
 */
export const SHORTAGE_PRICE = 33;
/** Starts of a replica that are looked ahead: what is started after a loss may be lost while it starts. */
export const STARTS_AHEAD = 2;
/** Numbers of on-demand replicas that are tried, at most: a large fleet need not be mixed to the last one. */
const MIXES = 12;
/** Difference in missing replicas below which two zones are alike: then what runs already decides, then the spread. */
const ALIKE = 1e-4;

/** The cheapest mix of spot over zones and on-demand, what is expected to be missing priced in. */
export function cheapestMix(request: MixRequest, zones: readonly ZoneOutlook[]): Mix {
  const { needed, spotPrice, onDemandPrice, onDemandRoom } = request;
  let best: Mix = { spot: zones.map(() => 0), onDemand: Math.min(needed, onDemandRoom), missing: 0 };
  let least = Number.POSITIVE_INFINITY;
  const step = Math.max(1, Math.ceil(needed / MIXES));
  for (let onDemand = 0; onDemand <= Math.min(needed, onDemandRoom); onDemand += step) {
    const spot = zones.map(() => 0);
    for (let total = 0; total <= needed + sparesAtMost(needed); total++) {
      const next = bestZone(spot, zones, needed - onDemand);
      const missing = shortage(spot, zones, needed - onDemand);
      const cost = total * spotPrice + onDemand * onDemandPrice + SHORTAGE_PRICE * spotPrice * missing;
      // Fewer than are needed are bought only where there is no room for more.
      if (cost < least - 1e-9 && (total + onDemand >= needed || next === null)) {
        least = cost;
        best = { spot: [...spot], onDemand, missing };
      }
      if (next === null) break;
      spot[next] = (spot[next] ?? 0) + 1;
    }
  }
  return best;
}

/** Spares that are considered: half a fleet, for a zone of two may go, and a few in small ones. */
function sparesAtMost(needed: number): number {
  return Math.max(3, Math.ceil(needed / 2));
}

/** The zone in which one more replica leaves the least risk, or null when there is no room. */
function bestZone(spot: readonly number[], zones: readonly ZoneOutlook[], needed: number): number | null {
  let best: number | null = null;
  let least = Number.POSITIVE_INFINITY;
  zones.forEach((zone, i) => {
    const count = spot[i] ?? 0;
    if (count >= zone.room) return;
    const preference = (count < zone.running ? 0 : 1) + count / 10 + zone.loss / 100;
    const rank = shortage(spot.with(i, count + 1), zones, needed) + ALIKE * preference;
    if (rank >= least) return;
    least = rank;
    best = i;
  });
  return best;
}

/** Replicas expected to be missing when each zone loses all of its own, or none. */
function shortage(spot: readonly number[], zones: readonly ZoneOutlook[], needed: number): number {
  if (needed <= 0) return 0;
  // Chances of 0, 1, 2 … replicas being left; what is enough need not be told apart.
  let left = [1];
  spot.forEach((count, i) => {
    if (count === 0) return;
    const loss = zones[i]?.loss ?? 0;
    const next = new Array<number>(Math.min(left.length + count, needed + 1)).fill(0);
    left.forEach((chance, n) => {
      const kept = Math.min(n + count, needed);
      next[kept] = (next[kept] ?? 0) + chance * (1 - loss);
      next[n] = (next[n] ?? 0) + chance * loss;
    });
    left = next;
  });
  return left.slice(0, needed).reduce((sum, chance, n) => sum + chance * (needed - n), 0);
}
