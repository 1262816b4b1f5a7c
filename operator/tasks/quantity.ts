const UNITS: Readonly<Record<string, number>> = {
  '': 1,
  m: 1e-3,
  k: 1e3,
  M: 1e6,
  G: 1e9,
  T: 1e12,
  Ki: 2 ** 10,
  Mi: 2 ** 20,
  Gi: 2 ** 30,
  Ti: 2 ** 40,
};

/** A Kubernetes quantity as a number: "500m" is 0.5, "64Gi" 68719476736. NaN for what is none. */
export function quantity(text: string): number {
  const [, amount = '', unit = ''] = /^([0-9.]+(?:e[0-9]+)?)([a-zA-Z]*)$/.exec(text) ?? [];
  return amount === '' ? Number.NaN : Number(amount) * (UNITS[unit] ?? Number.NaN);
}
