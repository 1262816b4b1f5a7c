import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { fleetChart } from './fleet-chart.ts';
import { fleetLines } from './fleet-record.ts';
import { runChart } from './run-chart.ts';
import { simulationOf } from './run-record.ts';
import { fleetSimulation } from './table-fleet.ts';

// A directory of traces like the public ones, with traces of our own: spot for a day, none for half a day, and so on.
let dir: string;

beforeAll(() => {
  dir = mkdtempSync(join(tmpdir(), 'vicuna-traces-'));
  const write = (path: string, content: object) => {
    const file = join(dir, path);
    mkdirSync(join(file, '..'), { recursive: true });
    writeFileSync(file, JSON.stringify(content));
  };
  const preempted = `${'0'.repeat(144)}${'1'.repeat(72)}`.repeat(3);
  write('single-region/d0.10/zone_v100.json', {
    series: 'zone_v100',
    overheadHours: 0.1,
    gapSeconds: 600,
    windows: [{ id: '7', preempted }],
  });
  const zone = (digits: string) => ({ available: digits, spotPrice: [[0, 1]], onDemandPricePerHour: 3 });
  write('v100-prices/windows.json', {
    zones: ['us-east-1c', 'us-west-2a'],
    gapSeconds: 600,
    windowStartTicks: [0],
    windowTicks: 300,
    durationHours: 20,
    deadlineHours: 40,
    overheadHours: 0.2,
    checkpointGB: 50,
  });
  write('v100-prices/us-east-1c.json', zone('1'.repeat(60) + '0'.repeat(240)));
  write('v100-prices/us-west-2a.json', zone('0'.repeat(30) + '1'.repeat(270)));
  write('serving/settings.json', {
    tickSeconds: 30,
    totalTicks: 60,
    coldStartTicks: 4,
    targetReplicas: 2,
    spotCostPerTick: 1,
    onDemandCostPerTick: 3,
    onDemandReferenceCost: 336,
    traces: [{ trace: 'AWS1', zones: ['a', 'b'], offsets: [0] }],
  });
  for (const [name, count] of [
    ['a', '2222000000'],
    ['b', '2222222222'],
  ] as const)
    write(`serving/AWS1/${name}.json`, { gapSeconds: 300, count: [count] });
});

afterAll(() => rmSync(dir, { recursive: true, force: true }));

describe('one run, tick by tick', () => {
  it('lists the scenarios and policies of a table', () => {
    const t1 = simulationOf('T1', dir);
    expect(t1?.scenarios).toEqual([
      'zone_v100 window 7, change-over 0.1 h, deadline 52 h',
      'zone_v100 window 7, change-over 0.1 h, deadline 70 h',
    ]);
    expect(t1?.policies).toContain('vicuna');
    expect(simulationOf('T9', dir)).toBeNull();
  });

  it('records where it ran, and ends at its cost', () => {
    const run = simulationOf('T1', dir)?.run('zone_v100 window 7, change-over 0.1 h, deadline 52 h', 'greedy');
    expect(run?.late).toBe(false);
    expect(run?.ticks[0]).toMatchObject({ pool: 0, capacity: 'spot', doneSeconds: 0 });
    expect(run?.ticks.at(-1)?.cost).toBeCloseTo(run?.cost ?? 0);
    expect(run?.ticks.some((tick) => tick.capacity === 'onDemand')).toBe(true);
    expect(run?.pools[0]?.spot.slice(142, 146)).toEqual([true, true, false, false]);
  });

  it('records moves among pools', () => {
    const t4 = simulationOf('T4', dir);
    const run = t4?.run(t4.scenarios[0] ?? '', 'vicuna');
    expect(run?.pools.map((pool) => pool.name)).toEqual(['us-east-1c', 'us-west-2a']);
    expect([...new Set(run?.ticks.map((tick) => tick.pool))]).toEqual(expect.arrayContaining([0, 1]));
    expect(run?.late).toBe(false);
  });

  it('names what it does not know', () => {
    expect(() => simulationOf('T1', dir)?.run('no such', 'greedy')).toThrow('There is no scenario "no such"');
    expect(() => simulationOf('T4', dir)?.run('V100, window 0', 'no such')).toThrow('There is no policy no such: there are on-demand-only');
  });
});

describe("a run's picture", () => {
  it('shows each pool, when it had spot and when the run was there, progress, cost and deadline', () => {
    const t4 = simulationOf('T4', dir);
    const run = t4?.run(t4.scenarios[0] ?? '', 'vicuna');
    if (!run) throw new Error('no run');
    const svg = runChart({ ...run, policy: 'a < b & "c"' });
    expect(svg).toMatch(/^<svg xmlns="http:\/\/www.w3.org\/2000\/svg" viewBox="0 0 960 \d+"/);
    expect(svg).toContain('a &lt; b &amp; &quot;c&quot;');
    for (const words of ['us-east-1c', 'us-west-2a', 'progress', 'cost', 'deadline', `$${run.cost.toFixed(2)}`])
      expect(svg).toContain(words);
    // One bar for each stretch: two of spot to be had, and as many as there were stays.
    const bars = (colour: string) => svg.match(new RegExp(`<rect [^>]*fill="${colour}"`, 'g'))?.length ?? 0;
    expect(bars('#cfe8d8')).toBe(2 + 1); // and the legend's
    const stays = run.ticks.filter((tick, i) => tick.capacity === 'spot' && run.ticks[i - 1]?.pool !== tick.pool).length;
    expect(bars('#1f8a4c')).toBe(stays + 1);
  });
});

describe("a fleet's run, tick by tick", () => {
  const run = () => fleetSimulation(dir).run('AWS1 from 0', 'vicuna');

  it('says what ran where, how many answered, and what it cost, as the table does', () => {
    const { ticks, target, availability, cost, room } = run();
    expect(ticks).toHaveLength(60);
    expect(ticks.filter((t) => t.ready >= target).length / (60 - 4)).toBeCloseTo(availability, 10);
    expect(ticks.at(-1)?.cost).toBe(cost);
    for (const [tick, { spot }] of ticks.entries())
      for (const [zone, count] of spot.entries()) expect(count).toBeLessThanOrEqual(room[zone]?.[tick] ?? 0);
  });

  it('has a line for each stretch in which nothing changed', () => {
    const lines = fleetLines(run()).split('\n');
    expect(lines.at(-1)).toMatch(/^\d+\.\d\d % of the time all 2 answer, at \d+\.\d % of on-demand's cost, \d+ launches$/);
    expect(lines.filter((line) => line.includes(' h ')).length).toBeLessThan(20);
  });

  it('is drawn: room and replicas by zone, and how many answer', () => {
    const svg = fleetChart(run());
    expect(svg.startsWith('<svg')).toBe(true);
    for (const words of ['zone 1', 'zone 2', 'on-demand', 'answer', 'cost', 'vicuna: AWS1 from 0']) expect(svg).toContain(`>${words}<`);
  });

  it('is refused for scenarios and policies that there are none of', () => {
    expect(() => fleetSimulation(dir).run('AWS9 from 0', 'vicuna')).toThrow(/no scenario/);
    expect(() => fleetSimulation(dir).run('AWS1 from 0', 'nobody')).toThrow(/no policy nobody/);
  });
});
