import { describe, expect, it } from 'vitest';
import { pool, START, World } from '../../operator/training/testing.ts';
import { decisionFor, type Estimate, planLines, trainingsIn, wouldRun } from './plan.ts';
import { NO_PAINT } from './terminal.ts';

const training = new World().training;
const options = { paint: NO_PAINT, columns: 120 };
const estimate = (fits: boolean | null): Estimate => ({
  message: '6.74B parameters; about 18 GiB on each of 2 GPUs',
  pools: [{ pool: 'aws-a', fits, neededGiB: 17.96, gpuMemoryGiB: 80, hours: 12.34, dollars: 24.68 }],
});

describe('kubectl vicuna plan', () => {
  it('says where it would start, weighed against what', () => {
    const status = decisionFor(training, [pool('aws-a', { price: { spot: 0.5, onDemand: 3 } }), pool('gcp-a')], START);
    const lines = planLines(training, status, null, options);
    expect(lines[1]).toMatch(/^ {2}It would start now with 2 workers on aws-a \(spot\): /);
    expect(lines.join('\n')).toMatch(/aws-a +spot +1\.00 .* chosen\n.*gcp-a +spot +2\.00/);
    expect(wouldRun(status, null)).toBe(true);
  });

  it('decides for the training as if it were new, whatever has become of it', () => {
    const world = new World().running(20, 10);
    expect(decisionFor(world.training, [pool('aws-a')], START).next?.generation).toBe(1);
  });

  it('says what it would wait for', () => {
    const status = decisionFor(training, [pool('aws-a', { freeSlots: 0 })], START);
    expect(planLines(training, status, null, options)[1]).toMatch(/^ {2}It would wait: .*aws-a/);
    expect(wouldRun(status, null)).toBe(false);
  });

  it('shows the estimate, and does not call it good when the GPUs are too small', () => {
    const status = decisionFor(training, [pool('aws-a')], START);
    expect(planLines(training, status, estimate(true), options).slice(-3)).toEqual([
      '',
      '  POOL    FITS   NEEDS A GPU   HAS      TAKES   COSTS',
      '  aws-a   yes    18.0 GiB      80 GiB   12.3h   $24.68',
    ]);
    expect([wouldRun(status, estimate(true)), wouldRun(status, estimate(null)), wouldRun(status, estimate(false))]).toEqual([
      true,
      true,
      false,
    ]);
  });

  it('finds the trainings in a file', () => {
    const yaml =
      'kind: Secret\nmetadata: {name: s}\n---\nkind: VicunaTraining\nmetadata: {name: a}\n---\n---\nkind: VicunaTraining\nmetadata: {name: b, namespace: ml}\n';
    expect(trainingsIn(yaml, 'f', 'default').map(({ metadata }) => metadata)).toEqual([
      { name: 'a', namespace: 'default' },
      { name: 'b', namespace: 'ml' },
    ]);
  });

  it.each([
    ['', 'there is no VicunaTraining in f'],
    ['kind: Pod', 'there is no VicunaTraining in f'],
    ['a: [', 'f is no YAML: '],
    ['kind: VicunaTraining', 'there is no VicunaTraining in f'],
  ])('refuses %j', (yaml, words) => {
    expect(() => trainingsIn(yaml, 'f', 'default')).toThrow(words);
  });
});
