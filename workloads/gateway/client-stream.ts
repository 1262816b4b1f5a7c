import { once } from 'node:events';
import type { ServerResponse } from 'node:http';
import type { ApiError } from './api-error.ts';
import { DONE, eventOf } from './sse.ts';
import type { Worker } from './worker.ts';

/** A streamed answer on its way to the client. Nothing is sent before there is something to send: until then errors have their status. */
export class ClientStream {
  readonly #response: ServerResponse;
  readonly #headers: Readonly<Record<string, string>>;
  /** Whether the client wants to be told, in comments, what happens to its request. */
  readonly #tells: boolean;
  bytes = 0;

  constructor(response: ServerResponse, headers: Readonly<Record<string, string>>, tells: boolean) {
    this.#response = response;
    this.#headers = headers;
    this.#tells = tells;
  }

  get begun(): boolean {
    return this.#response.headersSent;
  }

  #begin(worker?: Worker): void {
    if (this.#response.headersSent) return;
    this.#response.writeHead(200, {
      'content-type': 'text/event-stream; charset=utf-8',
      'cache-control': 'no-cache',
      'x-accel-buffering': 'no',
      ...this.#headers,
      ...(worker ? { 'x-vicuna-worker': worker.spec.name } : {}),
    });
  }

  /** Sends whole events; false when the client is slower than the worker: then wait for `drained`. */
  write(block: Buffer | string, worker?: Worker): boolean {
    this.bytes += block.length;
    const { headersSent, socket, chunkedEncoding, writableEnded } = this.#response;
    // An empty chunk would be the answer's end.
    if (writableEnded || block.length === 0) return true;
    if (headersSent && chunkedEncoding && socket !== null) return socket.write(chunkOf(block));
    this.#begin(worker);
    return this.#response.write(block);
  }

  /** Resolves when the client can take more, or has gone. */
  async drained(signal: AbortSignal): Promise<void> {
    // An answer that waits for the one before it on its connection has no socket yet, and is kept by the response.
    await once(this.#response.socket ?? this.#response, 'drain', { signal }).catch(() => undefined);
  }

  /** A comment, for clients that asked for them; others never see one. */
  tell(what: 'queued' | 'worker' | 'continued', details: object): void {
    if (this.#tells) this.write(`: ${what} ${JSON.stringify(details)}\n\n`);
  }

  end(): void {
    this.#response.end();
  }

  done(): void {
    this.write(DONE);
    this.#response.end();
  }

  /** Ends a stream that cannot go on; no [DONE] follows, since the answer is not done. */
  fail(error: ApiError): void {
    if (!this.#response.writableEnded) this.#response.end(eventOf(error.body));
  }
}

export function placeOf(worker: Worker): { worker: string; zone: string | null } {
  return { worker: worker.spec.name, zone: worker.spec.zone };
}

/** A piece in HTTP's chunked coding, as one piece: the response's own way takes four, each with a call of its own. */
function chunkOf(block: Buffer | string): Buffer {
  const size = Buffer.byteLength(block);
  const head = `${size.toString(16)}\r\n`;
  const bytes = Buffer.allocUnsafe(head.length + size + 2);
  bytes.write(head, 'latin1');
  if (typeof block === 'string') bytes.write(block, head.length);
  else block.copy(bytes, head.length);
  bytes.write('\r\n', head.length + size, 'latin1');
  return bytes;
}
