import { bootstrap, type Interval } from './bootstrap.ts';
import { seeded } from './random.ts';

// Models of several comparisons on one scale: Elo's and Bradley and Terry's, both in Elo's unit (400 points: ten to one).

/** The first model's result against the second: 1 won, 0.5 tied, 0 lost. */
export interface Battle {
  readonly first: string;
  readonly second: string;
  readonly result: 1 | 0.5 | 0;
  /** Battles on one question are drawn together. */
  readonly question: string;
}

export interface Rating {
  readonly model: string;
  readonly battles: number;
  readonly bradleyTerry: number;
  readonly bradleyTerryInterval: Interval | null;
  readonly elo: number;
  /** Models that never met, not even through others, have different numbers here: their ratings cannot be compared. */
  readonly group: number;
}

const START = 1_000;
const SCALE = 400;
const ELO_K = 4;
/** Elo depends on the order of the battles: the mean over so many seeded shuffles is taken. */
const ELO_SHUFFLES = 100;
const SEED = 1_000;
/** Each takes all ratings anew. */
const INTERVAL_SAMPLES = 200;
const ROUNDS = 1_000;
const ENOUGH = 1e-9;

/** The best first. Within each group the ratings' mean is 1,000. */
export function rate(battles: readonly Battle[]): Rating[] {
  const models = [...new Set(battles.flatMap((b) => [b.first, b.second]))].toSorted();
  const group = groupsOf(models, battles);
  const strengths = bradleyTerry(models, battles, group);
  const elo = eloOf(models, battles);
  const questions = [...Map.groupBy(battles, (b) => b.question).values()];
  const rated = models.map((model) => ({
    model,
    battles: battles.filter((b) => b.first === model || b.second === model).length,
    bradleyTerry: strengths.get(model) ?? START,
    bradleyTerryInterval: null,
    elo: elo.get(model) ?? START,
    group: group.get(model) ?? 0,
  }));
  const intervals = intervalsOf(models, questions, group);
  return rated
    .map((r) => ({ ...r, bradleyTerryInterval: intervals.get(r.model) ?? null }))
    .toSorted((a, b) => a.group - b.group || b.bradleyTerry - a.bradleyTerry);
}

/**
 * Bradley and Terry's strengths by Hunter's minorization-maximization (Annals of Statistics 32, 2004). A tie is half a win for each. Every
 * two models that met have tied once more than they did: without it, who never lost would be infinitely strong.
 */
function bradleyTerry(models: readonly string[], battles: readonly Battle[], group: ReadonlyMap<string, number>): Map<string, number> {
  const wins = new Map(models.map((m) => [m, 0]));
  const met = new Map<string, { first: string; second: string; times: number }>();
  const add = (model: string, amount: number) => wins.set(model, (wins.get(model) ?? 0) + amount);
  for (const { first, second, result } of battles) {
    const [one, other] = first < second ? [first, second] : [second, first];
    const key = JSON.stringify([one, other]);
    let pair = met.get(key);
    if (pair === undefined) {
      pair = { first: one, second: other, times: 1 };
      met.set(key, pair);
      add(one, 0.5);
      add(other, 0.5);
    }
    pair.times++;
    add(first, result);
    add(second, 1 - result);
  }
  const pairs = [...met.values()];
  let strength = new Map(models.map((m) => [m, 1]));
  for (let round = 0; round < ROUNDS; round++) {
    const shares = new Map(models.map((m) => [m, 0]));
    for (const { first, second, times } of pairs) {
      const share = times / ((strength.get(first) ?? 1) + (strength.get(second) ?? 1));
      shares.set(first, (shares.get(first) ?? 0) + share);
      shares.set(second, (shares.get(second) ?? 0) + share);
    }
    const next = centred(new Map(models.map((m) => [m, (wins.get(m) ?? 0) / (shares.get(m) || 1)])), group);
    const change = Math.max(0, ...models.map((m) => Math.abs(Math.log((next.get(m) ?? 1) / (strength.get(m) ?? 1)))));
    strength = next;
    if (change < ENOUGH) break;
  }
  return new Map(models.map((m) => [m, START + SCALE * Math.log10(strength.get(m) ?? 1)]));
}

/** Strengths whose geometric mean is 1 in each group. */
function centred(strength: ReadonlyMap<string, number>, group: ReadonlyMap<string, number>): Map<string, number> {
  const logs = Map.groupBy(strength, ([model]) => group.get(model) ?? 0);
  const centres = new Map([...logs].map(([g, members]) => [g, members.reduce((sum, [, s]) => sum + Math.log(s), 0) / members.length]));
  return new Map([...strength].map(([model, s]) => [model, s / Math.exp(centres.get(group.get(model) ?? 0) ?? 0)]));
}

function intervalsOf(
  models: readonly string[],
  questions: readonly (readonly Battle[])[],
  group: ReadonlyMap<string, number>,
): Map<string, Interval | null> {
  // One model at a time would compute each sample anew for every model: the samples are the same, so their ratings are kept.
  const samples: Map<string, number>[] = [];
  let at = 0;
  const sampled = (model: string) =>
    bootstrap(
      questions,
      (sample) => {
        const ratings = samples[at] ?? bradleyTerry(models, sample, group);
        samples[at++] = ratings;
        return ratings.get(model) ?? null;
      },
      INTERVAL_SAMPLES,
    );
  return new Map(
    models.map((model) => {
      at = 0;
      return [model, sampled(model)];
    }),
  );
}

/** Elo's ratings with K = 4, as the Chatbot Arena's first tables had them. */
function eloOf(models: readonly string[], battles: readonly Battle[]): Map<string, number> {
  const random = seeded(SEED);
  const sums = new Map(models.map((m) => [m, 0]));
  const order = [...battles];
  for (let shuffle = 0; shuffle < ELO_SHUFFLES; shuffle++) {
    for (let i = order.length - 1; i > 0; i--) {
      const j = Math.floor(random() * (i + 1));
      [order[i], order[j]] = [order[j] as Battle, order[i] as Battle];
    }
    const ratings = new Map(models.map((m) => [m, START]));
    for (const { first, second, result } of order) {
      const [a, b] = [ratings.get(first) ?? START, ratings.get(second) ?? START];
      const gain = ELO_K * (result - 1 / (1 + 10 ** ((b - a) / SCALE)));
      ratings.set(first, a + gain);
      ratings.set(second, b - gain);
    }
    for (const [model, rating] of ratings) sums.set(model, (sums.get(model) ?? 0) + rating);
  }
  return new Map(models.map((m) => [m, (sums.get(m) ?? 0) / ELO_SHUFFLES]));
}

function groupsOf(models: readonly string[], battles: readonly Battle[]): Map<string, number> {
  const parent = new Map(models.map((m) => [m, m]));
  const root = (model: string): string => {
    const above = parent.get(model) ?? model;
    return above === model ? model : root(above);
  };
  for (const { first, second } of battles) parent.set(root(first), root(second));
  const roots = [...new Set(models.map(root))];
  return new Map(models.map((m) => [m, roots.indexOf(root(m))]));
}
