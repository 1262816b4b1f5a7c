// Holds inputs against what the SDK declares: nothing unknown, nothing missing, nothing of another type.
import type { Members, Type } from './sdk-types.ts';

/** How the engine writes a value that is known only once something else is there, and one that is secret. */
export const UNKNOWN = '04da6b54-80e4-46f7-96ec-b56ff0331ba9';
const UNKNOWNS = new Set([
  UNKNOWN,
  '1c4a061d-8072-4f0a-a4cb-0ff528b18fe7',
  '3eeb2bf0-c639-47a8-9e75-3b44932eb421',
  '6a19a0b0-7e62-4c92-b797-7f8e31da9cc2',
  '030794c1-ac77-496b-92df-f27374a8bd58',
  'e48ece36-62e2-4504-bad9-02848725956a',
  'dd056dcd-154b-4c76-9bd3-c8f88648b5ff',
]);
const SIGNATURE = '4dabf18193072939515e22adb298388d';
const SECRET = '1b47061264138c4ac30d75fd1eb44270';
/** What the engine adds by itself. */
const OWN = new Set(['__defaults', '__internal']);

export interface Problem {
  readonly property: string;
  readonly reason: string;
}

/** Everything that is wrong with the inputs of a resource. */
export function problemsOf(members: Members, inputs: Record<string, unknown>): Problem[] {
  return ofObject(members, inputs, '');
}

function ofObject(members: Members, value: Record<string, unknown>, path: string): Problem[] {
  const at = (key: string) => (path === '' ? key : `${path}.${key}`);
  const unknown = Object.keys(value)
    .filter((key) => !members.has(declared(key)) && !OWN.has(key))
    .map((key) => ({ property: at(key), reason: 'there is no such property' }));
  const wrong = [...members].flatMap(([key, { optional, type }]) => {
    const given = value[key];
    if (given === undefined || given === null) return optional ? [] : [{ property: at(key), reason: 'is required' }];
    return ofValue(type, given, at(key));
  });
  return [...unknown, ...wrong];
}

/** The SDK's name of a property: of Kubernetes' extensions to JSON schema it takes both spellings, and declares one. */
function declared(key: string): string {
  return key.startsWith('x-kubernetes-') ? key.replaceAll('-', '_') : key;
}

function ofValue(type: Type, raw: unknown, path: string): Problem[] {
  const value = plain(raw);
  if (isUnknown(value)) return [];
  const mismatch = (expected: string) => [
    { property: path, reason: `is ${JSON.stringify(value)?.slice(0, 80)}, but ${expected} is wanted` },
  ];
  switch (type.kind) {
    case 'any':
      return [];
    case 'string':
    case 'number':
    case 'boolean':
      return typeof value === type.kind ? [] : mismatch(type.kind);
    case 'undefined':
      return value === undefined || value === null ? [] : mismatch('nothing');
    case 'literal':
      return value === type.value ? [] : mismatch(JSON.stringify(type.value));
    case 'array':
      return Array.isArray(value) ? value.flatMap((v, i) => ofValue(type.of, v, `${path}[${i}]`)) : mismatch('a list');
    case 'map':
      return isObject(value) ? Object.entries(value).flatMap(([k, v]) => ofValue(type.of, v, `${path}.${k}`)) : mismatch('a map');
    case 'object':
      return isObject(value) ? ofObject(type.members(), value, path) : mismatch(type.name);
    case 'union': {
      const tried = type.of.map((t) => ofValue(t, value, path));
      // The alternative that comes closest says best what is wrong.
      return tried.some((t) => t.length === 0) ? [] : (tried.filter((t) => t.some((p) => p.property !== path))[0] ?? tried[0] ?? []);
    }
  }
}

function isObject(value: unknown): value is Record<string, unknown> {
  return typeof value === 'object' && value !== null && !Array.isArray(value);
}

export function isUnknown(value: unknown): boolean {
  return typeof value === 'string' && UNKNOWNS.has(value);
}

/** The value without its mark as a secret. */
export function plain(value: unknown): unknown {
  return isObject(value) && value[SIGNATURE] === SECRET ? plain(value.value) : value;
}

/** The value, and all in it, without marks. */
export function deeplyPlain(raw: unknown): unknown {
  const value = plain(raw);
  if (Array.isArray(value)) return value.map(deeplyPlain);
  return isObject(value) ? Object.fromEntries(Object.entries(value).map(([k, v]) => [k, deeplyPlain(v)])) : value;
}
