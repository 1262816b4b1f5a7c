/** What a run has used and paid so far. Money is kept in whole micro-dollars: sums of floats drift, and money must not. */
export interface Ledger {
  readonly gpuHours: number;
  readonly costMicros: number;
  readonly onDemandMicros: number;
}

/** A stretch of time in which so many GPUs were held at these prices (US dollars per hour for all of them together). */
export interface Stretch {
  readonly seconds: number;
  readonly gpus: number;
  readonly pricePerHour: number;
  readonly onDemandPerHour: number;
}

/** The ledger after the stretch. */
export function accrue(ledger: Ledger, { seconds, gpus, pricePerHour, onDemandPerHour }: Stretch): Ledger {
  const hours = Math.max(0, seconds) / 3_600;
  return {
    gpuHours: ledger.gpuHours + gpus * hours,
    costMicros: ledger.costMicros + Math.round(pricePerHour * hours * 1e6),
    onDemandMicros: ledger.onDemandMicros + Math.round(onDemandPerHour * hours * 1e6),
  };
}

/** Share of the cost that spot has saved against on-demand, 0..1; null before anything was paid. */
export function savedShare({ costMicros, onDemandMicros }: Ledger): number | null {
  return onDemandMicros === 0 ? null : 1 - costMicros / onDemandMicros;
}

/** "118.40": at least cents, and as many of the six digits as there are, so that a short run does not look free. */
export function formatDollars(micros: number): string {
  return (micros / 1e6).toFixed(6).replace(/0{1,4}$/, '');
}

export function parseDollars(text: string | undefined): number {
  return text === undefined ? 0 : Math.round(Number(text) * 1e6);
}
