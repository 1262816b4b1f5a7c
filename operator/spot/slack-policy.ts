import { type Availability, ageHours, endsFactor, type SpotProcess, USUAL_PROCESS } from './availability.ts';

import { planSlack, type SlackPlan, type SlackPlanInput, slackThreshold } from './slack-plan.ts';

export type DeadlineChoice = 'spot' | 'onDemand' | 'idle';

/** Times in seconds. */
export interface SlackInput {
  readonly now: number;
  readonly deadline: number;
  /** Work left, and of the last change-over what is still to be waited for. */
  readonly remainingSeconds: number;
  readonly changeoverSeconds: number;
  /** Longest time until the next decision: spot can be lost, and not noticed, for so long. */
  readonly stepSeconds: number;
  readonly current: DeadlineChoice;
  readonly spotPriceShare: number;
  readonly pool: Availability;
}

export type SlackPlanner = (input: SlackPlanInput) => SlackPlan;

/** Hazard factors are rounded to these powers, so that few plans serve many trainings. */
const FACTOR_BASE = 1.6;
const MOST_POWERS = 3;

/** Plans for the asked horizon, kept: a plan depends on its input alone, so that keeping it changes nothing but the time taken. */
export function keepPlans(plan: (input: SlackPlanInput) => SlackPlan = planSlack, most = 64): SlackPlanner {
  const kept = new Map<string, SlackPlan>();
  return (input) => {
    const key = JSON.stringify(input);
    const made = kept.get(key) ?? plan(input);
    // The one that was used longest ago is the first to go.
    kept.delete(key);
    if (kept.size >= most) kept.delete(kept.keys().next().value as string);
    kept.set(key, made);
    return made;
  };
}

/**
 * What to run until the next decision: spot if it runs; else by the plan's threshold on slack. Whatever the plan says, on-demand is
 * chosen while it can still make the deadline, if anything else might be too late by the next decision.
 */
export function chooseBySlack(
  input: SlackInput,
  planner: SlackPlanner,
  horizon: Horizon,
  process: SpotProcess = USUAL_PROCESS,
): DeadlineChoice {
  const { now, deadline, remainingSeconds, changeoverSeconds, stepSeconds, current, pool } = input;
  const left = deadline - now;
  const slack = left - remainingSeconds;
  const spot = pool.available;
  if (current === 'spot' && spot) return slack >= stepSeconds + changeoverSeconds ? 'spot' : 'onDemand';
  const enough = spot ? stepSeconds + 2 * changeoverSeconds : stepSeconds + changeoverSeconds;
  if (slack < enough) return 'onDemand';
  const least = leastSlack(input, planner, horizon, process);
  if (slack < least) return 'onDemand';
  return spot ? 'spot' : 'idle';
}

/** Slack, seconds, below which the plan buys on-demand. */
export function leastSlack(input: SlackInput, planner: SlackPlanner, horizon: Horizon, process: SpotProcess = USUAL_PROCESS): number {
  const { now, deadline, stepSeconds, pool } = input;
  const plan = planner({
    stepSeconds,
    changeoverSeconds: input.changeoverSeconds,
    horizonSeconds: horizon.horizonSeconds,
    maxSlackSeconds: horizon.maxSlackSeconds,
    spotPriceShare: input.spotPriceShare,
    process,
    upFactor: rounded(endsFactor(pool.up)),
    downFactor: rounded(endsFactor(pool.down)),
  });
  const age = Math.round(ageHours(pool, now) / (stepSeconds / 3_600) + 0.5);
  return slackThreshold(plan, deadline - now, input.current === 'onDemand' ? 'onDemand' : 'idle', pool.available, age);
}

/** The bounds of the plan: the same for the whole of a run, so that one plan serves all its decisions. */
export interface Horizon {
  readonly horizonSeconds: number;
  readonly maxSlackSeconds: number;
}

function rounded(factor: number): number {
  const power = Math.round(Math.log(factor) / Math.log(FACTOR_BASE));
  return FACTOR_BASE ** Math.min(MOST_POWERS, Math.max(-MOST_POWERS, power));
}
