import { describe, expect, it, vi } from 'vitest';
import { firstSight } from './availability.ts';
import { planSlack } from './slack-plan.ts';
import { chooseBySlack, keepPlans, type SlackInput } from './slack-policy.ts';

const HOUR = 3_600;
const planner = keepPlans();
const horizon = { horizonSeconds: 20 * HOUR, maxSlackSeconds: 8 * HOUR };

/** Ten hours before the deadline, with so much slack. */
function choice(slackSeconds: number, spot: boolean, change: Partial<SlackInput> = {}) {
  return chooseBySlack(
    {
      now: 0,
      deadline: 10 * HOUR,
      remainingSeconds: 10 * HOUR - slackSeconds,
      changeoverSeconds: 360,
      stepSeconds: 600,
      current: 'idle',
      spotPriceShare: 0.3,
      pool: firstSight(spot, 0),
      ...change,
    },
    planner,
    horizon,
  );
}

describe('choice by slack', () => {
  it('takes spot that is there, and waits for it with much slack', () => {
    expect(choice(6 * HOUR, true)).toBe('spot');
    expect(choice(6 * HOUR, false)).toBe('idle');
  });

  it('takes on-demand when only that can still make the deadline', () => {
    expect(choice(600 + 359, false)).toBe('onDemand');
    expect(choice(600 + 719, true)).toBe('onDemand');
    expect(choice(600 + 719, true, { current: 'onDemand' })).toBe('onDemand');
  });

  it('keeps spot that runs as long as on-demand could still follow', () => {
    expect(choice(960, true, { current: 'spot' })).toBe('spot');
    expect(choice(959, true, { current: 'spot' })).toBe('onDemand');
  });

  it('stays on on-demand through a drought when slack is short, and goes back to spot', () => {
    expect(choice(HOUR, false, { current: 'onDemand' })).toBe('onDemand');
    expect(choice(HOUR, true, { current: 'onDemand' })).toBe('spot');
  });
});

describe('kept plans', () => {
  it('are made once for the same input, and the oldest goes first', () => {
    const made = vi.fn(planSlack);
    const keeper = keepPlans(made, 2);
    const ask = (spotPriceShare: number) =>
      keeper({
        stepSeconds: 600,
        changeoverSeconds: 60,
        horizonSeconds: HOUR,
        maxSlackSeconds: HOUR,
        spotPriceShare,
        process: { up: { perHour: 1, decline: 0 }, down: { perHour: 1, decline: 0 } },
        upFactor: 1,
        downFactor: 1,
      });
    expect(ask(0.1)).toBe(ask(0.1));
    ask(0.2);
    ask(0.3);
    ask(0.1);
    expect(made).toHaveBeenCalledTimes(4);
  });
});
