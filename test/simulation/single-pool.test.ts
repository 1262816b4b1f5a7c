import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { type Mode, runSinglePool, type SinglePoolScenario } from './single-pool.ts';
import { SINGLE_POOL_BASELINES } from './single-pool-baselines.ts';
import { singlePoolOptimum } from './single-pool-optimum.ts';
import { slackPolicy } from './single-pool-ours.ts';

/** Three hours of work on ticks of ten minutes; '1' = with spot. */
function scenario(available: string, change: Partial<SinglePoolScenario> = {}): SinglePoolScenario {
  return {
    name: 'a',
    gapSeconds: 600,
    durationSeconds: 3 * 600,
    deadlineSeconds: 6 * 600,
    changeoverSeconds: 300,
    spotPrice: 6,
    onDemandPrice: 18,
    available: Uint8Array.from(available, Number),
    ...change,
  };
}

const always = (mode: Mode) => () => () => mode;

describe('the published clock', () => {
  it('bills the change-over and the last tick whole', () => {
    // Half a tick of change-over and three of work: four ticks of a dollar.
    expect(runSinglePool(scenario('111111'), always('spot'))).toEqual({ cost: 4, launches: 1, finishedAt: 4 * 600, late: false });
  });

  it('pays a second change-over when spot is taken away, and loses no work', () => {
    expect(runSinglePool(scenario('110111', { unguarded: true }), always('spot'))).toMatchObject({
      cost: 4,
      launches: 2,
      finishedAt: 5 * 600,
    });
  });

  it('runs on-demand once only that can meet the deadline, whatever the policy says', () => {
    expect(runSinglePool(scenario('000000'), always('idle'))).toMatchObject({ cost: 4 * 3, launches: 1, finishedAt: 6 * 600, late: false });
  });

  it('lets a job finish after its deadline, and says so', () => {
    expect(runSinglePool(scenario('0000001111', { unguarded: true }), always('spot'))).toMatchObject({ finishedAt: 10 * 600, late: true });
  });
});

/** Stretches with and without spot, of any lengths, drawn from a seed: one number is quicker to draw and to shrink than a trace. */
const traces = fc.integer({ min: 0, max: 2 ** 31 - 1 }).map((seed) => {
  const available: number[] = [];
  let random = seed;
  const below = (n: number) => {
    random = (Math.imul(random, 1_103_515_245) + 12_345) >>> 0;
    return Math.floor((random / 2 ** 32) * n);
  };
  for (let spot = below(2); available.length < 150; spot = 1 - spot) {
    const length = 1 + below([2, 6, 40][below(3)] ?? 1);
    for (let i = 0; i < length; i++) available.push(spot);
  }
  return Uint8Array.from(available);
});

/** Deadlines from what on-demand just meets, in whole ticks, to twice the work. */
const SETTINGS = [60, 300, 900].flatMap((changeoverSeconds) =>
  [600, 2_400, 10_800].map((slackSeconds) => ({
    changeoverSeconds,
    slackSeconds: Math.max(Math.ceil(changeoverSeconds / 600) * 600, slackSeconds),
  })),
);

describe('deadlines', () => {
  it('ours alone misses none that on-demand could meet, over 10,000 random traces', () => {
    const policy = slackPolicy();
    fc.assert(
      fc.property(traces, fc.constantFrom(...SETTINGS), (available, { changeoverSeconds, slackSeconds }) => {
        const durationSeconds = 3 * 3_600;
        const one = scenario('', {
          available,
          durationSeconds,
          deadlineSeconds: durationSeconds + slackSeconds,
          changeoverSeconds,
          unguarded: true,
        });
        return !runSinglePool(one, policy).late;
      }),
      { numRuns: 10_000, seed: 1 },
    );
  });
});

describe('the optimum', () => {
  it('is what trying every way finds', () => {
    fc.assert(
      fc.property(fc.array(fc.integer({ min: 0, max: 1 }), { minLength: 7, maxLength: 7 }), (available) => {
        const one = scenario('', { available: Uint8Array.from(available), deadlineSeconds: 7 * 600, unguarded: true });
        expect(singlePoolOptimum(one)).toBeCloseTo(cheapestOf(one, 7));
      }),
      { numRuns: 15, seed: 1 },
    );
  });

  it('is never above any policy', () => {
    const policies = [...Object.values(SINGLE_POOL_BASELINES), slackPolicy()];
    fc.assert(
      fc.property(traces, (available) => {
        const one = scenario('', { available, durationSeconds: 36_000, deadlineSeconds: 43_200 });
        const best = singlePoolOptimum(one);
        for (const policy of policies) expect(runSinglePool(one, policy).cost).toBeGreaterThanOrEqual(best - 1e-9);
      }),
      { numRuns: 20, seed: 1 },
    );
  });
});

/** The cheapest of all sequences of so many choices that is not late. */
function cheapestOf(one: SinglePoolScenario, ticks: number): number {
  const modes: Mode[] = ['idle', 'spot', 'onDemand'];
  let best = Number.POSITIVE_INFINITY;
  for (let code = 0; code < 3 ** ticks; code++) {
    const outcome = runSinglePool(
      one,
      () =>
        ({ now }) =>
          modes[Math.floor(code / 3 ** (now / 600)) % 3] ?? 'onDemand',
    );
    if (!outcome.late) best = Math.min(best, outcome.cost);
  }
  return best;
}
