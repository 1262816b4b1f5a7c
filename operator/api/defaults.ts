import type { Schema } from './crd.ts';

/** Fills in a structural schema's defaults as the API server does. It checks nothing and leaves unknown fields alone. */
export function applyDefaults(schema: Schema, value: unknown): unknown {
  if (Array.isArray(value)) return schema.items ? value.map((item) => applyDefaults(schema.items as Schema, item)) : value;
  if (value === null || typeof value !== 'object') return value;
  const out: Record<string, unknown> = { ...value };
  for (const [name, field] of Object.entries(schema.properties ?? {})) {
    const given = out[name] ?? structuredClone(field.default);
    if (given !== undefined) out[name] = applyDefaults(field, given);
  }
  return out;
}

/** Fills in the defaults of one kind's spec. Its schema is made when the first object comes: a kind that nobody uses costs no memory. */
export function defaultsOf(schema: () => Schema): (spec: unknown) => unknown {
  let made: Schema | null = null;
  return (spec) => {
    made ??= schema();
    return applyDefaults(made, spec);
  };
}
