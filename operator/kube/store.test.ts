import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { keyOf, Store, storeKey } from './store.ts';
import { type Thing, thing } from './testing/things.ts';

const byValue = (object: Thing) => (object.spec?.value === undefined ? [] : [String(object.spec.value)]);

describe('the store', () => {
  it('finds by index exactly what a search through everything finds, after any changes', () => {
    const step = fc.record({ name: fc.constantFrom('a', 'b', 'c', 'd'), value: fc.option(fc.constantFrom(1, 2, 3)) });
    fc.assert(
      fc.property(fc.array(step, { maxLength: 40 }), (steps) => {
        const store = new Store<Thing>({ value: byValue, both: (o) => [...byValue(o), 'any'] });
        for (const { name, value } of steps) {
          const object = thing(name, value ?? 0);
          if (value === null) store.delete(keyOf(object));
          else store.set(keyOf(object), object);
        }
        const all = store.values();
        for (const value of ['1', '2', '3'])
          expect(new Set(store.byIndex('value', value))).toEqual(new Set(all.filter((o) => byValue(o).includes(value))));
        expect(new Set(store.byIndex('both', 'any'))).toEqual(new Set(all));
        expect(store.size).toBe(all.length);
      }),
    );
  });

  it('lets go of an object under the values it was filed under, even if somebody has changed it since', () => {
    const store = new Store<Thing>({ value: byValue });
    const object = thing('a', 1);
    store.set(keyOf(object), object);
    object.spec = { value: 2 };
    store.delete(keyOf(object));
    expect(store.byIndex('value', '1')).toEqual([]);
  });

  it('returns what an object replaces, and refuses an unknown index by name', () => {
    const store = new Store<Thing>({});
    const [first, second] = [thing('a', 1), thing('a', 2)];
    expect(store.set('default/a', first)).toBeUndefined();
    expect(store.set('default/a', second)).toBe(first);
    expect(store.delete('default/a')).toBe(second);
    expect(() => store.byIndex('none', 'x')).toThrow('no index "none"');
  });

  it('knows cluster-scoped objects by name alone', () => {
    expect(storeKey(undefined, 'node-1')).toBe('node-1');
    expect(keyOf({ metadata: { name: 'pod', namespace: 'ns' } })).toBe('ns/pod');
  });
});
