import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import type { Availability } from './availability.ts';
import { type DeadlineTerms, planDeadline } from './deadline-placement.ts';
import type { PoolView } from './pool-view.ts';

const HOUR = 3_600;
const CHANGEOVER = 240;

function pool(name: string, change: Partial<PoolView> = {}): PoolView {
  return {
    name,
    cloud: 'aws',
    capacity: 'spot',
    accelerator: 'A100',
    gpusPerNode: 8,
    gpuMemoryGiB: 80,
    price: { spot: 1, onDemand: 3 },
    freeSlots: 1,
    growableSlots: 0,
    blockedUntil: null,
    remainingLifeHours: null,
    seen: null,
    noticeSeconds: 30,
    egressPerGiB: 0,
    ...change,
  };
}

const onDemand = pool('od', { capacity: 'onDemand', price: { spot: null, onDemand: 3 } });

interface Trace {
  readonly workHours: number;
  readonly slackHours: number;
  /** Minutes of spot, then without, and so on, by pool. */
  readonly spells: readonly (readonly number[])[];
  readonly prices: readonly number[];
}

/** Lives through the trace as the operator would: it looks whenever it asked to, or a pool comes or goes. Seconds of lateness. */
function run({ workHours, slackHours, spells, prices }: Trace): { late: number; onDemandSeconds: number } {
  const work = workHours * HOUR;
  const deadline = work + slackHours * HOUR;
  const ends = spells.map((minutes) => minutes.map((_, i) => 60 * minutes.slice(0, i + 1).reduce((a, b) => a + b, 0)));
  const hasSpot = (i: number, at: number) => (ends[i]?.filter((end) => end <= at).length ?? 0) % 2 === 0;
  const changes = [...new Set(ends.flat())].sort((a, b) => a - b);
  let now = 0;
  let done = 0;
  let ready = 0;
  let runningIn: string | null = null;
  let spotSeen: Availability | null = null;
  let onDemandSeconds = 0;
  while (done < work && now < 3 * deadline) {
    const views = spells.map((_, i) =>
      pool(`spot-${i}`, { price: { spot: prices[i] as number, onDemand: 3 }, freeSlots: hasSpot(i, now) ? 1 : 0 }),
    );
    if (runningIn !== null && runningIn !== 'od' && views.find((v) => v.name === runningIn)?.freeSlots === 0) runningIn = null;
    const waiting = runningIn === null ? 0 : Math.max(0, ready - now);
    const terms: DeadlineTerms = {
      deadline,
      remainingSeconds: work - done + waiting,
      changeoverSeconds: CHANGEOVER,
      checkpointGiB: 1,
      runningIn,
      spotSeen,
    };
    const hasRoom = (view: PoolView) => view.freeSlots > 0;
    const plan = planDeadline({ workers: 1, gpusPerWorker: 8, hasRoom }, terms, [...views, onDemand], now);
    if (plan === null) throw new Error('no plan');
    spotSeen = plan.spotSeen;
    const target = plan.order.find((name) => name === 'od' || views.some((v) => v.name === name && v.freeSlots > 0));
    const next = target ?? plan.stayIn;
    if (next !== runningIn && next !== null) ready = now + CHANGEOVER;
    runningIn = next;
    const wake = Math.min(
      plan.onDemandAt ?? Number.POSITIVE_INFINITY,
      now + 600,
      changes.find((at) => at > now) ?? Number.POSITIVE_INFINITY,
    );
    if (runningIn !== null) {
      const finish = Math.max(now, ready) + work - done;
      const until = Math.min(wake, finish);
      if (runningIn === 'od') onDemandSeconds += until - now;
      done += Math.max(0, until - Math.max(now, ready));
      now = until;
    } else now = wake;
  }
  return { late: Math.max(0, now - deadline), onDemandSeconds };
}

describe('a plan for a deadline', () => {
  it('meets every deadline that on-demand alone would meet', () => {
    const trace = fc.record({
      workHours: fc.constantFrom(2, 7),
      // On-demand alone needs one change-over; the grid of times rounds up by a quarter at the most.
      slackHours: fc.constantFrom(0.12, 1, 6),
      spells: fc.array(fc.array(fc.integer({ min: 1, max: 300 }), { minLength: 1, maxLength: 12 }), { minLength: 1, maxLength: 3 }),
      prices: fc.constantFrom([0.5, 1, 2], [1, 1, 1]),
    });
    fc.assert(
      fc.property(trace, (one) => {
        expect(run(one).late).toBe(0);
      }),
      { seed: 1, numRuns: 120 },
    );
  }, 30_000);

  it('buys no on-demand where spot lasts, and little where it comes back with time to spare', () => {
    expect(run({ workHours: 10, slackHours: 5, spells: [[6_000]], prices: [1] }).onDemandSeconds).toBe(0);
    const flaky = run({ workHours: 10, slackHours: 20, spells: [Array.from({ length: 60 }, () => 40)], prices: [1] });
    expect(flaky).toEqual({ late: 0, onDemandSeconds: 0 });
  });

  it('decides nothing where there is only one kind of capacity', () => {
    const terms: DeadlineTerms = {
      deadline: HOUR,
      remainingSeconds: 60,
      changeoverSeconds: 60,
      checkpointGiB: 0,
      runningIn: null,
      spotSeen: null,
    };
    const asked = { workers: 1, gpusPerWorker: 8, hasRoom: () => true };
    expect(planDeadline(asked, terms, [pool('a')], 0)).toBeNull();
    expect(planDeadline(asked, terms, [onDemand], 0)).toBeNull();
  });
});
