import type { ServerResponse } from 'node:http';
import { apiVersionOf, type KubeObject, type ResourceType } from '../types.ts';

export interface Stored {
  apiVersion?: string;
  kind?: string;
  metadata: { name: string; namespace?: string; uid?: string; resourceVersion?: string };
  status?: unknown;
}

export interface Collection {
  readonly type: ResourceType<KubeObject>;
  readonly objects: Map<string, Stored>;
  readonly history: { readonly type: string; readonly object: Stored; readonly version: number }[];
}

export type Fault =
  /** Answers late. */
  | { readonly kind: 'delay'; readonly ms: number }
  /** Closes the connection instead of answering. */
  | { readonly kind: 'drop' }
  /** Does what is asked and closes the connection instead of saying so. */
  | { readonly kind: 'drop-answer' }
  | { readonly kind: 'status'; readonly code: number; readonly reason?: string; readonly retryAfter?: number }
  /** Breaks off after so many bytes, in the middle of a line where that is where they end. */
  | { readonly kind: 'cut'; readonly after: number }
  /** Keeps the connection open and says nothing any more. */
  | { readonly kind: 'silence' }
  /** Ends the watch in order. */
  | { readonly kind: 'end' }
  /** An ERROR event. */
  | { readonly kind: 'error'; readonly code: number; readonly reason: string }
  /** Every event comes twice. */
  | { readonly kind: 'twice' };

/** One open watch of the fake API server. */
export class WatchStream {
  readonly #response: ServerResponse;
  readonly #collection: Collection;
  readonly #namespace: string | undefined;
  /** A real server says nothing about versions up to this one, even if it is yet to get there. */
  readonly #from: number;
  readonly #chunk: number;
  #silent = false;
  #twice = false;
  #left = Number.POSITIVE_INFINITY;

  constructor(response: ServerResponse, collection: Collection, namespace: string | undefined, from: number, chunk: number) {
    this.#response = response;
    this.#collection = collection;
    this.#namespace = namespace;
    this.#from = from;
    this.#chunk = chunk;
  }

  offer(collection: Collection, type: string, object: Stored): void {
    if (collection !== this.#collection || (this.#namespace !== undefined && object.metadata.namespace !== this.#namespace)) return;
    if (Number(object.metadata.resourceVersion) <= this.#from) return;
    const line = `${JSON.stringify({ type, object })}\n`;
    this.write(this.#twice ? line + line : line);
  }

  bookmark(version: number): void {
    if (version < this.#from) return;
    const { type } = this.#collection;
    const object = { apiVersion: apiVersionOf(type), kind: type.kind, metadata: { resourceVersion: String(version) } };
    this.write(`${JSON.stringify({ type: 'BOOKMARK', object })}\n`);
  }

  fail(fault: Fault): void {
    if (fault.kind === 'drop') this.#response.destroy();
    else if (fault.kind === 'cut') this.#left = fault.after;
    else if (fault.kind === 'silence') this.#silent = true;
    else if (fault.kind === 'twice') this.#twice = true;
    else if (fault.kind === 'end') this.#response.end();
    else if (fault.kind === 'error') {
      const status = { kind: 'Status', status: 'Failure', code: fault.code, reason: fault.reason, message: 'told to fail' };
      this.write(`${JSON.stringify({ type: 'ERROR', object: status })}\n`);
      this.#response.end();
    }
  }

  write(text: string): void {
    if (this.#silent || this.#response.writableEnded || this.#response.destroyed) return;
    const bytes = Buffer.from(text).subarray(0, this.#left);
    this.#left -= bytes.length;
    for (let start = 0; start < bytes.length; start += this.#chunk) this.#response.write(bytes.subarray(start, start + this.#chunk));
    if (this.#left <= 0) setImmediate(() => this.#response.destroy());
  }
}
