import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import {
  decideReplicas,
  EMPTY_MEMORY,
  type MetricInput,
  type Sample,
  type ScalingInput,
  type ScalingMemory,
  type ScalingSettings,
} from './decide.ts';

const START = Date.parse('2026-06-01T12:00:00Z');
const SETTINGS: ScalingSettings = {
  min: 1,
  max: 20,
  tolerance: 0.1,
  scaleUp: { stabilizationSeconds: 0, percent: 100, replicas: 4, periodSeconds: 15 },
  scaleDown: { stabilizationSeconds: 300, percent: 100, replicas: 4, periodSeconds: 15 },
  panic: { windowSeconds: 6, threshold: 2 },
  schedule: [],
};
const PROBLEM: Sample = { problem: 'Prometheus cannot be reached' };

const metric = (sample: Sample | number, changes: Partial<MetricInput> = {}): MetricInput => ({
  name: 'requests',
  target: 8,
  type: 'perReplica',
  activation: 0,
  sample: typeof sample === 'number' ? { value: sample } : sample,
  ...changes,
});
const input = (current: number, sample: Sample | number, changes: Partial<ScalingInput> = {}): ScalingInput => ({
  settings: SETTINGS,
  current,
  ready: current,
  startSeconds: 0,
  metrics: [metric(sample)],
  demandedAt: null,
  ...changes,
});
const settings = (changes: Partial<ScalingSettings>) => ({ settings: { ...SETTINGS, ...changes } });
const decide = (given: ScalingInput, memory: ScalingMemory = EMPTY_MEMORY) => decideReplicas(given, memory, START).decision;

/** Plays a load through the minutes, replicas ready at once; the number decided at each evaluation. */
function play(load: (second: number) => Sample | number, seconds: number, changes: Partial<ScalingInput> = {}, every = 15): number[] {
  let memory = EMPTY_MEMORY;
  let current = changes.current ?? 1;
  const numbers: number[] = [];
  for (let second = 0; second <= seconds; second += every) {
    const given = input(current, load(second), { ...changes, current, ready: current });
    const result = decideReplicas(given, memory, START + second * 1000);
    ({ memory } = result);
    current = result.decision.replicas;
    numbers.push(current);
  }
  return numbers;
}

describe('the number of replicas', () => {
  it.each([
    ['more load than they are made for', 2, 40, 5],
    ['about what they are made for, within the tolerance', 5, 43, 5],
    ['a value that needs a part of one more', 1, 9, 2],
    ['more than the limit', 10, 1_000, 20],
  ])('for %s', (_, current, value, expected) => {
    expect(decide(input(current, value), EMPTY_MEMORY).replicas).toBe(expected === 20 ? 20 : expected);
  });

  it('of several metrics the one that asks for most counts', () => {
    const metrics = [metric(8), metric(6, { name: 'wait', target: 2, type: 'value' })];
    expect(decide(input(2, 0, { metrics }))).toMatchObject({ replicas: 6, reason: 'wait is 6, target 2' });
  });

  it('by a value is the present number times its ratio, and those that start already count', () => {
    const wait = (value: number) => [metric(value, { type: 'value', target: 2 })];
    expect(decide(input(4, 0, { metrics: wait(4) })).replicas).toBe(8);
    expect(decide(input(8, 0, { metrics: wait(4), ready: 4 })).replicas).toBe(8);
  });

  it('is within min and max, whatever is measured, and a metric that fails never lowers it', () => {
    const sample = fc.oneof(fc.double({ min: 0, max: 1e6, noNaN: true }), fc.constant(PROBLEM));
    fc.assert(
      fc.property(
        fc.array(sample, { minLength: 1, maxLength: 40 }),
        fc.integer({ min: 0, max: 5 }),
        fc.integer({ min: 1, max: 30 }),
        (loads, min, max) => {
          let memory = EMPTY_MEMORY;
          let current = Math.min(min, max);
          loads.forEach((load, i) => {
            const given = input(current, load, settings({ min: Math.min(min, max), max }));
            const result = decideReplicas(given, memory, START + i * 15_000);
            const { replicas } = result.decision;
            expect(replicas).toBeGreaterThanOrEqual(Math.min(min, max));
            expect(replicas).toBeLessThanOrEqual(max);
            if (typeof load === 'object') expect(replicas).toBeGreaterThanOrEqual(current);
            ({ memory } = result);
            current = replicas;
          });
        },
      ),
    );
  });

  it('never gets smaller for a higher load', () => {
    fc.assert(
      fc.property(
        fc.integer({ min: 1, max: 20 }),
        fc.double({ min: 0, max: 500, noNaN: true }),
        fc.double({ min: 0, max: 500, noNaN: true }),
        (current, a, b) => {
          const [low, high] = a < b ? [a, b] : [b, a];
          expect(decide(input(current, high)).replicas).toBeGreaterThanOrEqual(decide(input(current, low)).replicas);
        },
      ),
    );
  });
});

describe('a load step from 1 to 20 users', () => {
  it('is met in one evaluation where the rate allows it', () => {
    expect(play((s) => (s < 60 ? 1 : 20), 75).at(-1)).toBe(3);
  });

  it('is met at the pace that the behavior allows, and says so', () => {
    const slow = settings({ scaleUp: { stabilizationSeconds: 0, percent: 1, replicas: 1, periodSeconds: 60 } });
    expect(decide(input(1, 40, slow))).toMatchObject({
      replicas: 2,
      limitedBy: 'rate',
      reason: 'requests is 40 at 8 a replica: on the way to 5',
    });
    expect(play(() => 40, 240, slow)).toEqual([2, 2, 2, 2, 3, 3, 3, 3, 4, 4, 4, 4, 5, 5, 5, 5, 5]);
  });
});

describe('a plateau', () => {
  it('with noise for 10 minutes changes nothing after the first step', () => {
    let seed = 7;
    const noise = () => {
      seed = (seed * 16_807) % 2_147_483_647;
      return seed / 2_147_483_647;
    };
    const numbers = play(() => 36 + 10 * (noise() - 0.5), 600);
    // It may go up once more for the highest peak; it never goes down and up again.
    expect(numbers.toSorted((a, b) => a - b)).toEqual(numbers);
    expect(new Set(numbers.slice(1)).size).toBeLessThanOrEqual(2);
  });

  it('that ends is left after the stabilization window, not before', () => {
    const numbers = play((s) => (s < 60 ? 80 : 8), 480, { current: 10 });
    expect(numbers[Math.floor(330 / 15)]).toBe(10);
    expect(numbers.at(-1)).toBe(1);
  });
});

describe('a metric that cannot be read', () => {
  it('for 5 minutes under load takes no replica away, and says so', () => {
    const numbers = play((s) => (s >= 120 && s < 420 ? PROBLEM : 40), 600, { current: 5 });
    expect(new Set(numbers)).toEqual(new Set([5]));
    expect(decide(input(5, PROBLEM)).reason).toBe('held at 5: requests: Prometheus cannot be reached');
  });

  it('does not keep another one from asking for more', () => {
    expect(decide(input(2, 0, { metrics: [metric(PROBLEM), metric(80, { name: 'other' })] })).replicas).toBe(6);
    expect(decide(input(2, 0, { metrics: [metric(PROBLEM), metric(0, { name: 'other' })] })).replicas).toBe(2);
  });

  it('keeps none at none', () => {
    expect(decide(input(0, PROBLEM, settings({ min: 0 }))).replicas).toBe(0);
  });
});

describe('none at all', () => {
  const none = settings({ min: 0 });
  it('becomes one when the metric is above its activation, or requests wait at the gateway', () => {
    expect(decide(input(0, 0, none)).replicas).toBe(0);
    expect(decide(input(0, 0, { ...none, metrics: [metric(3, { activation: 5 })] })).replicas).toBe(0);
    expect(decide(input(0, 0, { ...none, metrics: [metric(6, { activation: 5 })] })).replicas).toBe(1);
    expect(decide(input(0, PROBLEM, { ...none, demandedAt: START - 1_000 }))).toMatchObject({
      replicas: 1,
      reason: 'requests wait at the gateway',
    });
    expect(decide(input(0, 0, { ...none, demandedAt: START - 120_000 })).replicas).toBe(0);
  });

  it('comes only when nothing is asked for the whole window; little is not nothing', () => {
    expect(play(() => 1, 600, { ...none, current: 2 }).at(-1)).toBe(1);
    const numbers = play((s) => (s < 30 ? 1 : 0), 600, { ...none, current: 1 });
    expect(numbers[Math.floor(300 / 15)]).toBe(1);
    expect(numbers.at(-1)).toBe(0);
  });
});

describe('a burst', () => {
  it('keeps every replica while it lasts', () => {
    const quick = settings({ scaleDown: { stabilizationSeconds: 0, percent: 100, replicas: 4, periodSeconds: 15 } });
    const bursting = { ...quick, ready: 1, metrics: [metric(20)] };
    // One of ten answers and has 20 requests: twice what it is made for.
    expect(decide(input(10, 0, bursting))).toMatchObject({ replicas: 10, reason: 'held at 10 while a burst lasts' });
    expect(decide(input(10, 20, quick)).replicas).toBeLessThan(10);
  });
});

describe('a load that grows', () => {
  it('is met for the time when a replica that starts now will answer', () => {
    const growing = (startSeconds: number) => play((s) => 8 + s / 2, 150, { startSeconds }).at(-1) ?? 0;
    expect(growing(60)).toBeGreaterThan(growing(0));
    expect(growing(60)).toBeLessThanOrEqual(Math.ceil((2 * 83) / 8));
  });
});

describe('a schedule', () => {
  const office = settings({ schedule: [{ days: ['Mon'], start: '14:30', end: '18:00', timeZone: 'Europe/Berlin', min: 6 }] });
  it('keeps its replicas, and starts them early enough', () => {
    // Monday, 14:00 in Berlin.
    expect(decide(input(1, 0, office)).replicas).toBe(1);
    expect(decide(input(1, 0, { ...office, startSeconds: 1_800 }))).toMatchObject({
      replicas: 6,
      limitedBy: 'min',
      reason: 'the schedule keeps 6',
    });
  });
});
