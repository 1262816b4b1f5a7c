/** Exit codes, as every task's program has them. */
export const EXIT = { configuration: 64, input: 66, storage: 74, other: 1, terminated: 143 } as const;

/** Something that a person has to know: one sentence that says what happened to what, and what to do. */
export class Failure extends Error {
  readonly exitCode: number;

  constructor(exitCode: number, message: string) {
    super(message);
    this.exitCode = exitCode;
  }
}

export const badConfiguration = (message: string) => new Failure(EXIT.configuration, message);
export const badInput = (message: string) => new Failure(EXIT.input, message);
export const storageFailed = (uri: string, error: unknown) =>
  new Failure(EXIT.storage, `${uri}: ${error instanceof Error ? error.message : String(error)}`);
