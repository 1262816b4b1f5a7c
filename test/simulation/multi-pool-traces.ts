import { join } from 'node:path';
import type { MultiPoolScenario, Pool } from './multi-pool.ts';
import { pricesPerTick, readJson, ticks } from './traces.ts';

export interface MultiPoolCase extends MultiPoolScenario {
  /** What the case is averaged with: a deadline ratio, or a set of zones. */
  readonly group: string;
  readonly window: number;
}

type Steps = readonly (readonly [number, number])[];

const region = (zone: string) => zone.replace(/(?<=\d)[a-z]$|-[a-z]$/, '');

interface Deadlines {
  readonly zones: readonly string[];
  readonly gapSeconds: number;
  readonly windowTicks: number;
  readonly windowStartTicks: readonly number[];
  readonly deadlineHours: number;
  readonly overheadHours: number;
  readonly checkpointGB: number;
  readonly ratios: readonly number[];
}

interface PricedZone {
  readonly available: string;
  readonly count: readonly (number | null)[];
  readonly gangSize: number;
  readonly spotPricePerHour: number;
  readonly onDemandPricePerHour: number;
  readonly spotPrice: Steps;
}

/** The published windows, or others: as many ticks later, as far as the traces go. */
function startsOf({ windowStartTicks, windowTicks }: Omit<Deadlines, 'ratios'>, shiftTicks: number, length: number): number[] {
  return windowStartTicks.map((start) => start + shiftTicks).filter((start) => shiftTicks === 0 || start + windowTicks <= length);
}

/**
 * Table T3: every window with every ratio of deadline to work that can be met (with 1.00 nothing pays for the first change-over). Its
 * published availability is that of any one of 16 instances; that of all 16 is counted, too.
 */
export function h100Cases(dir: string, shiftTicks = 0, counted: 'any' | 'gang' = 'any'): MultiPoolCase[] {
  const root = join(dir, 'h100');
  const file = readJson<Deadlines>(root, 'deadlines.json');
  const { pairs } = readJson<{ pairs: readonly { fromZone: string; toZone: string; usdPerGB: number }[] }>(root, 'egress.json');
  const rates = new Map(pairs.map((p) => [`${region(p.fromZone)} ${region(p.toZone)}`, p.usdPerGB]));
  const zones = file.zones.map((zone) => ({ zone, ...readJson<PricedZone>(root, 'zones', `${zone}.json`) }));
  return file.ratios
    .filter((ratio) => ratio > 1)
    .flatMap((ratio) =>
      startsOf(file, shiftTicks, zones[0]?.available.length ?? 0).map((start, window) => ({
        name: `H100, ratio ${ratio}, window ${window}`,
        group: ratio.toFixed(2),
        window,
        gapSeconds: file.gapSeconds,
        durationSeconds: (file.deadlineHours * 3_600) / ratio,
        deadlineSeconds: Math.round(file.deadlineHours * 3_600),
        changeoverSeconds: Math.round(file.overheadHours * 3_600),
        checkpointGB: file.checkpointGB,
        egressPerGB: (from, to) => rates.get(`${from} ${to}`) ?? 0,
        guard: 'toOnDemand' as const,
        freeMoves: false,
        billsLastTick: false,
        pools: zones.map((z) => ({
          name: z.zone,
          region: region(z.zone),
          available: (counted === 'any' ? ticks(z.available, '1') : wholeGang(z.count, z.gangSize)).slice(start, start + file.windowTicks),
          spotPrice: new Float64Array(file.windowTicks).fill(z.spotPricePerHour),
          onDemandPrice: z.onDemandPricePerHour,
        })),
      })),
    );
}

/** 1 where all were there; a tick without a look is as the one before. */
function wholeGang(counts: readonly (number | null)[], size: number): Uint8Array {
  let before = 0;
  return Uint8Array.from(counts, (count) => {
    before = count === null ? before : count >= size ? 1 : 0;
    return before;
  });
}

interface Windows extends Omit<Deadlines, 'ratios'> {
  readonly durationHours: number;
}

/** Table T4: V100 with a spot price for every tick. */
export function v100Cases(dir: string, shiftTicks = 0): MultiPoolCase[] {
  const root = join(dir, 'v100-prices');
  const file = readJson<Windows>(root, 'windows.json');
  const zones = file.zones.map((zone) => {
    const z = readJson<PricedZone>(root, `${zone}.json`);
    const available = ticks(z.available, '1');
    return { zone, available, prices: pricesPerTick(z.spotPrice, available.length), onDemandPrice: z.onDemandPricePerHour };
  });
  return startsOf(file, shiftTicks, zones[0]?.available.length ?? 0).map((start, window) => ({
    name: `V100, window ${window}`,
    group: 'all',
    window,
    gapSeconds: file.gapSeconds,
    durationSeconds: Math.round(file.durationHours * 3_600),
    deadlineSeconds: Math.round(file.deadlineHours * 3_600),
    changeoverSeconds: Math.round(file.overheadHours * 3_600),
    checkpointGB: file.checkpointGB,
    egressPerGB: (from, to) => (from === to ? 0 : from.startsWith('us-east') && to.startsWith('us-east') ? 0.01 : 0.02),
    guard: 'toOnDemand' as const,
    freeMoves: false,
    billsLastTick: false,
    pools: zones.map((z) => ({
      name: z.zone,
      region: region(z.zone),
      available: z.available.slice(start, start + file.windowTicks),
      spotPrice: z.prices.slice(start, start + file.windowTicks),
      onDemandPrice: z.onDemandPrice,
    })),
  }));
}

interface Scenarios {
  readonly durationHours: number;
  readonly deadlineHours: number;
  readonly overheadHours: number;
  readonly gapSeconds: number;
  readonly onDemandPricePerHour: number;
  readonly flatSpotPricePerHour: number;
  readonly scenarios: readonly { readonly name: string; readonly zones: readonly string[]; readonly windows: readonly string[] }[];
}

interface WindowedZone {
  readonly windows: readonly { readonly id: string; readonly preempted: string; readonly spotPrice: Steps }[];
}

/**
 * Table T2. Spot is billed by `billed`: 'published' = a zone's price at the start of the window, all the time (what a run is billed in
 * the end is the price of the zone it ends in: see billedAtTheEnd); 'flat' = the same in all zones.
 */
export function multiRegionCases(dir: string, billed: 'published' | 'flat' = 'published'): MultiPoolCase[] {
  const root = join(dir, 'multi-region');
  const file = readJson<Scenarios>(root, 'scenarios.json');
  const zones = new Map(
    [...new Set(file.scenarios.flatMap((s) => s.zones))].map((zone) => [zone, readJson<WindowedZone>(root, `${zone}.json`)]),
  );
  const poolOf = (zone: string, id: string): Pool => {
    const window = zones.get(zone)?.windows.find((w) => w.id === id);
    if (window === undefined) throw new Error(`${root}/${zone}.json has no window ${id}`);
    const available = ticks(window.preempted, '0');
    const price = billed === 'flat' ? file.flatSpotPricePerHour : (window.spotPrice[0]?.[1] as number);
    const spotPrice = new Float64Array(available.length).fill(price);
    return { name: zone, region: region(zone), available, spotPrice, onDemandPrice: file.onDemandPricePerHour };
  };
  return file.scenarios.flatMap((scenario) =>
    scenario.windows.map((id) => ({
      name: `${scenario.name}, window ${id}`,
      group: scenario.name,
      window: Number(id),
      gapSeconds: file.gapSeconds,
      durationSeconds: file.durationHours * 3_600,
      deadlineSeconds: file.deadlineHours * 3_600,
      changeoverSeconds: Math.round(file.overheadHours * 3_600),
      checkpointGB: 0,
      egressPerGB: () => 0,
      guard: 'keepsWarmSpot' as const,
      freeMoves: true,
      billsLastTick: true,
      pools: scenario.zones.map((zone) => poolOf(zone, id)),
    })),
  );
}
