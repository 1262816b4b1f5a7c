import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { compareVersions } from './resource-version.ts';

describe('resource versions', () => {
  it('compare as numbers, however long', () => {
    const version = fc.bigInt({ min: 1n, max: 2n ** 64n });
    fc.assert(
      fc.property(version, version, (a, b) => {
        const order = compareVersions(String(a), String(b)) ?? Number.NaN;
        expect(Math.sign(order)).toBe(a === b ? 0 : a < b ? -1 : 1);
      }),
    );
    expect(compareVersions('9', '10')).toBeLessThan(0);
  });

  it('that are no such numbers cannot be compared', () => {
    for (const odd of [undefined, '', '0', '007', '-1', '1e3', 'abc', ' 1']) {
      expect(compareVersions(odd, '5')).toBeNull();
      expect(compareVersions('5', odd)).toBeNull();
    }
  });
});
