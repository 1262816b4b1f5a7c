import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { gzipSync } from 'node:zlib';
import { describe, expect, it } from 'vitest';
import type { Arrivals } from '../../operator/spot/multiplexing/arrivals.ts';
import { readMinuteCounts, readRequestTimes } from './arrival-traces.ts';
import {
  attainment,
  countsWorkload,
  gammaWorkload,
  largestRate,
  type PlacementName,
  type Setting,
  timesWorkload,
  traceWorkloads,
} from './multiplexing.ts';

const SETTING: Setting = {
  models: Array.from({ length: 8 }, (_, i) => ({ name: `m${i}`, latencySeconds: 0.15, weightsGiB: 6.5, workingGiB: 0 })),
  gpus: { nodes: 1, gpusPerNode: 8, memoryGiB: 13 },
  sloScale: 5,
  planRequests: 4_000,
  measureRequests: 8_000,
};

function withFile<T>(text: string, work: (file: string) => T): T {
  const directory = mkdtempSync(join(tmpdir(), 'vicuna-arrivals-'));
  try {
    const file = join(directory, 'trace.csv.gz');
    writeFileSync(file, gzipSync(text));
    return work(file);
  } finally {
    rmSync(directory, { recursive: true });
  }
}

const timesOf = ({ seconds, models }: Arrivals, model: number) => [...seconds].filter((_, i) => models[i] === model);

describe('arrival traces', () => {
  it('of requests are read to seven digits of a second', () => {
    const text = 'TIMESTAMP,ContextTokens\n2023-11-16 23:59:59.2500000,1\r\n2023-11-17 00:00:00.5000001,2\n2023-11-17 00:00:02,2\n';
    const times = withFile(text, readRequestTimes);
    expect(times[0]).toBe(0);
    expect(times[1]).toBeCloseTo(1.25, 6);
    expect(times[2]).toBeCloseTo(2.75, 6);
    expect(() => withFile('TIMESTAMP\nyesterday\n', readRequestTimes)).toThrow('line 2: "yesterday" is no time');
  });

  it('of counts are read by the minute', () => {
    expect(withFile('Time (min),Requests\n0,40\n1,7\n', readMinuteCounts)).toEqual([40, 7]);
    expect(() => withFile('Time (min),Requests\n0,many\n', readMinuteCounts)).toThrow('line 2: "many" requests in minute 0');
  });

  it('give each model another stretch, at its rate', () => {
    // Requests at 0, 1, …, 99 s; two models of 2 a second each: played twice as fast, the second from the middle.
    const even = timesWorkload(
      'even',
      Array.from({ length: 100 }, (_, i) => i),
    );
    const arrivals = even.arrivals(2, 4, 10, 0);
    expect(timesOf(arrivals, 0)).toHaveLength(20);
    expect(timesOf(arrivals, 1)).toHaveLength(20);
    expect(timesOf(arrivals, 0)).not.toEqual(timesOf(arrivals, 1));
    expect((timesOf(arrivals, 0)[1] as number) - (timesOf(arrivals, 0)[0] as number)).toBeCloseTo(0.5, 1);
  });

  it('are not measured where they are planned for', () => {
    const steps = countsWorkload('steps', [0, 0, 2, 2], 2);
    expect(steps.arrivals(1, 1, 2, 0).seconds).toHaveLength(0);
    expect(steps.arrivals(1, 1, 2, 1).seconds).toHaveLength(4);
  });

  it('with a count beyond the cap have the cap there', () => {
    expect(countsWorkload('outlier', [1, 1, 1_000, 1], 1).arrivals(1, 5, 2, 1).seconds).toHaveLength(10);
  });

  const data = join(import.meta.dirname, '..', '..', '..', 'shared', 'data', 'arrivals');
  const traces = traceWorkloads(data);
  it.skipIf(traces.length === 0)(`in ../shared/data/arrivals have the rates asked for (skipped where there are none)`, () => {
    for (const trace of traces) {
      const { seconds } = trace.arrivals(8, 40, 100, 0);
      expect(seconds.length / 100 / 40, trace.name).toBeGreaterThan(0.5);
      expect(seconds.length / 100 / 40, trace.name).toBeLessThan(2);
    }
  });
});

describe('multiplexing, on requests that it was not planned for', () => {
  const at = (cv: number, placement: PlacementName) => attainment(SETTING, gammaWorkload(cv), 16, placement);

  it('gains more over the other placements, the burstier the requests', () => {
    const gains = [1, 2, 4, 8].map((cv) => ({
      overReplicated: at(cv, 'shared') - at(cv, 'replicated'),
      overAlone: at(cv, 'shared') - at(cv, 'alone'),
    }));
    for (const [i, gain] of gains.slice(1).entries()) {
      expect(gain.overReplicated).toBeGreaterThan(gains[i]?.overReplicated as number);
      expect(gain.overAlone).toBeGreaterThan(gains[i]?.overAlone as number);
    }
  });

  it('keeps 99 % in time up to a larger rate', () => {
    const rate = (placement: PlacementName) => largestRate(SETTING, gammaWorkload(2), placement, 0.99);
    const [shared, replicated, alone] = [rate('shared'), rate('replicated'), rate('alone')] as [number, number, number];
    expect(shared).toBeGreaterThan(1.1 * replicated);
    expect(replicated).toBeGreaterThan(2 * alone);
  });

  it('finds no rate where bursts are too much for one GPU at any', () => {
    expect(largestRate(SETTING, gammaWorkload(6), 'alone', 0.99)).toBeNull();
  });
});
