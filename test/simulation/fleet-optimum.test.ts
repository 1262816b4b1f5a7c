import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { type FleetScenario, runFleet } from './fleet.ts';
import { onDemandOnly, roundRobin, spotHedge } from './fleet-baselines.ts';
import { fleetOptimum } from './fleet-optimum.ts';
import { mixPolicy } from './fleet-ours.ts';

const scenario = (zones: readonly (readonly number[])[], change: Partial<FleetScenario> = {}): FleetScenario => ({
  name: 'test',
  capacity: zones.map((zone) => Uint8Array.from(zone)),
  tickSeconds: 30,
  startTicks: 2,
  target: 2,
  spotPrice: 1,
  onDemandPrice: 3,
  ...change,
});

describe('the optimum of a fleet', () => {
  it('is spot where spot stays', () => {
    expect(fleetOptimum(scenario([[2, 2, 2, 2, 2, 2]]))).toBe(2 * 4);
  });

  it('is on-demand where there is none', () => {
    expect(fleetOptimum(scenario([[0, 0, 0, 0, 0, 0]]))).toBe(6 * 4);
  });

  it('pays for a start before what goes is gone', () => {
    // One of two zones goes in the sixth tick: its replica's successor starts two ticks before, in the other one.
    const [stays, goes] = [Array(9).fill(2), [1, 1, 1, 1, 1, 0, 0, 0, 0]];
    expect(fleetOptimum(scenario([stays, goes]))).toBe(2 * 7);
    expect(fleetOptimum(scenario([Array(9).fill(1), goes]))).toBe(1 * 7 + 1 * 3 + 3 * 4 + 3 * 2);
  });

  it('is never above what a policy pays that is always available', () => {
    const zone = fc.array(fc.integer({ min: 0, max: 3 }), { minLength: 40, maxLength: 40 });
    const policies = [onDemandOnly, roundRobin(1), spotHedge(3), spotHedge(1, true), mixPolicy()];
    fc.assert(
      fc.property(zone, zone, (a, b) => {
        const one = scenario([a, b]);
        const bound = fleetOptimum(one);
        for (const policy of policies) {
          const { cost, availability } = runFleet(one, policy);
          if (availability === 1) expect(cost).toBeGreaterThanOrEqual(bound);
        }
      }),
      { seed: 1, numRuns: 200 },
    );
  });
});
