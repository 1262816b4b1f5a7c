import { existsSync } from 'node:fs';
import { join } from 'node:path';
import { perTick } from './fleet-traces.ts';
import type { Pool } from './multi-pool.ts';
import { h100Cases, type MultiPoolCase, v100Cases } from './multi-pool-traces.ts';
import { readJson, SINGLE_POOL, singlePoolCases } from './traces.ts';

/** A window of table T6, without the effects. */
export type EffectsCase = MultiPoolCase;

const HOURS = 3_600;
const CHANGEOVER_SECONDS = 720;
/** The public gang trace of 16 V100 nodes: three zones, with no prices of its own, so that it is given those of table T4. */
const GANG = { size: 16, trace: 'AWS2', windowTicks: 720, everyTicks: 288, workHours: 40, deadlineHours: 60, spot: 0.918, onDemand: 3.06 };

/** The windows: one zone; several zones with prices; gangs of 16 where the traces count nodes. Of traces without counts there are no gangs. */
export function effectsCases(dir: string): EffectsCase[] {
  return [...oneZone(dir), ...pricedZones(dir), ...h100Gangs(dir), ...v100Gangs(dir)];
}

function oneZone(dir: string): EffectsCase[] {
  if (!existsSync(join(dir, 'single-region'))) return [];
  return singlePoolCases(dir)
    .filter((c) => c.overheadHours === 0.1 && c.deadlineHours === 52)
    .map((c, window) => ({
      name: c.name,
      group: 'one zone, 48 h in 52 h',
      window,
      gapSeconds: c.gapSeconds,
      durationSeconds: c.durationSeconds,
      deadlineSeconds: c.deadlineSeconds,
      changeoverSeconds: c.changeoverSeconds,
      pools: [
        {
          name: c.series,
          region: c.series,
          available: c.available,
          spotPrice: new Float64Array(c.available.length).fill(SINGLE_POOL.spotPrice),
          onDemandPrice: c.onDemandPrice,
        },
      ],
      checkpointGB: 0,
      egressPerGB: () => 0,
      guard: 'toOnDemand',
      freeMoves: false,
      billsLastTick: true,
    }));
}

/** Windows of tables T3 and T4, and as many again half a window later. */
const halfWindows = (cases: (shift: number) => MultiPoolCase[], half: number) => [...cases(0), ...cases(half)];

function pricedZones(dir: string): EffectsCase[] {
  if (!existsSync(join(dir, 'v100-prices'))) return [];
  return halfWindows((shift) => v100Cases(dir, shift), 553).map((c) => ({ ...c, group: 'three zones, 40 h in 60 h', billsLastTick: true }));
}

function h100Gangs(dir: string): EffectsCase[] {
  if (!existsSync(join(dir, 'h100'))) return [];
  return halfWindows((shift) => h100Cases(dir, shift, 'gang'), 155)
    .filter((c) => c.group === '1.20' || c.group === '1.50')
    .map((c) => ({ ...c, group: `gang of 16 H100 in six zones, ratio ${c.group}`, billsLastTick: true }));
}

function v100Gangs(dir: string): EffectsCase[] {
  const root = join(dir, 'serving');
  if (!existsSync(join(root, 'settings.json'))) return [];
  const { traces } = readJson<{ traces: readonly { trace: string; zones: readonly string[] }[] }>(root, 'settings.json');
  const zones = traces.find((t) => t.trace === GANG.trace)?.zones ?? [];
  const files = zones.map((zone) => ({
    zone,
    ...readJson<{ gapSeconds: number; count: readonly string[] }>(root, GANG.trace, `${zone}.json`),
  }));
  const gapSeconds = files[0]?.gapSeconds ?? 0;
  const counts = files.map((file) => ({ zone: file.zone, counts: perTick(file, gapSeconds) }));
  const length = Math.min(...counts.map((c) => c.counts.length));
  const cases: EffectsCase[] = [];
  for (let start = 0; start + GANG.windowTicks <= length; start += GANG.everyTicks)
    cases.push({
      name: `gang of ${GANG.size} V100 from ${start}`,
      group: `gang of ${GANG.size} V100 in three zones, 40 h in 60 h`,
      window: start / GANG.everyTicks,
      gapSeconds,
      durationSeconds: GANG.workHours * HOURS,
      deadlineSeconds: GANG.deadlineHours * HOURS,
      changeoverSeconds: CHANGEOVER_SECONDS,
      pools: counts.map(({ zone, counts: nodes }): Pool => {
        const available = nodes.slice(start, start + GANG.windowTicks).map((n) => (n >= GANG.size ? 1 : 0));
        const region = zone.replace(/[a-z]_.*$/, '');
        return {
          name: zone,
          region,
          available,
          spotPrice: new Float64Array(available.length).fill(GANG.spot),
          onDemandPrice: GANG.onDemand,
        };
      }),
      checkpointGB: 50,
      egressPerGB: (from, to) => (from === to ? 0 : 0.02),
      guard: 'toOnDemand',
      freeMoves: false,
      billsLastTick: true,
    });
  return cases;
}
