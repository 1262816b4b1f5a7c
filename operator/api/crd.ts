import { z } from 'zod';
import type { ConditionDoc } from './conditions.ts';
import { GROUP, type Rule, VERSION } from './meta.ts';

export interface Column {
  readonly name: string;
  readonly type: 'string' | 'integer' | 'number' | 'date';
  readonly jsonPath: string;
  readonly priority?: number;
  readonly description?: string;
}

/** Everything about a kind that the CRD says and its schema does not. */
export interface Kind {
  readonly kind: string;
  readonly plural: string;
  readonly shortName: string;
  readonly scope: 'Namespaced' | 'Cluster';
  readonly description: string;
  readonly schema: z.ZodType;
  readonly rules: readonly Rule[];
  /** Condition types of the status, for the reference page. */
  readonly conditions?: Readonly<Record<string, ConditionDoc>>;
  readonly columns: readonly Column[];
  /** Paths of the scale subresource, for `kubectl scale` and HorizontalPodAutoscalers. */
  readonly scale?: { readonly specReplicasPath: string; readonly statusReplicasPath: string; readonly labelSelectorPath: string };
}

export type Schema = {
  [key: string]: unknown;
  properties?: Record<string, Schema>;
  items?: Schema;
  additionalProperties?: Schema | boolean;
};

/** Keywords of JSON Schema that a structural schema may not have. */
const FORBIDDEN = new Set(['$schema', '~standard', 'id', 'propertyNames', 'const']);

/** The structural OpenAPI schema of a kind's spec and status. */
export function openApiSchema(kind: Kind): Schema {
  const schema = structuralSchema(kind.schema);
  const properties = {
    apiVersion: { type: 'string', maxLength: 64, description: 'apiVersion of the object.' },
    kind: { type: 'string', maxLength: 64, description: 'kind of the object.' },
    metadata: { type: 'object' },
    ...schema.properties,
  };
  const rules = kind.rules.length === 0 ? {} : { 'x-kubernetes-validations': kind.rules };
  return { type: 'object', description: kind.description, properties, required: ['spec'], ...rules };
}

/** What the API server checks and fills in for a value of a zod schema. */
export function structuralSchema(schema: z.ZodType): Schema {
  return structural(z.toJSONSchema(schema, { target: 'openapi-3.0', io: 'input', unrepresentable: 'any' }) as Schema);
}

/** Turns a JSON schema into what Kubernetes calls structural: one type everywhere, no unions, no needless bounds. */
function structural(schema: Schema): Schema {
  const out: Schema = {};
  for (const [key, value] of Object.entries(schema)) {
    if (FORBIDDEN.has(key)) continue;
    if ((key === 'minimum' || key === 'maximum') && Math.abs(value as number) === Number.MAX_SAFE_INTEGER) continue;
    out[key] = value;
  }
  // A form's rule refuses with a sentence what the pattern would refuse with an expression.
  if (out['x-kubernetes-validations']) delete out.pattern;
  if (out['x-kubernetes-int-or-string']) {
    const { anyOf: _, type: __, ...rest } = out;
    return rest;
  }
  if (out['x-kubernetes-preserve-unknown-fields']) {
    const { anyOf: _, additionalProperties: __, properties: ___, required: ____, ...rest } = out;
    return { ...rest, type: 'object' };
  }
  if (out.properties) {
    out.properties = Object.fromEntries(Object.entries(out.properties).map(([k, v]) => [k, structural(v)]));
    // Unknown fields are pruned, or refused under strict validation; the keyword itself is not allowed beside properties.
    delete out.additionalProperties;
  } else if (typeof out.additionalProperties === 'object') out.additionalProperties = structural(out.additionalProperties);
  if (out.items) out.items = structural(out.items);
  if (out.type === 'object' && out.default !== undefined && typeof out.default === 'object') out.default = {};
  return out;
}

/** The CustomResourceDefinition of a kind. */
export function customResourceDefinition(kind: Kind): object {
  return {
    apiVersion: 'apiextensions.k8s.io/v1',
    kind: 'CustomResourceDefinition',
    metadata: { name: `${kind.plural}.${GROUP}` },
    spec: {
      group: GROUP,
      scope: kind.scope,
      names: {
        kind: kind.kind,
        listKind: `${kind.kind}List`,
        plural: kind.plural,
        singular: kind.kind.toLowerCase(),
        shortNames: [kind.shortName],
        categories: ['vicuna'],
      },
      versions: [
        {
          name: VERSION,
          served: true,
          storage: true,
          subresources: { status: {}, ...(kind.scale ? { scale: kind.scale } : {}) },
          additionalPrinterColumns: kind.columns,
          schema: { openAPIV3Schema: openApiSchema(kind) },
        },
      ],
    },
  };
}
