import { readFile } from 'node:fs/promises';
import { Agent as HttpAgent, request as httpRequest, type IncomingMessage } from 'node:http';
import { Agent as HttpsAgent, request as httpsRequest } from 'node:https';
import { createSecureContext } from 'node:tls';
import type { Credentials } from './credentials.ts';

export interface HttpCall {
  readonly method: string;
  readonly path: string;
  readonly body?: string | undefined;
  readonly contentType?: string;
  /** The answer is a stream that may be silent for long. */
  readonly stream?: boolean;
  readonly signal?: AbortSignal | undefined;
}

const USER_AGENT = 'vicuna-operator';
/** A server that says nothing for so long is taken for dead. */
const SILENCE_MS = 30_000;
/** The API server closes connections that were idle for 90 s; closing first avoids writing into one that is being closed. */
const IDLE_MS = 60_000;
/** More at once than an API server of one's own answers faster; each costs 0.2 MB. */
const SOCKETS = 32;
/** Token files are read anew so often, as client-go does. */
const TOKEN_FILE_MS = 60_000;
/** Credentials that were refused are not fetched anew more often than this. */
const RELOAD_MS = 10_000;

/**
 * HTTP to one API server: connections, TLS, and credentials that expire and are renewed. Node's own client, because undici's, with
 * 16 requests of 3 kB at a time over TLS, takes 0.1 ms of CPU for each instead of 0.15, but 280 MB of memory instead of 140.
 */
export class Transport {
  #credentials: Credentials;
  readonly #reload: (() => Promise<Credentials>) | null;
  readonly #silenceMs: number;
  #agent: HttpAgent | HttpsAgent;
  #streams: HttpAgent | HttpsAgent;
  #token: { readonly value: string; readonly readAt: number } | null = null;
  #reloading: Promise<boolean> | null = null;
  #reloadedAt = Number.NEGATIVE_INFINITY;

  constructor(credentials: Credentials, reload: (() => Promise<Credentials>) | null, silenceMs = SILENCE_MS) {
    this.#credentials = credentials;
    this.#silenceMs = silenceMs;
    this.#reload = reload;
    this.#agent = agentFor(credentials, SOCKETS);
    this.#streams = agentFor(credentials, Number.POSITIVE_INFINITY);
  }

  get server(): string {
    return this.#credentials.server;
  }

  /** Sends one request; resolves with the answer's head, whatever its status. Fails when no answer comes. */
  async send(call: HttpCall): Promise<IncomingMessage> {
    const used = this.#credentials;
    const response = await this.#once(call);
    // Others may have been refused, and renewed them, meanwhile.
    if (response.statusCode !== 401 || (this.#credentials === used && !(await this.#renew()))) return response;
    response.resume();
    return this.#once(call);
  }

  close(): void {
    this.#agent.destroy();
    this.#streams.destroy();
  }

  async #once({ method, path, body, contentType, stream = false, signal }: HttpCall): Promise<IncomingMessage> {
    const { server, impersonate } = this.#credentials;
    const authorization = await this.#authorization();
    const headers: Record<string, string | number> = { accept: 'application/json', 'user-agent': USER_AGENT };
    if (authorization !== undefined) headers.authorization = authorization;
    if (impersonate !== undefined) headers['impersonate-user'] = impersonate;
    if (body !== undefined) {
      headers['content-type'] = contentType ?? 'application/json';
      headers['content-length'] = Buffer.byteLength(body);
    }
    const send = server.startsWith('https:') ? httpsRequest : httpRequest;
    const agent = stream ? this.#streams : this.#agent;
    return new Promise((resolve, reject) => {
      const options = { method, headers, agent, ...(signal ? { signal } : {}) };
      const request = send(`${server.replace(/\/$/, '')}${path}`, options, (response) => {
        if (stream) request.setTimeout(0);
        resolve(response);
      });
      request.setTimeout(this.#silenceMs, () => request.destroy(new Error(`no answer within ${this.#silenceMs / 1000} s`)));
      request.on('error', (cause) =>
        reject(
          signal?.aborted
            ? cause
            : new Error(`${method} ${path}: the API server ${server} cannot be reached: ${wordsOf(cause)}`, { cause }),
        ),
      );
      request.end(body);
    });
  }

  async #authorization(): Promise<string | undefined> {
    const { tokenFile, authorization } = this.#credentials;
    if (tokenFile === undefined) return authorization;
    if (this.#token === null || performance.now() - this.#token.readAt > TOKEN_FILE_MS) {
      const value = await readFile(tokenFile, 'utf8').catch(() => null);
      // While the file is being replaced, the token from before is still good.
      if (value !== null) this.#token = { value: value.trim(), readAt: performance.now() };
    }
    return this.#token === null ? authorization : `Bearer ${this.#token.value}`;
  }

  /** Gets new credentials after a refusal; whether it is worth asking again. Calls that are refused together share it. */
  #renew(): Promise<boolean> {
    const reload = this.#reload;
    if (reload === null) return Promise.resolve(false);
    this.#reloading ??= (async () => {
      if (performance.now() - this.#reloadedAt < RELOAD_MS) return false;
      this.#reloadedAt = performance.now();
      try {
        this.#adopt(await reload());
        return true;
      } catch {
        return false; // the refusal itself is what the caller hears
      } finally {
        this.#reloading = null;
      }
    })();
    return this.#reloading;
  }

  #adopt(credentials: Credentials): void {
    const { ca, cert, key } = this.#credentials;
    this.#credentials = credentials;
    this.#token = null;
    if (credentials.ca === ca && credentials.cert === cert && credentials.key === key) return;
    // Requests under way end on their old connections, which close when idle.
    this.#agent = agentFor(credentials, SOCKETS);
    this.#streams = agentFor(credentials, Number.POSITIVE_INFINITY);
  }
}

function agentFor(
  { server, ca, cert, key, servername, rejectUnauthorized, proxy }: Credentials,
  maxSockets: number,
): HttpAgent | HttpsAgent {
  const options = {
    keepAlive: true,
    maxSockets,
    timeout: IDLE_MS,
    ...(proxy === undefined ? {} : { proxyEnv: { HTTPS_PROXY: proxy, HTTP_PROXY: proxy } }),
  };
  if (!server.startsWith('https:')) return new HttpAgent(options);
  // Read once: each connection would otherwise parse the certificates again and keep them.
  return new HttpsAgent({ ...options, secureContext: createSecureContext({ ca, cert, key }), servername, rejectUnauthorized });
}

function wordsOf(error: unknown): string {
  const { message, code } = error as NodeJS.ErrnoException;
  return message || code || 'the connection broke';
}
