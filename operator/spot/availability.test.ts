import { describe, expect, it } from 'vitest';
import { type Availability, ageHours, endsFactor, expectedShare, look } from './availability.ts';

const MINUTE = 60;
/** A pool looked at every ten minutes, '1' = with spot. */
function watched(looks: string): Availability {
  let pool: Availability | null = null;
  [...looks].forEach((digit, i) => {
    pool = look(pool, digit === '1', i * 10 * MINUTE);
  });
  if (pool === null) throw new Error('no looks');
  return pool;
}

describe('what is learned of a pool', () => {
  it('a state found is taken to be an hour old, one seen to begin to have begun between two looks', () => {
    expect(ageHours(watched('1'), 0)).toBe(1);
    expect(ageHours(watched('0111'), 30 * MINUTE)).toBeCloseTo(25 / 60);
  });

  it('counts ends of spot and of droughts apart', () => {
    const pool = watched('110010');
    expect(pool.up.seen).toBe(2);
    expect(pool.down.seen).toBe(1);
  });

  it('thinks a pool unstable whose spot ends more often than usual, and steady one whose spot goes on', () => {
    expect(endsFactor(watched('10'.repeat(40)).up)).toBeGreaterThan(2);
    expect(endsFactor(watched('1'.repeat(600)).up)).toBeLessThan(0.7);
    expect(endsFactor(watched('1').up)).toBe(1);
  });

  it('learns nothing from a look at the same time or an earlier one', () => {
    const pool = watched('101');
    expect(look(pool, false, pool.lastSeen)).toBe(pool);
  });
});

describe('the share of the time ahead with spot', () => {
  const HOUR = 3_600;

  it('is all while there is spot, and half where nobody has looked', () => {
    expect(expectedShare(watched('1'), 0, 24)).toBe(1);
    expect(expectedShare(null, 0, 24)).toBe(0.5);
  });

  it('is less, the longer the drought has lasted', () => {
    const drought = (hours: number) => expectedShare({ ...watched('0'), since: -hours * HOUR }, 0, 24);
    expect(drought(0.1)).toBeGreaterThan(drought(2));
    expect(drought(2)).toBeGreaterThan(drought(20));
    expect(drought(20)).toBeGreaterThan(0);
  });
});
