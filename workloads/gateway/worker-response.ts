import type { Headers } from './http/response-parser.ts';

/** Takes an answer in; `end` or `fail` comes last, once. */
export interface AnswerReader {
  data(chunk: Buffer): void;
  end(): void;
  fail(error: Error): void;
}

/** What an answer comes from. */
export interface AnswerSource {
  pause(): void;
  resume(): void;
  abort(reason: Error): void;
}

/** A worker's answer as it comes. What comes before somebody reads it is kept; a paused source sends no more. */
export class WorkerResponse {
  readonly status: number;
  readonly headers: Headers;
  readonly #source: AnswerSource;
  #reader: AnswerReader | null = null;
  #early: Buffer[] = [];
  /** How it ended: in order, or by an error. */
  #over: { readonly error: Error | null } | null = null;

  constructor(status: number, headers: Headers, source: AnswerSource) {
    this.status = status;
    this.headers = headers;
    this.#source = source;
  }

  get contentType(): string {
    return String(this.headers['content-type']);
  }

  /** Gives the answer to its one reader. */
  read(reader: AnswerReader): void {
    this.#reader = reader;
    const early = this.#early;
    this.#early = [];
    // A reader may cancel at any chunk.
    for (const chunk of early) if (this.#reader === reader) reader.data(chunk);
    if (this.#over) this.#tell(this.#over.error);
  }

  #tell(error: Error | null): void {
    const reader = this.#reader;
    this.#reader = null;
    if (error === null) reader?.end();
    else reader?.fail(error);
  }

  pause(): void {
    this.#source.pause();
  }

  resume(): void {
    this.#source.resume();
  }

  /** Nobody wants the rest: the reader hears nothing more, and the worker is told by the end of the connection. */
  cancel(): void {
    this.#reader = null;
    if (this.#over === null) this.#source.abort(new Error('nobody reads the answer any more'));
  }

  /** More of the answer, from its source. */
  push(chunk: Buffer): void {
    if (this.#reader) this.#reader.data(chunk);
    else this.#early.push(chunk);
  }

  /** The answer's end, from its source; null = in order. */
  finish(error: Error | null): void {
    this.#over = { error };
    if (this.#reader) this.#tell(error);
  }
}
