import { type Availability, look, type SpotProcess } from '../../operator/spot/availability.ts';
import { chooseBySlack, keepPlans } from '../../operator/spot/slack-policy.ts';
import type { SinglePoolPolicy } from './single-pool.ts';

/** Ours, as the operator runs it, shown the simulator's ticks. Plans are shared among scenarios, as among an operator's trainings. */
export function slackPolicy(process?: SpotProcess): SinglePoolPolicy {
  const planner = keepPlans();
  return ({ gapSeconds, durationSeconds, deadlineSeconds, changeoverSeconds, spotPrice, onDemandPrice }) => {
    const horizon = { horizonSeconds: deadlineSeconds, maxSlackSeconds: deadlineSeconds - durationSeconds };
    let pool: Availability | null = null;
    return ({ now, mode, doneSeconds, spotAvailable }) => {
      pool = look(pool, spotAvailable, now);
      return chooseBySlack(
        {
          now,
          deadline: deadlineSeconds,
          remainingSeconds: durationSeconds - doneSeconds,
          changeoverSeconds,
          stepSeconds: gapSeconds,
          current: mode,
          spotPriceShare: spotPrice / onDemandPrice,
          pool,
        },
        planner,
        horizon,
        process,
      );
    };
  };
}
