import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { accrue, formatDollars, type Ledger, parseDollars, savedShare } from './ledger.ts';

const EMPTY: Ledger = { gpuHours: 0, costMicros: 0, onDemandMicros: 0 };

describe('ledger', () => {
  it('adds up money without drift', () => {
    let ledger = EMPTY;
    for (let i = 0; i < 3_600; i++) ledger = accrue(ledger, { seconds: 1, gpus: 8, pricePerHour: 3.6, onDemandPerHour: 10.8 });
    expect(ledger.gpuHours).toBeCloseTo(8, 9);
    expect(ledger).toMatchObject({ costMicros: 3_600_000, onDemandMicros: 10_800_000 });
    expect(savedShare(ledger)).toBeCloseTo(2 / 3, 12);
  });

  it('charges nothing for no time, or for a clock that went back', () => {
    expect(accrue(EMPTY, { seconds: 0, gpus: 8, pricePerHour: 9, onDemandPerHour: 9 })).toEqual(EMPTY);
    expect(accrue(EMPTY, { seconds: -5, gpus: 8, pricePerHour: 9, onDemandPerHour: 9 })).toEqual(EMPTY);
  });

  it('knows no saving before anything was paid', () => {
    expect(savedShare(EMPTY)).toBeNull();
  });

  it('is off by no more than half a micro-dollar per stretch, however the time is cut', () => {
    const stretch = fc.double({ min: 0.1, max: 600, noNaN: true });
    fc.assert(
      fc.property(fc.array(stretch, { maxLength: 50 }), fc.double({ min: 0.001, max: 500, noNaN: true }), (parts, pricePerHour) => {
        const ledger = parts.reduce((l, seconds) => accrue(l, { seconds, gpus: 1, pricePerHour, onDemandPerHour: pricePerHour }), EMPTY);
        const exact = (parts.reduce((sum, seconds) => sum + seconds, 0) / 3_600) * pricePerHour * 1e6;
        expect(Math.abs(ledger.costMicros - exact)).toBeLessThanOrEqual(parts.length / 2 + 1e-3);
        expect(Number.isSafeInteger(ledger.costMicros)).toBe(true);
      }),
      { seed: 1 },
    );
  });
});

describe('dollars as text', () => {
  it.each<[number, string]>([
    [0, '0.00'],
    [118_400_000, '118.40'],
    [1, '0.000001'],
    [1_500, '0.0015'],
    [12_345_678, '12.345678'],
  ])('%d micro-dollars are %s', (micros, text) => {
    expect(formatDollars(micros)).toBe(text);
    expect(parseDollars(text)).toBe(micros);
  });

  it('come back as they were written', () => {
    fc.assert(
      fc.property(fc.integer({ min: 0, max: 10 ** 12 }), (micros) => parseDollars(formatDollars(micros)) === micros),
      { seed: 1 },
    );
    expect(parseDollars(undefined)).toBe(0);
  });
});
