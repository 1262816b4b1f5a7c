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
export async function queryPrometheus(options: PrometheusOptions, query: string): Promise<Sample> {
  const answer = await ask(options, 'query', { query });
  return typeof answer === 'string' ? sampleIn(answer, (options.now ?? Date.now)()) : answer;
}

/** The values of one series at equal intervals up to now, the latest last, or in a sentence why there are none. Never rejects. */
export async function queryPrometheusRange(
  options: PrometheusOptions,
  query: string,
  { windows, windowSeconds }: { windows: number; windowSeconds: number },
): Promise<Series> {
  const end = Math.floor((options.now ?? Date.now)() / 1000);
  const start = end - (windows - 1) * windowSeconds;
  const answer = await ask(options, 'query_range', { query, start: String(start), end: String(end), step: String(windowSeconds) });
  return typeof answer === 'string' ? seriesIn(answer, { start, windows, windowSeconds }) : answer;
}

export type Series = { readonly values: readonly number[] } | { readonly problem: string };

/** The answer's text, or why there is none. */
async function ask(
  { url, authorization, timeoutMs = 5_000 }: PrometheusOptions,
  what: 'query' | 'query_range',
  parameters: Readonly<Record<string, string>>,
): Promise<string | { problem: string }> {
  try {
    const response = await fetch(`${url.replace(/\/$/, '')}/api/v1/${what}`, {
      method: 'POST',
      headers: { 'content-type': 'application/x-www-form-urlencoded', ...(authorization === null ? {} : { authorization }) },
      body: new URLSearchParams({ ...parameters, timeout: `${Math.ceil(timeoutMs / 1000)}s` }),
      signal: AbortSignal.timeout(timeoutMs),
      redirect: 'error',
    });
    const text = await limitedText(response);
    if (!response.ok && !text.includes('"errorType"')) return { problem: `Prometheus answered with status ${response.status}` };
    return text;
  } catch (error) {
    return { problem: reasonOf(error as Error, timeoutMs) };
  }
}

/** The sample in an answer of the query API. */
export function sampleIn(text: string, now: number): Sample {
  const data = dataIn(text);
  if ('problem' in data) return data;
  const { resultType, result } = data;
  if (resultType === 'scalar') return sampleOf(result, now);
  if (resultType !== 'vector' || !Array.isArray(result)) return { problem: `the query gives a ${resultType}, and one number is needed` };
  if (result.length === 0) return { problem: 'the query gives nothing: no such series, or its target is not scraped' };
  if (result.length > 1) return { problem: `the query gives ${result.length} series, and one number is needed: sum or aggregate them` };
  if ((result[0] as { histogram?: unknown }).histogram) return { problem: 'the query gives a histogram, and one number is needed' };
  return sampleOf((result[0] as { value?: unknown }).value, now);
}

interface Data {
  readonly resultType?: string;
  readonly result?: unknown;
}

function dataIn(text: string): Data | { problem: string } {
  let answer: { warnings?: unknown[]; status?: string; error?: string; data?: Data };
  try {
    answer = JSON.parse(text);
  } catch {
    return { problem: 'Prometheus’ answer is no JSON' };
  }
  if (answer.status !== 'success') return { problem: `Prometheus refuses the query: ${String(answer.error).slice(0, 300)}` };
  // Part of the data may be missing then, and a part of a sum is less than the sum.
  if (answer.warnings?.length) return { problem: `Prometheus warns of the result: ${String(answer.warnings[0]).slice(0, 300)}` };
  return answer.data ?? {};
}

/** The values of the one series in an answer of the range API; windows before its first one had none of it: 0. */
export function seriesIn(
  text: string,
  { start, windows, windowSeconds }: { start: number; windows: number; windowSeconds: number },
): Series {
  const data = dataIn(text);
  if ('problem' in data) return data;
  const { resultType, result } = data;
  if (resultType !== 'matrix' || !Array.isArray(result)) return { problem: `the query gives a ${resultType}, and a range is needed` };
  if (result.length === 0) return { problem: 'the query gives nothing: no such series, or its target is not scraped' };
  if (result.length > 1) return { problem: `the query gives ${result.length} series, and one is needed: sum or aggregate them` };
  const values = Array.from({ length: windows }, () => 0);
  for (const pair of ((result[0] as { values?: unknown }).values as unknown[] | undefined) ?? []) {
    const [at, text] = Array.isArray(pair) ? pair : [];
    const value = Number(text);
    const window = Math.round((Number(at) - start) / windowSeconds);
    if (!Number.isFinite(value) || !(window >= 0 && window < windows)) return { problem: `the query gives ${String(text)}` };
    values[window] = value;
  }
  return { values };
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
