import { readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, expect, it } from 'vitest';
import { KINDS } from './api/kinds.ts';
import { PROTOCOL_ERRORS } from './server/protocol-error.ts';

const ROOT = join(import.meta.dirname, '..');
const lines = readFileSync(join(ROOT, 'docs', 'troubleshooting.md'), 'utf8').split('\n');
const exitCodes = lines.flatMap((line) => /^\| (\d+) \|/.exec(line)?.[1] ?? []);
const rows = lines.filter((line) => line.startsWith('| `')).map((line) => line.split('|').map((cell) => cell.trim()));
const entries = rows.map(([, first = '']) => first);

/** What the gateway may answer as `code`, by its sources. */
function gatewayCodes(): string[] {
  const directory = join(ROOT, 'workloads', 'gateway');
  const sources = readdirSync(directory, { recursive: true, encoding: 'utf8' })
    .filter((name) => name.endsWith('.ts') && !name.endsWith('.test.ts') && !name.startsWith('testing'))
    .map((name) => readFileSync(join(directory, name), 'utf8'))
    .join('\n');
  const codes = [...sources.matchAll(/\bcode: '([a-z_]+)'/g), ...sources.matchAll(/\binvalid\(.*[`'], [\w']+, '([a-z_]+)'\)/g)];
  return [...new Set(codes.map(([, code = '']) => code))];
}

/** What the engine `transformers` may answer as `code`, with the status. */
function engineCodes(): (readonly [code: string, status: number])[] {
  const directory = join(ROOT, 'workloads', 'engine', 'vicuna_engine');
  const calls = readdirSync(directory)
    .filter((name) => name.endsWith('.py'))
    .flatMap((name) => readFileSync(join(directory, name), 'utf8').split(/\b(?=(?:ApiError|invalid|unavailable)\()/))
    .map((text) => text.slice(0, text.search(/\)+(?: from \w+)?\n/)));
  return calls.flatMap((call) => {
    const [, status = ''] = /^ApiError\((\d+)/.exec(call) ?? [];
    const [, named] = /code="(\w+)"$/.exec(call) ?? [];
    const [, last] = /^invalid\([\s\S]*,\s*(?:"\w+"|\w+),\s*"(\w+)",?\s*$/.exec(call) ?? [];
    const [, why] = /^unavailable\(\s*"[^"]*",\s*"(\w+)"$/.exec(call) ?? [];
    if (named !== undefined && status !== '') return [[named, Number(status)] as const];
    if (last !== undefined) return [[last, 400] as const];
    return why === undefined ? [] : [[why, 503] as const];
  });
}

describe('docs/troubleshooting.md', () => {
  it('has a row for every reason of every condition', () => {
    // "`vd` `ve` `Placed` `NoCapacity`": the kinds that say it, the condition, the reason.
    const documented = entries.flatMap((entry) => {
      const words = [...entry.matchAll(/`([\w]+)`/g)].map(([, word = '']) => word);
      return words.length < 3 ? [] : words.slice(0, -2).map((kind) => `${kind} ${words.slice(-2).join(' ')}`);
    });
    const reasons = KINDS.flatMap(({ shortName, conditions }) =>
      Object.entries(conditions ?? {}).flatMap(([type, { reasons }]) => Object.keys(reasons).map((r) => `${shortName} ${type} ${r}`)),
    );
    expect(reasons.length).toBeGreaterThan(30);
    expect(reasons.filter((r) => !documented.includes(r))).toEqual([]);
    expect(
      documented.filter((d) => !reasons.includes(d)),
      'reasons that nothing gives any more',
    ).toEqual([]);
    expect(documented.filter((r, i) => documented.indexOf(r) !== i)).toEqual([]);
  });

  it('has a row for every error code, with its HTTP status', () => {
    const codes = gatewayCodes();
    expect(codes).toContain('no_worker_available');
    expect(codes).toContain('too_many_tokens');
    const documented = rows.map(([, code = '', status = '']) => [code.slice(1, -1), Number(status)] as const);
    expect(codes.filter((code) => !documented.some(([c]) => c === code))).toEqual([]);
    const statuses = Object.fromEntries(documented);
    const ofEngine = engineCodes();
    expect(ofEngine.map(([code]) => code)).toEqual(expect.arrayContaining(['queue_full', 'unknown_parameter', 'draining']));
    for (const [code, status] of ofEngine) expect([code, statuses[code]]).toEqual([code, status]);
    const known = [...codes, ...ofEngine.map(([code]) => code), ...Object.keys(PROTOCOL_ERRORS)];
    expect(
      documented.filter(([code, status]) => status >= 400 && !known.includes(code)),
      'codes that nothing answers any more',
    ).toEqual([]);
    for (const [code, status] of Object.entries(PROTOCOL_ERRORS)) expect([code, statuses[code]]).toEqual([code, status]);
  });

  it('has a row for every exit code of the trainer', () => {
    const source = readFileSync(join(ROOT, 'workloads', 'trainer', 'vicuna_trainer', 'exits.py'), 'utf8');
    const codes = [...source.matchAll(/^[A-Z_]+ = (\d+)\b/gm)].map(([, code = '']) => code);
    expect(codes).toContain('64');
    expect(exitCodes).toEqual(codes.toSorted((a, b) => Number(a) - Number(b)));
  });
});
