/** One node's life as far as it was watched. Not interrupted = given up in good health: it would have lived longer (right-censored). */
export interface Life {
  readonly hours: number;
  readonly interrupted: boolean;
}

/**
 * Expected remaining life, in hours, of a node that has reached `ageHours`: the area below the survival curve after that age over
 * its height there. The curve is exp(−H), H the cumulative hazard by Nelson and Aalen: the sum of interruptions over nodes at risk.
 * Past the last interruption seen, the hazard is taken as constant at 1/`tailHours`.
 */
export function conditionalLifeHours(lives: readonly Life[], ageHours: number, tailHours: number): number {
  let survival = 1;
  let area = 0;
  let time = ageHours;
  for (const { hours, hazard } of hazards(lives)) {
    if (hours <= ageHours) continue;
    area += survival * (hours - time);
    survival *= Math.exp(-hazard);
    time = hours;
  }
  return area + survival * tailHours;
}

/** Steps of the cumulative hazard, by age. A node given up at the very age of an interruption was still at risk then. */
function hazards(lives: readonly Life[]): { hours: number; hazard: number }[] {
  const ages = [...new Set(lives.filter((l) => l.interrupted).map((l) => l.hours))].sort((a, b) => a - b);
  return ages.map((hours) => {
    const atRisk = lives.filter((l) => l.hours >= hours).length;
    const interrupted = lives.filter((l) => l.interrupted && l.hours === hours).length;
    return { hours, hazard: interrupted / atRisk };
  });
}
