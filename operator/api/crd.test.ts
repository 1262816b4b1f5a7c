import { join } from 'node:path';
import { describe, expect, it } from 'vitest';
import { staleFiles } from '../generate.ts';
import { customResourceDefinition, type Kind, openApiSchema, type Schema } from './crd.ts';
import { KINDS } from './kinds.ts';

interface Field {
  readonly path: string;
  readonly name: string;
  readonly schema: Schema;
  readonly optional: boolean;
}

/** Every field of spec and status with its path; items of lists as `path[]`, values of maps as `path{}`. */
function* fieldsOf(schema: Schema, path: string): Generator<Field> {
  const required = (schema.required ?? []) as string[];
  for (const [name, field] of Object.entries(schema.properties ?? {})) {
    const here = { path: `${path}.${name}`, name, schema: field, optional: !required.includes(name) };
    yield here;
    yield* fieldsOf(field, here.path);
    for (const [mark, inner] of [['[]', field.items] as const, ['{}', field.additionalProperties] as const]) {
      if (typeof inner !== 'object') continue;
      yield { path: here.path + mark, name: '', schema: inner, optional: false };
      yield* fieldsOf(inner, here.path + mark);
    }
  }
}

function fields(kind: Kind, part?: 'spec' | 'status'): Field[] {
  const { properties = {} } = openApiSchema(kind);
  return [...fieldsOf({ properties: { spec: properties.spec ?? {}, status: properties.status ?? {} } }, kind.kind)].filter(
    ({ path }) => part === undefined || path.startsWith(`${kind.kind}.${part}`),
  );
}

const all = KINDS.flatMap((kind) => fields(kind));
const ofSpecs = KINDS.flatMap((kind) => fields(kind, 'spec')).filter(({ path }) => path.split('.').length > 2);

const text = (schema: Schema) => String(schema.description ?? '');
const paths = (list: readonly Field[]) => list.map(({ path }) => path);
/** What the operator keeps for itself, or takes as Kubernetes knows it. */
const OPEN = [
  'VicunaTraining.spec.workers.template',
  'VicunaTraining.status.world.checkpointInterval',
  'VicunaTraining.status.placement.spotSeen',
  'GpuPool.status.memory',
  'VicunaServing.spec.gateway.template',
  'VicunaServing.spec.models[].template',
  'VicunaServing.spec.multiplexing.template',
  'VicunaDataset.spec.template',
  'VicunaEvaluation.spec.template',
];

/** Field names whose numbers mean nothing without a unit, and how the description may name it. */
const UNITS: readonly (readonly [RegExp, RegExp])[] = [
  [/seconds$/i, /second|steps that count/],
  [/hours$/i, /hour|Hours/],
  [/bytes$/, /bytes/],
  [/^(contextLength|globalBatchTokens)$/, /in tokens/],
  [/^(maxPricePerHour|budget|onDemand|spot|cost|onDemandCost)$/, /US dollars|on demand/],
  [/^cpu$/, /in cores/],
  [/^memory$/, /in bytes|itself/],
  [/^(deadline|readyDeadline)$/, /by which|by then|at which/],
];

describe('the custom resource definitions', () => {
  it('are what the code says, and so are the reference pages', () => {
    expect(staleFiles(join(import.meta.dirname, '..', '..'))).toEqual([]);
  });

  it('describe every field, starting with its name', () => {
    expect(paths(all.filter(({ name, schema }) => name !== '' && !new RegExp(`^${name}\\b`).test(text(schema))))).toEqual([]);
  });

  it('end every description with a full stop', () => {
    expect(paths(all.filter(({ name, schema }) => name !== '' && !text(schema).trimEnd().endsWith('.')))).toEqual([]);
  });

  it('say of every optional value of a spec what it is when left out', () => {
    const scalars = ofSpecs.filter(({ schema, optional }) => optional && (schema.type !== 'object' || schema.default === undefined));
    expect(paths(scalars.filter(({ schema }) => !text(schema).includes('Default:')))).toEqual([]);
  });

  it('give the default that the description names', () => {
    const wrong = ofSpecs.filter(({ schema }) => {
      const value = schema.default;
      if (value === undefined || typeof value === 'object') return false;
      return !text(schema).includes(`Default: ${value}.`);
    });
    expect(paths(wrong)).toEqual([]);
  });

  it('name the unit of what is measured', () => {
    const unclear = all.filter(({ name, schema }) => UNITS.some(([field, unit]) => field.test(name) && !unit.test(text(schema))));
    expect(paths(unclear)).toEqual([]);
  });

  it('say of immutable fields that they are', () => {
    const ofTraining = /^VicunaTraining\.spec\.(model|dataset|recipe|managedBy|checkpoint\.storage)$/;
    const open = 'image|cpu|memory|template|placement|credentials|ttlAfterFinished';
    // All of a task's spec but how its pod runs.
    const ofTasks = new RegExp(`^Vicuna(Dataset|Evaluation)\\.spec\\.(?!(${open})$)[A-Za-z]+$`);
    const found = ofSpecs.filter(({ path }) => ofTraining.test(path) || ofTasks.test(path));
    expect(found.length).toBeGreaterThan(20);
    expect(paths(found.filter(({ schema }) => !text(schema).includes('Immutable.')))).toEqual([]);
  });

  it('refuse the change of what they call immutable', () => {
    const rulesOf = (kind: Kind) => JSON.stringify(openApiSchema(kind).properties?.spec?.['x-kubernetes-validations'] ?? []);
    const free = KINDS.flatMap((kind) => {
      const ofSpec = rulesOf(kind);
      return fields(kind, 'spec').filter(({ path, name, schema }) => {
        const own = JSON.stringify(schema['x-kubernetes-validations'] ?? []);
        const isTop = path === `${kind.kind}.spec.${name}`;
        return isTop && text(schema).includes('Immutable.') && !own.includes('oldSelf') && !ofSpec.includes(`oldSelf.${name})`);
      });
    });
    expect(paths(free)).toEqual([]);
  });

  it('bound every string', () => {
    const strings = all.filter(({ schema }) => schema.type === 'string' && schema.enum === undefined);
    expect(strings.length).toBeGreaterThan(30);
    expect(paths(strings.filter(({ schema }) => typeof schema.maxLength !== 'number'))).toEqual([]);
  });

  it('bound every value that may be number or string', () => {
    const either = all.filter(({ schema }) => schema['x-kubernetes-int-or-string']);
    expect(either.length).toBeGreaterThan(1);
    expect(paths(either.filter(({ schema }) => typeof schema.maxLength !== 'number'))).toEqual([]);
  });

  it('bound every list and say how it merges', () => {
    const lists = all.filter(({ schema }) => schema.type === 'array');
    expect(lists.length).toBeGreaterThan(10);
    expect(paths(lists.filter(({ schema }) => typeof schema.maxItems !== 'number' || !schema['x-kubernetes-list-type']))).toEqual([]);
    const maps = lists.filter(({ schema }) => schema['x-kubernetes-list-type'] === 'map');
    for (const { path, schema } of maps) {
      expect(schema.items?.required, path).toEqual(expect.arrayContaining(schema['x-kubernetes-list-map-keys'] as string[]));
    }
  });

  it('bound every map', () => {
    const maps = all.filter(({ schema }) => typeof schema.additionalProperties === 'object');
    expect(maps.length).toBeGreaterThan(1);
    expect(paths(maps.filter(({ schema }) => typeof schema.maxProperties !== 'number'))).toEqual([]);
  });

  it('leave nothing open but what is listed here', () => {
    expect(paths(all.filter(({ schema }) => schema['x-kubernetes-preserve-unknown-fields'])).toSorted()).toEqual(OPEN.toSorted());
    expect(paths(all.filter(({ schema }) => schema.type === undefined && !schema['x-kubernetes-int-or-string']))).toEqual([]);
  });

  it('keep conditions as a map by type', () => {
    const conditions = all.filter(({ path }) => path.endsWith('.status.conditions'));
    expect(conditions).toHaveLength(KINDS.length);
    for (const { schema } of conditions) {
      expect(schema).toMatchObject({ 'x-kubernetes-list-type': 'map', 'x-kubernetes-list-map-keys': ['type'] });
    }
  });

  it('refuse negative numbers wherever they mean nothing', () => {
    const numbers = ofSpecs.filter(({ schema }) => schema.type === 'integer' || schema.type === 'number');
    expect(numbers.length).toBeGreaterThan(10);
    expect(paths(numbers.filter(({ schema }) => !(Number(schema.minimum) >= 0) || typeof schema.maximum !== 'number'))).toEqual([]);
  });

  it('refuse with sentences, not with expressions', () => {
    expect(paths(all.filter(({ schema }) => schema.pattern !== undefined))).toEqual([]);
    const rules = all.flatMap(({ schema }) => (schema['x-kubernetes-validations'] ?? []) as { message?: string }[]);
    expect(rules.length).toBeGreaterThan(20);
    expect(rules.filter(({ message }) => (message ?? '').length < 20)).toEqual([]);
  });

  it('print columns that exist', () => {
    for (const kind of KINDS) {
      const known = new Set(fields(kind).map(({ path }) => path.slice(kind.kind.length)));
      known.add('.metadata.creationTimestamp');
      for (const { jsonPath } of kind.columns) expect(known, `${kind.kind} ${jsonPath}`).toContain(jsonPath);
    }
  });

  it('serve the status apart from the spec', () => {
    for (const kind of KINDS) {
      expect(customResourceDefinition(kind)).toMatchObject({
        spec: { names: { categories: ['vicuna'] }, versions: [{ served: true, storage: true, subresources: { status: {} } }] },
      });
    }
  });
});
