const LONGEST_MS = 10 * 60_000;

/** Milliseconds that a server asks to wait (retry-after-ms as OpenAI sends it, or Retry-After in seconds or as a date), 10 minutes at most. */
export function retryAfterMs(headers: Readonly<Record<string, string | string[] | undefined>>, now: number): number | null {
  const value = (name: string) => {
    const found = headers[name];
    return typeof found === 'string' ? found.trim() : null;
  };
  const exact = value('retry-after-ms');
  if (exact !== null && /^\d+(\.\d+)?$/.test(exact)) return Math.min(Number(exact), LONGEST_MS);
  const text = value('retry-after');
  if (text === null) return null;
  const ms = /^\d+(\.\d+)?$/.test(text) ? Number(text) * 1_000 : Date.parse(text) - now;
  return Number.isNaN(ms) ? null : Math.min(Math.max(0, ms), LONGEST_MS);
}

const FIRST_MS = 1_000;
const LAST_MS = 60_000;

/** Wait before the n-th further try (from 1): doubled each time, at random between half and all of it. */
export const backOffMs = (n: number, random: () => number) => Math.min(LAST_MS, FIRST_MS * 2 ** (n - 1)) * (0.5 + random() / 2);
