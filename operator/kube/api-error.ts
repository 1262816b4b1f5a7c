/** What the API server answered instead of the object that was asked for. */
export class ApiError extends Error {
  readonly status: number;
  /** Kubernetes' own word for it, such as NotFound, Conflict, AlreadyExists, Expired. */
  readonly reason: string;
  readonly retryAfterSeconds: number | undefined;

  constructor(status: number, reason: string, message: string, retryAfterSeconds?: number) {
    super(message);
    this.name = 'ApiError';
    this.status = status;
    this.reason = reason;
    this.retryAfterSeconds = retryAfterSeconds;
  }
}

export function isNotFound(error: unknown): boolean {
  return error instanceof ApiError && error.status === 404;
}

/** For `catch`: what is not there is undefined, and no error. */
export function ignoreNotFound(error: unknown): undefined {
  if (isNotFound(error)) return undefined;
  throw error;
}

export function isConflict(error: unknown): boolean {
  return error instanceof ApiError && error.status === 409 && error.reason !== 'AlreadyExists';
}

export function isAlreadyExists(error: unknown): boolean {
  return error instanceof ApiError && error.status === 409 && error.reason === 'AlreadyExists';
}

export function isExpired(error: unknown): boolean {
  return error instanceof ApiError && error.status === 410;
}

/** The request itself is what is wrong: repeating it changes nothing. */
export function isRefusal(error: unknown): error is ApiError {
  return error instanceof ApiError && (error.status === 400 || error.status === 403 || error.status === 422);
}
