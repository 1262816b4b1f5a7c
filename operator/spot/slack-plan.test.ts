import { describe, expect, it } from 'vitest';
import { planSlack, type SlackPlanInput, slackThreshold } from './slack-plan.ts';

const HOUR = 3_600;
const input: SlackPlanInput = {
  stepSeconds: 600,
  changeoverSeconds: 360,
  horizonSeconds: 20 * HOUR,
  maxSlackSeconds: 6 * HOUR,
  spotPriceShare: 0.3,
  process: { up: { perHour: 0.72, decline: 0.56 }, down: { perHour: 0.7, decline: 0.77 } },
  upFactor: 1,
  downFactor: 1,
};
const threshold = (change: Partial<SlackPlanInput>, runs: 'idle' | 'onDemand', spot: boolean, ageSteps: number, leftHours = 15) =>
  slackThreshold(planSlack({ ...input, ...change }), leftHours * HOUR, runs, spot, ageSteps);

describe('slack below which on-demand is the better choice', () => {
  it('is never so little that the deadline would be lost', () => {
    const plan = planSlack(input);
    for (const left of [1, 5, 15]) {
      expect(slackThreshold(plan, left * HOUR, 'idle', false, 1)).toBeGreaterThanOrEqual(600 + 360);
      expect(slackThreshold(plan, left * HOUR, 'onDemand', true, 1)).toBeGreaterThanOrEqual(600 + 2 * 360);
    }
  });

  it('is greater in an old drought than in a young one: the young one will soon be over', () => {
    expect(threshold({}, 'idle', false, 30)).toBeGreaterThan(threshold({}, 'idle', false, 1));
  });

  it('keeps the more in reserve, the longer a change-over', () => {
    expect(threshold({ changeoverSeconds: 600 }, 'idle', false, 3)).toBeGreaterThan(threshold({ changeoverSeconds: 60 }, 'idle', false, 3));
  });

  it('leaves on-demand for spot that has lasted sooner than for spot that has just come', () => {
    expect(threshold({}, 'onDemand', true, 10)).toBeLessThanOrEqual(threshold({}, 'onDemand', true, 1));
    expect(threshold({ upFactor: 8 }, 'onDemand', true, 1)).toBeGreaterThan(threshold({ upFactor: 0.5 }, 'onDemand', true, 1));
  });

  it('leaves on-demand at no slack for spot that saves nothing', () => {
    expect(threshold({ spotPriceShare: 1 }, 'onDemand', true, 10)).toBeGreaterThanOrEqual(6 * HOUR);
  });
});
