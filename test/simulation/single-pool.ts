/** What a job does in one tick. */
export type Mode = 'idle' | 'spot' | 'onDemand';

/** One deadline job on one spot pool, in the clock of the published Can't Be Late simulator. Times in seconds, prices per hour. */
export interface SinglePoolScenario {
  readonly name: string;
  readonly gapSeconds: number;
  readonly durationSeconds: number;
  readonly deadlineSeconds: number;
  readonly changeoverSeconds: number;
  readonly spotPrice: number;
  readonly onDemandPrice: number;
  /** 1 = spot can be had in that tick. */
  readonly available: Uint8Array;
  /** Until the deadline without the published simulator's guard: the policy alone must keep it. */
  readonly unguarded?: boolean;
}

/** What a policy may know at the start of a tick. `mode` is idle when spot has just been taken away. */
export interface Moment {
  readonly now: number;
  readonly mode: Mode;
  readonly doneSeconds: number;
  readonly spotAvailable: boolean;
}

/** Decides for one job, from tick to tick: made anew for every scenario, so it may keep what it has seen. Only oracles look at the trace. */
export type SinglePoolPolicy = (scenario: SinglePoolScenario) => (moment: Moment) => Mode;

export interface Outcome {
  readonly cost: number;
  readonly launches: number;
  readonly finishedAt: number;
  readonly late: boolean;
}

/** What is told to a watcher after every tick: for charts. */
export type Watcher = (tick: number, mode: Mode, doneSeconds: number, cost: number, spotAvailable: boolean) => void;

/**
 * Runs the scenario to its end. Rules of the published simulator: a tick that has ended counts in full before spot is taken away; a
 * change to another running mode makes no progress for the change-over, which is billed; every tick is billed whole; and a guard
 * overrides the policy once only on-demand until the end can meet the deadline.
 */
export function runSinglePool(scenario: SinglePoolScenario, policy: SinglePoolPolicy, watch?: Watcher): Outcome {
  const { gapSeconds: gap, durationSeconds, deadlineSeconds, changeoverSeconds, available } = scenario;
  const decide = policy(scenario);
  const perTick = { idle: 0, spot: (scenario.spotPrice * gap) / 3_600, onDemand: (scenario.onDemandPrice * gap) / 3_600 };
  const ticks = { idle: 0, spot: 0, onDemand: 0 };
  const cost = () => ticks.spot * perTick.spot + ticks.onDemand * perTick.onDemand;
  let done = 0;
  let overhead = 0;
  let mode: Mode = 'idle';
  let launches = 0;
  // A late job goes on, on-demand by the guard, until it is done.
  for (let tick = 0; ; tick++) {
    if (mode !== 'idle') {
      const work = Math.max(gap - overhead, 0);
      overhead -= gap - work;
      done = Math.min(durationSeconds, done + work);
    }
    const now = tick * gap;
    if (done >= durationSeconds) return { cost: cost(), launches, finishedAt: now, late: now > deadlineSeconds };
    const spotAvailable = available[tick] === 1;
    const before: Mode = mode;
    if (mode === 'spot' && !spotAvailable) mode = 'idle';
    let choice = decide({ now, mode, doneSeconds: done, spotAvailable });
    if ((!scenario.unguarded || now >= deadlineSeconds) && isGuarded(scenario, now, done))
      choice = before === 'spot' && overhead === 0 ? 'spot' : 'onDemand';
    if (choice === 'spot' && !spotAvailable) choice = 'idle';
    if (choice !== mode && choice !== 'idle') {
      overhead = changeoverSeconds;
      launches++;
    }
    mode = choice;
    ticks[mode]++;
    watch?.(tick, mode, done, cost(), spotAvailable);
  }
}

function isGuarded(
  { gapSeconds: gap, durationSeconds, deadlineSeconds, changeoverSeconds }: SinglePoolScenario,
  now: number,
  done: number,
) {
  const need = Math.ceil((durationSeconds - done + changeoverSeconds) / gap) * gap;
  const left = Math.floor((deadlineSeconds - now) / gap) * gap;
  return need >= left;
}
