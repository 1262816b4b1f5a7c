import { egress, type MultiPoolPolicy, type Place } from './multi-pool.ts';

/**
 * SkyNomad (NSDI'27; github.com/andylizf/skynomad-artifact) as its shipped program behaves, the settings of its figures included. It
 * weighs each pool by V × (L − d)/L − price − egress/L, where L is how long spot is expected to last there and V is what an hour of
 * progress is worth, and moves when another place is better by a margin. What it knows of a pool comes from its own runs and from a
 * probe, after which the pool counts as up until it is known not to be.
 */
export interface SkyNomadSettings {
  /** What an hour of progress is worth: 'plan' = the price of a mix of spot and on-demand that does the rest; 'rate' = the rate needed over the rate planned, in on-demand's price. */
  readonly value: 'plan' | 'rate';
  /** Longest life that is believed. */
  readonly longestLifeHours: number;
  /** Goes on counting a pool's life between probes and launches that fail. */
  readonly keepsWatching: boolean;
}

export const SKY_NOMAD_H100: SkyNomadSettings = { value: 'plan', longestLifeHours: 2, keepsWatching: false };
export const SKY_NOMAD_V100: SkyNomadSettings = { value: 'rate', longestLifeHours: Number.POSITIVE_INFINITY, keepsWatching: true };

const PROBE_EVERY_TICKS = 6;
const PROBE_HOURS = 1 / 60;
const TINY = 1e-8;
const AVAILABILITY_WINDOW_SECONDS = 12 * 3_600;
const PROGRESS_WINDOW_SECONDS = 10 * 3_600;
const PLAN_MARGIN = 1.2;
/** Another place must be better by so much: US dollars an hour, for each GB of checkpoint, and of the worth of progress. */
const MARGIN = { base: 0.5, perGB: 0.0002, ofValue: 0.05 };
const USUAL_EGRESS_PER_GB = 0.02;

interface Stay {
  readonly from: number;
  readonly to: number;
  readonly lost: boolean;
}

/** The steps of a cumulative hazard by Nelson and Aalen, and the hazard after the last. */
interface Survival {
  readonly steps: readonly { readonly hours: number; readonly hazard: number }[];
  readonly tail: number;
}

/** What is known of one pool. */
class Watched {
  readonly stays: Stay[] = [];
  open: { readonly since: number; readonly by: 'run' | 'probe' } | null = null;
  probed = false;
  nextProbe = 0;
  /** Losses and refusals since the last tick. */
  failures = 0;
  probedHours = 0;
  billedProbes = 0;
  /** Losses per expected loss, in the worst recent stretch; at least 1. */
  volatility = 1;
  seenUp: boolean | null = null;
  readonly #keepsWatching: boolean;
  readonly #recent: { risk: number; failures: number }[] = [];
  #ageRun: number | null = null;
  #ageProbe: number | null = null;

  constructor(keepsWatching: boolean) {
    this.#keepsWatching = keepsWatching;
  }

  start(by: 'run' | 'probe', now: number): void {
    this.open = { since: now, by };
  }

  end(lost: boolean, now: number): void {
    if (this.open !== null) this.stays.push({ from: this.open.since, to: now, lost });
    this.open = null;
    if (lost) this.failures++;
  }

  /** A run here has begun. */
  launched(): void {
    this.#ageRun = 0;
    this.#ageProbe = null;
  }

  forgetProbe(): void {
    this.#ageProbe = null;
  }

  probeFound(): void {
    this.#ageProbe = 0;
  }

  /** Between runs here: up or down as far as launches and probes show. */
  watch(up: boolean, now: number): void {
    if (!this.#keepsWatching) return;
    if (this.seenUp === up) return;
    if (up) this.start('probe', now);
    else if (this.seenUp !== null) this.end(true, now);
    this.seenUp = up;
  }

  ageHours(now: number): number | null {
    return this.open === null ? null : Math.max(0, (now - this.open.since) / 3_600);
  }

  survival(now: number): Survival {
    const samples = this.stays.map(({ from, to, lost }) => ({ hours: (to - from) / 3_600, lost }));
    const age = this.ageHours(now);
    if (this.#keepsWatching && age !== null && age > 0) samples.push({ hours: age, lost: false });
    const ages = [...new Set(samples.filter((s) => s.lost).map((s) => s.hours))].sort((a, b) => a - b);
    const steps = ages.map((hours) => {
      const ended = samples.filter((s) => s.lost && Math.abs(s.hours - hours) <= 1e-9).length;
      return { hours, hazard: ended / samples.filter((s) => s.hours + 1e-9 >= hours).length };
    });
    return { steps, tail: Math.max(steps.at(-1)?.hazard ?? 0, TINY) };
  }

  /** Once a tick: how much was to be expected to go wrong since the last, and what did. */
  tick(now: number, gapHours: number): void {
    const survival = this.survival(now);
    const age = this.ageHours(now);
    let before: number | null = null;
    if (this.open?.by === 'run') {
      before = this.#ageRun ?? Math.max((age ?? gapHours) - gapHours, 0);
      this.#ageRun = age;
      if (!this.#keepsWatching) this.#ageProbe = null;
    } else if (this.open?.by === 'probe') {
      before = this.#ageProbe ?? Math.max((age ?? gapHours) - gapHours, 0);
      this.#ageProbe = age;
      this.#ageRun = null;
    } else {
      this.#ageRun = null;
      if (!this.#keepsWatching) this.#ageProbe = null;
    }
    let risk = age === null || before === null ? 0 : Math.max(0, hazardUpTo(survival, age) - hazardUpTo(survival, before));
    if (risk <= 0 && (age !== null || this.failures > 0)) {
      const last = survival.steps.at(-1)?.hours;
      if (last === undefined) risk = survival.tail * gapHours;
      else if (age !== null && before !== null && before >= last) risk = survival.tail * Math.max(0, age - before);
    }
    if (this.failures > 0 && risk <= 0) risk = survival.tail * gapHours;
    if (risk > 0 || this.failures > 0) this.#add(risk, this.failures);
    this.failures = 0;
  }

  #add(risk: number, failures: number): void {
    this.#recent.push({ risk, failures });
    let total = this.#recent.reduce((sum, e) => sum + e.risk, 0);
    while (this.#recent.length > 0 && total - (this.#recent[0]?.risk ?? 0) >= 8) total -= this.#recent.shift()?.risk ?? 0;
    this.volatility = total < 1 ? 1 : Math.max(1, worstStretch(this.#recent));
  }

  /** Hours that spot is expected to go on here. */
  lifeHours(now: number, gapHours: number): number {
    const { steps, tail } = this.survival(now);
    let age = Math.max(0, this.ageHours(now) ?? 0);
    if (this.#keepsWatching) age = Math.max(age, this.probedHours);
    let [life, survives, time] = [0, 1, age];
    for (const step of steps) {
      if (step.hours <= time + 1e-12) continue;
      life += survives * (step.hours - time);
      survives *= Math.exp(-this.volatility * step.hazard);
      time = step.hours;
    }
    const ends = 1 - Math.exp(-this.volatility * tail);
    return life + (survives * gapHours) / (ends > 1e-9 ? ends : Math.max(this.volatility * tail, 1e-9));
  }

  /** Share of the last hours in which it was up. */
  availability(now: number): number {
    const span = Math.min(AVAILABILITY_WINDOW_SECONDS, now);
    if (span <= 0) return 0;
    const from = Math.max(0, now - AVAILABILITY_WINDOW_SECONDS);
    const stays = this.open === null ? this.stays : [...this.stays, { from: this.open.since, to: now }];
    return Math.min(1, stays.reduce((sum, s) => sum + Math.max(0, Math.min(s.to, now) - Math.max(s.from, from)), 0) / span);
  }
}

function hazardUpTo({ steps, tail }: Survival, hours: number): number {
  if (hours <= 0) return 0;
  const past = steps.filter((s) => s.hours < hours);
  return past.reduce((sum, s) => sum + s.hazard, 0) + Math.max(0, hours - (past.at(-1)?.hours ?? 0)) * tail;
}

/** Failures over risk in the densest stretch, of a risk of at most one, that ends now. */
function worstStretch(recent: readonly { readonly risk: number; readonly failures: number }[]): number {
  let [risk, failures, best, length] = [0, 0, 0, 0];
  for (const event of [...recent].reverse()) {
    risk += event.risk;
    failures += event.failures;
    length++;
    if (length === 1 && risk <= 1e-6 && failures <= 0) continue;
    if (risk > 1 + 1e-9) {
      if (length === 1) best = failures / risk;
      break;
    }
    best = Math.max(best, failures / (risk > 0 ? risk : 1e-6));
  }
  return best;
}

export function skyNomad(settings: SkyNomadSettings): MultiPoolPolicy {
  return (scenario) => {
    const { pools, gapSeconds, durationSeconds, deadlineSeconds, changeoverSeconds, checkpointGB } = scenario;
    const [gapHours, restartHours] = [gapSeconds / 3_600, changeoverSeconds / 3_600];
    const known = pools.map(() => new Watched(settings.keepsWatching));
    const doneAt: number[] = [];
    let spot: number | null = null;
    let gaveUp = false;
    let last: number | null = null;
    let refused = new Set<number>();

    return ({ now, tick, running, doneSeconds }, cloud) => {
      const at = (pool: number) => known[pool] as Watched;
      doneAt[tick] = doneSeconds;
      if (spot !== null && !(running?.pool === spot && running.capacity === 'spot')) {
        at(spot).end(!gaveUp, now);
        spot = null;
        gaveUp = false;
      }
      for (const pool of known) {
        pool.probedHours += pool.billedProbes * PROBE_HOURS;
        pool.billedProbes = 0;
        pool.tick(now, gapHours);
      }
      const left = deadlineSeconds - now;
      const rest = durationSeconds - doneSeconds;
      const lives = known.map((pool) => Math.min(pool.lifeHours(now, gapHours), settings.longestLifeHours, left / 3_600));
      const firm = Math.min(...pools.map((p) => p.onDemandPrice));
      const value =
        settings.value === 'rate'
          ? Math.max((firm * rest * deadlineSeconds) / (left * durationSeconds), Math.min(...pools.map((_, i) => cloud.spotPrice(i))))
          : PLAN_MARGIN * planPrice(rest, left, lives, (pool) => at(pool).availability(now), cloud.spotPrice);
      const worth = (pool: number, runsHere: boolean) => {
        const life = lives[pool] as number;
        const useful = runsHere ? life : life - restartHours;
        return useful <= 0 ? Number.NEGATIVE_INFINITY : (value * useful - cloud.spotPrice(pool) * life) / life;
      };
      const onDemandWorth = (pool: number) => value - (pools[pool]?.onDemandPrice ?? 0);
      if (running !== null) last = running.pool;
      const current = running === null ? 0 : running.capacity === 'spot' ? worth(running.pool, true) : onDemandWorth(running.pool);
      const needed =
        running === null ? Number.NEGATIVE_INFINITY : current + MARGIN.base + MARGIN.perGB * checkpointGB + MARGIN.ofValue * value;
      const origin = running?.pool ?? last;

      const options: { readonly worth: number; readonly place: Place | null }[] = [{ worth: 0, place: null }];
      for (const pool of pools.keys()) {
        const isHere = running?.capacity === 'spot' && running.pool === pool;
        const moved = origin === null || origin === pool ? 0 : egress(scenario, origin, pool) / Math.max(lives[pool] as number, 1e-6);
        const net = worth(pool, isHere) - moved;
        if (net >= 0 && (running?.pool === pool || net > needed)) options.push({ worth: net, place: { pool, capacity: 'spot' } });
      }
      for (const pool of pools.keys()) {
        if (running?.capacity === 'onDemand' && running.pool === pool) continue;
        const moved = origin === null || origin === pool ? 0 : restartHours * value + egress(scenario, origin, pool);
        const net = onDemandWorth(pool) - moved;
        if (net >= 0 && net > needed) options.push({ worth: net, place: { pool, capacity: 'onDemand' } });
      }
      options.sort((a, b) => b.worth - a.worth);

      let chosen: Place | null | undefined;
      for (const { worth: net, place } of options) {
        if (net <= current) break;
        if (place !== null && place.pool === running?.pool && place.capacity === running.capacity) continue;
        if (place?.capacity === 'spot' && at(place.pool).probed) {
          at(place.pool).end(false, now);
          at(place.pool).probed = false;
          at(place.pool).forgetProbe();
        }
        if (place === null || cloud.launch(place)) {
          chosen = place;
          break;
        }
        refused.add(place.pool);
        at(place.pool).failures++;
        at(place.pool).watch(false, now);
      }
      if (chosen) {
        if (chosen.capacity === 'spot') {
          at(chosen.pool).start('run', now);
          at(chosen.pool).launched();
          refused.delete(chosen.pool);
          spot = chosen.pool;
          gaveUp = false;
        }
        if (running !== null) {
          if (spot === running.pool) gaveUp = true;
          else at(running.pool).watch(false, now);
        }
        last = chosen.pool;
      }
      // The program forgets where it was when it chooses to wait.
      if (chosen === null) last = null;
      const primary = chosen === undefined ? (running?.pool ?? null) : (chosen?.pool ?? null);
      for (const pool of pools.keys()) {
        if (pool === primary || at(pool).probed || refused.has(pool) || tick < at(pool).nextProbe) continue;
        at(pool).nextProbe = tick + PROBE_EVERY_TICKS;
        if (cloud.probe(pool)) {
          at(pool).billedProbes++;
          at(pool).start('probe', now);
          at(pool).probed = true;
          at(pool).probeFound();
          if (spot !== pool) at(pool).watch(true, now);
        } else {
          at(pool).failures++;
          at(pool).forgetProbe();
          if (spot !== pool) at(pool).watch(false, now);
        }
      }
      refused = new Set();
    };

    /** Price of an hour of the rest of the work, on spot as far as it will be there by what was seen, cheapest first, else on-demand. */
    function planPrice(
      rest: number,
      left: number,
      lives: readonly number[],
      availability: (pool: number) => number,
      spotPrice: (pool: number) => number,
    ): number {
      const firm = Math.min(...pools.map((p) => p.onDemandPrice));
      const offers = pools
        .map((_, pool) => {
          const life = lives[pool] as number;
          const rate = life > restartHours ? (life - restartHours) / life : 0;
          return { gives: availability(pool) * left * rate, price: (spotPrice(pool) * life) / Math.max(life - restartHours, 1e-6) };
        })
        .filter(({ gives }) => gives > 0)
        .sort((a, b) => a.price - b.price);
      const firmly = onDemandShare() * rest;
      let open = Math.max(0, rest - firmly);
      let [cost, used, bought] = [(firmly / 3_600) * firm, 0, firmly];
      for (const { gives, price } of offers) {
        if (open <= 0) break;
        const taken = Math.min(gives, open);
        cost += (taken / 3_600) * price;
        open -= taken;
        used++;
      }
      if (open > 0) {
        cost += (open / 3_600) * firm;
        bought += open;
      }
      const hours = Math.max(rest / 3_600, 1e-6);
      const places = used + (bought > 0 ? 1 : 0);
      return cost / hours + (Math.max(0, places - 1) * checkpointGB * USUAL_EGRESS_PER_GB) / hours;
    }

    /** Share of the rest that on-demand must do, if progress goes on as in the last hours. */
    function onDemandShare(): number {
      const tick = doneAt.length - 1;
      const now = tick * gapSeconds;
      const done = doneAt[tick] as number;
      if (now <= 0) return 0;
      if (Math.abs(done - now) < 1e-6) return 0.5;
      const rate = recentRate(tick);
      if (Math.abs(rate - 1) < 1e-6) return 0;
      const meets = (rate * now - done + (durationSeconds + 2 * changeoverSeconds - deadlineSeconds)) / (rate - 1);
      if (meets >= deadlineSeconds) return 0;
      if (meets <= 0) return 1;
      return Math.max(0, Math.min(1, (deadlineSeconds - meets) / (deadlineSeconds - now)));
    }

    function recentRate(tick: number): number {
      const now = tick * gapSeconds;
      const done = doneAt[tick] as number;
      if (now < 600) return now > 0 ? done / now : 0;
      const from = Math.max(0, now - PROGRESS_WINDOW_SECONDS);
      const first = Math.floor(from / gapSeconds);
      const before = first > 0 ? (doneAt[first - 1] ?? 0) : 0;
      return now > from ? Math.max(0, Math.min(1, (done - before) / (now - from))) : 0;
    }
  };
}
