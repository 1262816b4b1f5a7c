import { createServer, type IncomingMessage, type ServerResponse } from 'node:http';
import { type AddressInfo, connect } from 'node:net';
import { describe, expect, it } from 'vitest';
import { type Headers, ResponseParser } from './response-parser.ts';

interface Read {
  readonly responses: { status: number; headers: Headers; body: string; ended: boolean }[];
  readonly parser: ResponseParser;
  push(bytes: Buffer): void;
}

function reader(): Read {
  const responses: Read['responses'] = [];
  const parser = new ResponseParser();
  const expectNext = () =>
    parser.expect({
      head: (status, headers) => responses.push({ status, headers, body: '', ended: false }),
      data(chunk) {
        const last = responses.at(-1);
        if (last) last.body += chunk.toString('latin1');
      },
      end() {
        const last = responses.at(-1);
        if (last) last.ended = true;
      },
    });
  expectNext();
  return { responses, parser, push: (bytes) => parser.push(bytes) };
}

function read(...pieces: string[]): Read {
  const one = reader();
  for (const piece of pieces) one.push(Buffer.from(piece, 'latin1'));
  return one;
}

const OK = 'HTTP/1.1 200 OK\r\n';

describe('a response', () => {
  it.each([
    ['with a length', `${OK}Content-Type: a/b\r\ncontent-length: 5\r\n\r\nhello`, 'hello', true],
    ['without a body', `${OK}content-length: 0\r\n\r\n`, '', true],
    ['without content', 'HTTP/1.1 204 No Content\r\n\r\n', '', true],
    [
      'in chunks',
      `${OK}transfer-encoding: chunked\r\n\r\n5\r\nhello\r\n0011;ext="a"\r\n, and good night.\r\n0\r\n\r\n`,
      'hello, and good night.',
      true,
    ],
    [
      'in chunks with upper-case sizes and trailers',
      `${OK}Transfer-Encoding: Chunked\r\n\r\nA\r\n0123456789\r\n0\r\nx: y\r\nz: 1\r\n\r\n`,
      '0123456789',
      true,
    ],
    [
      'after ones that come before it',
      `HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 103 Early Hints\r\nlink: a\r\n\r\n${OK}content-length: 2\r\n\r\nhi`,
      'hi',
      true,
    ],
    ['of a server that closes', `${OK}connection: Close\r\ncontent-length: 2\r\n\r\nhi`, 'hi', false],
    ['of an old server', 'HTTP/1.0 200 OK\r\ncontent-length: 2\r\n\r\nhi', 'hi', false],
    ['of an old server that keeps connections', 'HTTP/1.0 200\r\nconnection: keep-alive\r\ncontent-length: 2\r\n\r\nhi', 'hi', true],
  ])('%s is the same wherever it is cut', (_, text, body, reusable) => {
    const bytes = Buffer.from(text, 'latin1');
    for (let cut = 0; cut <= bytes.length; cut++) {
      const { responses, parser, push } = reader();
      push(bytes.subarray(0, cut));
      if (cut < bytes.length) push(bytes.subarray(cut));
      expect(responses, `cut at ${cut}`).toMatchObject([{ body, ended: true }]);
      expect(parser.reusable).toBe(reusable);
    }
    const byBytes = read(...text);
    expect(byBytes.responses).toMatchObject([{ body, ended: true }]);
  });

  it('has its headers by their names in lower case, repeated ones joined', () => {
    const { responses } = read(`${OK}Content-Length: 0\r\nX-A:  one \r\nx-a: two\r\nempty:\r\n__proto__: x\r\n\r\n`);
    expect({ ...responses[0]?.headers }).toEqual({ 'content-length': '0', 'x-a': 'one, two', empty: '', ['__proto__']: 'x' });
  });

  it('without a length ends with its connection', () => {
    const { responses, parser } = read(`${OK}\r\n`, 'all ', 'of it');
    expect(responses).toMatchObject([{ body: 'all of it', ended: false }]);
    expect(parser.close()).toBe(true);
    expect(responses).toMatchObject([{ ended: true }]);
    expect(parser.reusable).toBe(false);
  });

  it.each([
    ['in its headers', OK],
    ['in a body with a length', `${OK}content-length: 5\r\n\r\nhell`],
    ['before the last chunk', `${OK}transfer-encoding: chunked\r\n\r\n5\r\nhello\r\n`],
    ['before its trailers end', `${OK}transfer-encoding: chunked\r\n\r\n0\r\n`],
  ])('whose connection ends %s is not whole', (_, text) => {
    const { responses, parser } = read(text);
    expect(parser.close()).toBe(false);
    expect(responses.filter((r) => r.ended)).toEqual([]);
  });

  it('with something behind it leaves a connection that is of no more use', () => {
    expect(read(`${OK}content-length: 2\r\n\r\nhi there`)).toMatchObject({
      responses: [{ body: 'hi', ended: true }],
      parser: { reusable: false },
    });
  });

  it('tells how long its connection is kept', () => {
    expect(read(`${OK}keep-alive: timeout=5, max=100\r\ncontent-length: 0\r\n\r\n`).parser.keepAliveSeconds).toBe(5);
    expect(read(`${OK}keep-alive: max=100\r\ncontent-length: 0\r\n\r\n`).parser.keepAliveSeconds).toBeNull();
  });

  it('brings the data of all chunks that came together in one piece', () => {
    const pieces: string[] = [];
    const parser = new ResponseParser();
    parser.expect({ head: () => {}, data: (chunk) => pieces.push(chunk.toString()), end: () => {} });
    const bytes = Buffer.from(`${OK}transfer-encoding: chunked\r\n\r\n1\r\na\r\n1\r\nb\r\n1\r\nc\r\n0\r\n\r\n`);
    parser.push(bytes);
    bytes.fill(0);
    expect(pieces).toEqual(['abc']);
  });
});

describe('what is no response is refused:', () => {
  it.each([
    ['another protocol', 'SSH-2.0-OpenSSH_9.2\r\n\r\n'],
    ['HTTP/2', 'HTTP/2 200\r\n\r\n'],
    ['a status of two digits', 'HTTP/1.1 20 OK\r\n\r\n'],
    ['a change of protocol', 'HTTP/1.1 101 Switching Protocols\r\nupgrade: x\r\n\r\n'],
    ['a header without colon', `${OK}content-length\r\n\r\n`],
    ['a space before the colon', `${OK}content-length : 3\r\n\r\nabc`],
    ['a continued header', `${OK}x: a\r\n b\r\ncontent-length: 0\r\n\r\n`],
    ['a zero byte in a header', `${OK}x: a\0b\r\ncontent-length: 0\r\n\r\n`],
    ['a lone line feed in a header', `${OK}x: a\ncontent-length: 0\r\n\r\n`],
    ['two lengths that differ', `${OK}content-length: 2\r\ncontent-length: 3\r\n\r\nabc`],
    ['a negative length', `${OK}content-length: -1\r\n\r\n`],
    ['a length with a sign', `${OK}content-length: +3\r\n\r\nabc`],
    ['a length beyond all measure', `${OK}content-length: ${'9'.repeat(16)}\r\n\r\n`],
    ['a length and chunks', `${OK}content-length: 3\r\ntransfer-encoding: chunked\r\n\r\n3\r\nabc\r\n0\r\n\r\n`],
    ['a coding that nobody asked for', `${OK}transfer-encoding: gzip, chunked\r\n\r\n`],
    ['a chunk without size', `${OK}transfer-encoding: chunked\r\n\r\n\r\nabc`],
    ['a size that is no number', `${OK}transfer-encoding: chunked\r\n\r\n0x3\r\nabc\r\n`],
    ['a size beyond all measure', `${OK}transfer-encoding: chunked\r\n\r\n${'f'.repeat(13)}\r\n`],
    ['a size line that ends with a line feed only', `${OK}transfer-encoding: chunked\r\n\r\n3\nabc\r\n0\r\n\r\n`],
    ['a chunk longer than its size', `${OK}transfer-encoding: chunked\r\n\r\n3\r\nabcd\r\n`],
    ['headers without end', `${OK}x: ${'a'.repeat(17_000)}`],
    ['large headers', `${OK}x: ${'a'.repeat(17_000)}\r\n\r\n`],
    ['a size line without end', `${OK}transfer-encoding: chunked\r\n\r\n1;${'a'.repeat(1_100)}`],
    ['trailers without end', `${OK}transfer-encoding: chunked\r\n\r\n0\r\n${`x: ${'a'.repeat(1_000)}\r\n`.repeat(17)}`],
  ])('%s', (_, text) => {
    expect(() => read(text)).toThrow(/./);
    expect(() => read(...text)).toThrow(/./);
  });
});

it('reads what Node’s own server sends, in whatever pieces', async () => {
  const bodies = ['', 'a', 'b'.repeat(70_000), 'word '.repeat(300)];
  let answer: (request: IncomingMessage, response: ServerResponse) => void = () => {};
  const server = createServer((request, response) => answer(request, response));
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  const { port } = server.address() as AddressInfo;
  for (const body of bodies) {
    for (const size of [1, 7, 4_096]) {
      answer = (_, response) => {
        response.writeHead(200, { 'content-type': 'text/plain' });
        for (let i = 0; i < body.length; i += Math.max(size, body.length / 100))
          response.write(body.slice(i, i + Math.max(size, body.length / 100)));
        response.end();
      };
      const one = reader();
      const socket = connect(port, '127.0.0.1').on('data', (data) => one.push(data));
      socket.write('GET / HTTP/1.1\r\nhost: a\r\nconnection: close\r\n\r\n');
      await new Promise((resolve) => socket.once('close', resolve));
      expect(one.responses).toMatchObject([{ status: 200, ended: true }]);
      expect(one.responses[0]?.body).toBe(body);
    }
  }
  server.close();
});
