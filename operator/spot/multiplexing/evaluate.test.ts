import { describe, expect, it } from 'vitest';
import { gammaArrivals, mergeArrivals } from './arrivals.ts';
import { evaluate, type PlacedGroup } from './evaluate.ts';
import { type ModelProfile, requestSeconds, stageSeconds } from './profile.ts';

const model = (latencySeconds: number): ModelProfile => ({ name: `of ${latencySeconds} s`, latencySeconds, weightsGiB: 1, workingGiB: 0 });
const group = (models: number[], pipeline = 1, tensor = 1): PlacedGroup => ({ node: 0, firstGpu: 0, pipeline, tensor, models });
const NO_LIMIT = 1e9;

describe('what requests take', () => {
  it('a request waits for those before it on its GPU', () => {
    // At 0, 0.5 and 4: answered at 1, 2 and 5.
    const { meanSeconds, served } = evaluate([model(1)], [group([0])], mergeArrivals([[0, 0.5, 4]]), NO_LIMIT);
    expect(meanSeconds).toBeCloseTo((1 + 1.5 + 1) / 3);
    expect([...served]).toEqual([3]);
  });

  it('stages work on different requests at the same time', () => {
    // Two stages of s each: answered at 2 s, 3 s, 4 s.
    const s = stageSeconds(model(1), { pipeline: 2, tensor: 1 });
    const { meanSeconds } = evaluate([model(1)], [group([0], 2)], mergeArrivals([[0, 0, 0]]), NO_LIMIT);
    expect(meanSeconds).toBeCloseTo(3 * s);
  });

  it('a short request stays behind a long one in the stages', () => {
    const a = stageSeconds(model(4), { pipeline: 2, tensor: 1 });
    const b = stageSeconds(model(1), { pipeline: 2, tensor: 1 });
    const { meanSeconds } = evaluate([model(4), model(1)], [group([0, 1], 2)], mergeArrivals([[0], [0.1]]), NO_LIMIT);
    // The short one leaves the first stage at a + b, and waits until the long one leaves the second.
    expect(meanSeconds).toBeCloseTo((2 * a + (2 * a + b - 0.1)) / 2);
  });

  it('parallel stages cost latency, tensor parallelism gains some: what is stated', () => {
    expect(requestSeconds(model(1), { pipeline: 4, tensor: 1 })).toBeCloseTo(1.06);
    expect(requestSeconds(model(1), { pipeline: 1, tensor: 4 })).toBeCloseTo(0.25 + 0.075);
    expect(stageSeconds(model(1), { pipeline: 1, tensor: 1 })).toBe(1);
  });

  it('goes where the backlog is least, of the groups that hold the model', () => {
    const groups = [group([0]), group([0, 1]), group([1])];
    // The first two take one request of model 0 each; model 1's goes to the third, which is idle.
    const { busySeconds, meanSeconds } = evaluate([model(1), model(1)], groups, mergeArrivals([[0, 0], [0.5]]), NO_LIMIT);
    expect([...busySeconds]).toEqual([1, 1, 1]);
    expect(meanSeconds).toBeCloseTo(1);
  });

  it('turns away what cannot be in time, which then delays nobody', () => {
    // SLO 2 s: the third of three at once would take 3 s. The fourth, at 1, is in time at 3.
    const { served, requests, attainment } = evaluate([model(1)], [group([0])], mergeArrivals([[0, 0, 0, 1]]), 2);
    expect([...served]).toEqual([3]);
    expect([...requests]).toEqual([4]);
    expect(attainment).toBe(0.75);
  });

  it('a model that no group holds is not served; without requests nothing is missed', () => {
    const both = [model(1), model(1)];
    const { served, attainment } = evaluate(both, [group([0])], mergeArrivals([[0], [0]]), 5);
    expect([...served]).toEqual([1, 0]);
    expect(attainment).toBe(0.5);
    expect(evaluate(both, [group([0])], mergeArrivals([[], []]), 5).attainment).toBe(1);
  });

  it.each([0.3, 0.6, 0.8])('at load %d of Poisson requests the mean wait is that of an M/D/1 queue', (load) => {
    const { meanSeconds } = evaluate([model(1)], [group([0])], gammaArrivals([load], 1, 400_000, 3), NO_LIMIT);
    expect((meanSeconds - 1) / (load / (2 * (1 - load)))).toBeCloseTo(1, 1);
  });

  it('a request of a pipeline waits as in an M/D/1 queue of one stage', () => {
    const s = stageSeconds(model(1), { pipeline: 4, tensor: 1 });
    const { meanSeconds } = evaluate([model(1)], [group([0], 4)], gammaArrivals([0.7 / s], 1, 100_000, 3), NO_LIMIT);
    expect((meanSeconds - 4 * s) / ((s * 0.7) / (2 * 0.3))).toBeCloseTo(1, 1);
  });
});
