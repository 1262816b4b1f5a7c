import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { LineSplitter } from './line-splitter.ts';

describe('lines from a stream of bytes', () => {
  it('come out the same wherever the stream was cut, inside characters too', () => {
    const text = fc.string({ unit: fc.constantFrom('a', ' ', '\r', 'ü', '漢', '🦙'), maxLength: 20 });
    fc.assert(
      fc.property(fc.array(text, { maxLength: 8 }), fc.array(fc.nat(200), { maxLength: 12 }), (lines, cuts) => {
        const bytes = Buffer.from(lines.map((line) => `${line}\n`).join(''));
        const ends = [...cuts.map((cut) => Math.min(cut, bytes.length)), bytes.length].sort((a, b) => a - b);
        const splitter = new LineSplitter();
        let start = 0;
        const found = ends.flatMap((end) => {
          const chunk = bytes.subarray(start, end);
          start = end;
          return splitter.push(chunk);
        });
        expect(found).toEqual(lines);
      }),
    );
  });

  it('keep back what has no end yet', () => {
    const splitter = new LineSplitter();
    expect(splitter.push(Buffer.from('a\nb'))).toEqual(['a']);
    expect(splitter.push(Buffer.from(''))).toEqual([]);
    expect(splitter.push(Buffer.from('\n\n'))).toEqual(['b', '']);
  });
});
