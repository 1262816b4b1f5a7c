import { existsSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { gunzipSync } from 'node:zlib';
import { describe, expect, it } from 'vitest';
import { type FleetPolicy, runFleet } from './fleet.ts';
import { spotHedge } from './fleet-baselines.ts';
import { mixPolicy } from './fleet-ours.ts';
import { fleetCases } from './fleet-traces.ts';
import { runMultiPool } from './multi-pool.ts';
import { MULTI_POOL_BASELINES } from './multi-pool-baselines.ts';
import { poolsPolicy } from './multi-pool-ours.ts';
import { h100Cases, v100Cases } from './multi-pool-traces.ts';
import { runSinglePool, type SinglePoolPolicy } from './single-pool.ts';
import { SINGLE_POOL_BASELINES } from './single-pool-baselines.ts';
import { singlePoolOptimum } from './single-pool-optimum.ts';
import { slackPolicy } from './single-pool-ours.ts';
import { SKY_NOMAD_H100, SKY_NOMAD_V100, skyNomad } from './sky-nomad.ts';
import { average, type Row, referenceFigure } from './table.ts';
import { T5 } from './table-fleet.ts';
import { T2, T3, T4 } from './table-multi-pool.ts';
import { singlePoolCases } from './traces.ts';

// The traces have no licence to be copied into the project: the tests that need them look beside the repository, and say so if not found.
const DATA = join(import.meta.dirname, '..', '..', '..', 'shared', 'data', 'spot');
const there = existsSync(DATA);

describe.skipIf(!there)(
  `published figures (skipped where there are no traces in ../shared/data/spot: ${there ? 'found' : 'not found'})`,
  () => {
    it('T1: every 90th scenario costs what the published simulator says, and what its optimum is', () => {
      const [head = [], ...lines] = gunzipSync(readFileSync(join(DATA, 'single-region', 'per-scenario.csv.gz')))
        .toString()
        .trim()
        .split('\n')
        .map((line) => line.split(','));
      const cases = singlePoolCases(DATA).filter((_, i) => i % 90 === 0);
      for (const c of cases) {
        const line = lines.find(
          (l) => l[0] === c.series && Number(l[1]) === c.overheadHours && Number(l[2]) === c.deadlineHours && l[3] === c.window,
        );
        const published = (policy: string) => Number(line?.[head.indexOf(policy)]);
        for (const name of ['greedy', 'uniform-progress', 'no-condition2', 'up-no-hysteresis', 'up-knows-next-spot-length']) {
          const policy = SINGLE_POOL_BASELINES[name] as SinglePoolPolicy;
          expect(runSinglePool(c, policy).cost, `${name}, ${c.name}`).toBeCloseTo(published(name), 3);
        }
        expect(singlePoolOptimum(c), c.name).toBeCloseTo(published('omniscient-optimum'), 3);
      }
    });

    it('T1: ours is below the best published policy on a sample, and never late', () => {
      const cases = singlePoolCases(DATA)
        .filter((c) => c.overheadHours === 0.1 && c.deadlineHours === 52)
        .filter((_, i) => i % 6 === 0);
      const ours = slackPolicy();
      const best = SINGLE_POOL_BASELINES['no-condition2'] as SinglePoolPolicy;
      const outcomes = cases.map((c) => runSinglePool(c, ours));
      expect(outcomes.filter((o) => o.late)).toEqual([]);
      expect(average(outcomes.map((o) => o.cost))).toBeLessThan(0.99 * average(cases.map((c) => runSinglePool(c, best).cost)));
    });

    it('T5: SpotHedge is as published within what its random choices change, and ours answers more often for less', () => {
      for (const row of [...T5.run(DATA, 'spot-hedge-0'), ...T5.run(DATA, 'spot-hedge-1'), ...T5.run(DATA, 'round-robin')]) {
        expect(Math.abs(row.mean - (row.published ?? Number.NaN)), `${row.policy} ${row.setting}`).toBeLessThan(0.5);
        expect(Math.abs((row.availability ?? 0) - (row.publishedAvailability ?? Number.NaN))).toBeLessThan(0.5);
      }
      const [one, two] = T5.run(DATA, 'vicuna');
      expect(one?.availability).toBeGreaterThanOrEqual(99.5);
      expect(one?.mean).toBeLessThanOrEqual(51);
      expect(two?.availability).toBeGreaterThanOrEqual(99);
      expect(two?.mean).toBeLessThanOrEqual(65);
    }, 30_000);

    it('T5: ours beats SpotHedge in windows that nothing was chosen by', () => {
      for (const shift of [1_440, 5_000]) {
        for (const [, cases] of Map.groupBy(fleetCases(DATA, shift), (c) => c.trace)) {
          const share = (policy: FleetPolicy) => average(cases.map((c) => runFleet(c, policy).availability));
          expect(share(mixPolicy())).toBeGreaterThan(share(spotHedge(1)));
        }
      }
    }, 30_000);

    it('T2, T3, T4: baselines cost what their authors published', () => {
      const exactly = (rows: readonly Row[]) => {
        for (const row of rows) expect(row.mean, `${row.policy} ${row.setting}`).toBeCloseTo(row.published ?? Number.NaN, 3);
      };
      exactly(T2.run(DATA, 'greedy-switch').filter((row) => row.setting === 'all'));
      for (const name of ['UP', 'UP(S)', 'UP(A)', 'UP(AP)']) exactly([...T3.run(DATA, name), ...T4.run(DATA, name)]);
      exactly(T3.run(DATA, 'SkyNomad'));
      // Three of the five windows to the cent; two of a program that takes other turns when it is ahead of its pace.
      for (const row of T4.run(DATA, 'SkyNomad')) expect(Math.abs(row.mean / (row.published ?? Number.NaN) - 1)).toBeLessThan(0.01);
    }, 30_000);

    it('T3: ours is below the best published policy at every ratio up to 2, and never late', () => {
      for (const row of T3.run(DATA, 'vicuna').filter((r) => Number(r.setting) <= 2)) {
        expect(row.mean, row.setting).toBeLessThan(
          referenceFigure(DATA, 'T3', { policy: 'SkyNomad', ratio: Number(row.setting) }, 'mean') as number,
        );
        expect(row.late).toBe(0);
      }
    }, 30_000);

    it('T3, T4: ours is below every baseline in windows shifted from the published ones, too, and never late', () => {
      const h100 = [104, 207].flatMap((shift) => h100Cases(DATA, shift)).filter((c) => ['1.05', '1.50'].includes(c.group));
      const v100 = [553, 1_659].flatMap((shift) => v100Cases(DATA, shift));
      for (const [group, cases] of Map.groupBy([...h100, ...v100], (c) => c.group)) {
        const ours = poolsPolicy();
        const outcomes = cases.map((c) => runMultiPool(c, ours));
        expect(outcomes.filter((o) => o.late)).toEqual([]);
        const nomad = skyNomad(group === 'all' ? SKY_NOMAD_V100 : SKY_NOMAD_H100);
        for (const [name, policy] of Object.entries({ ...MULTI_POOL_BASELINES, SkyNomad: nomad })) {
          const theirs = average(cases.map((c) => runMultiPool(c, policy).cost));
          expect(average(outcomes.map((o) => o.cost)), `${group}, ${name}`).toBeLessThan(0.98 * theirs);
        }
      }
    }, 30_000);

    it('T2, T4: ours is below what was published', () => {
      const [t2] = T2.run(DATA, 'vicuna');
      const [t4] = T4.run(DATA, 'vicuna');
      expect(t2).toMatchObject({ setting: 'all', late: 0 });
      expect(t2?.mean).toBeLessThan(76.5);
      expect(t4).toMatchObject({ late: 0 });
      expect(t4?.mean).toBeLessThan(41);
    }, 60_000);

    it('T3: the optimum is the published one, or below it where the published one rounds change-overs up', () => {
      for (const row of T3.run(DATA, 'omniscient-optimum')) {
        expect(row.mean).toBeLessThanOrEqual((row.published as number) + 1e-3);
        expect(row.mean).toBeGreaterThan(0.99 * (row.published as number));
      }
    }, 30_000);
  },
);
