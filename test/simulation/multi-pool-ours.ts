import { type Availability, look } from '../../operator/spot/availability.ts';
import { choosePools, type PoolTerms, poolsWorthWaitingFor, processTogether } from '../../operator/spot/multi-pool-policy.ts';
import { keepPlans } from '../../operator/spot/slack-policy.ts';
import type { Cadence } from './cadences.ts';
import { egress, type MultiPoolPolicy } from './multi-pool.ts';

export interface PoolsOptions {
  /** How often to save on spot; absent = as the scenario says. */
  readonly cadence?: Cadence;
}

/** Ours, as the operator runs it, shown the simulator's ticks and the outcome of its own launches. */
export function poolsPolicy({ cadence }: PoolsOptions = {}): MultiPoolPolicy {
  const planner = keepPlans();
  return (scenario) => {
    const { gapSeconds, durationSeconds, deadlineSeconds, changeoverSeconds, pools } = scenario;
    const horizon = { horizonSeconds: deadlineSeconds, maxSlackSeconds: deadlineSeconds - durationSeconds };
    const seen: (Availability | null)[] = pools.map(() => null);
    let together: Availability | null = null;
    let ran: number | null = null;
    return ({ now, running, doneSeconds, overheadSeconds, checkpointAt }, cloud) => {
      const learn = (pool: number, available: boolean) => {
        seen[pool] = look(seen[pool] ?? null, available, now);
      };
      if (scenario.freeMoves) for (const pool of pools.keys()) learn(pool, cloud.probe(pool));
      else if (ran !== null) learn(ran, running?.pool === ran && running.capacity === 'spot');
      const terms = pools.map(
        (pool, i): PoolTerms => ({
          region: pool.region,
          spotPrice: cloud.spotPrice(i),
          onDemandPrice: pool.onDemandPrice,
          moveCost: egress(scenario, checkpointAt, i),
          seen: seen[i] ?? null,
        }),
      );
      const good = poolsWorthWaitingFor(terms);
      const common = processTogether(terms);
      if (scenario.freeMoves)
        together = look(
          together,
          good.some((pool) => seen[pool]?.available),
          now,
          common,
        );
      else if (running?.capacity === 'spot' && good.includes(running.pool)) together = look(together, true, now, common);
      const input = {
        now,
        deadline: deadlineSeconds,
        remainingSeconds: durationSeconds - doneSeconds + overheadSeconds,
        changeoverSeconds,
        stepSeconds: gapSeconds,
        running,
        pools: terms,
        together,
        movesAreFree: scenario.freeMoves,
      };
      const choice = choosePools(input, planner, horizon);
      const found = choice.attempts.find((pool) => {
        const launched = cloud.launch({ pool, capacity: 'spot' });
        learn(pool, launched);
        return launched;
      });
      if (found !== undefined && good.includes(found)) together = look(together, true, now, common);
      else if (good.every((pool) => choice.attempts.includes(pool))) together = look(together, false, now, common);
      if (found === undefined && choice.otherwise === 'idle') cloud.stop();
      else if (found === undefined && choice.otherwise !== 'idle') cloud.launch(choice.otherwise);
      const on = found ?? (choice.otherwise !== 'idle' && choice.otherwise.capacity === 'spot' ? choice.otherwise.pool : null);
      if (scenario.effects && cadence) {
        const { saveSeconds, saveEverySeconds, noticeSeconds } = scenario.effects;
        const known = on === null ? null : (seen[on] ?? null);
        cloud.saveEvery(
          known === null ? saveEverySeconds : cadence({ seen: known, now, saveSeconds, restartSeconds: changeoverSeconds, noticeSeconds }),
        );
      }
      ran = on;
    };
  };
}
