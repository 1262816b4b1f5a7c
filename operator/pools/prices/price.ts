import { durationSeconds } from '../../api/duration.ts';
import type { GpuPool, GpuPoolSpec, GpuPoolStatus } from '../../api/gpu-pool.ts';
import type { PriceQuery, PriceQuote } from './quote.ts';

/** What the last reading of the cloud's prices brought. */
export type PriceReading = { readonly at: number } & ({ readonly quote: PriceQuote } | { readonly error: string });

/** US dollars per hour for one node. */
export interface PoolPrice {
  readonly spot: number | null;
  readonly onDemand: number;
}

/** Prices that could not be read again are used for so many refreshes, and no less than an hour. */
const KEPT_REFRESHES = 4;
const KEPT_AT_LEAST_MS = 3_600_000;
const RETRY_MS = 60_000;

const refreshMs = (source: PriceSource) => durationSeconds(source.refresh) * 1_000;

type PriceSource = NonNullable<GpuPoolSpec['price']['source']>;

/** Until when prices read then are used, ms since the epoch. */
export function keptUntil(source: PriceSource, readAt: number): number {
  return readAt + Math.max(KEPT_AT_LEAST_MS, KEPT_REFRESHES * refreshMs(source));
}

/** The price to reckon with: as last read from the cloud, or as the spec says where none was read lately. */
export function priceOf({ spec, status }: Pick<GpuPool, 'spec' | 'status'>, now: number): PoolPrice {
  const { spot, onDemand, source } = spec.price;
  const written = { spot: spot === undefined ? null : Number(spot), onDemand: Number(onDemand) };
  const read = status?.price;
  if (source === undefined || read?.readAt === undefined || now > keptUntil(source, Date.parse(read.readAt))) return written;
  return {
    spot: read.spot === undefined ? written.spot : Number(read.spot),
    onDemand: read.onDemand === undefined ? written.onDemand : Number(read.onDemand),
  };
}

/** What to ask for; null = the spec's prices are all there is. */
export function queryOf({ region, zone, instanceType, price }: GpuPoolSpec): PriceQuery | null {
  const { source } = price;
  if (source?.aws && region && zone && instanceType) return { cloud: 'aws', region, zone, instanceType };
  if (source?.gcp && region) return { cloud: 'gcp', region, parts: source.gcp.parts };
  return null;
}

/** When to read again, ms since the epoch. After a failure sooner. */
export function dueAt(source: PriceSource, reading: PriceReading | undefined, status: GpuPoolStatus | undefined): number {
  if (reading === undefined) return status?.price?.readAt === undefined ? 0 : Date.parse(status.price.readAt) + refreshMs(source);
  return reading.at + ('error' in reading ? Math.min(RETRY_MS, refreshMs(source)) : refreshMs(source));
}

/** The prices as the status keeps them: the last that were read, whatever came after. */
export function priceStatus(spec: GpuPoolSpec, reading: PriceReading | undefined, before: GpuPoolStatus['price']): GpuPoolStatus['price'] {
  if (spec.price.source === undefined) return undefined;
  if (reading === undefined || 'error' in reading) return before;
  const { spot, onDemand } = reading.quote;
  const dollars = (price: number) => price.toFixed(6).replace(/0{1,4}$/, '');
  return {
    ...(spot === null ? {} : { spot: dollars(spot) }),
    ...(onDemand === null ? {} : { onDemand: dollars(onDemand) }),
    readAt: new Date(reading.at).toISOString(),
  };
}

/** When the cloud's prices were last read (ms since the epoch, null = never), and how often they should be; null = there is no source. */
export function livePriceOf(
  { price: { source } }: GpuPoolSpec,
  status: GpuPoolStatus,
): { readonly readAt: number | null; readonly refreshSeconds: number } | null {
  if (source === undefined) return null;
  const readAt = status.price?.readAt;
  return { readAt: readAt === undefined ? null : Date.parse(readAt), refreshSeconds: durationSeconds(source.refresh) };
}

/** Whether the prices in use are those of the cloud, and what is the matter if not. */
export function freshness(
  source: PriceSource,
  price: GpuPoolStatus['price'],
  reading: PriceReading | undefined,
  now: number,
): { readonly reason: 'Read' | 'Waiting' | 'Stale' | 'Unreadable'; readonly message: string } {
  const error = reading !== undefined && 'error' in reading ? reading.error : null;
  const cloud = source.aws ? 'AWS' : 'Google';
  if (price === undefined) {
    if (error === null) return { reason: 'Waiting', message: `${cloud} has not been asked yet; spec.price is used` };
    return { reason: 'Unreadable', message: `${cloud}: ${error}; spec.price is used, and ${cloud} asked again` };
  }
  const named = [
    price.spot === undefined ? [] : [`spot $${price.spot}/h`],
    price.onDemand === undefined ? [] : [`on-demand $${price.onDemand}/h`],
  ];
  const prices = `${named.flat().join(', ')}, read from ${cloud} at ${price.readAt}`;
  if (error === null) return { reason: 'Read', message: prices };
  const until = keptUntil(source, Date.parse(price.readAt));
  if (now <= until) return { reason: 'Stale', message: `${cloud}: ${error}; used until ${new Date(until).toISOString()}: ${prices}` };
  return { reason: 'Unreadable', message: `${cloud}: ${error}; spec.price is used, for it is too long ago: ${prices}` };
}
