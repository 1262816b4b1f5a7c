import { type Effects, Progress } from './progress.ts';

/** One zone's capacity. Prices in US dollars per hour; arrays by tick. */
export interface Pool {
  readonly name: string;
  readonly region: string;
  /** 1 = spot can be had in that tick. */
  readonly available: Uint8Array;
  readonly spotPrice: Float64Array;
  readonly onDemandPrice: number;
}

/** One deadline job over several pools. Times in seconds. */
export interface MultiPoolScenario {
  readonly name: string;
  readonly gapSeconds: number;
  readonly durationSeconds: number;
  readonly deadlineSeconds: number;
  readonly changeoverSeconds: number;
  readonly pools: readonly Pool[];
  readonly checkpointGB: number;
  readonly egressPerGB: (fromRegion: string, toRegion: string) => number;
  /** What overrides a policy once only on-demand until the end can meet the deadline; see `guarded`. */
  readonly guard: 'toOnDemand' | 'keepsWarmSpot' | 'none';
  /**
   * The published rules of table T2: looking at any zone is free, and spot moves to another zone without a change-over. Otherwise a
   * probe that finds spot is billed for a minute of it.
   */
  readonly freeMoves: boolean;
  /** Whether the tick in which the job ends is billed: the published simulator of tables T3 and T4 leaves it out. */
  readonly billsLastTick: boolean;
  /** Absent = saves cost nothing and are made all the time, as in the published simulators. */
  readonly effects?: Effects;
}

export interface Place {
  readonly pool: number;
  readonly capacity: 'spot' | 'onDemand';
}

/** What a policy may know for nothing at the start of a tick. `running` is null, too, when spot has just been taken away. */
export interface MultiPoolMoment {
  readonly now: number;
  readonly tick: number;
  readonly running: Place | null;
  /** What could not be lost any more. */
  readonly doneSeconds: number;
  /** Of the last change-over, what is still to be waited for. */
  readonly overheadSeconds: number;
  /** Where the checkpoint is: the pool in which the job ran last. */
  readonly checkpointAt: number | null;
}

/** What a policy may do and ask in a tick, as often as it likes. */
export interface Cloud {
  /** Of this tick. Prices are public. */
  spotPrice(pool: number): number;
  /** Whether spot could be had there, by launching it and giving it back. Finding none costs nothing. */
  probe(pool: number): boolean;
  /** Runs there instead of where the job runs now; false = no spot there, and nothing has changed. */
  launch(place: Place): boolean;
  stop(): void;
  /** Training time between two saves on spot from now on, seconds. */
  saveEvery(seconds: number): void;
}

/** Decides for one job, from tick to tick: made anew for every scenario, so it may keep what it has seen. Only oracles look at the traces. */
export type MultiPoolPolicy = (scenario: MultiPoolScenario) => (moment: MultiPoolMoment, cloud: Cloud) => void;

export interface MultiPoolOutcome {
  readonly cost: number;
  readonly launches: number;
  readonly finishedAt: number;
  readonly late: boolean;
  readonly spotTicks: number;
  readonly onDemandTicks: number;
  readonly probes: number;
  /** Where it ended. */
  readonly lastPool: number;
  /** Training time that was lost with spot, seconds. */
  readonly lostSeconds: number;
}

/** Told after every tick where it was spent, what is done and what that has cost: for charts. */
export type MultiPoolWatcher = (place: Place | null, doneSeconds: number, cost: number) => void;

const PROBE_SECONDS = 60;

/**
 * Runs the scenario to its end. Rules of the published simulators: a tick that has ended counts in full before spot is taken away; a
 * launch makes no progress for the change-over, which is billed; every tick is billed whole, at its own price; starting in another
 * region than the checkpoint's is billed its egress.
 */
export function runMultiPool(given: MultiPoolScenario, policy: MultiPoolPolicy, watch?: MultiPoolWatcher): MultiPoolOutcome {
  const { effects } = given;
  const { gapSeconds: gap, deadlineSeconds, pools } = given;
  // Policies and guards know what saves take: of all training, and of a change-over that is planned.
  const stretch = effects ? 1 + effects.saveSeconds / effects.saveEverySeconds : 1;
  const scenario = effects
    ? { ...given, durationSeconds: given.durationSeconds * stretch, changeoverSeconds: given.changeoverSeconds + effects.saveSeconds }
    : given;
  const { durationSeconds } = scenario;
  const decide = policy(scenario);
  const priceAt = ({ pool, capacity }: Place, tick: number) =>
    capacity === 'spot' ? (poolAt(pools, pool).spotPrice[tick] as number) : poolAt(pools, pool).onDemandPrice;
  const progress = new Progress(given.durationSeconds, effects);
  let running: Place | null = null;
  let checkpointAt: number | null = null;
  let overhead = 0;
  let cost = 0;
  let lostSeconds = 0;
  let [launches, probes, spotTicks, onDemandTicks] = [0, 0, 0, 0];
  let onDemandForGood = false;
  let lastTick = 0;
  for (let tick = 0; ; tick++) {
    const now = tick * gap;
    const before: Place | null = running;
    if (running !== null) {
      const work = Math.max(gap - overhead, 0);
      overhead -= gap - work;
      checkpointAt = running.pool;
      progress.run(work, running.capacity === 'spot');
      if (progress.isDone) {
        const late = now > deadlineSeconds + 1e-6;
        return {
          cost: scenario.billsLastTick ? cost : cost - lastTick,
          launches,
          finishedAt: now,
          late,
          spotTicks,
          onDemandTicks,
          probes,
          lastPool: running.pool,
          lostSeconds,
        };
      }
    }
    // Of the tick in which the job ends, the published simulator bills no probes either.
    let probed = 0;
    const hasSpot = (pool: number) => poolAt(pools, pool).available[tick] === 1;
    const isLost = running?.capacity === 'spot' && !hasSpot(running.pool);
    if (isLost) {
      running = null;
      lostSeconds += progress.done;
      progress.lose();
      lostSeconds -= progress.done;
    }
    const done = (running?.capacity === 'spot' ? progress.saved : progress.done) * stretch;
    // What runs at the end of the decision counts: a launch that is given up in the same tick is none.
    const start: Place | null = running;
    let stopped = false;
    const cloud: Cloud = {
      spotPrice: (pool) => poolAt(pools, pool).spotPrice[tick] as number,
      probe(pool) {
        if (!hasSpot(pool)) return false;
        if (!scenario.freeMoves && running?.pool !== pool) {
          probed += ((poolAt(pools, pool).spotPrice[tick] as number) * PROBE_SECONDS) / 3_600;
          probes++;
        }
        return true;
      },
      launch(place) {
        if (place.capacity === 'spot' && !hasSpot(place.pool)) return false;
        running = place;
        return true;
      },
      stop() {
        running = null;
        stopped = true;
      },
      saveEvery(seconds) {
        progress.every = seconds;
      },
    };
    onDemandForGood ||= now >= deadlineSeconds || (scenario.guard === 'toOnDemand' && mustRun(scenario, now, done));
    if (onDemandForGood) running = onDemandPlace(scenario, running ?? before, checkpointAt, durationSeconds - done);
    else {
      decide({ now, tick, running, doneSeconds: done, overheadSeconds: running === null ? 0 : overhead, checkpointAt }, cloud);
      if (scenario.guard === 'keepsWarmSpot' && mustRun(scenario, now, done))
        running = guarded(before, overhead, hasSpot, running ?? { pool: 0, capacity: 'onDemand' });
    }
    const place = running as Place | null;
    cost += probed;
    if (start !== null && (stopped || !isSame(place, start))) progress.stop();
    if (place === null) {
      watch?.(null, progress.done, cost);
      continue;
    }
    if (stopped || !isSame(place, start)) {
      launches++;
      const isFreeMove = scenario.freeMoves && start?.capacity === 'spot' && place.capacity === 'spot';
      const ahead = isLost && effects?.startsAtNotice ? effects.noticeSeconds : 0;
      if (!isFreeMove) overhead = Math.max(0, given.changeoverSeconds - ahead);
      cost += (priceAt(place, tick) * ahead) / 3_600;
      cost += egress(scenario, checkpointAt, place.pool);
    }
    lastTick = (priceAt(place, tick) * gap) / 3_600;
    cost += lastTick;
    lastTick += probed;
    if (place.capacity === 'spot') spotTicks++;
    else onDemandTicks++;
    watch?.(place, progress.done, cost);
  }
}

export function poolAt(pools: readonly Pool[], index: number): Pool {
  const pool = pools[index];
  if (pool === undefined) throw new Error(`There is no pool ${index} among the scenario's ${pools.length}`);
  return pool;
}

export function isSame(a: Place | null, b: Place | null): boolean {
  return a?.pool === b?.pool && a?.capacity === b?.capacity;
}

/** US dollars to bring the checkpoint from one pool to another. */
export function egress({ pools, checkpointGB, egressPerGB }: MultiPoolScenario, from: number | null, to: number): number {
  if (from === null) return 0;
  const [a, b] = [poolAt(pools, from).region, poolAt(pools, to).region];
  return a === b ? 0 : checkpointGB * egressPerGB(a, b);
}

/** Time left in whole ticks no longer exceeds the work left with one change-over, in whole ticks. */
function mustRun({ gapSeconds: gap, durationSeconds, deadlineSeconds, changeoverSeconds }: MultiPoolScenario, now: number, done: number) {
  const need = Math.ceil((durationSeconds - done + changeoverSeconds) / gap - 1e-9) * gap;
  return need >= Math.floor((deadlineSeconds - now) / gap + 1e-9) * gap;
}

/** The guard of table T2: spot that had finished its change-over goes on while it lasts, anything else becomes on-demand. */
function guarded(before: Place | null, overhead: number, hasSpot: (pool: number) => boolean, choice: Place): Place | null {
  if (before?.capacity !== 'spot' || overhead > 0) return { pool: choice.pool, capacity: 'onDemand' };
  const pool = choice.capacity === 'spot' ? choice.pool : before.pool;
  return hasSpot(pool) ? { pool, capacity: 'spot' } : null;
}

/** Where the job runs, else where the rest of its work is cheapest, egress included. */
export function onDemandPlace(scenario: MultiPoolScenario, running: Place | null, checkpointAt: number | null, restSeconds: number): Place {
  if (running !== null) return { pool: running.pool, capacity: 'onDemand' };
  const costs = scenario.pools.map(
    (pool, i) => (pool.onDemandPrice * (restSeconds + scenario.changeoverSeconds)) / 3_600 + egress(scenario, checkpointAt, i),
  );
  return { pool: costs.indexOf(Math.min(...costs)), capacity: 'onDemand' };
}
