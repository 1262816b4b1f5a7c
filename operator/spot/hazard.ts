/**
 * How a state of a pool ends: a hazard that falls with the state's age as a power of it, perHour × hours^−decline. Spot that has
 * lasted long lasts longer, and a drought of hours does not end in the next minute: published spot traces all show it, with about
 * the same declines, while the scale differs from pool to pool and is learned (see availability.ts).
 */
export interface Hazard {
  /** Ends per hour of a state that is one hour old. */
  readonly perHour: number;
  /** Below 1; 0 = the same at every age. */
  readonly decline: number;
}

/** Expected ends, by the hazard, of a state watched from one age to another. */
export function expectedEnds({ perHour, decline }: Hazard, fromHours: number, toHours: number): number {
  const power = 1 - decline;
  return (perHour / power) * (Math.max(0, toHours) ** power - Math.max(0, fromHours) ** power);
}

/** Probability that a state of this age ends within the next so many hours. */
export function endsWithin(hazard: Hazard, ageHours: number, hours: number): number {
  return 1 - Math.exp(-expectedEnds(hazard, ageHours, ageHours + hours));
}

/** Steps of the sum that stands for the area below a survival curve. */
const AREA_STEPS = 24;

/** Hours that a state of this age is expected to go on, counted up to a horizon: the area below its survival curve. */
export function expectedStayHours(hazard: Hazard, ageHours: number, horizonHours: number): number {
  let area = 0;
  let before = 0;
  let survived = 1;
  for (let i = 1; i <= AREA_STEPS; i++) {
    // Finer steps at first, where the hazard is high.
    const time = horizonHours * (i / AREA_STEPS) ** 2;
    const survives = Math.exp(-expectedEnds(hazard, ageHours, ageHours + time));
    area += ((survived + survives) / 2) * (time - before);
    [before, survived] = [time, survives];
  }
  return area;
}
