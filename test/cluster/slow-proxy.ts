import { connect, createServer, type Server, type Socket } from 'node:net';
import { Transform } from 'node:stream';

/** What the line holds; a sender that is further ahead waits. */
const ON_THE_WAY_BYTES = 64 * 1024 * 1024;

/** Stands before a server and holds back what passes, as distance or a busy store would; `cut` ends all connections in the middle. */
export class SlowProxy {
  /** Milliseconds by which every piece of data is late, in each direction; may change at any time. */
  latencyMs: number;
  readonly #server: Server;
  readonly #sockets = new Set<Socket>();
  readonly #address: string;

  private constructor(server: Server, address: string, latencyMs: number) {
    this.#server = server;
    this.#address = address;
    this.latencyMs = latencyMs;
  }

  /** `target` is the URL of the server behind; the proxy listens on `address`, at a port of its own. */
  static async start({ target, address, latencyMs }: { target: string; address: string; latencyMs: number }): Promise<SlowProxy> {
    const { hostname, port } = new URL(target);
    const server = createServer();
    const proxy = new SlowProxy(server, address, latencyMs);
    server.on('connection', (client) => proxy.#join(client, connect(Number(port), hostname)));
    await new Promise<void>((resolve, reject) => {
      server.once('error', reject);
      server.listen(0, address, resolve);
    });
    return proxy;
  }

  get url(): string {
    return `http://${this.#address}:${(this.#server.address() as { port: number }).port}`;
  }

  #join(client: Socket, upstream: Socket): void {
    for (const [from, to] of [
      [client, upstream],
      [upstream, client],
    ] as const) {
      this.#sockets.add(from);
      from.on('error', () => to.destroy());
      from.on('close', () => {
        this.#sockets.delete(from);
        // What is still held back arrives; a connection that broke takes the other side with it.
        if (from.errored) to.destroy();
      });
      from.pipe(this.#delay()).pipe(to);
    }
  }

  /** Every piece waits its own time, not for the one before it: distance makes data late, it does not make the line narrow. */
  #delay(): Transform {
    let last = Promise.resolve();
    let held = 0;
    const stream: Transform = new Transform({
      transform: (chunk: Buffer, _encoding, done) => {
        held += chunk.length;
        const arrival = new Promise<void>((resolve) => setTimeout(resolve, this.latencyMs));
        last = Promise.all([last, arrival]).then(() => {
          held -= chunk.length;
          stream.push(chunk);
        });
        if (held < ON_THE_WAY_BYTES) done();
        else void last.then(() => done());
      },
      flush: (done) => void last.then(() => done()),
    });
    return stream;
  }

  /** Ends every connection that is open now; new ones are served. */
  cut(): void {
    for (const socket of this.#sockets) socket.resetAndDestroy();
  }

  async stop(): Promise<void> {
    const closed = new Promise((resolve) => this.#server.close(resolve));
    this.cut();
    await closed;
  }
}
