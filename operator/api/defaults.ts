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
