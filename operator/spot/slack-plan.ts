import type { SpotProcess } from './availability.ts';
import { endsWithin } from './hazard.ts';

/**
 * When to wait for spot, when to buy on-demand, when to go back to spot: by stochastic dynamic programming over the time left, the
 * slack (time left less work left), what runs, whether spot can be had and for how long that has been so.
 *
 * Slack is what a deadline leaves to spend: waiting a step spends the step, a change-over spends its length. The plan is the cheapest
 * way to spend it, as one threshold for each state: with less slack, on-demand; with more, spot, or wait for it.
 */
export interface SlackPlanInput {
  /** Time between two decisions, seconds. */
  readonly stepSeconds: number;
  readonly changeoverSeconds: number;
  /** The longest time left, and the greatest slack, that the plan is asked about. */
  readonly horizonSeconds: number;
  readonly maxSlackSeconds: number;
  /** Price of spot as a share of the price of on-demand. */
  readonly spotPriceShare: number;
  readonly process: SpotProcess;
  /** Factors on the process's hazards (endsFactor). */
  readonly upFactor: number;
  readonly downFactor: number;
}

export interface SlackPlan {
  readonly stepSeconds: number;
  readonly steps: number;
  /** Seconds, by steps left, then by what runs (idle, on-demand), then by state (without spot, with spot) and age class. */
  readonly thresholds: Float32Array;
}

/** First age, in steps, of each age class: hazards fall fast at first, so young states are told apart finely. */
const CLASS_STARTS = [1, 2, 3, 4, 6, 10, 20, 40, 80] as const;
const CLASSES = CLASS_STARTS.length;
/** The slack's grid: so many points to a step, but no more than so many in all. */
const POINTS_PER_STEP = 20;
const MAX_POINTS = 700;
const IMPOSSIBLE = 1e9;

type Arrays = readonly Float64Array[];

/** Index of a state's value: what runs (0 idle, 1 spot, 2 on-demand), spot (0 none, 1 there), age class. */
function at(runs: number, spot: number, age: number): number {
  return (runs * 2 + spot) * CLASSES + age;
}

export function planSlack(input: SlackPlanInput): SlackPlan {
  const { stepSeconds, changeoverSeconds, horizonSeconds, maxSlackSeconds, spotPriceShare } = input;
  const unit = gridUnit(input);
  const points = Math.floor(maxSlackSeconds / unit) + 1;
  const step = stepSeconds / unit;
  const changeover = changeoverSeconds / unit;
  const steps = Math.ceil(horizonSeconds / stepSeconds);
  const ends = [classEnds(input, 'down'), classEnds(input, 'up')];
  const values = arrays(6 * CLASSES, points);
  const next = arrays(6 * CLASSES, points);
  const [waited, changed, launched] = arrays(3, points) as [Float64Array, Float64Array, Float64Array];
  const thresholds = new Float32Array((steps + 1) * 4 * CLASSES);
  for (let left = 1; left <= steps; left++) {
    expectNext(values, next, ends);
    const unfinished = Math.min(points, Math.ceil(left * step - 1e-9));
    for (let spot = 0; spot < 2; spot++) {
      for (let age = 0; age < CLASSES; age++) {
        const [idle, running, onDemand] = [0, 1, 2].map((runs) => next[at(runs, spot, age)]) as [Float64Array, Float64Array, Float64Array];
        // Each way forward, by the slack before it; too little slack for the deadline makes it impossible.
        shift(idle, step, step + changeover, 0, waited);
        shift(onDemand, changeover, changeover, 1, changed);
        if (spot === 1) shift(running, changeover, step + 2 * changeover, spotPriceShare, launched);
        const other = spot === 1 ? launched : waited;
        const value = [values[at(0, spot, age)], values[at(1, spot, age)], values[at(2, spot, age)]] as [
          Float64Array,
          Float64Array,
          Float64Array,
        ];
        for (let s = 0; s < points; s++) {
          const better = other[s] as number;
          value[0][s] = s < unfinished ? Math.min(better, changed[s] as number) : 0;
          value[2][s] = s < unfinished ? Math.min(better, 1 + (onDemand[s] as number)) : 0;
          // Spot that runs is kept until it is taken away.
          value[1][s] = s < unfinished && spot === 1 ? spotPriceShare + (running[s] as number) : 0;
        }
        const base = left * 4 * CLASSES + spot * CLASSES + age;
        thresholds[base] = unit * threshold(other, changed, 0, unfinished);
        thresholds[base + 2 * CLASSES] = unit * threshold(other, onDemand, 1, unfinished);
      }
    }
  }
  return { stepSeconds, steps, thresholds };
}

/** Slack, seconds, below which on-demand is the better choice. `age` in steps, the present one included. */
export function slackThreshold(plan: SlackPlan, leftSeconds: number, runs: 'idle' | 'onDemand', spot: boolean, ageSteps: number): number {
  const left = Math.min(plan.steps, Math.max(1, Math.round(leftSeconds / plan.stepSeconds)));
  let age = 0;
  while (age < CLASSES - 1 && ageSteps >= (CLASS_STARTS[age + 1] as number)) age++;
  return plan.thresholds[left * 4 * CLASSES + (runs === 'idle' ? 0 : 2 * CLASSES) + (spot ? CLASSES : 0) + age] as number;
}

/** The change-over should be whole units, so that the slack it spends is not blurred. */
function gridUnit({ stepSeconds, changeoverSeconds, maxSlackSeconds }: SlackPlanInput): number {
  const finest = Math.max(stepSeconds / POINTS_PER_STEP, maxSlackSeconds / MAX_POINTS);
  const base = changeoverSeconds > 0 ? changeoverSeconds : stepSeconds;
  return base <= finest ? finest : base / Math.floor(base / finest);
}

function arrays(count: number, length: number): Float64Array[] {
  return Array.from({ length: count }, () => new Float64Array(length));
}

/** Probability that a state of each age class ends within the next step, by the middle of the class. */
function classEnds(input: SlackPlanInput, state: 'up' | 'down'): number[] {
  const hazard = input.process[state];
  const factor = state === 'up' ? input.upFactor : input.downFactor;
  const hours = input.stepSeconds / 3_600;
  return CLASS_STARTS.map((first, i) => {
    const last = (CLASS_STARTS[i + 1] ?? 2 * first) - 1;
    // A state first seen one step old began, on average, half a step before.
    const age = Math.sqrt(first * last) - 0.5;
    return endsWithin({ ...hazard, perHour: hazard.perHour * factor }, age * hours, hours);
  });
}

/** Expected value of the next step by what will run then, before its spot is known. A class is left after its mean stay. */
function expectNext(values: Arrays, next: Arrays, ends: readonly (readonly number[])[]): void {
  for (let runs = 0; runs < 3; runs++) {
    for (let spot = runs === 1 ? 1 : 0; spot < 2; spot++) {
      for (let age = 0; age < CLASSES; age++) {
        const end = ends[spot]?.[age] as number;
        const width = (CLASS_STARTS[age + 1] ?? Number.POSITIVE_INFINITY) - (CLASS_STARTS[age] as number);
        const older = (1 - end) / width;
        const stays = 1 - end - older;
        const here = values[at(runs, spot, age)] as Float64Array;
        const aged = values[at(runs, spot, Math.min(CLASSES - 1, age + 1))] as Float64Array;
        // Spot that ends under a running job leaves it idle.
        const ended = values[at(runs === 1 ? 0 : runs, 1 - spot, 0)] as Float64Array;
        const out = next[at(runs, spot, age)] as Float64Array;
        for (let s = 0; s < out.length; s++)
          out[s] = end * (ended[s] as number) + older * (aged[s] as number) + stays * (here[s] as number);
      }
    }
  }
}

/** out(s) = price + source(s − by), interpolated; impossible where s < least. */
function shift(source: Float64Array, by: number, least: number, price: number, out: Float64Array): void {
  const whole = Math.floor(by + 1e-9);
  const part = Math.max(0, by - whole);
  const first = Math.min(out.length, Math.max(Math.ceil(least - 1e-9), whole + (part > 1e-9 ? 1 : 0)));
  out.fill(IMPOSSIBLE, 0, first);
  if (part <= 1e-9) for (let s = first; s < out.length; s++) out[s] = price + (source[s - whole] as number);
  else
    for (let s = first; s < out.length; s++)
      out[s] = price + (1 - part) * (source[s - whole] as number) + part * (source[s - whole - 1] as number);
}

/** The least slack from which on the other choice is no worse than on-demand. */
function threshold(other: Float64Array, onDemand: Float64Array, price: number, unfinished: number): number {
  let least = unfinished;
  while (least > 0 && (other[least - 1] as number) < price + (onDemand[least - 1] as number)) least--;
  return least;
}
