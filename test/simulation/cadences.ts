import { type Availability, ageHours, endsFactor, USUAL_PROCESS } from '../../operator/spot/availability.ts';
import { checkpointIntervalSeconds, presentLifeSeconds } from '../../operator/spot/cadence.ts';
import { expectedStayHours } from '../../operator/spot/hazard.ts';

export interface CadenceMoment {
  /** What is known of the pool in which it runs. */
  readonly seen: Availability;
  readonly now: number;
  readonly saveSeconds: number;
  readonly restartSeconds: number;
  readonly noticeSeconds: number;
}

/** Training time between two saves, seconds. */
export type Cadence = (moment: CadenceMoment) => number;

/** As the operator does it. */
export const byHazard: Cadence = ({ seen, now, ...rest }) =>
  checkpointIntervalSeconds({ ...rest, remainingLifeSeconds: presentLifeSeconds(seen, now) });

/** By the mean remaining life at the present age. */
export const byRemainingLife: Cadence = ({ seen, now, ...rest }) =>
  checkpointIntervalSeconds({ ...rest, remainingLifeSeconds: lifeSeconds(seen, ageHours(seen, now)) });

function lifeSeconds(seen: Availability, ageNow: number): number {
  const { up } = USUAL_PROCESS;
  return expectedStayHours({ ...up, perHour: up.perHour * endsFactor(seen.up) }, ageNow, 48) * 3_600;
}

/** Mean time between losses as far as the pool was watched, at any age. */
const meanLifeSeconds = ({ seen }: CadenceMoment) => lifeSeconds(seen, 0);

/** Young (1974). */
export const young: Cadence = (moment) => Math.sqrt(2 * meanLifeSeconds(moment) * moment.saveSeconds);

/** Daly (2006), the higher-order estimate. */
export const daly: Cadence = (moment) => {
  const [life, save] = [meanLifeSeconds(moment), moment.saveSeconds];
  if (save >= 2 * life) return life;
  const share = save / (2 * life);
  return Math.sqrt(2 * save * life) * (1 + Math.sqrt(share) / 3 + share / 9) - save;
};
