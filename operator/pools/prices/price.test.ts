import { describe, expect, it } from 'vitest';
import { type GpuPool, type GpuPoolSpec, poolWithDefaults } from '../../api/gpu-pool.ts';
import { priceOf as gcpPriceOf, offerOf } from './gcp.ts';
import { dueAt, freshness, type PriceReading, priceOf, priceStatus, queryOf } from './price.ts';

const NOW = Date.parse('2026-01-01T00:00:00Z');
const MINUTE = 60_000;

function pool(price: object = {}, spec: object = {}, status?: object): GpuPool {
  return poolWithDefaults({
    metadata: { name: 'a' },
    spec: {
      cloud: 'aws',
      region: 'eu-west-1',
      zone: 'eu-west-1b',
      instanceType: 'p5.48xlarge',
      accelerator: { type: 'H100', count: 8 },
      capacity: 'spot',
      price: { onDemand: '55.04', spot: '16', source: { aws: {} }, ...price },
      nodeSelector: { pool: 'a' },
      ...spec,
    },
    ...(status ? { status } : {}),
  } as unknown as GpuPool);
}

const source = (spec: GpuPoolSpec) => spec.price.source as NonNullable<GpuPoolSpec['price']['source']>;
const AWS = source(pool().spec);
const readAt = (minutesAgo: number) => ({ price: { spot: '12.5', readAt: new Date(NOW - minutesAgo * MINUTE).toISOString() } });

describe('the price of a pool', () => {
  it('is the one that the spec says, without a source or before anything was read', () => {
    expect(priceOf(pool({ source: undefined }), NOW)).toEqual({ spot: 16, onDemand: 55.04 });
    expect(priceOf(pool(), NOW)).toEqual({ spot: 16, onDemand: 55.04 });
    expect(priceOf(pool({ source: undefined }, {}, readAt(1)), NOW).spot).toBe(16);
  });

  it('is the one last read, for an hour or four refreshes, whichever is longer', () => {
    expect(priceOf(pool({}, {}, readAt(1)), NOW)).toEqual({ spot: 12.5, onDemand: 55.04 });
    expect(priceOf(pool({}, {}, readAt(60)), NOW).spot).toBe(12.5);
    expect(priceOf(pool({}, {}, readAt(61)), NOW).spot).toBe(16);
    expect(priceOf(pool({ source: { aws: {}, refresh: '30m' } }, {}, readAt(119)), NOW).spot).toBe(12.5);
  });
});

describe('what is asked, and when', () => {
  it('names the pool as the cloud does', () => {
    expect(queryOf(pool().spec)).toEqual({ cloud: 'aws', region: 'eu-west-1', zone: 'eu-west-1b', instanceType: 'p5.48xlarge' });
    const parts = [{ sku: 'A3 Instance Core', quantity: 208 }];
    const google = pool({ source: { gcp: { parts } } }, { cloud: 'gcp', region: 'us-central1' });
    expect(queryOf(google.spec)).toEqual({ cloud: 'gcp', region: 'us-central1', parts });
    expect(queryOf(pool({ source: undefined }).spec)).toBeNull();
  });

  it('is at once, then every refresh, and a minute after a failure', () => {
    expect(dueAt(AWS, undefined, undefined)).toBe(0);
    expect(dueAt(AWS, undefined, readAt(5) as GpuPool['status'])).toBe(NOW + 10 * MINUTE);
    expect(dueAt(AWS, { at: NOW, quote: { spot: 1, onDemand: null } }, undefined)).toBe(NOW + 15 * MINUTE);
    expect(dueAt(AWS, { at: NOW, error: 'x' }, undefined)).toBe(NOW + MINUTE);
  });
});

describe('what the status says of prices', () => {
  const before = readAt(10).price;
  const failed: PriceReading = { at: NOW, error: 'no answer in 120 s' };

  it('has those last read, whatever came after', () => {
    const quote: PriceReading = { at: NOW, quote: { spot: 12.81234567, onDemand: 40 } };
    expect(priceStatus(pool().spec, quote, before)).toEqual({ spot: '12.812346', onDemand: '40.00', readAt: '2026-01-01T00:00:00.000Z' });
    expect(priceStatus(pool().spec, failed, before)).toEqual(before);
    expect(priceStatus(pool({ source: undefined }).spec, quote, before)).toBeUndefined();
  });

  it.each([
    ['Read', before, { at: NOW, quote: { spot: 12.5, onDemand: null } }, 'spot $12.5/h, read from AWS at 2025-12-31T23:50:00.000Z'],
    ['Waiting', undefined, undefined, 'AWS has not been asked yet; spec.price is used'],
    ['Stale', before, failed, 'AWS: no answer in 120 s; used until 2026-01-01T00:50:00.000Z: spot $12.5/h'],
    ['Unreadable', undefined, failed, 'AWS: no answer in 120 s; spec.price is used, and AWS asked again'],
    ['Unreadable', readAt(90).price, failed, 'AWS: no answer in 120 s; spec.price is used, for it is too long ago: spot $12.5/h'],
  ] as const)('is %s', (reason, price, reading, words) => {
    const said = freshness(AWS, price, reading, NOW);
    expect(said).toMatchObject({ reason });
    expect(said.message).toContain(words);
  });
});

describe("an offer in Google's price list", () => {
  const parts = [{ sku: 'A2 Instance Core', quantity: 12 }];
  const sku = (description: string, change: object = {}) => ({
    description,
    category: { resourceFamily: 'Compute', usageType: 'OnDemand' },
    serviceRegions: ['us-central1'],
    pricingInfo: [{ pricingExpression: { usageUnit: 'h', tieredRates: [{ unitPrice: { units: '1', nanos: 250_000_000 } }] } }],
    ...change,
  });

  it('is of a part if its description begins so, there, by the hour, without commitment', () => {
    const offer = (...one: Parameters<typeof sku>) => offerOf(sku(...one), 'us-central1', parts);
    expect(offer('A2 Instance Core running in Americas')).toMatchObject({ spot: false, perUnitHour: 1.25 });
    const spot = { category: { resourceFamily: 'Compute', usageType: 'Preemptible' } };
    expect(offer('Spot Preemptible A2 Instance Core running in Americas', spot)).toMatchObject({ spot: true });
    expect(offer('A2 Instance Core Sole Tenancy running in Americas')).toBeNull();
    expect(offer('Custom A2 Instance Core running in Americas')).toBeNull();
    expect(offer('A2 Instance Core running in Belgium', { serviceRegions: ['europe-west1'] })).toBeNull();
    expect(offer('A2 Instance Core running in Americas', { category: { resourceFamily: 'Compute', usageType: 'Commit1Yr' } })).toBeNull();
    const monthly = [{ pricingExpression: { usageUnit: 'mo', tieredRates: [{ unitPrice: { units: '1' } }] } }];
    expect(offer('A2 Instance Core running in Americas', { pricingInfo: monthly })).toBeNull();
  });

  it('must be the only one', () => {
    const offers = ['one', 'two'].map((description) => ({ part: 'A2 Instance Core', spot: true, description, perUnitHour: 1 }));
    expect(() => gcpPriceOf(offers, parts, 'us-central1')).toThrow('has 2 offers of "A2 Instance Core" in us-central1: one; two');
    expect(gcpPriceOf(offers.slice(1), parts, 'us-central1')).toEqual({ spot: 12, onDemand: null });
  });
});
