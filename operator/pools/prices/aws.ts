import { DescribeSpotPriceHistoryCommand, EC2Client, type SpotPrice } from '@aws-sdk/client-ec2';
import type { PriceQuery, PriceQuote } from './quote.ts';

/** Nodes of Kubernetes clusters run Linux. */
const PRODUCTS = ['Linux/UNIX'];

/** The spot price in force now, by AWS's spot price history, with the SDK's own chain of credentials. On-demand prices are not in it. */
export async function awsPrices({ region, zone, instanceType }: Extract<PriceQuery, { cloud: 'aws' }>, now: Date): Promise<PriceQuote> {
  const client = new EC2Client({ region, maxAttempts: 3 });
  try {
    // With a start of now, the answer is the price that holds now.
    const { SpotPriceHistory = [] } = await client.send(
      new DescribeSpotPriceHistoryCommand({
        InstanceTypes: [instanceType] as never,
        AvailabilityZone: zone,
        ProductDescriptions: PRODUCTS,
        StartTime: now,
        EndTime: now,
      }),
    );
    return { spot: latest(SpotPriceHistory, `${instanceType} in ${zone}`), onDemand: null };
  } finally {
    client.destroy();
  }
}

export function latest(history: readonly SpotPrice[], what: string): number {
  const newest = history.toSorted((a, b) => (b.Timestamp?.getTime() ?? 0) - (a.Timestamp?.getTime() ?? 0))[0];
  const price = Number(newest?.SpotPrice);
  if (newest?.SpotPrice === undefined || !(price > 0)) throw new Error(`AWS has no spot price of ${what}: is it offered there as spot?`);
  return price;
}
