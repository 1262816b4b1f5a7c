import { describe, expect, it } from 'vitest';
import { type MultiPoolPolicy, type MultiPoolScenario, runMultiPool } from './multi-pool.ts';
import { type Effects, Progress } from './progress.ts';

const EFFECTS: Effects = { saveSeconds: 60, noticeSeconds: 0, saveEverySeconds: 240, startsAtNotice: false };

describe('work and saves', () => {
  it('stalls for every save, and counts what the last finished one holds', () => {
    const progress = new Progress(3_600, EFFECTS);
    progress.run(600, true); // 240 of work, 60 of saving, twice
    expect(progress).toMatchObject({ done: 480, saved: 480 });
    progress.run(270, true); // the save is only half made
    expect(progress).toMatchObject({ done: 720, saved: 480 });
    progress.run(30, true);
    expect(progress.saved).toBe(720);
  });

  it('loses what is not saved when spot goes without notice, or with one that is too short', () => {
    for (const noticeSeconds of [0, 59]) {
      const progress = new Progress(3_600, { ...EFFECTS, noticeSeconds });
      progress.run(500, true);
      progress.lose();
      expect(progress).toMatchObject({ done: 240, saved: 240 });
    }
  });

  it('loses but the time of a save when the notice is long enough, or the stop is planned', () => {
    const noticed = new Progress(3_600, { ...EFFECTS, noticeSeconds: 60 });
    noticed.run(500, true);
    noticed.lose();
    expect(noticed).toMatchObject({ done: 380, saved: 380 });
    const planned = new Progress(3_600, EFFECTS);
    planned.run(500, true);
    planned.stop();
    expect(planned.saved).toBe(380);
  });

  it('saves at its own pace on spot, at the given one elsewhere', () => {
    const progress = new Progress(3_600, EFFECTS);
    progress.every = 600;
    progress.run(500, true);
    expect(progress.saved).toBe(0);
    progress.run(100, false);
    expect(progress.saved).toBe(500);
  });

  it('is done without a last save, and free of all that without effects', () => {
    const progress = new Progress(480, EFFECTS);
    progress.run(540, true);
    expect(progress.isDone).toBe(true);
    const free = new Progress(3_600, undefined);
    free.run(500, true);
    free.lose();
    expect(free.done).toBe(500);
  });
});

describe('a run with effects', () => {
  const scenario = (digits: string, effects: Effects): MultiPoolScenario => ({
    name: 'a',
    gapSeconds: 600,
    durationSeconds: 1_440,
    deadlineSeconds: 20 * 600,
    changeoverSeconds: 300,
    checkpointGB: 0,
    egressPerGB: () => 0,
    guard: 'none',
    freeMoves: false,
    billsLastTick: true,
    effects,
    pools: [
      {
        name: 'zone',
        region: 'region',
        available: Uint8Array.from(digits, Number),
        spotPrice: new Float64Array(digits.length).fill(6),
        onDemandPrice: 18,
      },
    ],
  });
  const greedy: MultiPoolPolicy = () => (_, cloud) => {
    cloud.launch({ pool: 0, capacity: 'spot' });
  };

  it('makes lost work good, and says how much it was', () => {
    // 340 s of work in the first tick, 480 in the second; of these 820, three saves hold 720.
    const run = runMultiPool({ ...scenario('1101111', EFFECTS), changeoverSeconds: 200 }, greedy);
    expect(run).toMatchObject({ lostSeconds: 100, launches: 2 });
  });

  it('begins the next change-over at the notice, and pays for both meanwhile', () => {
    const at = (startsAtNotice: boolean) =>
      runMultiPool(scenario('11011111', { ...EFFECTS, noticeSeconds: 120, startsAtNotice }), (s) => (moment, cloud) => {
        greedy(s)(moment, cloud);
        if (moment.running === null && moment.tick === 2) cloud.launch({ pool: 0, capacity: 'onDemand' });
      });
    expect(at(true).cost - at(false).cost).toBeCloseTo((18 * 120) / 3_600);
  });

  it('tells policies of secured work only while they are on spot', () => {
    const told: number[] = [];
    runMultiPool(scenario('11111', EFFECTS), (s) => (moment, cloud) => {
      told.push(moment.doneSeconds / 1.25);
      greedy(s)(moment, cloud);
    });
    expect(told.slice(0, 3)).toEqual([0, 240, 720]);
  });
});
