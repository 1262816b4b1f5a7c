export function isoTime(ms: number): string {
  return new Date(ms).toISOString();
}

export function milliseconds(time: string | undefined): number | undefined {
  return time === undefined ? undefined : Date.parse(time);
}
