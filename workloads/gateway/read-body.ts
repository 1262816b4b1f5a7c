import type { IncomingMessage } from 'node:http';
import { ApiError } from './api-error.ts';

/** Longest that a client may take to send its request's body. */
const BODY_MS = 30_000;

/** A request's body; refuses one that is too large or too slow. */
export function readBody(request: IncomingMessage, limit: number): Promise<Buffer> {
  const announced = Number(request.headers['content-length'] ?? 0);
  if (announced > limit) return Promise.reject(tooLarge(limit));
  const { promise, resolve, reject } = Promise.withResolvers<Buffer>();
  let first: Buffer | null = null;
  const more: Buffer[] = [];
  let size = 0;
  const timer = setTimeout(
    () => reject(new ApiError(408, `The body did not come within ${BODY_MS / 1000} s.`, { code: 'body_timeout' })),
    BODY_MS,
  );
  request.on('data', (chunk: Buffer) => {
    size += chunk.length;
    if (size > limit) {
      request.pause();
      reject(tooLarge(limit));
    } else if (first === null) first = chunk;
    else more.push(chunk);
  });
  request.on('end', () => resolve(first === null ? Buffer.alloc(0) : more.length === 0 ? first : Buffer.concat([first, ...more])));
  request.on('close', () => request.complete || reject(new ClientGone()));
  request.on('error', () => reject(new ClientGone()));
  return promise.finally(() => clearTimeout(timer));
}

/** Nobody waits for the answer any more. */
export class ClientGone extends Error {}

function tooLarge(limit: number): ApiError {
  return new ApiError(413, `The body is larger than ${limit} bytes.`, { code: 'request_too_large' });
}
