import { readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, expect, it } from 'vitest';
import { type ConditionDoc, EVALUATION_CONDITIONS, POOL_CONDITIONS, TRAINING_CONDITIONS } from './conditions.ts';

const DIRECTORY = join(import.meta.dirname, '..', 'training');
const sources = readdirSync(DIRECTORY)
  .filter((name) => name.endsWith('.ts') && !name.endsWith('.test.ts'))
  .map((name) => readFileSync(join(DIRECTORY, name), 'utf8'))
  .join('\n');

const conditions: Readonly<Record<string, ConditionDoc>> = TRAINING_CONDITIONS;

describe('the conditions of pools', () => {
  it('are those that the controller sets, with the same reasons', () => {
    const source = readFileSync(join(import.meta.dirname, '..', 'pools', 'status.ts'), 'utf8');
    const set = [...source.matchAll(/add\(\s*'(\w+)',\s*(?:true|false),\s*'(\w+)'/g)].map(([, type, reason]) => `${type}/${reason}`);
    // Reachable repeats what is known of the pool's cluster: operator/clusters/health.test.ts holds its reasons to the table.
    const { Reachable: _, ...own } = POOL_CONDITIONS;
    const listed = Object.entries(own).flatMap(([type, { reasons }]) => Object.keys(reasons).map((r) => `${type}/${r}`));
    expect(set.toSorted()).toEqual(listed.toSorted());
  });
});

describe('the conditions of datasets and evaluations', () => {
  const read = (room: string) =>
    readdirSync(join(import.meta.dirname, '..', room))
      .filter((name) => name.endsWith('.ts') && !name.endsWith('.test.ts') && name !== 'testing.ts')
      .map((name) => readFileSync(join(import.meta.dirname, '..', room, name), 'utf8'))
      .join('\n');
  const code = `${read('tasks')}\n${read('dataset')}\n${read('evaluation')}`;
  const spot = readFileSync(join(import.meta.dirname, '..', 'spot', 'placement.ts'), 'utf8');
  const reasons = new Set(
    Object.values(EVALUATION_CONDITIONS as Readonly<Record<string, ConditionDoc>>).flatMap((c) => Object.keys(c.reasons)),
  );

  it('have every reason that is given', () => {
    const verdicts = [...code.matchAll(/status: '(?:True|False)', reason: '(\w+)'/g)];
    const problems = [...code.matchAll(/\{\s*reason: '(\w+)',\s*(?:message|words)/g)];
    const given = [...verdicts, ...problems, ...code.matchAll(/\.fail\('(\w+)'/g)].map(([, reason = '']) => reason);
    expect(given.length).toBeGreaterThan(12);
    expect(given.filter((reason) => !reasons.has(reason))).toEqual([]);
  });

  it('have no reason that nothing gives', () => {
    expect([...reasons].filter((reason) => !code.includes(`'${reason}'`) && !spot.includes(`'${reason}'`))).toEqual([]);
  });
});

describe('the table of conditions', () => {
  const set = [...sources.matchAll(/\.condition\(\s*'(\w+)',\s*'(?:True|False|Unknown)',\s*'(\w+)'/g)].map(
    ([, type = '', reason = '']) => ({
      type,
      reason,
    }),
  );

  it('has every condition and reason that the controller sets', () => {
    expect(set.length).toBeGreaterThan(10);
    expect(set.filter(({ type, reason }) => conditions[type]?.reasons[reason] === undefined)).toEqual([]);
  });

  it('has no condition that the controller never sets', () => {
    expect(Object.keys(conditions).filter((type) => !set.some((c) => c.type === type))).toEqual([]);
  });

  it('has no reason that nothing gives', () => {
    const spot = readFileSync(join(import.meta.dirname, '..', 'spot', 'placement.ts'), 'utf8');
    const tasks = readFileSync(join(import.meta.dirname, '..', 'tasks', 'missing.ts'), 'utf8');
    const reasons = Object.values(conditions).flatMap((c) => Object.keys(c.reasons));
    expect(reasons.filter((reason) => ![sources, spot, tasks].some((code) => code.includes(`'${reason}'`)))).toEqual([]);
  });
});
