import { describe, expect, it } from 'vitest';
import { quantity } from './quantity.ts';

describe('a quantity', () => {
  it.each([
    ['2', 2],
    ['0.5', 0.5],
    ['500m', 0.5],
    ['64Gi', 64 * 2 ** 30],
    ['1024Ki', 2 ** 20],
    ['5G', 5e9],
    ['1e3', 1000],
  ])('%s is %d', (text, value) => {
    expect(quantity(text)).toBe(value);
  });

  it.each(['', 'much', '5Q', '-1'])('"%s" is none', (text) => {
    expect(quantity(text)).toBeNaN();
  });
});
