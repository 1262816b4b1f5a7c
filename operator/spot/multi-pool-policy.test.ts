import { describe, expect, it } from 'vitest';
import { firstSight } from './availability.ts';
import { choosePools, type MultiPoolInput, type PoolTerms, poolsWorthWaitingFor, processTogether } from './multi-pool-policy.ts';
import { keepPlans } from './slack-policy.ts';

const HOUR = 3_600;
const planner = keepPlans();
const horizon = { horizonSeconds: 50 * HOUR, maxSlackSeconds: 20 * HOUR };

const pool = (change: Partial<PoolTerms> = {}): PoolTerms => ({
  region: 'a',
  spotPrice: 1,
  onDemandPrice: 5,
  moveCost: 0,
  seen: null,
  ...change,
});

function choose(pools: readonly PoolTerms[], change: Partial<MultiPoolInput> = {}) {
  const input = {
    now: 0,
    deadline: 50 * HOUR,
    remainingSeconds: 40 * HOUR,
    changeoverSeconds: 720,
    stepSeconds: 600,
    running: null,
    pools,
    together: null,
    movesAreFree: false,
    ...change,
  };
  return choosePools(input, planner, horizon);
}

describe('where to run among several pools', () => {
  it('tries the cheapest first, and waits if none has spot and there is time', () => {
    const pools = [pool({ spotPrice: 1.2 }), pool({ region: 'b' })];
    expect(choose(pools)).toEqual({ attempts: [1, 0], otherwise: 'idle' });
  });

  it('prefers spot that lasts to spot that has just come back', () => {
    const young = { ...firstSight(true, 0), since: 0 };
    const old = { ...firstSight(true, 0), since: -10 * HOUR };
    expect(choose([pool({ seen: young }), pool({ seen: old })], { movesAreFree: true }).attempts).toEqual([1, 0]);
  });

  it('waits for its own region rather than pay egress, as long as there is much slack', () => {
    const pools = [pool(), pool({ region: 'b', moveCost: 3 })];
    expect(choose(pools, { remainingSeconds: 5 * HOUR }).attempts).toEqual([0]);
    expect(choose(pools, { remainingSeconds: 47 * HOUR }).attempts).toEqual([0, 1]);
  });

  it('does not wait for a cheaper pool that has been dry for long', () => {
    const dry = (hours: number) => ({ ...firstSight(false, 0), since: -hours * HOUR });
    const pools = (hours: number) => [pool({ spotPrice: 2 }), pool({ region: 'b', seen: dry(hours) })];
    const wait = { remainingSeconds: 5 * HOUR };
    expect(choose(pools(0.2), wait).attempts).toEqual([1]);
    expect(choose(pools(200), { ...wait, remainingSeconds: 32 * HOUR }).attempts).toEqual([1, 0]);
  });

  it('stays where it is unless the move pays for itself', () => {
    const running = { pool: 0, capacity: 'spot' } as const;
    expect(choose([pool(), pool({ spotPrice: 0.99, moveCost: 1 })], { running })).toEqual({ attempts: [], otherwise: running });
    expect(choose([pool({ spotPrice: 2 }), pool({ spotPrice: 1 })], { running })).toEqual({ attempts: [1], otherwise: running });
  });

  it('buys on-demand where the rest of the work is cheapest, egress included, when only that is sure to be in time', () => {
    const late = { deadline: 40 * HOUR + 1_000 };
    expect(choose([pool({ onDemandPrice: 6 }), pool({ moveCost: 1 })], late)).toEqual({
      attempts: [],
      otherwise: { pool: 1, capacity: 'onDemand' },
    });
    expect(choose([pool({ onDemandPrice: 5.01 }), pool({ moveCost: 50 })], late).otherwise).toEqual({ pool: 0, capacity: 'onDemand' });
  });

  it('takes dear spot instead of on-demand, not instead of waiting', () => {
    const pools = [pool(), pool({ spotPrice: 4 })];
    expect(poolsWorthWaitingFor(pools)).toEqual([0]);
    expect(choose(pools, { remainingSeconds: 5 * HOUR }).attempts).toEqual([0]);
    const drought = { ...firstSight(false, 0), since: -5 * HOUR };
    expect(choose(pools, { together: drought }).attempts).toEqual([0, 1]);
  });

  it('expects pools in several regions together to have spot for longer, and to be without it for less long', () => {
    const [one, two] = [processTogether([pool(), pool()]), processTogether([pool(), pool({ region: 'b' })])];
    expect(two.up.perHour).toBeLessThan(one.up.perHour);
    expect(two.down.perHour).toBeGreaterThan(one.down.perHour);
  });
});
