import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { charge, type RetryHistory } from './budgets.ts';
import { checkpointIntervalSeconds } from './cadence.ts';
import { BLANK_MEMORY, remainingLifeHours, remember } from './capacity-memory.ts';
import { type DeadlineInput, uniformProgress } from './deadline.ts';
import { accrue, formatDollars, parseDollars, savedShare } from './ledger.ts';
import { type PlacementRequest, type PoolView, place } from './placement.ts';

const NOW = Date.parse('2026-01-01T00:00:00Z');

function pool(name: string, change: Partial<PoolView> = {}): PoolView {
  const price = { spot: 1, onDemand: 3 };
  return {
    name,
    cloud: 'aws',
    capacity: 'spot',
    accelerator: 'A100',
    gpusPerNode: 8,
    price,
    freeSlots: 4,
    growableSlots: 0,
    blockedUntil: null,
    remainingLifeHours: 12,
    ...change,
  };
}

function request(change: Partial<PlacementRequest> = {}): PlacementRequest {
  return {
    min: 2,
    max: 2,
    gpusPerWorker: 8,
    accelerator: null,
    capacity: 'auto',
    wanted: null,
    maxPricePerHour: null,
    budgetLeft: null,
    currentPool: null,
    avoid: new Set(),
    restartSeconds: 60,
    ...change,
  };
}

describe('placement', () => {
  it('takes the cheapest spot pool that holds the gang', () => {
    expect(place(request(), [pool('dear', { price: { spot: 2, onDemand: 3 } }), pool('cheap')], NOW).pool?.name).toBe('cheap');
  });

  it('prefers a pool that lasts when restarts eat the saving', () => {
    const flaky = pool('flaky', { remainingLifeHours: 0.02 });
    const steady = pool('steady', { price: { spot: 1.2, onDemand: 3 } });
    expect(place(request(), [flaky, steady], NOW).pool?.name).toBe('steady');
  });

  it('prefers room for the whole world to a lower price', () => {
    const small = pool('small', { freeSlots: 2 });
    const large = pool('large', { freeSlots: 4, price: { spot: 1.5, onDemand: 3 } });
    expect(place(request({ max: 4 }), [small, large], NOW)).toMatchObject({ pool: { name: 'large' }, workers: 4 });
  });

  it('takes on-demand when no spot pool has room, or when the deadline wants it', () => {
    const od = pool('od', { capacity: 'onDemand', price: { spot: null, onDemand: 3 } });
    expect(place(request(), [pool('spot', { freeSlots: 0 }), od], NOW).pool?.name).toBe('od');
    expect(place(request({ wanted: 'onDemand' }), [pool('spot'), od], NOW).pool?.name).toBe('od');
  });

  it.each<[string, Partial<PlacementRequest>, Partial<PoolView>, string, string]>([
    ['too few GPUs in a node', { gpusPerWorker: 16 }, {}, 'NoMatchingPool', 'a has 8 GPUs in a node'],
    ['the wrong accelerator', { accelerator: 'H100' }, {}, 'NoMatchingPool', 'a has A100'],
    ['the wrong capacity', { capacity: 'onDemand' }, {}, 'NoMatchingPool', 'a is spot'],
    ['spot at the on-demand price', {}, { price: { spot: 3, onDemand: 3 } }, 'NoMatchingPool', 'quotes spot at the on-demand price'],
    ['too dear', { maxPricePerHour: 1.5 }, {}, 'TooExpensive', 'a quotes $2.00/h for 2'],
    ['full', {}, { freeSlots: 1 }, 'NoCapacity', 'a has room for 1 only'],
    ['blocked', {}, { blockedUntil: NOW + 60_000 }, 'NoCapacity', 'a refused launches lately (next try 00:01 UTC)'],
    ['avoided', { avoid: new Set(['a']) }, {}, 'NoCapacity', 'a has just refused a launch'],
    ['budget spent', { budgetLeft: 0 }, {}, 'BudgetSpent', 'raise spec.placement.budget'],
  ])('refuses: %s', (_, asked, offered, reason, words) => {
    const answer = place(request(asked), [pool('a', offered)], NOW);
    expect(answer).toMatchObject({ pool: null, reason });
    expect(answer.message).toContain(words);
  });

  it('asks an autoscaler for no more than the smallest world', () => {
    expect(place(request({ min: 2, max: 8 }), [pool('a', { freeSlots: 0, growableSlots: 8 })], NOW)).toMatchObject({ workers: 2 });
  });
});

describe('budgets', () => {
  it('allows three errors an hour by default, with a growing back-off, and never counts interruptions', () => {
    let history: RetryHistory | undefined;
    const waits: number[] = [];
    for (let i = 0; i < 3; i++) {
      const verdict = charge([], history, 'error', 1, NOW + i * 60_000);
      if (!verdict.allowed) throw new Error('refused');
      waits.push(verdict.notBefore - (NOW + i * 60_000));
      history = verdict.history;
    }
    expect(waits).toEqual([10_000, 20_000, 40_000]);
    expect(charge([], history, 'error', 1, NOW + 180_000).allowed).toBe(false);
    expect(charge([], history, 'error', 1, NOW + 4_000_000).allowed).toBe(true);
    const many: RetryHistory = { cause: 'interruption', count: 10_000, times: [NOW] };
    expect(charge([], many, 'interruption', null, NOW)).toMatchObject({ allowed: true, notBefore: NOW });
  });

  it('takes the first rule that fits cause and exit code', () => {
    const rules = [
      { on: ['error' as const], exitCodes: [65], limit: 0 },
      { on: ['error' as const], limit: 'unlimited' as const },
    ];
    expect(charge(rules, undefined, 'error', 65, NOW).allowed).toBe(false);
    expect(charge(rules, undefined, 'error', 1, NOW).allowed).toBe(true);
  });

  it('ends a cause that goes on for longer than its rule allows', () => {
    const rules = [{ on: ['capacity' as const], forSeconds: 60 }];
    const history: RetryHistory = { cause: 'capacity', count: 1, times: [NOW] };
    expect(charge(rules, history, 'capacity', null, NOW + 59_000).allowed).toBe(true);
    expect(charge(rules, history, 'capacity', null, NOW + 61_000)).toMatchObject({
      allowed: false,
      message: 'capacity for longer than 1 min',
    });
  });
});

describe('ledger', () => {
  it('adds up money without drift, and gives it back as written', () => {
    let ledger = { gpuHours: 0, costMicros: 0, onDemandMicros: 0 };
    for (let i = 0; i < 3_600; i++) ledger = accrue(ledger, { seconds: 1, gpus: 8, pricePerHour: 3.6, onDemandPerHour: 10.8 });
    expect(ledger.gpuHours).toBeCloseTo(8, 9);
    expect(formatDollars(ledger.costMicros)).toBe('3.60');
    expect(savedShare(ledger)).toBeCloseTo(2 / 3, 12);
    expect(savedShare({ gpuHours: 0, costMicros: 0, onDemandMicros: 0 })).toBeNull();
  });

  it('round-trips any amount', () => {
    fc.assert(fc.property(fc.integer({ min: 0, max: 10 ** 12 }), (micros) => parseDollars(formatDollars(micros)) === micros));
  });
});

describe('cadence', () => {
  it('is Young’s interval for a small save, and stays within its bounds', () => {
    expect(checkpointIntervalSeconds({ saveSeconds: 1, restartSeconds: 0, remainingLifeSeconds: 36_000 })).toBe(
      Math.round(1 + Math.sqrt(2 * 36_000 + 1)),
    );
    expect(checkpointIntervalSeconds({ saveSeconds: 0.001, restartSeconds: 0, remainingLifeSeconds: 60 })).toBe(30);
    expect(checkpointIntervalSeconds({ saveSeconds: 600, restartSeconds: 600, remainingLifeSeconds: 1e7 })).toBe(1_800);
  });

  it('grows with the expected life', () => {
    const at = (remainingLifeSeconds: number) => checkpointIntervalSeconds({ saveSeconds: 10, restartSeconds: 60, remainingLifeSeconds });
    expect(at(600)).toBeLessThan(at(6_000));
    expect(at(6_000)).toBeLessThan(at(60_000));
  });
});

describe('capacity memory', () => {
  it('blocks a dry pool for a minute, doubling, and clears at a launch', () => {
    const first = remember(BLANK_MEMORY, { kind: 'noCapacity' }, NOW);
    const second = remember(first, { kind: 'noCapacity' }, NOW);
    expect([first.blockedUntil, second.blockedUntil]).toEqual([NOW + 60_000, NOW + 120_000]);
    expect(remember(second, { kind: 'launched' }, NOW)).toMatchObject({ blockedUntil: null, failuresInARow: 0, launched: 1 });
  });

  it('expects a shorter life after short lives, and a longer one after long ones', () => {
    const lived = (hours: number) => remainingLifeHours(remember(BLANK_MEMORY, { kind: 'interrupted', livedSeconds: hours * 3_600 }, NOW));
    expect(lived(0.5)).toBeLessThan(remainingLifeHours(BLANK_MEMORY));
    expect(lived(100)).toBeGreaterThan(remainingLifeHours(BLANK_MEMORY));
  });
});

describe('Uniform Progress', () => {
  /** Runs the policy over an availability trace in steps of a tenth of the change-over; true when the work is done by the deadline. */
  function meetsDeadline(trace: readonly boolean[], total: number, slack: number): boolean {
    const changeover = 10;
    const tick = 1;
    const deadline = total + slack;
    let done = 0;
    let warm = 0;
    let current: DeadlineInput['current'] = 'idle';
    for (let now = 0; now < deadline && done < total; now += tick) {
      const spotAvailable = trace[Math.floor(now / 20) % trace.length] ?? false;
      if (current === 'spot' && !spotAvailable) current = 'idle';
      const choice = uniformProgress({
        now,
        start: 0,
        deadline,
        totalSeconds: total,
        doneSeconds: done,
        changeoverSeconds: changeover + tick,
        current,
        spotAvailable,
      });
      if (choice !== current) {
        current = choice;
        warm = changeover;
      }
      if (current === 'idle') continue;
      if (warm > 0) warm -= tick;
      else done += tick;
    }
    return done >= total;
  }

  it('never misses a deadline that on-demand alone could still meet', () => {
    fc.assert(
      fc.property(
        fc.array(fc.boolean(), { minLength: 1, maxLength: 60 }),
        fc.integer({ min: 50, max: 400 }),
        fc.integer({ min: 24, max: 400 }),
        (trace, total, slack) => meetsDeadline(trace, total, slack),
      ),
      { seed: 1, numRuns: 2_000 },
    );
  });

  it('takes spot whenever it can be had and there is time', () => {
    const input: DeadlineInput = {
      now: 0,
      start: 0,
      deadline: 1_000,
      totalSeconds: 500,
      doneSeconds: 0,
      changeoverSeconds: 10,
      current: 'idle',
      spotAvailable: true,
    };
    expect(uniformProgress(input)).toBe('spot');
    expect(uniformProgress({ ...input, spotAvailable: false })).toBe('idle');
    expect(uniformProgress({ ...input, now: 500, spotAvailable: false })).toBe('onDemand');
    expect(uniformProgress({ ...input, doneSeconds: 500 })).toBe('idle');
  });
});
