// JSON schemas of Kubernetes' kinds and of custom ones, in files named as kubeconform looks for them: <kind>-<group>-<version>.json.
import { writeFileSync } from 'node:fs';
import { join } from 'node:path';

/** What of JSON schema, and of Kubernetes' additions to it, says which fields there may be and what they may hold. */
export interface Schema {
  readonly type?: string | readonly string[];
  readonly format?: string;
  readonly properties?: Readonly<Record<string, Schema>>;
  readonly items?: Schema;
  readonly additionalProperties?: Schema | boolean;
  readonly $ref?: string;
  readonly 'x-kubernetes-preserve-unknown-fields'?: boolean;
  readonly 'x-kubernetes-group-version-kind'?: readonly { readonly group: string; readonly version: string; readonly kind: string }[];
}

/** The part of an API server's `/openapi/v2` that describes objects. */
export interface OpenApi {
  readonly definitions: Readonly<Record<string, Schema>>;
}

export interface Definition {
  readonly spec: {
    readonly group: string;
    readonly names: { readonly kind: string };
    readonly versions: readonly { readonly name: string; readonly schema: { readonly openAPIV3Schema: Schema } }[];
  };
}

/** All kinds refer to this file, rather than each to a copy of the metadata and pods in it. */
const SHARED = 'definitions.json';
const META = 'io.k8s.apimachinery.pkg.apis.meta.v1.ObjectMeta';
const QUANTITY = 'io.k8s.apimachinery.pkg.api.resource.Quantity';
const reference = (name: string): Schema => ({ $ref: `${SHARED}#/definitions/${name}` });

/** Where a schema lies, for kubeconform's `-schema-location`. */
export const LOCATION = '{{.ResourceKind}}{{.KindSuffix}}.json';

/** Writes the schemas of everything that an API server serves, and of definitions that it need not know; the latter win. */
export function writeSchemas(directory: string, openApi: OpenApi, definitions: readonly Definition[]): void {
  const write = (file: string, schema: object) => writeFileSync(join(directory, file), JSON.stringify(schema));
  const shared = Object.entries(openApi.definitions).map(([name, schema]) => [name, strict(name === QUANTITY ? NUMBER_OR_TEXT : schema)]);
  write(SHARED, { definitions: Object.fromEntries(shared) });
  for (const [name, schema] of Object.entries(openApi.definitions))
    for (const { group, version, kind } of schema['x-kubernetes-group-version-kind'] ?? [])
      write(fileName(kind, group, version), reference(name));
  for (const { spec } of definitions)
    for (const { name, schema } of spec.versions) {
      const { properties, ...rest } = schema.openAPIV3Schema;
      // A definition says nothing of metadata, since that is the same for all kinds.
      write(fileName(spec.names.kind, spec.group, name), strict({ ...rest, properties: { ...properties, metadata: reference(META) } }));
    }
}

function fileName(kind: string, group: string, version: string): string {
  return `${[kind, ...(group === '' ? [] : [group.split('.')[0]]), version].join('-').toLowerCase()}.json`;
}

/** OpenAPI 2 has one type for each value, and calls both of these text. */
const NUMBER_OR_TEXT: Schema = { type: ['string', 'number'] };

/** The schema without room for fields that it does not name. What `anyOf` and the like say is about parts, and stays as it is. */
function strict(schema: Schema): Schema {
  const { properties, items, additionalProperties } = schema;
  if (schema.format === 'int-or-string') return NUMBER_OR_TEXT;
  const isOpen = properties === undefined || schema['x-kubernetes-preserve-unknown-fields'] === true;
  return {
    ...schema,
    ...(properties && { properties: Object.fromEntries(Object.entries(properties).map(([name, part]) => [name, strict(part)])) }),
    ...(items && { items: strict(items) }),
    ...(typeof additionalProperties === 'object' && { additionalProperties: strict(additionalProperties) }),
    ...(additionalProperties === undefined && !isOpen && { additionalProperties: false }),
  };
}
