import { describe, expect, it } from 'vitest';
import { BoundedCache } from './bounded-cache.ts';

describe('a bounded cache', () => {
  it('gives a value until it expires', () => {
    const cache = new BoundedCache<string>(10);
    cache.set('a', 'A', 100);
    expect(cache.get('a', 99)).toBe('A');
    expect(cache.get('a', 100)).toBeUndefined();
    expect(cache.size).toBe(0);
  });

  it('lets the entry go that was unused for longest', () => {
    const cache = new BoundedCache<string>(2);
    cache.set('a', 'A', 100);
    cache.set('b', 'B', 100);
    cache.get('a', 1);
    cache.set('c', 'C', 100);
    expect([cache.get('a', 1), cache.get('b', 1), cache.get('c', 1)]).toEqual(['A', undefined, 'C']);
    expect(cache.size).toBe(2);
  });
});
