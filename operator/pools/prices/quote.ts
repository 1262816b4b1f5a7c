/** What to ask a cloud's price list for. */
export type PriceQuery =
  | { readonly cloud: 'aws'; readonly region: string; readonly zone: string; readonly instanceType: string }
  | { readonly cloud: 'gcp'; readonly region: string; readonly parts: readonly PricePart[] };

/** So many units of what a SKU's description begins with: a machine is priced by its parts. */
export interface PricePart {
  readonly sku: string;
  readonly quantity: number;
}

/** US dollars per hour for one node; null = the list does not say. */
export interface PriceQuote {
  readonly spot: number | null;
  readonly onDemand: number | null;
}

/** Reads a cloud's prices; its errors say what the cloud answered. */
export type PriceReader = (query: PriceQuery) => Promise<PriceQuote>;
