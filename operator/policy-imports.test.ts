import { readdirSync, readFileSync } from 'node:fs';
import { dirname, join, relative, resolve } from 'node:path';
import { describe, expect, it } from 'vitest';

const OPERATOR = import.meta.dirname;

/** What a room may import from: other rooms (`types:` = only their types) and packages. */
interface Rule {
  readonly rooms: readonly string[];
  /** Whether packages and Node's own modules may be imported; `types` = only their types. */
  readonly packages: 'any' | 'types' | 'none';
}

/** The direction of dependencies. A new room needs a line here. Files beside the rooms wire them together and may import all. */
const RULES: Readonly<Record<string, Rule>> = {
  kube: { rooms: [], packages: 'any' }, // knows no kind of ours
  api: { rooms: ['types:kube'], packages: 'any' },
  spot: { rooms: [], packages: 'none' }, // pure: no I/O, no clock, no Kubernetes; the simulator runs it as it is
  signals: { rooms: ['types:api', 'types:kube'], packages: 'types' },
  pods: { rooms: [], packages: 'types' }, // what the pods of several kinds have in common
  server: { rooms: ['api', 'kube'], packages: 'any' },
  clusters: { rooms: ['api', 'kube', 'pods', 'signals'], packages: 'any' }, // where pods and nodes are, and whether that can be reached
  pools: { rooms: ['api', 'clusters', 'kube', 'pods', 'spot', 'signals', 'server', 'training'], packages: 'any' },
  training: { rooms: ['api', 'clusters', 'kube', 'pods', 'spot', 'signals', 'server', 'tasks', 'types:pools'], packages: 'any' },
  serving: { rooms: ['api', 'clusters', 'kube', 'pods', 'spot', 'signals', 'server', 'types:pools'], packages: 'any' },
  tasks: { rooms: ['api', 'kube', 'pods', 'spot', 'signals', 'types:server', 'types:pools'], packages: 'any' },
  dataset: { rooms: ['api', 'pods', 'tasks'], packages: 'types' },
  evaluation: { rooms: ['api', 'pods', 'spot', 'tasks'], packages: 'any' },
};

interface Import {
  readonly from: string;
  readonly target: string;
  readonly typeOnly: boolean;
}

const STATEMENT = /^\s*(?:import|export)\s+(type\s+)?(?:[^'";]*?\sfrom\s+)?'([^']+)'/gm;
const DYNAMIC = /\bimport\(\s*'([^']+)'\s*\)/g;

/** Every import of a source text. A statement is of types only when it says so as a whole: otherwise the module is loaded. */
function importsOf(from: string, source: string): Import[] {
  return [
    ...[...source.matchAll(STATEMENT)].map(([, type, target]) => ({ from, target: target ?? '', typeOnly: type !== undefined })),
    ...[...source.matchAll(DYNAMIC)].map(([, target]) => ({ from, target: target ?? '', typeOnly: false })),
  ];
}

/** Path of the imported file below operator/, or null for a package. */
function fileOf({ from, target }: Import): string | null {
  return target.startsWith('.') ? relative(OPERATOR, resolve(OPERATOR, dirname(from), target)) : null;
}

function roomOf(file: string): string | null {
  return file.includes('/') ? (file.split('/')[0] ?? null) : null;
}

/** Why the import is not allowed, or null. */
function objection(statement: Import): string | null {
  const room = roomOf(statement.from);
  if (room === null) return null;
  const rule = RULES[room];
  if (rule === undefined) return `${room}/ is a room without a rule: add it to RULES in policy-imports.test.ts`;
  const file = fileOf(statement);
  if (file === null) {
    const allowed = rule.packages === 'any' || (rule.packages === 'types' && statement.typeOnly);
    return allowed ? null : `${statement.from} imports package ${statement.target}, and ${room} may import ${rule.packages} of them`;
  }
  const other = roomOf(file);
  if (other === room || (other !== null && rule.rooms.includes(other))) return null;
  if (statement.typeOnly && rule.rooms.includes(`types:${other}`)) return null;
  const may = rule.rooms.length === 0 ? 'nothing of ours' : rule.rooms.join(', ');
  return `${statement.from} imports ${file}, and ${room} may import ${may}`;
}

/** Imports of every file below a directory, which is given from operator/, but for those of tests. */
function importsBelow(directory: string): Import[] {
  return readdirSync(join(OPERATOR, directory), { recursive: true, encoding: 'utf8' })
    .filter((f) => f.endsWith('.ts') && !f.endsWith('.test.ts') && !/(^|\/)(testing\/|testing\.ts$|test-support\.ts$)/.test(f))
    .sort()
    .map((file) => join(directory, file))
    .flatMap((file) => importsOf(file, readFileSync(join(OPERATOR, file), 'utf8')));
}

const ALL = importsBelow('.');

describe('dependencies point one way', () => {
  it('finds the imports that there are', () => {
    expect(ALL.length).toBeGreaterThan(100);
    expect(ALL).toContainEqual({ from: 'main.ts', target: './kube/client.ts', typeOnly: false });
    expect(importsOf('a/b.ts', "import type { X } from '../c/d.ts';\nimport {\n  type Y,\n  z,\n} from './e.ts';")).toEqual([
      { from: 'a/b.ts', target: '../c/d.ts', typeOnly: true },
      { from: 'a/b.ts', target: './e.ts', typeOnly: false },
    ]);
    expect(importsOf('a/b.ts', "import 'x';\nexport * from './y.ts';\nconst z = await import('node:fs');").map((i) => i.target)).toEqual([
      'x',
      './y.ts',
      'node:fs',
    ]);
  });

  it('every room imports only what its rule allows', () => {
    expect(ALL.flatMap((statement) => objection(statement) ?? [])).toEqual([]);
  });

  it.each<[string, string, boolean, string]>([
    ['spot/place.ts', 'node:fs', false, 'spot may import none of them'],
    ['spot/place.ts', '../api/gpu-pool.ts', true, 'spot may import nothing of ours'],
    ['kube/client.ts', '../api/meta.ts', false, 'kube may import nothing of ours'],
    ['signals/x.ts', '../kube/types.ts', false, 'signals may import types:api, types:kube'],
    ['signals/x.ts', '@kubernetes/client-node', false, 'signals may import types of them'],
    ['server/app.ts', '../training/plan.ts', false, 'server may import api, kube'],
    ['training/plan.ts', '../main.ts', true, 'training/plan.ts imports main.ts'],
    ['bakery/bread.ts', './flour.ts', false, 'bakery/ is a room without a rule'],
  ])('%s may not import %s', (from, target, typeOnly, words) => {
    expect(objection({ from, target, typeOnly })).toContain(words);
  });

  it('no file needs itself by way of others, not even for types, in the operator or the workloads', () => {
    const needs = new Map<string, string[]>();
    for (const statement of [...ALL, ...importsBelow('../workloads')]) {
      const file = fileOf(statement);
      if (file !== null) needs.set(statement.from, [...(needs.get(statement.from) ?? []), file]);
    }
    const done = new Set<string>();
    const circles: string[] = [];
    const visit = (file: string, path: readonly string[]): void => {
      if (path.includes(file)) circles.push([...path.slice(path.indexOf(file)), file].join(' → '));
      if (done.has(file) || path.includes(file)) return;
      for (const next of needs.get(file) ?? []) visit(next, [...path, file]);
      done.add(file);
    };
    for (const file of needs.keys()) visit(file, []);
    expect(circles).toEqual([]);
  });
});
