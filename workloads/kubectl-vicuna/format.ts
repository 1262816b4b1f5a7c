import { plain } from './terminal.ts';

/** "45s", "12m", "6h", "3d": one unit, as kubectl prints ages. */
export function age(ms: number): string {
  const seconds = Math.max(0, Math.round(ms / 1_000));
  if (seconds < 120) return `${seconds}s`;
  if (seconds < 7_200) return `${Math.round(seconds / 60)}m`;
  if (seconds < 172_800) return `${Math.round(seconds / 3_600)}h`;
  return `${Math.round(seconds / 86_400)}d`;
}

/** Time since then, by a clock that may be behind the cluster's. */
export function since(time: string | undefined, now: number): string {
  return time === undefined ? '-' : age(now - Date.parse(time));
}

/** "12:03:41", local; with the date when it was another day. */
export function clock(ms: number, now: number): string {
  const date = new Date(ms);
  const two = (n: number) => String(n).padStart(2, '0');
  const time = `${two(date.getHours())}:${two(date.getMinutes())}:${two(date.getSeconds())}`;
  if (date.toDateString() === new Date(now).toDateString()) return time;
  return `${date.getFullYear()}-${two(date.getMonth() + 1)}-${two(date.getDate())} ${time}`;
}

/** "$118.40"; less than a dollar with as many digits as tell something, so that a short run does not look free. */
export function money(dollars: number | string | undefined): string {
  if (dollars === undefined) return '-';
  const amount = Number(dollars);
  const digits = amount === 0 || Math.abs(amount) >= 1 ? 2 : Math.abs(amount) >= 0.01 ? 3 : 6;
  return `$${amount.toFixed(digits)}`;
}

/** "1.4 GiB". */
export function bytes(count: number): string {
  const units = ['B', 'KiB', 'MiB', 'GiB', 'TiB'];
  const power = count < 1 ? 0 : Math.min(units.length - 1, Math.floor(Math.log2(count) / 10));
  const amount = count / 1_024 ** power;
  return `${power === 0 || amount >= 100 ? Math.round(amount) : amount.toFixed(1)} ${units[power]}`;
}

/** "1 worker", "2 workers". */
export function counted(count: number, noun: string): string {
  return `${count} ${noun}${count === 1 ? '' : 's'}`;
}

export function percent(share: number | undefined): string {
  return share === undefined ? '-' : `${(share * 100).toFixed(1)}%`;
}

/** "12/70 conversations", "1.2 GiB/3.0 GiB": how far a task is in its stage. */
export function progressWords({
  done,
  total,
  unit,
  display,
}: {
  done: number;
  total?: number | undefined;
  unit: string;
  display: string;
}): string {
  if (unit !== 'bytes') return plain(`${display} ${unit}`);
  return total === undefined ? bytes(done) : `${bytes(done)}/${bytes(total)}`;
}
