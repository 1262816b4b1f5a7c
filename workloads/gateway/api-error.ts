import type { ServerResponse } from 'node:http';

export interface ErrorDetails {
  readonly type?: string;
  readonly param?: string | null;
  readonly code?: string | null;
  readonly headers?: Readonly<Record<string, string>>;
}

/** A refusal in OpenAI's form. */
export class ApiError extends Error {
  readonly status: number;
  readonly body: {
    readonly error: { readonly message: string; readonly type: string; readonly param: string | null; readonly code: string | null };
  };
  readonly headers: Readonly<Record<string, string>>;

  constructor(status: number, message: string, { type, param = null, code = null, headers = {} }: ErrorDetails = {}) {
    super(message);
    this.name = 'ApiError';
    this.status = status;
    this.headers = headers;
    this.body = { error: { message, type: type ?? typeOf(status), param, code } };
  }
}

function typeOf(status: number): string {
  if (status === 401) return 'authentication_error';
  if (status === 403) return 'permission_error';
  if (status === 429) return 'rate_limit_error';
  return status < 500 ? 'invalid_request_error' : 'server_error';
}

export const invalid = (message: string, param: string | null = null, code: string | null = null) =>
  new ApiError(400, message, { param, code });

export const unavailable = (message: string, retryAfterSeconds: number) =>
  new ApiError(503, message, { code: 'no_worker_available', headers: { 'retry-after': String(retryAfterSeconds) } });

/** Sends the error, if nothing was sent yet. */
export function sendError(response: ServerResponse, error: ApiError, headers: Readonly<Record<string, string>> = {}): void {
  if (response.headersSent || response.destroyed) return;
  const body = JSON.stringify(error.body);
  response.writeHead(error.status, {
    'content-type': 'application/json',
    'content-length': Buffer.byteLength(body),
    ...headers,
    ...error.headers,
  });
  response.end(body);
}
