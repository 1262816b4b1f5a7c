import { describe, expect, it } from 'vitest';
import { type FleetMoment, type FleetScenario, runFleet, type Wanted } from './fleet.ts';

const scenario = (zones: readonly (readonly number[])[]): FleetScenario => ({
  name: 'test',
  capacity: zones.map((zone) => Uint8Array.from(zone)),
  tickSeconds: 30,
  startTicks: 2,
  target: 2,
  spotPrice: 1,
  onDemandPrice: 3,
});

function run(zones: readonly (readonly number[])[], decide: (moment: FleetMoment) => Wanted) {
  const moments: FleetMoment[] = [];
  const outcome = runFleet(scenario(zones), () => (moment) => {
    moments.push(moment);
    return decide(moment);
  });
  return { ...outcome, moments };
}

describe('a simulated fleet', () => {
  it('answers with the replicas that were there all through a start, and pays for all', () => {
    const { availability, cost, launches } = run([[2, 2, 2, 2, 2, 2]], () => ({ spot: [2], onDemand: 0 }));
    expect(availability).toBe(1); // of the four ticks after the first start
    expect(cost).toBe(8);
    expect(launches).toBe(2);
  });

  it('loses at once what a zone can no longer hold, and is short until something else has started', () => {
    const { availability, moments } = run([[2, 2, 2, 1, 1, 1, 1, 1]], ({ tick }) => ({ spot: [2], onDemand: tick < 3 ? 0 : 1 }));
    expect(moments[3]?.zones[0]).toEqual({ running: 1, ready: 1, lost: 1, refused: 0 });
    expect(moments[4]?.zones[0]).toMatchObject({ refused: 1 });
    expect(moments[5]?.onDemand).toEqual({ running: 1, ready: 1 });
    expect(availability).toBeCloseTo(4 / 6);
  });

  it('pays for on-demand as much more as it costs', () => {
    expect(run([[0, 0, 0, 0]], () => ({ spot: [0], onDemand: 2 })).cost).toBe(12);
  });
});
