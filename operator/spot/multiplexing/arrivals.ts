import { gamma, seededRandom } from './random.ts';

/** Requests in order of time, each for a model given by its place in the list of models. */
export interface Arrivals {
  readonly seconds: Float64Array;
  readonly models: Uint16Array;
}

/** Times (s, each list ascending or not) of each model's requests, as one stream. */
export function mergeArrivals(perModel: readonly (readonly number[])[]): Arrivals {
  const all = perModel.flatMap((times, model) => times.map((time) => ({ time, model })));
  all.sort((a, b) => a.time - b.time || a.model - b.model);
  return { seconds: Float64Array.from(all, (a) => a.time), models: Uint16Array.from(all, (a) => a.model) };
}

/** Times (s) within [0, duration) with Gamma-distributed gaps: `rate` a second on average; cv 1 is Poisson, above it bursts. */
export function gammaTimes(rate: number, cv: number, duration: number, random: () => number): number[] {
  const times: number[] = [];
  if (!(rate > 0)) return times;
  const shape = 1 / cv ** 2;
  // Begun ten bursts early and at a random moment: models that all began at 0 would have their first bursts together.
  let time = -((10 + 10 * random()) * Math.max(1, cv ** 2)) / rate;
  for (;;) {
    time += gamma(shape, random) / (shape * rate);
    if (time >= duration) return times;
    if (time >= 0) times.push(time);
  }
}

/** Independent streams of each model's rate (requests a second) with the same coefficient of variation of gaps. */
export function gammaArrivals(rates: readonly number[], cv: number, duration: number, seed: number): Arrivals {
  return mergeArrivals(rates.map((rate, model) => gammaTimes(rate, cv, duration, seededRandom(seed * 65_537 + model))));
}

/** Requests at random moments of windows whose counts are known; a fraction of a request is one with that probability. */
export function timesFromCounts(counts: readonly number[], windowSeconds: number, random: () => number): number[] {
  return counts.flatMap((count, window) => {
    const whole = Math.floor(count + random());
    return Array.from({ length: whole }, () => (window + random()) * windowSeconds).sort((a, b) => a - b);
  });
}

/** The requests of some models only, numbered by their place in `models`. */
export function arrivalsOf(arrivals: Arrivals, models: readonly number[]): Arrivals {
  const places = new Map(models.map((model, place) => [model, place]));
  const kept = Array.from(arrivals.models.keys()).filter((i) => places.has(arrivals.models[i] as number));
  return {
    seconds: Float64Array.from(kept, (i) => arrivals.seconds[i] as number),
    models: Uint16Array.from(kept, (i) => places.get(arrivals.models[i] as number) as number),
  };
}
