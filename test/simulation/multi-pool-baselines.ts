import { type Cloud, type MultiPoolMoment, type MultiPoolPolicy, type MultiPoolScenario, onDemandPlace, poolAt } from './multi-pool.ts';
import type { SinglePoolPolicy } from './single-pool.ts';
import { SINGLE_POOL_BASELINES } from './single-pool-baselines.ts';

const singlePoolUniformProgress = SINGLE_POOL_BASELINES['uniform-progress'] as SinglePoolPolicy;

const UNSEEN = 0.5;

export const onDemandOnly: MultiPoolPolicy = (scenario) => {
  const place = onDemandPlace(scenario, null, null, scenario.durationSeconds);
  return ({ running }, cloud) => {
    if (running === null) cloud.launch(place);
  };
};

type Wish = 'spot' | 'onDemand' | 'idle';

/** Uniform Progress as its authors' multi-region program has it: what it would like to run, supposing that spot can (not) be had. */
function uniformProgress(scenario: MultiPoolScenario, moment: MultiPoolMoment, runs: Wish, supposeSpot: boolean): Wish {
  const { gapSeconds: gap, durationSeconds, deadlineSeconds, changeoverSeconds } = scenario;
  const { now, doneSeconds, overheadSeconds } = moment;
  const ahead = (at: number) => doneSeconds - (at * durationSeconds) / deadlineSeconds;
  const left = Math.floor((deadlineSeconds - now) / gap + 1e-9) * gap;
  const need = (changeovers: number) => Math.ceil((durationSeconds - doneSeconds + changeovers * changeoverSeconds) / gap - 1e-9) * gap;
  if (need(1) >= left) return runs === 'spot' && overheadSeconds < 1e-3 ? 'spot' : 'onDemand';
  if (runs === 'onDemand') return supposeSpot && ahead(now + 2 * changeoverSeconds) > 0 ? 'spot' : 'onDemand';
  if (need(2) > left && runs === 'idle') return 'onDemand';
  if (supposeSpot) return 'spot';
  return ahead(now) < 0 ? 'onDemand' : 'idle';
}

/** Which pools to try, in which order, and what else a version of Uniform Progress does. */
interface Selection {
  order(cloud: Cloud): readonly number[];
  /** Whether running there is so much worse than the best that it is given up. */
  leaves?(pool: number, best: number, cloud: Cloud): boolean;
  tried?(pool: number, found: boolean, now: number): void;
  lost?(pool: number): void;
  /** It still runs there. */
  held?(pool: number, now: number): void;
  /** Where on-demand is bought, if not where the job runs; absent = where it ran last. */
  readonly fallback?: number;
  /** Goes back to on-demand that it left for spot and found none, and looks around even so; else it idles for the tick. */
  readonly comesBack?: true;
  probes?(moment: MultiPoolMoment, cloud: Cloud, running: number | null): void;
}

function withSelection(make: (scenario: MultiPoolScenario) => Selection): MultiPoolPolicy {
  return (scenario) => {
    const selection = make(scenario);
    let main: number | null = null;
    const launchSpot = (cloud: Cloud, order: readonly number[], now: number) =>
      order.find((pool) => {
        const found = cloud.launch({ pool, capacity: 'spot' });
        selection.tried?.(pool, found, now);
        return found;
      }) ?? null;
    return (moment, cloud) => {
      const runs: Wish = moment.running?.capacity ?? 'idle';
      if (main !== null && runs !== 'spot') {
        selection.lost?.(main);
        main = null;
      }
      if (main !== null) selection.held?.(main, moment.now);
      const wish = uniformProgress(scenario, moment, runs, true);
      if (wish === 'spot') {
        const order = selection.order(cloud);
        if (moment.running?.capacity === 'spot') {
          main = moment.running.pool;
          if (order[0] !== undefined && order[0] !== main && selection.leaves?.(main, order[0], cloud)) {
            cloud.stop();
            main = launchSpot(cloud, order, moment.now);
          }
        } else main = launchSpot(cloud, order, moment.now);
        if (main !== null) {
          selection.probes?.(moment, cloud, main);
          return;
        }
        // Its authors' program leaves on-demand before it knows whether there is spot.
        cloud.stop();
        if (runs === 'onDemand' && !selection.comesBack) return;
        if (uniformProgress(scenario, moment, 'idle', false) === 'onDemand')
          cloud.launch({ pool: selection.fallback ?? moment.checkpointAt ?? 0, capacity: 'onDemand' });
        if (selection.comesBack) selection.probes?.(moment, cloud, null);
        return;
      }
      main = null;
      if (wish === 'onDemand' && runs !== 'onDemand')
        cloud.launch({ pool: moment.running?.pool ?? selection.fallback ?? moment.checkpointAt ?? 0, capacity: 'onDemand' });
      if (wish === 'idle') cloud.stop();
    };
  };
}

/** Times between looks are whole ticks there. */
const wholeTicks = ({ gapSeconds }: MultiPoolScenario, seconds: number) => Math.max(1, Math.round(seconds / gapSeconds)) * gapSeconds;

const byPrice = (scenario: MultiPoolScenario, cloud: Cloud) =>
  scenario.pools.map((_, i) => i).sort((a, b) => cloud.spotPrice(a) - cloud.spotPrice(b) || a - b);

/** UP(S): the cheapest first, the pool that was last preempted after all others. */
const switching = withSelection((scenario) => {
  let preempted: number | null = null;
  return {
    order: (cloud) => {
      const order = byPrice(scenario, cloud);
      return preempted === null ? order : [...order.filter((p) => p !== preempted), preempted];
    },
    lost: (pool) => {
      preempted = pool;
    },
  };
});

/** UP(A): the pool with the best share of the last five launches and probes; one pool is probed each tick, each at most every two hours. */
const byAvailability = withSelection((scenario) => {
  const seen: boolean[][] = scenario.pools.map(() => []);
  const nextProbe = scenario.pools.map(() => 0);
  const share = (pool: number) => {
    const window = seen[pool] ?? [];
    return window.length === 0 ? UNSEEN : window.filter(Boolean).length / window.length;
  };
  const record = (pool: number, found: boolean) => {
    seen[pool] = [...(seen[pool] ?? []), found].slice(-5);
  };
  const pools = scenario.pools.map((_, i) => i);
  const everySeconds = wholeTicks(scenario, 2 * 3_600);
  const nextLook = scenario.pools.map(() => 0);
  return {
    order: () => [...pools].sort((a, b) => share(b) - share(a) || a - b),
    leaves: (pool, best) => share(pool) < share(best) - 1e-6,
    tried: (pool, found, now) => {
      record(pool, found);
      if (found) nextLook[pool] = now + everySeconds;
    },
    lost: (pool) => record(pool, false),
    held: (pool, now) => {
      if (now < (nextLook[pool] ?? 0)) return;
      record(pool, true);
      nextLook[pool] = now + everySeconds;
    },
    probes: ({ now }, cloud, running) => {
      const due = pools.filter((p) => p !== running && now >= (nextProbe[p] ?? 0));
      const next = due.sort((a, b) => (seen[a]?.length ?? 0) - (seen[b]?.length ?? 0) || a - b)[0];
      if (next === undefined) return;
      record(next, cloud.probe(next));
      nextProbe[next] = now + everySeconds;
    },
  };
});

/** UP(AP): the pool with the best share of all launches and probes over its price; every pool is probed every hour. */
const byAvailabilityAndPrice = withSelection((scenario) => {
  const found = scenario.pools.map(() => 0);
  const tried = scenario.pools.map(() => 0);
  const nextProbe = scenario.pools.map(() => 0);
  const pools = scenario.pools.map((_, i) => i);
  const everySeconds = wholeTicks(scenario, 3_600);
  const record = (pool: number, success: boolean) => {
    tried[pool] = (tried[pool] ?? 0) + 1;
    if (success) found[pool] = (found[pool] ?? 0) + 1;
  };
  const score = (pool: number, cloud: Cloud) => (tried[pool] ? (found[pool] ?? 0) / tried[pool] : UNSEEN) / cloud.spotPrice(pool);
  return {
    fallback: 0,
    order: (cloud) => [...pools].sort((a, b) => score(b, cloud) - score(a, cloud) || a - b),
    leaves: (pool, best, cloud) => score(pool, cloud) < 0.9 * score(best, cloud),
    comesBack: true,
    tried: (pool, found, now) => {
      record(pool, found);
      if (found) nextProbe[pool] = now + everySeconds;
    },
    lost: (pool) => record(pool, false),
    held: (pool, now) => {
      if (now < (nextProbe[pool] ?? 0)) return;
      record(pool, true);
      nextProbe[pool] = now + everySeconds;
    },
    probes: ({ now }, cloud, running) => {
      for (const pool of pools) {
        if (pool === running || now < (nextProbe[pool] ?? 0)) continue;
        record(pool, cloud.probe(pool));
        nextProbe[pool] = now + everySeconds;
      }
    },
  };
});

/** A policy for a single pool, in one pool alone: it sees its own pool's spot at every tick, for nothing. */
export function inPool(pool: number, policy: SinglePoolPolicy): MultiPoolPolicy {
  return (scenario) => {
    const { available, onDemandPrice, spotPrice } = poolAt(scenario.pools, pool);
    const decide = policy({ ...scenario, available, onDemandPrice, spotPrice: spotPrice[0] ?? onDemandPrice });
    return ({ now, tick, running, doneSeconds }, cloud) => {
      const mode = decide({ now, mode: running?.capacity ?? 'idle', doneSeconds, spotAvailable: available[tick] === 1 });
      if (mode === 'idle' || (mode === 'spot' && available[tick] !== 1)) cloud.stop();
      else cloud.launch({ pool, capacity: mode });
    };
  };
}

/** Uniform Progress in one pool alone, as table T1 has it. */
export const uniformProgressIn = (pool: number): MultiPoolPolicy => inPool(pool, singlePoolUniformProgress);

/**
 * SkyPilot's managed jobs (0.14), FAILOVER: first where it last ran, then anywhere, cheapest first. They know no deadline and no
 * on-demand: those come from the simulator's guard.
 */
const failover: MultiPoolPolicy =
  (scenario) =>
  ({ running, checkpointAt }, cloud) => {
    if (running !== null) return;
    const order = byPrice(scenario, cloud);
    const region = checkpointAt === null ? null : poolAt(scenario.pools, checkpointAt).region;
    const near = order.filter((p) => poolAt(scenario.pools, p).region === region);
    [...near, ...order].some((pool) => cloud.launch({ pool, capacity: 'spot' }));
  };

/**
 * Their default, EAGER_NEXT_REGION, as it really behaves: the region that was just lost is not left out, as it is meant to be
 * (https://github.com/skypilot-org/skypilot/issues/10021), so that it is anywhere, cheapest first.
 */
const eagerNextRegion: MultiPoolPolicy =
  (scenario) =>
  ({ running }, cloud) => {
    if (running === null) byPrice(scenario, cloud).some((pool) => cloud.launch({ pool, capacity: 'spot' }));
  };

/** The baseline of table T2: spot where it is, else on to the next zone, idle for a tick. */
const greedySwitch: MultiPoolPolicy = (scenario) => {
  const { gapSeconds: gap, durationSeconds, deadlineSeconds, changeoverSeconds } = scenario;
  let zone = 0;
  return ({ now, running, doneSeconds }, cloud) => {
    const left = Math.floor((deadlineSeconds - now) / gap) * gap;
    const need = (changeovers: number) => Math.ceil((durationSeconds - doneSeconds + changeovers * changeoverSeconds) / gap) * gap;
    if (running?.capacity === 'spot' && need(1) >= left) return;
    if (need(1) >= left || (need(2) >= left && running?.capacity !== 'spot')) {
      cloud.launch({ pool: zone, capacity: 'onDemand' });
      return;
    }
    if (cloud.launch({ pool: zone, capacity: 'spot' })) return;
    zone = (zone + 1) % scenario.pools.length;
    cloud.stop();
  };
};

export const MULTI_POOL_BASELINES: Readonly<Record<string, MultiPoolPolicy>> = {
  'on-demand-only': onDemandOnly,
  'UP(S)': switching,
  'UP(A)': byAvailability,
  'UP(AP)': byAvailabilityAndPrice,
  'skypilot-failover': failover,
  'skypilot-eager-next-region': eagerNextRegion,
};

export const MULTI_REGION_BASELINES: Readonly<Record<string, MultiPoolPolicy>> = {
  'on-demand-only': onDemandOnly,
  'greedy-switch': greedySwitch,
};
