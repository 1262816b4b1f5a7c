import { describe, expect, it } from 'vitest';
import { formGroups, parallelisms } from './groups.ts';

describe('groups of GPUs', () => {
  it('come in powers of two, in every pipeline × tensor', () => {
    expect(parallelisms(4).map((p) => [p.pipeline, p.tensor])).toEqual([
      [1, 1],
      [2, 1],
      [1, 2],
      [4, 1],
      [2, 2],
      [1, 4],
    ]);
    expect(parallelisms(6)).toEqual(parallelisms(4));
  });

  it('do not span nodes; what is left over are single GPUs', () => {
    const groups = formGroups({ from: 0, to: 12 }, 6, { pipeline: 2, tensor: 2 });
    expect(groups.map((g) => [g.node, g.firstGpu, g.pipeline * g.tensor])).toEqual([
      [0, 0, 4],
      [0, 4, 1],
      [0, 5, 1],
      [1, 0, 4],
      [1, 4, 1],
      [1, 5, 1],
    ]);
  });

  it('of a part stay within it', () => {
    expect(formGroups({ from: 3, to: 7 }, 8, { pipeline: 2, tensor: 1 }).map((g) => [g.firstGpu, g.pipeline])).toEqual([
      [3, 1],
      [4, 2],
      [6, 1],
    ]);
  });
});
