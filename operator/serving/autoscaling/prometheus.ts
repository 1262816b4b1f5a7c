import type { Sample } from './decide.ts';

export interface PrometheusOptions {
  readonly url: string;
  /** Value of the Authorization header, or null. */
  readonly authorization: string | null;
  readonly timeoutMs?: number;
  readonly now?: () => number;
}

const LONGEST = 1 << 20;
/** A value that is older than this tells nothing of now. */
const STALE_MS = 2 * 60_000;

/** One number from Prometheus' query API, or in a sentence why there is none. Never rejects. */
export async function queryPrometheus(
  { url, authorization, timeoutMs = 5_000, now = Date.now }: PrometheusOptions,
  query: string,
): Promise<Sample> {
  let text: string;
  try {
    const response = await fetch(`${url.replace(/\/$/, '')}/api/v1/query`, {
      method: 'POST',
      headers: { 'content-type': 'application/x-www-form-urlencoded', ...(authorization === null ? {} : { authorization }) },
      body: new URLSearchParams({ query, timeout: `${Math.ceil(timeoutMs / 1000)}s` }),
      signal: AbortSignal.timeout(timeoutMs),
      redirect: 'error',
    });
    text = await limitedText(response);
    if (!response.ok && !text.includes('"errorType"')) return { problem: `Prometheus answered with status ${response.status}` };
  } catch (error) {
    return { problem: reasonOf(error as Error, timeoutMs) };
  }
  return sampleIn(text, now());
}

/** The sample in an answer of the query API. */
export function sampleIn(text: string, now: number): Sample {
  let answer: { warnings?: unknown[]; status?: string; error?: string; data?: { resultType?: string; result?: unknown } };
  try {
    answer = JSON.parse(text);
  } catch {
    return { problem: 'Prometheus’ answer is no JSON' };
  }
  if (answer.status !== 'success') return { problem: `Prometheus refuses the query: ${String(answer.error).slice(0, 300)}` };
  // Part of the data may be missing then, and a part of a sum is less than the sum.
  if (answer.warnings?.length) return { problem: `Prometheus warns of the result: ${String(answer.warnings[0]).slice(0, 300)}` };
  const { resultType, result } = answer.data ?? {};
  if (resultType === 'scalar') return sampleOf(result, now);
  if (resultType !== 'vector' || !Array.isArray(result)) return { problem: `the query gives a ${resultType}, and one number is needed` };
  if (result.length === 0) return { problem: 'the query gives nothing: no such series, or its target is not scraped' };
  if (result.length > 1) return { problem: `the query gives ${result.length} series, and one number is needed: sum or aggregate them` };
  if ((result[0] as { histogram?: unknown }).histogram) return { problem: 'the query gives a histogram, and one number is needed' };
  return sampleOf((result[0] as { value?: unknown }).value, now);
}

function sampleOf(pair: unknown, now: number): Sample {
  const [at, text] = Array.isArray(pair) ? pair : [];
  const value = Number(text);
  if (typeof at !== 'number' || text === undefined) return { problem: 'Prometheus’ answer has no value' };
  if (!Number.isFinite(value)) return { problem: `the query gives ${String(text)}` };
  if (now - at * 1000 > STALE_MS) return { problem: `the value is ${Math.round(now / 1000 - at)} s old` };
  return { value };
}

async function limitedText(response: Response): Promise<string> {
  const chunks: Uint8Array[] = [];
  let size = 0;
  for await (const chunk of response.body ?? []) {
    size += chunk.length;
    if (size > LONGEST) throw new Error(`its answer is larger than ${LONGEST} bytes`);
    chunks.push(chunk);
  }
  return Buffer.concat(chunks).toString('utf8');
}

function reasonOf(error: Error, timeoutMs: number): string {
  if (error.name === 'TimeoutError') return `Prometheus did not answer within ${timeoutMs / 1000} s`;
  const cause = (error.cause as { code?: string; message?: string } | undefined)?.code ?? (error.cause as Error | undefined)?.message;
  return `Prometheus cannot be reached: ${cause ?? error.message}`;
}
