import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { cheapestMix, type ZoneOutlook } from './fleet-mix.ts';

const zone = (loss: number, changes: Partial<ZoneOutlook> = {}): ZoneOutlook => ({ loss, running: 0, room: 8, ...changes });
const request = { needed: 3, spotPrice: 1, onDemandPrice: 3, onDemandRoom: 3 };

describe('the mix of a fleet', () => {
  it('is spot alone, spread over zones, where zones last', () => {
    expect(cheapestMix(request, [zone(0.001), zone(0.001), zone(0.001)])).toMatchObject({ spot: [1, 1, 1], onDemand: 0 });
  });

  it('has spares where one zone’s loss would be felt', () => {
    const { spot, onDemand, missing } = cheapestMix(request, [zone(0.02), zone(0.02), zone(0.02)]);
    expect([...spot].sort()).toEqual([1, 1, 2]);
    expect(onDemand).toBe(0);
    expect(missing).toBeLessThan(3 * 0.02); // what is expected to be missing without a spare
  });

  it('is on-demand where spot is about to go, or there is none', () => {
    expect(cheapestMix(request, [zone(0.6)])).toMatchObject({ spot: [0], onDemand: 3, missing: 0 });
    expect(cheapestMix(request, [zone(0.001, { room: 0 })])).toMatchObject({ spot: [0], onDemand: 3 });
  });

  it('keeps what runs, of zones that are alike', () => {
    expect(cheapestMix({ ...request, needed: 1 }, [zone(0.001), zone(0.001, { running: 1 })]).spot).toEqual([0, 1]);
  });

  it('always buys what is needed while on-demand has room, and never more than a few spares', () => {
    const zones = fc.array(fc.record({ loss: fc.double({ min: 0, max: 1, noNaN: true }), running: fc.nat(4), room: fc.nat(6) }), {
      maxLength: 5,
    });
    fc.assert(
      fc.property(fc.integer({ min: 1, max: 8 }), zones, (needed, outlooks) => {
        const mix = cheapestMix({ ...request, needed, onDemandRoom: needed }, outlooks);
        const total = mix.onDemand + mix.spot.reduce((a, b) => a + b, 0);
        expect(total).toBeGreaterThanOrEqual(needed);
        expect(total).toBeLessThanOrEqual(2 * needed + Math.max(3, needed / 2));
        mix.spot.forEach((count, i) => void expect(count).toBeLessThanOrEqual(outlooks[i]?.room ?? 0));
      }),
      { numRuns: 300 },
    );
  });
});
