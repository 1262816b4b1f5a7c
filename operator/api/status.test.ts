import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { World } from '../training/testing.ts';
import { reportSchema } from './protocol.ts';
import { vicunaTrainingStatusSchema } from './vicuna-training.ts';

const number = (max: number) => fc.oneof(fc.constantFrom(0, max), fc.double({ min: 0, max, noNaN: true }));
const step = fc.oneof(fc.constantFrom(0, 1, 1_000_000_000), fc.nat(1_000_000_000));

/** Reports that the protocol lets through, their numbers and strings at the edges of what it allows. */
const anyReport = fc.record(
  {
    state: fc.constantFrom('starting', 'running', 'stopped', 'failed', 'succeeded', 'terminating'),
    step,
    totalSteps: step,
    epoch: number(1_000_000),
    loss: fc.oneof(
      fc.constantFrom(null, 1.7e308, -1.7e308, 5e-324, 123_456_789_012_345),
      fc.double({ noNaN: true, noDefaultInfinity: true }),
    ),
    tokensPerSecond: fc.oneof(fc.constant(null), number(1.7e308)),
    stepSeconds: number(1_000_000_000),
    resumedStep: step,
    checkpoint: fc.record({
      step,
      uri: fc.string({ unit: 'binary', minLength: 1, maxLength: 200 }),
      bytes: number(1.7e308),
      savedAt: fc.date({ noInvalidDate: true, min: new Date(0), max: new Date('9999-01-01') }).map((d) => d.toISOString()),
      seconds: number(1_000_000_000),
      stallSeconds: number(1_000_000_000),
      generation: fc.nat(),
    }),
    exitCode: fc.integer({ min: -255, max: 255 }),
    message: fc.string({ unit: 'binary', maxLength: 200 }),
  },
  { requiredKeys: ['state', 'step', 'totalSteps', 'epoch', 'loss', 'tokensPerSecond'] },
);

describe('whatever a worker may report', () => {
  it('the status that comes of it is one that the API server takes', { timeout: 30_000 }, () => {
    fc.assert(
      fc.property(fc.array(fc.tuple(fc.nat(1), anyReport, fc.nat(60_000)), { minLength: 1, maxLength: 6 }), (reports) => {
        const world = new World().running();
        for (const [index, report, waited] of reports) {
          const pod = [...world.pods.keys()][index];
          if (pod === undefined) break;
          world.report(pod, report);
          expect(reportSchema.safeParse(world.reports.get(pod)?.report).success).toBe(true);
          world.now += waited;
          const { status } = world.step();
          const verdict = vicunaTrainingStatusSchema.safeParse(JSON.parse(JSON.stringify(status)));
          expect(verdict.error?.issues ?? []).toEqual([]);
        }
      }),
      { numRuns: 80 },
    );
  });
});
