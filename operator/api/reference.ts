import { type Kind, openApiSchema, type Schema } from './crd.ts';
import { API_VERSION } from './meta.ts';

/** The reference page: every field of every kind with type, bounds, default and what it is for. */
export function apiReference(kinds: readonly Kind[]): string {
  const lines = [
    '# API reference',
    '',
    `Group and version: \`${API_VERSION}\`. Generated from \`operator/api\` by \`npm run generate\`.`,
    '',
  ];
  for (const kind of kinds) {
    lines.push(`## ${kind.kind}`, '', kind.description, '', `Short name \`${kind.shortName}\`, ${kind.scope.toLowerCase()}.`, '');
    const schema = openApiSchema(kind);
    for (const part of ['spec', 'status'] as const) {
      const root = schema.properties?.[part];
      if (!root) continue;
      lines.push(`### ${kind.kind}.${part}`, '', '| field | type | description |', '|---|---|---|');
      for (const row of rows(root, part)) lines.push(row);
      lines.push('');
      const rules = collectRules(root, part);
      if (rules.length > 0) lines.push('Rules:', '', ...rules.map((r) => `* ${r}`), '');
    }
  }
  return `${lines.join('\n').trimEnd()}\n`;
}

function* rows(schema: Schema, path: string): Generator<string> {
  for (const [name, field] of Object.entries(schema.properties ?? {})) {
    const here = `${path}.${name}`;
    const required = (schema.required as string[] | undefined)?.includes(name) ? ', required' : '';
    yield `| \`${here}\` | ${typeOf(field)}${required} | ${String(field.description ?? '').replaceAll('|', '\\|')}${bounds(field)} |`;
    yield* rows(field, here);
    if (field.items) yield* rows(field.items, `${here}[]`);
  }
}

function typeOf(field: Schema): string {
  if (field['x-kubernetes-int-or-string']) return 'integer or string';
  if (field.type === 'array') return `list of ${field.items ? typeOf(field.items) : 'any'}`;
  if (typeof field.additionalProperties === 'object') return `map of ${typeOf(field.additionalProperties)}`;
  return String(field.format === 'date-time' ? 'time' : (field.type ?? 'any'));
}

function bounds(field: Schema): string {
  const parts: string[] = [];
  if (Array.isArray(field.enum)) parts.push(`One of ${field.enum.map((v) => `\`${v}\``).join(', ')}.`);
  if (field.minimum !== undefined && field.minimum !== 0) parts.push(`At least ${field.minimum}.`);
  if (field.maximum !== undefined) parts.push(`At most ${field.maximum}.`);
  return parts.length === 0 ? '' : ` ${parts.join(' ')}`;
}

function collectRules(schema: Schema, path: string): string[] {
  const own = ((schema['x-kubernetes-validations'] ?? []) as { message?: string }[]).map((r) => `\`${path}\`: ${r.message}`);
  const below = Object.entries(schema.properties ?? {}).flatMap(([name, field]) => collectRules(field, `${path}.${name}`));
  const items = schema.items ? collectRules(schema.items, `${path}[]`) : [];
  return [...own, ...below, ...items];
}
