import { request } from 'node:http';

export interface MetadataCall {
  readonly method?: 'GET' | 'PUT' | 'POST';
  readonly headers?: Readonly<Record<string, string>>;
  readonly body?: string;
  /** Longest time until the whole answer is there, ms. */
  readonly timeoutMs: number;
}

export interface MetadataAnswer {
  readonly status: number;
  readonly headers: Readonly<Record<string, string | string[] | undefined>>;
  readonly body: string;
}

/** More than any metadata service has to say of events; what answers with more is something else. */
const LARGEST_BODY = 64 * 1024;

/**
 * The metadata service of the machine: plain HTTP on a link-local address, without proxies and without following redirects, since what
 * redirects is not the service. Its Date header is the cloud's clock, by which the cloud's deadlines are.
 */
export class MetadataService {
  readonly #base: string;
  readonly #clock: () => number;
  #skewMs = 0;

  constructor(base: string, clock: () => number) {
    this.#base = base.replace(/\/$/, '');
    this.#clock = clock;
  }

  /** The cloud's time, as last heard; ms since epoch. */
  now(): number {
    return this.#clock() + this.#skewMs;
  }

  /** One answer, whatever its status. Throws when none comes in time, or one that is too large. */
  call(path: string, { method = 'GET', headers = {}, body, timeoutMs }: MetadataCall, signal: AbortSignal): Promise<MetadataAnswer> {
    return new Promise((resolve, reject) => {
      const fail = (message: string, cause?: unknown) => reject(new Error(`${method} ${path}: ${message}`, { cause }));
      const sent = request(this.#base + path, { method, headers, signal: AbortSignal.any([signal, AbortSignal.timeout(timeoutMs)]) });
      sent.on('error', (error) =>
        fail(
          error.name === 'AbortError' || error.name === 'TimeoutError' ? `no answer within ${timeoutMs / 1000} s` : error.message,
          error,
        ),
      );
      sent.on('response', (response) => {
        const chunks: Buffer[] = [];
        let size = 0;
        response.on('data', (chunk: Buffer) => {
          chunks.push(chunk);
          size += chunk.length;
          if (size > LARGEST_BODY) {
            fail(`the answer is larger than ${LARGEST_BODY} bytes`);
            response.destroy();
          }
        });
        response.on('error', (error) => fail(`the answer broke off: ${error.message}`, error));
        response.on('end', () => {
          this.#hearTime(response.headers.date);
          resolve({ status: response.statusCode ?? 0, headers: response.headers, body: Buffer.concat(chunks).toString('utf8').trim() });
        });
      });
      sent.end(body);
    });
  }

  /** Dates have whole seconds and take a moment to come: a difference of less says nothing. */
  #hearTime(date: string | undefined): void {
    const time = Date.parse(date ?? '');
    if (Number.isNaN(time)) return;
    const skew = time - this.#clock();
    this.#skewMs = Math.abs(skew) > 2_000 ? skew : 0;
  }
}

/** The body as JSON; throws a sentence when it is none. */
export function json(path: string, { body }: MetadataAnswer): unknown {
  try {
    return JSON.parse(body);
  } catch {
    throw new Error(`GET ${path}: the answer is no JSON: ${excerpt(body)}`);
  }
}

/** What there is to show of an answer that was not expected. */
export function excerpt(text: string): string {
  return JSON.stringify(text.length > 80 ? `${text.slice(0, 80)}…` : text);
}
