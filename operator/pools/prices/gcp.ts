import { CloudCatalogClient, type protos } from '@google-cloud/billing';
import type { PricePart, PriceQuery, PriceQuote } from './quote.ts';

type Sku = Pick<protos.google.cloud.billing.v1.ISku, 'description' | 'category' | 'serviceRegions' | 'pricingInfo'>;

/** "Compute Engine" in the catalogue of services. */
const COMPUTE_ENGINE = 'services/6F81-5844-456A';
const SPOT = /^Spot Preemptible | attached to Spot Preemptible VMs(?= running in )/;

/** Spot and on-demand prices by Google's price list (Cloud Billing catalogue), with Application Default Credentials. */
export async function gcpPrices({ region, parts }: Extract<PriceQuery, { cloud: 'gcp' }>): Promise<PriceQuote> {
  const client = new CloudCatalogClient({ fallback: true, ...endpoint(process.env.CLOUDSDK_API_ENDPOINT_OVERRIDES_CLOUDBILLING) });
  try {
    const offers: Offer[] = [];
    for await (const sku of client.listSkusAsync(
      { parent: COMPUTE_ENGINE, currencyCode: 'USD', pageSize: 5_000 },
      { autoPaginate: false },
    )) {
      const offer = offerOf(sku, region, parts);
      if (offer !== null) offers.push(offer);
    }
    return priceOf(offers, parts, region);
  } finally {
    await client.close();
  }
}

/** As gcloud's own property api_endpoint_overrides/cloudbilling: for private endpoints of Google's APIs. */
function endpoint(url: string | undefined) {
  if (!url) return {};
  const { protocol, hostname, port } = new URL(url);
  return { apiEndpoint: hostname, protocol: protocol.replace(':', ''), ...(port === '' ? {} : { port: Number(port) }) };
}

interface Offer {
  readonly part: string;
  readonly spot: boolean;
  readonly description: string;
  readonly perUnitHour: number;
}

/** The offer that the SKU is for one of the parts; null if it is none, such as a commitment, another region or another machine. */
export function offerOf(sku: Sku, region: string, parts: readonly PricePart[]): Offer | null {
  const { description, category, serviceRegions, pricingInfo } = sku;
  const usage = category?.usageType;
  if (category?.resourceFamily !== 'Compute' || (usage !== 'OnDemand' && usage !== 'Preemptible') || !serviceRegions?.includes(region))
    return null;
  const words = (description ?? '').replace(SPOT, '');
  const part = parts.find((p) => words.startsWith(`${p.sku} running in `));
  const terms = pricingInfo?.[0]?.pricingExpression;
  const price = terms?.tieredRates?.at(-1)?.unitPrice;
  if (part === undefined || !price || !/^(GiBy\.)?h$/.test(terms.usageUnit ?? '')) return null;
  const perUnitHour = Number(price.units ?? 0) + (price.nanos ?? 0) / 1e9;
  return { part: part.sku, spot: usage === 'Preemptible', description: description ?? '', perUnitHour };
}

/** The node's price, all parts together; null where the list has no such offer of one of them. */
export function priceOf(offers: readonly Offer[], parts: readonly PricePart[], region: string): PriceQuote {
  const sum = (spot: boolean): number | null => {
    let total = 0;
    for (const { sku, quantity } of parts) {
      const found = offers.filter((o) => o.part === sku && o.spot === spot);
      if (found.length > 1)
        throw new Error(
          `Google's price list has ${found.length} offers of "${sku}" in ${region}: ${found.map((o) => o.description).join('; ')}`,
        );
      if (found[0] === undefined) return null;
      total += quantity * found[0].perUnitHour;
    }
    return total;
  };
  const quote = { spot: sum(true), onDemand: sum(false) };
  if (quote.spot === null && quote.onDemand === null)
    throw new Error(
      `Google's price list has no offer of all of ${parts.map((p) => `"${p.sku}"`).join(', ')} in ${region}: write parts as their descriptions begin`,
    );
  return quote;
}
