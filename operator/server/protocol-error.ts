/** Every refusal of the worker protocol: its code, which workers and tests match on, and the HTTP status that carries it. */
export const PROTOCOL_ERRORS = {
  MalformedRequest: 400,
  MalformedJson: 400,
  InvalidReport: 400,
  TokenMissing: 401,
  TokenMalformed: 401,
  TokenExpired: 401,
  TokenRefused: 401,
  NotBoundToPod: 403,
  OtherNamespace: 403,
  NotAWorker: 403,
  NotATask: 403,
  OtherPod: 403,
  PodReplaced: 403,
  NotFound: 404,
  MethodNotAllowed: 405,
  SlowBody: 408,
  OldGeneration: 409,
  BodyTooLarge: 413,
  UnknownGeneration: 422,
  NotInWorld: 422,
  WrongRank: 422,
  StepWentBackwards: 422,
  StepBeyondEnd: 422,
  ForeignCheckpoint: 422,
  ImpossibleCheckpoint: 422,
  TooManyPolls: 429,
  TooManyReports: 429,
  Internal: 500,
  NoLeader: 503,
  ReviewUnavailable: 503,
  NotReady: 503,
} as const;

export type ProtocolErrorCode = keyof typeof PROTOCOL_ERRORS;

/** A refusal that is answered as `{code, message}`; the message says what happened, to which object, and what to do. */
export class ProtocolError extends Error {
  readonly code: ProtocolErrorCode;
  readonly status: number;
  /** Seconds after which asking again makes sense; answered as Retry-After. */
  readonly retryAfterSeconds: number | undefined;

  constructor(code: ProtocolErrorCode, message: string, retryAfterSeconds?: number) {
    super(message);
    this.name = 'ProtocolError';
    this.code = code;
    this.status = PROTOCOL_ERRORS[code];
    this.retryAfterSeconds = retryAfterSeconds;
  }
}
