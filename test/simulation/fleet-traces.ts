import { existsSync } from 'node:fs';
import { join } from 'node:path';
import type { FleetScenario } from './fleet.ts';
import { readJson } from './traces.ts';

interface Settings {
  readonly tickSeconds: number;
  readonly totalTicks: number;
  readonly coldStartTicks: number;
  readonly targetReplicas: number;
  readonly spotCostPerTick: number;
  readonly onDemandCostPerTick: number;
  readonly onDemandReferenceCost: number;
  readonly traces: readonly { readonly trace: string; readonly zones: readonly string[]; readonly offsets: readonly number[] }[];
}

interface ZoneFile {
  readonly gapSeconds: number;
  readonly count: readonly string[];
}

export interface FleetCase extends FleetScenario {
  readonly trace: string;
  /** Cost of on-demand alone. */
  readonly reference: number;
}

/** Every scenario of table T5 in the directory: each offset of each trace; `shift` moves all windows by so many ticks. */
export function fleetCases(dir: string, shift = 0): FleetCase[] {
  const root = join(dir, 'serving');
  if (!existsSync(join(root, 'settings.json'))) return [];
  const settings = readJson<Settings>(root, 'settings.json');
  return settings.traces.flatMap(({ trace, zones, offsets }) => {
    const counts = zones.map((zone) => perTick(readJson<ZoneFile>(root, trace, `${zone}.json`), settings.tickSeconds));
    return offsets.map((offset) => ({
      name: `${trace} from ${offset + shift}`,
      trace,
      reference: settings.onDemandReferenceCost,
      capacity: counts.map((all) =>
        Uint8Array.from({ length: settings.totalTicks }, (_, t) => all[(t + offset + shift) % all.length] ?? 0),
      ),
      tickSeconds: settings.tickSeconds,
      startTicks: settings.coldStartTicks,
      target: settings.targetReplicas,
      spotPrice: settings.spotCostPerTick,
      onDemandPrice: settings.onDemandCostPerTick,
    }));
  });
}

/** One base-17 digit per look, each standing for as many ticks as pass between two. */
export function perTick({ gapSeconds, count }: ZoneFile, tickSeconds: number): Uint8Array {
  const repeat = gapSeconds / tickSeconds;
  const digits = count.join('');
  return Uint8Array.from({ length: digits.length * repeat }, (_, t) => Number.parseInt(digits[Math.floor(t / repeat)] ?? '0', 17));
}
