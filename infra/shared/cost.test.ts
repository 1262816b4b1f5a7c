import { expect, it } from 'vitest';
import { costTable, hourlyCost } from './cost.ts';
import { expandPools } from './pools.ts';

const fixed = [
  { what: 'control plane', count: 1, perHour: 0.1 },
  { what: 'nodes', count: 2, perHour: 0.2 },
];
const pools = expandPools('aws', 'us-west-2', [
  {
    name: 'a100',
    instanceType: 'p4d.24xlarge',
    capacity: ['spot', 'onDemand'],
    zones: ['us-west-2a'],
    maxNodesPerZone: 3,
    price: { onDemand: '20', spot: { 'us-west-2a': '8' }, source: 'a list', date: '2026-07-20' },
  },
]);

it('is counted at zero, at maximum, and for spot against on-demand', () => {
  const cost = hourlyCost(fixed, pools);
  expect(cost.atZero).toBeCloseTo(0.5);
  expect(cost.atMaximum).toBeCloseTo(0.5 + 3 * 8 + 3 * 20);
  expect(cost.spot).toBeCloseTo(24);
  expect(cost.spotOnDemand).toBeCloseTo(60);
});

it('is shown with every part, the saving, and where the prices are from', () => {
  const table = costTable(fixed, pools);
  expect(table).toMatch(/aws-a100-spot-us-west-2a +0\.\.3 +8\.00 +24\.00/);
  expect(table).toMatch(/At zero 0\.500, at maximum 84\.50\. Spot nodes 24\.00 instead of 60\.00 on demand \(60% less\)/);
  expect(table).toMatch(/a list, 2026-07-20/);
});
