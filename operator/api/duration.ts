/** "90s", "10m", "24h", "7d", and sums such as "1h30m": each unit once, the larger first. */
export const DURATION_PATTERN = /^(?:[0-9]{1,4}d)?(?:[0-9]{1,5}h)?(?:[0-9]{1,6}m)?(?:[0-9]{1,7}s)?(?:[0-9]{1,8}ms)?$/;

const UNIT_SECONDS: Readonly<Record<string, number>> = { ms: 0.001, s: 1, m: 60, h: 3_600, d: 86_400 };

/** Seconds in a duration; throws a sentence when it is none. */
export function durationSeconds(text: string): number {
  if (text === '' || !DURATION_PATTERN.test(text)) throw new Error(`"${text}" is no duration: write it as 90s, 10m, 24h or 1h30m`);
  let seconds = 0;
  for (const [, amount, unit] of text.matchAll(/([0-9]+)(ms|s|m|h|d)/g)) seconds += Number(amount) * (UNIT_SECONDS[unit ?? ''] ?? 0);
  return seconds;
}

/** "45s", "12m", "6h", "3d": one unit, as kubectl prints ages. */
export function humanDuration(seconds: number): string {
  if (seconds < 120) return `${Math.round(seconds)}s`;
  if (seconds < 7_200) return `${Math.round(seconds / 60)}m`;
  if (seconds < 172_800) return `${Math.round(seconds / 3_600)}h`;
  return `${Math.round(seconds / 86_400)}d`;
}
