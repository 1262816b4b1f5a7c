import { execFile } from 'node:child_process';
import { fileURLToPath } from 'node:url';
import type { PriceQuery, PriceQuote } from './quote.ts';

// As sources, or built: Google's package is written for CommonJS.
const READER = fileURLToPath(new URL(import.meta.url.endsWith('.ts') ? './price-reader.ts' : './price-reader.cjs', import.meta.url));
const LONGEST_MS = 120_000;
const LONGEST_WORDS = 300;

/**
 * Reads a cloud's prices by its official SDK. Those cost 140 MB for as long as a process has them loaded, and are needed for a second
 * a quarter of an hour, so another process does it.
 */
export function readPrices(query: PriceQuery): Promise<PriceQuote> {
  return new Promise((resolve, reject) => {
    execFile(process.execPath, [READER, JSON.stringify(query)], { timeout: LONGEST_MS, maxBuffer: 65_536 }, (error, stdout, stderr) => {
      if (error === null) resolve(JSON.parse(stdout) as PriceQuote);
      else if (error.killed) reject(new Error(`no answer in ${LONGEST_MS / 1_000} s`));
      else reject(new Error(stderr.trim().slice(-LONGEST_WORDS) || 'its reader ended without a word'));
    });
  });
}
