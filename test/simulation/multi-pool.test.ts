import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { type Cloud, type MultiPoolMoment, type MultiPoolScenario, type Place, runMultiPool } from './multi-pool.ts';
import { MULTI_POOL_BASELINES, MULTI_REGION_BASELINES } from './multi-pool-baselines.ts';
import { freeMovesOptimum, multiPoolOptimum } from './multi-pool-optimum.ts';
import { poolsPolicy } from './multi-pool-ours.ts';

/** Three ticks of work, ticks of ten minutes; a dollar a tick of spot in the first pool, two in the second, three on-demand. */
function scenario(available: readonly string[], change: Partial<MultiPoolScenario> = {}): MultiPoolScenario {
  return {
    name: 'a',
    gapSeconds: 600,
    durationSeconds: 3 * 600,
    deadlineSeconds: 6 * 600,
    changeoverSeconds: 300,
    checkpointGB: 50,
    egressPerGB: (from, to) => (from === to ? 0 : 0.01),
    guard: 'toOnDemand',
    freeMoves: false,
    billsLastTick: true,
    pools: available.map((digits, i) => ({
      name: `zone-${i}`,
      region: `region-${i}`,
      available: Uint8Array.from(digits, Number),
      spotPrice: new Float64Array(digits.length).fill(6 * (i + 1)),
      onDemandPrice: 18,
    })),
    ...change,
  };
}

const each = (decide: (moment: MultiPoolMoment, cloud: Cloud) => void) => () => decide;
const spotIn = (pool: number): Place => ({ pool, capacity: 'spot' });

describe('the published clock over several pools', () => {
  it('bills the change-over and the last tick whole, each tick at its own price', () => {
    const one = scenario(['111111']);
    one.pools[0]?.spotPrice.fill(12, 2);
    expect(
      runMultiPool(
        one,
        each((_, cloud) => void cloud.launch(spotIn(0))),
      ),
    ).toMatchObject({ cost: 1 + 1 + 2 + 2, launches: 1, finishedAt: 4 * 600 });
    const published = runMultiPool(
      { ...one, billsLastTick: false },
      each((_, cloud) => void cloud.launch(spotIn(0))),
    );
    expect(published.cost).toBe(4);
  });

  it('bills egress to another region than the checkpoint is in, and a change-over', () => {
    const outcome = runMultiPool(
      scenario(['110000', '001111']),
      each((_, cloud) => void (cloud.launch(spotIn(0)) || cloud.launch(spotIn(1)))),
    );
    expect(outcome).toMatchObject({ cost: 2 + 0.5 + 2 * 2, launches: 2, finishedAt: 4 * 600 });
  });

  it('bills a probe that finds spot for a minute, and none that finds nothing', () => {
    const run = (available: string) =>
      runMultiPool(
        scenario(['111111', available]),
        each(({ tick }, cloud) => {
          cloud.launch(spotIn(0));
          if (tick === 1) cloud.probe(1);
        }),
      );
    expect(run('111111').cost).toBeCloseTo(4 + 12 / 60);
    expect(run('000000').cost).toBe(4);
  });

  it('stays where it is when a launch elsewhere finds nothing', () => {
    const outcome = runMultiPool(
      scenario(['111111', '000000']),
      each((_, cloud) => void (cloud.launch(spotIn(0)) && cloud.launch(spotIn(1)))),
    );
    expect(outcome).toMatchObject({ launches: 1, cost: 4 });
  });

  it('takes what was stopped and started again in one tick for a new launch', () => {
    const policy = each(({ tick }, cloud) => {
      if (tick === 1) cloud.stop();
      cloud.launch(spotIn(0));
    });
    expect(runMultiPool(scenario(['111111']), policy)).toMatchObject({ launches: 2, cost: 4, finishedAt: 4 * 600 });
  });

  it('moves for nothing from spot to spot where the table says so', () => {
    const policy = each(({ tick }, cloud) => void cloud.launch(spotIn(tick % 2)));
    expect(runMultiPool(scenario(['111111', '111111'], { freeMoves: true, checkpointGB: 0 }), policy).finishedAt).toBe(4 * 600);
  });

  it.each(['toOnDemand', 'keepsWarmSpot'] as const)('meets the deadline by its guard (%s), whatever the policy does', (guard) => {
    expect(
      runMultiPool(
        scenario(['000000'], { guard }),
        each(() => {}),
      ),
    ).toMatchObject({ late: false, onDemandTicks: 4 });
  });
});

const digits = (length: number) => fc.array(fc.integer({ min: 0, max: 1 }), { minLength: length, maxLength: length });

/** Stretches with and without spot in three pools, of any lengths, drawn from a seed: one number is quick to draw and to shrink. */
const zones = fc.integer({ min: 0, max: 2 ** 31 - 1 }).map((seed) => {
  let random = seed;
  const below = (n: number) => {
    random = (Math.imul(random, 1_103_515_245) + 12_345) >>> 0;
    return Math.floor((random / 2 ** 32) * n);
  };
  return [0, 1, 2].map(() => {
    const pool: number[] = [];
    for (let spot = below(2); pool.length < 90; spot = 1 - spot)
      pool.push(...Array<number>(1 + below([2, 6, 40][below(3)] ?? 1)).fill(spot));
    return pool.join('');
  });
});

/** Deadlines from what on-demand just meets, in whole ticks, to twice the work. */
const SETTINGS = [60, 300, 900].flatMap((changeoverSeconds) =>
  [600, 2_400, 10_800].flatMap((slack) =>
    [true, false].map((freeMoves) => ({
      changeoverSeconds,
      freeMoves,
      deadlineSeconds: 10_800 + Math.max(Math.ceil(changeoverSeconds / 600) * 600, slack),
    })),
  ),
);

describe('deadlines over several pools', () => {
  it('ours alone misses none that on-demand could meet, over 10,000 random traces', () => {
    const policy = poolsPolicy();
    fc.assert(
      fc.property(zones, fc.constantFrom(...SETTINGS), (available, setting) => {
        const outcome = runMultiPool(scenario(available, { ...setting, durationSeconds: 10_800, guard: 'none' }), policy);
        expect(outcome.late).toBe(false);
      }),
      { numRuns: 10_000, seed: 1 },
    );
  }, 60_000);
});

describe('the optimum over several pools', () => {
  it.each([true, false])('is what trying every way finds (last tick billed: %s)', (billsLastTick) => {
    fc.assert(
      fc.property(digits(5), digits(5), (first, second) => {
        const one = scenario([first.join(''), second.join('')], {
          guard: 'none',
          billsLastTick,
          deadlineSeconds: 5 * 600,
          durationSeconds: 2 * 600,
        });
        expect(multiPoolOptimum(one)).toBeCloseTo(cheapestOf(one, 5));
      }),
      { numRuns: 20, seed: 1 },
    );
  });

  it('is never above any policy', () => {
    fc.assert(
      fc.property(digits(60), digits(60), (first, second) => {
        const one = scenario([first.join(''), second.join('')], { durationSeconds: 30 * 600, deadlineSeconds: 60 * 600 });
        const best = multiPoolOptimum(one);
        for (const policy of Object.values(MULTI_POOL_BASELINES))
          expect(runMultiPool(one, policy).cost).toBeGreaterThanOrEqual(best - 1e-9);
        const free = { ...one, freeMoves: true, checkpointGB: 0, pools: one.pools.map((p) => ({ ...p, spotPrice: p.spotPrice.fill(6) })) };
        const greedy = MULTI_REGION_BASELINES['greedy-switch'];
        if (greedy) expect(runMultiPool(free, greedy).cost).toBeGreaterThanOrEqual(freeMovesOptimum(free) - 1e-9);
      }),
      { numRuns: 30, seed: 1 },
    );
  });
});

/** The cheapest of all sequences of so many choices that is not late. */
function cheapestOf(one: MultiPoolScenario, ticks: number): number {
  const choices: (Place | null)[] = [null, ...one.pools.flatMap((_, pool) => [spotIn(pool), { pool, capacity: 'onDemand' } as const])];
  let best = Number.POSITIVE_INFINITY;
  for (let code = 0; code < choices.length ** ticks; code++) {
    const outcome = runMultiPool(
      one,
      each(({ tick }, cloud) => {
        const place = choices[Math.floor(code / choices.length ** tick) % choices.length] ?? null;
        if (place === null || !cloud.launch(place)) cloud.stop();
      }),
    );
    if (!outcome.late) best = Math.min(best, outcome.cost);
  }
  return best;
}
