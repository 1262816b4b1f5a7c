const DECIMAL = /^[1-9][0-9]*$/;

/**
 * Negative when `a` is older than `b`, 0 when they are the same, positive when it is newer. Versions of one resource are decimal
 * numbers that only grow (promised since Kubernetes 1.35), too long for a double. Null when either is no such number: a server
 * that does not keep the promise is taken at its word, in the order of its events.
 */
export function compareVersions(a: string | undefined, b: string | undefined): number | null {
  if (a === undefined || b === undefined || !DECIMAL.test(a) || !DECIMAL.test(b)) return null;
  if (a.length !== b.length) return a.length - b.length;
  return a === b ? 0 : a < b ? -1 : 1;
}
