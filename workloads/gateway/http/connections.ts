import { connect as connectTcp, isIP, type Socket } from 'node:net';
import { connect as connectTls } from 'node:tls';
import { type Headers, ResponseParser, type ResponseSink } from './response-parser.ts';

/** Told of one exchange; `end` or `fail` comes last, once, and never before `post` has returned. */
export interface ExchangeHandler extends ResponseSink {
  fail(error: Error): void;
}

/** Where a server of HTTP listens. */
export interface Address {
  readonly host: string;
  readonly port: number;
}

export function addressOf({ protocol, hostname, port }: URL): Address {
  return { host: hostname.replace(/^\[|\]$/g, ''), port: Number(port || (protocol === 'https:' ? 443 : 80)) };
}

const CONNECT_MS = 5_000;
/**
 * Connections are kept, since to open one costs more than a short answer, but not for as long as uvicorn keeps its own (5 s): it would
 * close one just as a request is sent.
 */
const KEPT_MS = 4_000;
const SWEEP_MS = 1_000;
/** Up to so many bytes are copied behind the headers, so that one call sends both. */
const COPIED = 32 << 10;
/** What a header may say: no line breaks, nothing that is no Latin-1. */
const SENDABLE = /^[\t\x20-\x7e\x80-\xff]*$/;

/** All connections read into this: nothing in it outlives the call that reads it. */
const RECEIVED = Buffer.allocUnsafeSlow(64 << 10);

/**
 * Connections to one server, each for one request at a time, kept for the next ones. Own code instead of a client of Node's or undici's,
 * since it is on the way of every token: sockets read into one buffer for all, and no stream, promise or timer lies between.
 */
export class Connections {
  readonly #url: URL;
  readonly #host: string;
  readonly #all = new Set<Connection>();
  /** Those that can take a request, the last used at the end. */
  #idle: Connection[] = [];
  #sweep: NodeJS.Timeout | null = null;
  #closed = false;
  readonly #keptMs: number;

  constructor(origin: string, keptMs = KEPT_MS) {
    this.#url = new URL(origin);
    this.#host = this.#url.host;
    this.#keptMs = keptMs;
  }

  /** Sends a request. Throws for a header that cannot be sent; all that happens later is told to the handler. */
  post(path: string, headers: Headers, body: Buffer, handler: ExchangeHandler): Exchange {
    let head = `POST ${path} HTTP/1.1\r\nhost: ${this.#host}\r\ncontent-length: ${body.length}\r\n`;
    for (const [name, value] of Object.entries(headers)) {
      if (!SENDABLE.test(value)) throw new Error(`the header ${name} has characters that cannot be sent`);
      head += `${name}: ${value}\r\n`;
    }
    head += '\r\n';
    return this.#take().send(head, body, handler);
  }

  /** The idle connection that was used last, or a new one. */
  #take(): Connection {
    const now = performance.now();
    for (;;) {
      const connection = this.#idle.pop();
      if (connection === undefined) return this.#open();
      if (connection.isFresh(now, this.#keptMs)) return connection;
      connection.destroy();
    }
  }

  /** Ends idle connections now, and each other one when its answer is finished. */
  close(): void {
    this.#closed = true;
    for (const connection of this.#idle) connection.destroy();
  }

  /** Ends all connections now; what they were to bring fails for this reason. */
  destroy(reason: Error): void {
    for (const connection of this.#all) connection.destroy(reason);
  }

  #open(): Connection {
    const connection = new Connection(this.#url, {
      free: (again) => this.#free(again),
      gone: () => {
        this.#all.delete(connection);
        const at = this.#idle.indexOf(connection);
        if (at >= 0) this.#idle.splice(at, 1);
      },
    });
    this.#all.add(connection);
    return connection;
  }

  #free(connection: Connection): void {
    if (this.#closed) {
      connection.destroy();
      return;
    }
    connection.idleSince = performance.now();
    this.#idle.push(connection);
    this.#sweepLater();
  }

  #sweepLater(): void {
    this.#sweep ??= setTimeout(() => this.#expire(), Math.min(SWEEP_MS, this.#keptMs)).unref();
  }

  #expire(): void {
    this.#sweep = null;
    const now = performance.now();
    const [old, young] = [[] as Connection[], [] as Connection[]];
    for (const each of this.#idle) (each.isFresh(now, this.#keptMs) ? young : old).push(each);
    this.#idle = young;
    for (const each of old) each.destroy();
    if (young.length > 0) this.#sweepLater();
  }
}

interface Owner {
  /** It can take another request. */
  free(connection: Connection): void;
  gone(): void;
}

class Connection {
  readonly #socket: Socket;
  readonly #owner: Owner;
  readonly #parser = new ResponseParser();
  #paused = false;
  exchange: Exchange | null = null;
  idleSince = 0;

  constructor(url: URL, owner: Owner) {
    this.#owner = owner;
    const secure = url.protocol === 'https:';
    const address = addressOf(url);
    const onread = {
      buffer: RECEIVED,
      callback: (size: number) => {
        this.#received(size);
        return true;
      },
    };
    const to = { ...address, noDelay: true, onread };
    // An address is no server's name (RFC 6066).
    const tls = { ...to, ...(isIP(address.host) ? {} : { servername: address.host }), ALPNProtocols: ['http/1.1'] };
    const socket = secure ? connectTls(tls as never) : connectTcp(to);
    const timer = setTimeout(() => this.destroy(new Error(`no connection within ${CONNECT_MS / 1000} s`)), CONNECT_MS);
    socket.once(secure ? 'secureConnect' : 'connect', () => clearTimeout(timer));
    socket.on('error', (error) => this.destroy(error));
    socket.on('end', () => this.#ended());
    socket.once('close', () => {
      clearTimeout(timer);
      owner.gone();
      this.#ended();
    });
    this.#socket = socket;
  }

  /** Whether it may take another request: its server has not ended it, and will not do so for a second by its own word. */
  isFresh(now: number, keptMs: number): boolean {
    const { keepAliveSeconds } = this.#parser;
    const limit = keepAliveSeconds === null ? keptMs : Math.min(keptMs, keepAliveSeconds * 1000 - 1_000);
    return !this.#socket.destroyed && now - this.idleSince < limit;
  }

  send(head: string, body: Buffer, handler: ExchangeHandler): Exchange {
    const exchange = new Exchange(this, handler);
    this.exchange = exchange;
    this.#parser.expect({
      head: (status, headers) => handler.head(status, headers),
      data: (chunk) => {
        // The handler may have ended the exchange at what it was told before.
        if (this.exchange === exchange) handler.data(chunk);
      },
      end: () => this.#finished(exchange),
    });
    if (body.length > COPIED) {
      this.#socket.write(head, 'latin1');
      this.#socket.write(body);
    } else {
      const bytes = Buffer.allocUnsafe(head.length + body.length);
      bytes.write(head, 'latin1');
      body.copy(bytes, head.length);
      this.#socket.write(bytes);
    }
    return exchange;
  }

  pause(): void {
    this.#paused = true;
    this.#socket.pause();
  }

  resume(): void {
    if (!this.#paused) return;
    this.#paused = false;
    this.#socket.resume();
  }

  /** Ends it; an exchange under way fails. */
  destroy(reason: Error = new Error('the connection was closed')): void {
    this.#socket.destroy();
    const { exchange } = this;
    this.exchange = null;
    exchange?.handler.fail(reason);
  }

  #received(size: number): void {
    try {
      if (this.exchange === null) throw new Error('it sent what nobody asked for');
      this.#parser.push(RECEIVED.subarray(0, size));
    } catch (error) {
      this.destroy(error as Error);
    }
  }

  #finished(exchange: Exchange): void {
    if (this.exchange !== exchange) return;
    this.exchange = null;
    // An answer that came before its request was sent is a refusal: the rest of the request is still to come.
    if (this.#parser.reusable && this.#socket.writableLength === 0) {
      this.resume();
      this.#owner.free(this);
    } else this.#socket.destroy();
    exchange.handler.end();
  }

  #ended(): void {
    if (this.exchange === null || !this.#parser.close()) this.destroy(new Error('it closed the connection'));
  }
}

/** One request and its answer. After its end, its calls do nothing. */
export class Exchange {
  readonly #connection: Connection;
  readonly handler: ExchangeHandler;

  constructor(connection: Connection, handler: ExchangeHandler) {
    this.#connection = connection;
    this.handler = handler;
  }

  get #runs(): boolean {
    return this.#connection.exchange === this;
  }

  /** No more is read than is on its way already. */
  pause(): void {
    if (this.#runs) this.#connection.pause();
  }

  resume(): void {
    if (this.#runs) this.#connection.resume();
  }

  /** Ends it by the end of its connection; it fails for this reason. */
  abort(reason: Error): void {
    if (this.#runs) this.#connection.destroy(reason);
  }
}
