import { createServer, type IncomingMessage, request, type Server, type ServerResponse } from 'node:http';
import { request as httpsRequest } from 'node:https';
import type { AddressInfo } from 'node:net';
import { type Credentials, loadCredentials } from '../../operator/kube/credentials.ts';

/** Requests that are no part of what the operator does to its objects: election, events, questions. */
const NOT_WRITES = /\/(leases|events|tokenreviews)\b/;

/** Stands between operator and API server, counts the operator's writes, and can cut it off at any one of them. */
export class WriteProxy {
  readonly #server: Server;
  readonly #credentials: Credentials;
  #writes: string[] = [];
  #cut: { at: number; when: 'before' | 'after'; act: () => void } | null = null;

  private constructor(credentials: Credentials) {
    this.#credentials = credentials;
    this.#server = createServer((incoming, outgoing) => this.#handle(incoming, outgoing));
  }

  static async start(kubeconfig: string): Promise<WriteProxy> {
    const proxy = new WriteProxy(await loadCredentials(kubeconfig));
    await new Promise<void>((resolve) => proxy.#server.listen(0, '127.0.0.1', resolve));
    return proxy;
  }

  get url(): string {
    return `http://127.0.0.1:${(this.#server.address() as AddressInfo).port}`;
  }

  /** The writes since the last reset: method and path. */
  get writes(): readonly string[] {
    return this.#writes;
  }

  reset(): void {
    this.#writes = [];
    this.#cut = null;
  }

  /** At write number `at` (from 1): `act`, before the API server sees it or after it has carried it out. Nothing is answered. */
  cutAt(at: number, when: 'before' | 'after', act: () => void): void {
    this.#cut = { at, when, act };
  }

  close(): void {
    this.#server.closeAllConnections();
    this.#server.close();
  }

  #handle(incoming: IncomingMessage, outgoing: ServerResponse): void {
    const isWrite = incoming.method !== 'GET' && !NOT_WRITES.test(incoming.url ?? '');
    if (isWrite) this.#writes.push(`${incoming.method} ${incoming.url?.split('?')[0]}`);
    const cut = isWrite && this.#cut?.at === this.#writes.length ? this.#cut : null;
    if (cut) this.#cut = null;
    if (cut?.when === 'before') {
      cut.act();
      incoming.destroy();
      return;
    }
    const { server, ca, cert, key } = this.#credentials;
    const send = server.startsWith('https:') ? httpsRequest : request;
    const { host: _, authorization: __, ...headers } = incoming.headers;
    const forwarded = send(new URL(incoming.url ?? '/', server), { method: incoming.method, headers, ca, cert, key }, (response) => {
      if (cut) {
        response.resume();
        response.once('end', () => {
          cut.act();
          outgoing.destroy();
        });
        return;
      }
      outgoing.writeHead(response.statusCode ?? 502, response.headers);
      response.pipe(outgoing);
    });
    forwarded.on('error', () => outgoing.destroy());
    outgoing.on('close', () => forwarded.destroy());
    incoming.pipe(forwarded);
  }
}
