// A process of its own that prints a cloud's prices as JSON and ends: see read.ts.
import type { PriceQuery, PriceQuote } from './quote.ts';

async function read(query: PriceQuery): Promise<PriceQuote> {
  if (query.cloud === 'aws') return (await import('./aws.ts')).awsPrices(query, new Date());
  return (await import('./gcp.ts')).gcpPrices(query);
}

read(JSON.parse(process.argv[2] ?? '')).then(
  (quote) => process.stdout.write(JSON.stringify(quote)),
  (error: Error) => {
    process.stderr.write(`${error.name}: ${error.message}`);
    process.exitCode = 1;
  },
);
