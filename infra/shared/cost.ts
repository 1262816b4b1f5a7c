// What a stack costs per hour, before it is there: list prices, so an estimate, without traffic, requests and stored bytes.
import type { Pool } from './pools.ts';

/** Something that costs from the moment it exists. */
export interface Fixed {
  readonly what: string;
  readonly count: number;
  /** US dollars per hour, each. */
  readonly perHour: number;
}

export interface HourlyCost {
  /** With no GPU node: what the stack costs while nothing runs. */
  readonly atZero: number;
  /** Every pool full, each by its own capacity. */
  readonly atMaximum: number;
  /** The nodes of the spot pools at spot prices, and what they would cost on demand. */
  readonly spot: number;
  readonly spotOnDemand: number;
}

/** US dollars per hour. */
export function hourlyCost(fixed: readonly Fixed[], pools: readonly Pool[]): HourlyCost {
  const sum = (numbers: readonly number[]) => numbers.reduce((total, n) => total + n, 0);
  const atZero = sum(fixed.map((f) => f.count * f.perHour));
  const spotPools = pools.filter((p) => p.capacity === 'spot');
  const spot = sum(spotPools.map((p) => p.maxNodes * Number(p.price.spot)));
  const onDemand = sum(pools.filter((p) => p.capacity === 'onDemand').map((p) => p.maxNodes * Number(p.price.onDemand)));
  return {
    atZero,
    atMaximum: atZero + spot + onDemand,
    spot,
    spotOnDemand: sum(spotPools.map((p) => p.maxNodes * Number(p.price.onDemand))),
  };
}

/** The estimate as a table for the terminal, and as the text of the stack's output. */
export function costTable(fixed: readonly Fixed[], pools: readonly Pool[]): string {
  const cost = hourlyCost(fixed, pools);
  const row = (what: string, count: string, each: string, total: number) =>
    `${what.padEnd(44)} ${count.padStart(7)} ${each.padStart(10)} ${dollars(total).padStart(11)}`;
  const saved = cost.spotOnDemand === 0 ? '' : ` (${Math.round(100 * (1 - cost.spot / cost.spotOnDemand))}% less)`;
  return [
    'Estimated cost in US dollars per hour, list prices, without traffic and storage:',
    row('always', 'count', 'each', cost.atZero),
    ...fixed.map((f) => row(`  ${f.what}`, `${f.count}`, dollars(f.perHour), f.count * f.perHour)),
    row('GPU nodes, at most', 'count', 'each', cost.atMaximum - cost.atZero),
    ...pools.map((p) => {
      const each = Number(p.capacity === 'spot' ? p.price.spot : p.price.onDemand);
      return row(`  ${p.name}`, `0..${p.maxNodes}`, dollars(each), p.maxNodes * each);
    }),
    `At zero ${dollars(cost.atZero)}, at maximum ${dollars(cost.atMaximum)}. Spot nodes ${dollars(cost.spot)} instead of ${dollars(cost.spotOnDemand)} on demand${saved}.`,
    `Prices of GPU nodes: ${[...new Set(pools.map((p) => `${p.price.source}, ${p.price.date}`))].join('; ')}.`,
  ].join('\n');
}

function dollars(amount: number): string {
  return amount.toFixed(amount < 1 ? 3 : 2);
}
