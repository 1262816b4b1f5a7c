/** One serving over several zones of spot and on-demand, in the clock of the published SpotHedge simulator. */
export interface FleetScenario {
  readonly name: string;
  /** Replicas that the zone's spot can hold in each tick, by zone. */
  readonly capacity: readonly Uint8Array[];
  readonly tickSeconds: number;
  /** Ticks from a replica's launch until it answers. */
  readonly startTicks: number;
  readonly target: number;
  /** Prices of a replica in a tick. */
  readonly spotPrice: number;
  readonly onDemandPrice: number;
}

/** What a policy may know of a zone at the start of a tick. */
export interface ZoneMoment {
  /** Spot replicas there now, after losses. */
  readonly running: number;
  /** Of these, those that answer. */
  readonly ready: number;
  /** Replicas that were lost since the last tick. */
  readonly lost: number;
  /** Launches of the last tick that found nothing. */
  readonly refused: number;
}

export interface FleetMoment {
  readonly tick: number;
  readonly zones: readonly ZoneMoment[];
  readonly onDemand: { readonly running: number; readonly ready: number };
}

/** Replicas that are wanted from now on. A zone without room refuses what it cannot hold. */
export interface Wanted {
  readonly spot: readonly number[];
  readonly onDemand: number;
}

/** Decides for one serving, from tick to tick: made anew for every scenario, so it may keep what it has seen. */
export type FleetPolicy = (scenario: FleetScenario) => (moment: FleetMoment) => Wanted;

export interface FleetOutcome {
  /** Share of ticks with enough replicas that answer. */
  readonly availability: number;
  readonly cost: number;
  readonly launches: number;
}

/** Told after every tick what ran in it, by zone, how many answered, and what all has cost so far: for charts. */
export type FleetWatcher = (spot: readonly number[], onDemand: number, ready: number, cost: number) => void;

/**
 * Runs the scenario. Rules of the published simulator: a zone loses at once what is above its capacity; as many replicas of a zone
 * answer as it had all through a start's time; every replica is billed in every tick, ready or not; the first start is not counted.
 */
export function runFleet(scenario: FleetScenario, policy: FleetPolicy, watch?: FleetWatcher): FleetOutcome {
  const { capacity, startTicks, target, spotPrice, onDemandPrice } = scenario;
  const decide = policy(scenario);
  const ticks = capacity[0]?.length ?? 0;
  const zones = capacity.map(() => new Fleet(startTicks));
  const onDemand = new Fleet(startTicks);
  let refused = capacity.map(() => 0);
  let good = 0;
  let cost = 0;
  let launches = 0;
  for (let tick = 0; tick < ticks; tick++) {
    const seen = zones.map((zone, i): ZoneMoment => {
      const lost = Math.max(0, zone.running - (capacity[i]?.[tick] ?? 0));
      zone.set(zone.running - lost);
      return { running: zone.running, ready: zone.ready, lost, refused: refused[i] ?? 0 };
    });
    const wanted = decide({ tick, zones: seen, onDemand: { running: onDemand.running, ready: onDemand.ready } });
    refused = zones.map((zone, i) => {
      const asked = wanted.spot[i] ?? 0;
      const held = Math.min(asked, Math.max(capacity[i]?.[tick] ?? 0, 0));
      launches += Math.max(0, held - zone.running);
      zone.set(held);
      return asked - held;
    });
    launches += Math.max(0, wanted.onDemand - onDemand.running);
    onDemand.set(wanted.onDemand);
    const ready = zones.reduce((sum, zone) => sum + zone.advance(), onDemand.advance());
    if (tick >= startTicks) {
      if (ready >= target) good++;
      cost += zones.reduce((sum, zone) => sum + zone.running, 0) * spotPrice + onDemand.running * onDemandPrice;
    }
    watch?.(
      zones.map((zone) => zone.running),
      onDemand.running,
      ready,
      cost,
    );
  }
  return { availability: good / (ticks - startTicks), cost, launches };
}

/** The replicas of one zone: those answer that were there all through a start's time. */
class Fleet {
  running = 0;
  readonly #recent: number[] = [];
  readonly #startTicks: number;

  constructor(startTicks: number) {
    this.#startTicks = startTicks;
  }

  set(running: number): void {
    this.running = running;
  }

  /** Those that answer, by what was there up to the last tick and is there now. */
  get ready(): number {
    return this.#recent.length < this.#startTicks ? 0 : Math.min(this.running, ...this.#recent);
  }

  /** Ends the tick; those that answer in it. */
  advance(): number {
    const ready = this.ready;
    this.#recent.push(this.running);
    if (this.#recent.length > this.#startTicks) this.#recent.shift();
    return ready;
  }
}
