import { describe, expect, it } from 'vitest';
import { gpuPoolSchema } from '../../operator/api/gpu-pool.ts';
import { expandPools, gpuPool, type PoolDescription, poolsSchema } from './pools.ts';

const h100 = {
  name: 'h100',
  instanceType: 'p5.48xlarge',
  capacity: ['spot', 'onDemand'],
  zones: ['us-west-2a', 'us-west-2b'],
  maxNodesPerZone: 2,
  price: { onDemand: '55.04', spot: { 'us-west-2a': '12.69', 'us-west-2b': '12.98' }, source: 'a list', date: '2026-07-20' },
};

function problems(...pools: object[]): string[] {
  const result = poolsSchema('aws').safeParse(pools);
  return result.success ? [] : result.error.issues.map((issue) => `${issue.path.join('.')}: ${issue.message}`);
}

function expand(...pools: object[]) {
  return expandPools('aws', 'us-west-2', poolsSchema('aws').parse(pools) as PoolDescription[]);
}

describe('descriptions of pools', () => {
  it('are accepted when they are whole', () => expect(problems(h100)).toEqual([]));

  it.each<[string, object, RegExp]>([
    ['an unknown type', { ...h100, instanceType: 'p5.huge' }, /"p5\.huge" is no GPU instance type known here; there are: .*p5\.48xlarge/],
    [
      'a spot price that is missing',
      { ...h100, price: { ...h100.price, spot: { 'us-west-2a': '12.69' } } },
      /spot price in us-west-2b is missing/,
    ],
    [
      'spot that saves nothing',
      { ...h100, price: { ...h100.price, spot: { 'us-west-2a': '55.04', 'us-west-2b': '12' } } },
      /spot costs 55\.04 and saves nothing/,
    ],
    ['a price of a zone that it has not', { ...h100, zones: ['us-west-2a'] }, /price\.spot\.us-west-2b: the pool has no such zone/],
    ['a price that is a number', { ...h100, price: { ...h100.price, onDemand: 55.04 } }, /expected string/],
    ['a zone twice', { ...h100, zones: ['us-west-2a', 'us-west-2a', 'us-west-2b'] }, /same value comes twice/],
    ['no zone', { ...h100, zones: [] }, /name the zones/],
    ['no nodes', { ...h100, maxNodesPerZone: 0 }, /leave it out/],
    ['prices of no date', { ...h100, price: { ...h100.price, date: 'May' } }, /year-month-day/],
    ['a setting that there is not', { ...h100, size: 2 }, /size/],
    ['a name that objects cannot have', { ...h100, name: 'H100' }, /small letters/],
  ])('are refused for %s', (_, pool, message) => expect(problems(pool).join('\n')).toMatch(message));

  it('are refused when two have one name', () => expect(problems(h100, h100).join('\n')).toMatch(/has the name "h100" already/));

  it('are refused when a node pool could not bear the name', () => {
    const zone = 'ap-southeast-north-1a';
    const pool = { ...h100, name: 'for-experiments', zones: [zone], price: { ...h100.price, spot: { [zone]: '12' } } };
    expect(problems(pool).join('\n')).toMatch(/name: is too long: aws-for-experiments-spot-ap-southeast-north-1a has more than 40/);
  });
});

describe('pools', () => {
  it('keep the day of their prices, also where YAML has made a time of it', () =>
    expect(expand({ ...h100, price: { ...h100.price, date: '2026-07-20T00:00:00Z' } })[0]?.price.date).toBe('2026-07-20'));

  it('are one for each capacity and zone', () => {
    expect(expand(h100).map((pool) => [pool.name, pool.capacity, pool.zone, pool.price.spot])).toEqual([
      ['aws-h100-spot-us-west-2a', 'spot', 'us-west-2a', '12.69'],
      ['aws-h100-spot-us-west-2b', 'spot', 'us-west-2b', '12.98'],
      ['aws-h100-od-us-west-2a', 'onDemand', 'us-west-2a', undefined],
      ['aws-h100-od-us-west-2b', 'onDemand', 'us-west-2b', undefined],
    ]);
  });

  it('become GpuPools that the operator accepts, prices and their source included', () => {
    const [spot] = expand(h100);
    if (spot === undefined) throw new Error('no pool');
    const object = gpuPool(spot);
    expect(gpuPoolSchema.parse(object).spec).toMatchObject({
      accelerator: { type: 'H100', count: 8, memory: '80Gi' },
      price: { onDemand: '55.04', spot: '12.69' },
      maxNodes: 2,
      notice: '120s',
      nodeSelector: {
        'vicuna.run/pool': 'aws-h100-spot-us-west-2a',
        'karpenter.sh/capacity-type': 'spot',
        'topology.kubernetes.io/zone': 'us-west-2a',
        'node.kubernetes.io/instance-type': 'p5.48xlarge',
      },
    });
    expect(object.metadata.annotations).toEqual({ 'vicuna.run/price-source': 'a list', 'vicuna.run/price-date': '2026-07-20' });
  });

  it('on Google Cloud tolerate the taint of spot nodes and know the longer notice', () => {
    const pool = {
      name: 'l4',
      instanceType: 'g2-standard-24',
      capacity: ['spot'],
      zones: ['us-central1-a'],
      maxNodesPerZone: 1,
      price: { onDemand: '2.00', spot: { 'us-central1-a': '0.84' }, source: 'a list', date: '2026-05-20' },
    };
    const [l4] = expandPools('gcp', 'us-central1', poolsSchema('gcp').parse([pool]) as PoolDescription[]);
    if (l4 === undefined) throw new Error('no pool');
    expect(gpuPoolSchema.parse(gpuPool(l4, { egressPerGiB: '0.09' })).spec).toMatchObject({
      notice: '105s',
      egress: { pricePerGiB: '0.09' },
      tolerations: [{ key: 'cloud.google.com/gke-spot', operator: 'Equal', value: 'true', effect: 'NoSchedule' }],
    });
  });
});
