/** A time in which more replicas are kept. */
export interface Window {
  /** Days on which it begins; empty = every day. */
  readonly days: readonly string[];
  /** HH:MM. An end before the start is on the next day. */
  readonly start: string;
  readonly end: string;
  readonly timeZone: string;
  readonly min: number;
}

const DAY_MINUTES = 24 * 60;

/** The most replicas that any window keeps now; each begins early by the seconds that a replica needs to start. */
export function scheduledMin(windows: readonly Window[], now: number, leadSeconds: number): number {
  return windows.reduce((most, w) => (isWithin(w, now) || isWithin(w, now + leadSeconds * 1000) ? Math.max(most, w.min) : most), 0);
}

function isWithin({ days, start, end, timeZone }: Window, at: number): boolean {
  const { day, minutes } = localTime(at, timeZone);
  const from = minutesOf(start);
  const to = minutesOf(end);
  const begins = (which: string) => days.length === 0 || days.includes(which);
  if (from < to) return begins(day) && minutes >= from && minutes < to;
  // Over midnight: the evening of its day, or the morning after it.
  return (begins(day) && minutes >= from) || (begins(localTime(at - DAY_MINUTES * 60_000, timeZone).day) && minutes < to);
}

const formats = new Map<string, Intl.DateTimeFormat>();

/** Day of the week and minute of the day where the clock shows that zone's time, summer time and all. */
function localTime(at: number, timeZone: string): { day: string; minutes: number } {
  const format = formats.get(timeZone) ?? formatFor(timeZone);
  formats.set(timeZone, format);
  const parts = Object.fromEntries(format.formatToParts(at).map(({ type, value }) => [type, value]));
  return { day: parts.weekday ?? '', minutes: minutesOf(`${parts.hour}:${parts.minute}`) };
}

/** A zone that nobody knows counts as UTC: the API server cannot know all, and a typing error must not stop the scaling. */
function formatFor(timeZone: string): Intl.DateTimeFormat {
  const options = { weekday: 'short', hour: '2-digit', minute: '2-digit', hourCycle: 'h23' } as const;
  try {
    return new Intl.DateTimeFormat('en-US', { ...options, timeZone });
  } catch {
    return new Intl.DateTimeFormat('en-US', { ...options, timeZone: 'UTC' });
  }
}

function minutesOf(time: string): number {
  const [hours = '0', minutes = '0'] = time.split(':');
  return Number(hours) * 60 + Number(minutes);
}
