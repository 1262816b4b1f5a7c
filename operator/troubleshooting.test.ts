import { readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, expect, it } from 'vitest';
import { KINDS } from './api/kinds.ts';
import { PROTOCOL_ERRORS } from './server/protocol-error.ts';

const ROOT = join(import.meta.dirname, '..');
const rows = readFileSync(join(ROOT, 'docs', 'troubleshooting.md'), 'utf8')
  .split('\n')
  .filter((line) => line.startsWith('| `'))
  .map((line) => line.split('|').map((cell) => cell.trim()));
const entries = rows.map(([, first = '']) => first);

/** What the gateway may answer as `code`, by its sources. */
function gatewayCodes(): string[] {
  const directory = join(ROOT, 'workloads', 'gateway');
  const sources = readdirSync(directory)
    .filter((name) => name.endsWith('.ts') && !name.endsWith('.test.ts'))
    .map((name) => readFileSync(join(directory, name), 'utf8'))
    .join('\n');
  const codes = [...sources.matchAll(/\bcode: '([a-z_]+)'/g), ...sources.matchAll(/\binvalid\(.*[`'], [\w']+, '([a-z_]+)'\)/g)];
  return [...new Set(codes.map(([, code = '']) => code))];
}

describe('docs/troubleshooting.md', () => {
  it('has a row for every reason of every condition, and for no other', () => {
    const reasons = KINDS.flatMap(({ shortName, conditions }) =>
      Object.entries(conditions ?? {}).flatMap(([type, { reasons }]) =>
        Object.keys(reasons).map((r) => `\`${shortName}\` \`${type}\` \`${r}\``),
      ),
    );
    expect(entries.filter((e) => /^`\w+` `\w+` `\w+`$/.test(e)).toSorted()).toEqual(reasons.toSorted());
  });

  it('has a row for every error code, with its HTTP status, and for no other', () => {
    const codes = gatewayCodes();
    expect(codes).toContain('no_worker_available');
    expect(codes).toContain('too_many_tokens');
    const documented = entries.filter((e) => /^`\w+`$/.test(e));
    expect(documented.toSorted()).toEqual([...codes, ...Object.keys(PROTOCOL_ERRORS)].map((c) => `\`${c}\``).toSorted());
    const statuses = rows.flatMap(([, code = '', status = '']) =>
      Object.hasOwn(PROTOCOL_ERRORS, code.slice(1, -1)) ? [[code.slice(1, -1), Number(status)]] : [],
    );
    expect(Object.fromEntries(statuses)).toEqual(PROTOCOL_ERRORS);
  });
});
