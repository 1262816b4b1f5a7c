import { createServer, type Server } from 'node:http';
import type { AddressInfo } from 'node:net';

/** A moderation server that flags texts with certain words in them. */
export class FakeModeration {
  readonly checked: string[] = [];
  /** What it does instead of its work. */
  fault: 'none' | 'status' | 'nonsense' | 'silence' = 'none';
  readonly #server: Server;

  private constructor(words: readonly string[]) {
    this.#server = createServer(async (request, response) => {
      const chunks: Buffer[] = [];
      for await (const chunk of request) chunks.push(chunk as Buffer);
      if (this.fault === 'silence') return;
      if (request.url !== '/v1/moderations' || request.headers['content-type'] !== 'application/json' || this.fault === 'status') {
        response.writeHead(500).end();
        return;
      }
      if (this.fault === 'nonsense') {
        response.writeHead(200, { 'content-type': 'application/json' }).end('{"results":[{"flagged":"maybe"}]}');
        return;
      }
      const { input } = JSON.parse(Buffer.concat(chunks).toString()) as { input: string };
      this.checked.push(input);
      response.writeHead(200, { 'content-type': 'application/json' });
      response.end(JSON.stringify({ id: 'm', model: 'fake', results: [{ flagged: words.some((word) => input.includes(word)) }] }));
    });
  }

  static async start(words: readonly string[]): Promise<FakeModeration> {
    const moderation = new FakeModeration(words);
    await new Promise<void>((resolve) => moderation.#server.listen(0, '127.0.0.1', resolve));
    return moderation;
  }

  get url(): string {
    return `http://127.0.0.1:${(this.#server.address() as AddressInfo).port}`;
  }

  async stop(): Promise<void> {
    this.#server.closeAllConnections();
    await new Promise((resolve) => this.#server.close(resolve));
  }
}
