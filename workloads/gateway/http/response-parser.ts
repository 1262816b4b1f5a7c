// Responses of HTTP/1.1 (RFC 9112), as a client reads them. Nothing is guessed: what two readers could understand in two ways is refused.

export type Headers = Readonly<Record<string, string>>;

/** Told of a response as it comes; `end` comes last, once. What `data` is given is the sink's own. */
export interface ResponseSink {
  head(status: number, headers: Headers): void;
  data(chunk: Buffer): void;
  end(): void;
}

const LONGEST_HEAD = 16 << 10;
const LONGEST_CHUNK_LINE = 1 << 10;
const END_OF_HEAD = Buffer.from('\r\n\r\n');
const CR = 0x0d;
const LF = 0x0a;
const STATUS_LINE = /^HTTP\/1\.([01]) ([1-5]\d\d)(?: [^\r\n\0]*)?$/;
const HEADER = /^([\w!#$%&'*+.^`|~-]+):[ \t]*([^\r\n\0]*?)[ \t]*$/;

type State = 'head' | 'counted' | 'untilClose' | 'chunkSize' | 'chunk' | 'chunkEnd' | 'trailer' | 'over';

/** Reads one response after the other from the bytes of one connection. */
export class ResponseParser {
  #sink: ResponseSink | null = null;
  #state: State = 'over';
  /** The beginning of something that is not there as a whole yet. */
  #rest: Buffer | null = null;
  /** Bytes that the body, or the chunk, still has. */
  #left = 0;
  #trailerBytes = 0;
  /** Whether the connection can carry another response after this one. */
  reusable = false;
  /** Seconds for which the server says that it keeps an idle connection; null = it says nothing. */
  keepAliveSeconds: number | null = null;

  /** A request is sent: what comes now is its response. */
  expect(sink: ResponseSink): void {
    this.#sink = sink;
    this.#state = 'head';
    this.reusable = false;
  }

  /** More bytes, which are not kept. Throws for what is no response; the connection is of no use then. */
  push(received: Buffer): void {
    const bytes = this.#rest === null ? received : Buffer.concat([this.#rest, received]);
    this.#rest = null;
    let at = 0;
    while (this.#state === 'head') {
      at = this.#head(bytes, at);
      if (at < 0) return;
    }
    if (this.#state === 'counted') at = this.#counted(bytes, at);
    else if (this.#state === 'untilClose') {
      if (at < bytes.length) this.#sink?.data(Buffer.from(bytes.subarray(at)));
      at = bytes.length;
    } else if (this.#state !== 'over') at = this.#chunked(bytes, at);
    if (this.#state !== 'over') return;
    // What comes behind the answer belongs to nothing.
    if (at < bytes.length) this.reusable = false;
    this.#end();
  }

  /** The connection has ended: whether that was the response's end, too. */
  close(): boolean {
    if (this.#state !== 'untilClose') return false;
    this.#state = 'over';
    this.#end();
    return true;
  }

  #end(): void {
    const sink = this.#sink;
    this.#sink = null;
    sink?.end();
  }

  /** Reads a head; where the body begins, or -1 while the head is not whole. */
  #head(bytes: Buffer, from: number): number {
    const end = bytes.indexOf(END_OF_HEAD, from);
    if ((end < 0 ? bytes.length : end) - from > LONGEST_HEAD) throw new Error(`headers of more than ${LONGEST_HEAD} bytes`);
    if (end < 0) {
      this.#keep(bytes, from);
      return -1;
    }
    const [first = '', ...lines] = bytes.toString('latin1', from, end).split('\r\n');
    const [, minor, code] = STATUS_LINE.exec(first) ?? [];
    if (code === undefined) throw new Error('it does not speak HTTP/1.1');
    const status = Number(code);
    const headers = headersOf(lines);
    if (status === 101) throw new Error('it changes the protocol, which nobody has asked for');
    // Others of these come before the response.
    if (status >= 200) this.#begin(status, headers, minor === '1');
    return end + END_OF_HEAD.length;
  }

  #begin(status: number, headers: Headers, persistent: boolean): void {
    const { connection, 'keep-alive': keepAlive, 'content-length': length, 'transfer-encoding': coding } = headers;
    if (coding !== undefined && coding.toLowerCase() !== 'chunked') throw new Error('it encodes its answer in a way that is not known');
    if (coding !== undefined && length !== undefined) throw new Error('it gives two lengths of its answer');
    if (length !== undefined && !/^\d{1,15}$/.test(length)) throw new Error('the length of its answer is no number');
    this.reusable = connection === undefined ? persistent : persistsBy(connection.toLowerCase(), persistent);
    if (keepAlive !== undefined) this.keepAliveSeconds = Number(/(?:^|[ ,])timeout=(\d{1,9})/.exec(keepAlive)?.[1] ?? Number.NaN) || null;
    if (status === 204 || status === 304) this.#state = 'over';
    else if (coding !== undefined) this.#state = 'chunkSize';
    else if (length !== undefined) {
      this.#left = Number(length);
      this.#state = this.#left === 0 ? 'over' : 'counted';
    } else {
      this.#state = 'untilClose';
      this.reusable = false;
    }
    this.#sink?.head(status, headers);
  }

  #counted(bytes: Buffer, from: number): number {
    const end = Math.min(bytes.length, from + this.#left);
    if (end === from) return end;
    this.#left -= end - from;
    if (this.#left === 0) this.#state = 'over';
    this.#sink?.data(Buffer.from(bytes.subarray(from, end)));
    return end;
  }

  /** The data of all chunks in these bytes, as one piece: to pass pieces on costs more than to copy them. */
  #chunked(bytes: Buffer, from: number): number {
    const payload = Buffer.allocUnsafe(bytes.length - from);
    let size = 0;
    let at = from;
    while (at < bytes.length && this.#state !== 'over') {
      if (this.#state === 'chunk') {
        const end = Math.min(bytes.length, at + this.#left);
        bytes.copy(payload, size, at, end);
        size += end - at;
        this.#left -= end - at;
        if (this.#left === 0) this.#state = 'chunkEnd';
        at = end;
        continue;
      }
      const end = bytes.indexOf(LF, at);
      if (end < 0) {
        if (bytes.length - at > LONGEST_CHUNK_LINE) throw new Error('a chunk of its answer has no size');
        this.#keep(bytes, at);
        at = bytes.length;
        break;
      }
      if (end === at || bytes[end - 1] !== CR) throw new Error('a line of its answer ends in a way that is not allowed');
      this.#line(bytes, at, end - 1);
      at = end + 1;
    }
    if (size > 0) this.#sink?.data(payload.subarray(0, size));
    return at;
  }

  /** One line between chunks. */
  #line(bytes: Buffer, from: number, end: number): void {
    if (this.#state === 'chunkEnd') {
      if (end > from) throw new Error('a chunk of its answer is longer than it says');
      this.#state = 'chunkSize';
    } else if (this.#state === 'chunkSize') {
      this.#left = chunkSize(bytes, from, end);
      this.#state = this.#left === 0 ? 'trailer' : 'chunk';
      this.#trailerBytes = 0;
    } else {
      this.#trailerBytes += end - from;
      if (this.#trailerBytes > LONGEST_HEAD) throw new Error(`headers of more than ${LONGEST_HEAD} bytes after its answer`);
      if (end === from) this.#state = 'over';
    }
  }

  #keep(bytes: Buffer, from: number): void {
    this.#rest = Buffer.from(bytes.subarray(from));
  }
}

function headersOf(lines: readonly string[]): Headers {
  const headers: Record<string, string> = Object.create(null);
  for (const line of lines) {
    const [, name, value] = HEADER.exec(line) ?? [];
    if (name === undefined || value === undefined) throw new Error('one of its headers is none');
    const key = name.toLowerCase();
    const before = headers[key];
    headers[key] = before === undefined ? value : `${before}, ${value}`;
  }
  return headers;
}

function persistsBy(connection: string, persistent: boolean): boolean {
  const options = connection.split(',').map((option) => option.trim());
  return options.includes('close') ? false : persistent || options.includes('keep-alive');
}

/** The hexadecimal number at a line's beginning; extensions behind it are of no interest. */
function chunkSize(bytes: Buffer, from: number, end: number): number {
  let size = 0;
  let at = from;
  for (; at < end; at++) {
    const byte = bytes[at] as number;
    const digit = byte >= 0x30 && byte <= 0x39 ? byte - 0x30 : (byte | 0x20) >= 0x61 && (byte | 0x20) <= 0x66 ? (byte | 0x20) - 0x57 : -1;
    if (digit < 0) break;
    size = size * 16 + digit;
  }
  const next = bytes[at];
  const ends = at === end || next === 0x3b || next === 0x20 || next === 0x09;
  if (at === from || at - from > 12 || !ends) throw new Error('the size of a chunk of its answer is no number');
  return size;
}
