import { mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { describe, expect, it } from 'vitest';
import { barChart } from './bar-chart.ts';
import { likeliestProcess, seriesIn } from './fit.ts';
import { type Figures, policyDocs } from './policy-docs.ts';

const DOCS = join(import.meta.dirname, '..', '..', 'docs');

describe('docs/policies.md', () => {
  it('says what its figures say, pictures included', () => {
    const figures = JSON.parse(readFileSync(join(DOCS, 'policies', 'figures.json'), 'utf8')) as Figures;
    for (const [path, text] of policyDocs(figures))
      expect(readFileSync(join(DOCS, path), 'utf8'), `run npm run policies -- --docs=text`).toBe(text);
  });
});

describe('a bar chart', () => {
  it('has the least first, a bar as long as its value, and ours in its own colour', () => {
    const svg = barChart('a & b', (value) => `$${value}`, [
      { name: 'dear', value: 4, kind: 'theirs' },
      { name: 'ours', value: 2, kind: 'ours' },
    ]);
    expect(svg).toContain('a &amp; b');
    expect(svg.indexOf('>ours<')).toBeLessThan(svg.indexOf('>dear<'));
    const widths = [...svg.matchAll(/width="([0-9.]+)" height="16"/g)].map((match) => Number(match[1]));
    expect(widths[1]).toBeCloseTo(2 * (widths[0] ?? 0), 0);
    expect(svg.match(/fill="#1f8a4c"/g)).toHaveLength(1);
  });
});

describe('the fitted process', () => {
  it('finds the hazard that made the trace, from overlapping windows', () => {
    const dir = mkdtempSync(join(tmpdir(), 'vicuna-fit-'));
    try {
      mkdirSync(join(dir, 'single-region', 'd0.02'), { recursive: true });
      let random = 1;
      const next = () => {
        random = (Math.imul(random, 1_103_515_245) + 12_345) >>> 0;
        return random / 2 ** 32;
      };
      // Spot ends with 10 % a look at any age, and comes back with 20 %: hazards per hour of −6 ln 0.9 and −6 ln 0.8.
      let up = true;
      const digits = Array.from({ length: 6_000 }, () => {
        up = up ? next() >= 0.1 : next() < 0.2;
        return up ? '0' : '1';
      }).join('');
      const windows = [0, 2_500].map((startTick) => ({
        id: `${startTick}`,
        startTick,
        preempted: digits.slice(startTick, startTick + 3_500),
      }));
      writeFileSync(
        join(dir, 'single-region', 'd0.02', 'a.json'),
        JSON.stringify({ series: 'a', overheadHours: 0.02, gapSeconds: 600, windows }),
      );
      const fitted = likeliestProcess(seriesIn(dir));
      expect(fitted.up.decline).toBeLessThan(0.1);
      expect(fitted.down.decline).toBeLessThan(0.1);
      expect(fitted.up.perHour).toBeCloseTo(-6 * Math.log(0.9), 1);
      expect(fitted.down.perHour).toBeCloseTo(-6 * Math.log(0.8), 0);
    } finally {
      rmSync(dir, { recursive: true });
    }
  });
});
