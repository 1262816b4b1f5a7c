import { once } from 'node:events';
import { createServer, type IncomingMessage, type Server, type ServerResponse } from 'node:http';
import type { AddressInfo } from 'node:net';

type Answer = { status: number; body?: string; headers?: Record<string, string> };
/** Instead of what the service would say, for as long as it is set: an answer, or anything done with the response. */
type Trouble = Answer | ((response: ServerResponse) => void);

/** A metadata service of one cloud, as strict as the real one: what it would refuse is refused here. */
abstract class FakeMetadata {
  readonly requests: string[] = [];
  /** What the Date header says; null = no such header. */
  date: (() => number) | null = Date.now;
  trouble: Trouble | null = null;
  readonly #server: Server;

  constructor() {
    this.#server = createServer((request, response) => {
      this.requests.push(`${request.method} ${request.url}`);
      response.sendDate = false;
      if (this.date) response.setHeader('date', new Date(this.date()).toUTCString());
      if (typeof this.trouble === 'function') this.trouble(response);
      else if (this.trouble) send(response, this.trouble);
      else void this.answer(request).then((answer) => send(response, answer));
    });
  }

  protected abstract answer(request: IncomingMessage): Promise<Answer>;

  async start(host = '127.0.0.1'): Promise<this> {
    this.#server.listen(0, host);
    await once(this.#server, 'listening');
    return this;
  }

  get url(): string {
    const { address, port } = this.#server.address() as AddressInfo;
    return `http://${address}:${port}`;
  }

  close(): void {
    this.#server.closeAllConnections();
    this.#server.close();
  }
}

function send(response: ServerResponse, { status, body = '', headers = {} }: Answer): void {
  if (response.destroyed) return;
  for (const [name, value] of Object.entries(headers)) response.setHeader(name, value);
  response.writeHead(status);
  response.end(body);
}

/** EC2's, in its second version only: every GET needs a token that was PUT for. */
export class FakeAws extends FakeMetadata {
  /** What lies at a path below /latest/meta-data/; anything else is 404. */
  readonly paths = new Map<string, string>();
  tokens = new Set<string>();
  #issued = 0;

  protected async answer({ method, url = '', headers }: IncomingMessage): Promise<Answer> {
    if (headers['x-forwarded-for'] !== undefined) return { status: 403 };
    if (url === '/latest/api/token') {
      if (method !== 'PUT') return { status: 405 };
      const ttl = Number(headers['x-aws-ec2-metadata-token-ttl-seconds']);
      if (!(ttl >= 1 && ttl <= 21_600)) return { status: 400 };
      const token = `token-${++this.#issued}==`;
      this.tokens.add(token);
      return { status: 200, body: token };
    }
    if (method !== 'GET') return { status: 405 };
    if (!this.tokens.has(String(headers['x-aws-ec2-metadata-token']))) return { status: 401 };
    const body = this.paths.get(url.replace('/latest/meta-data/', ''));
    return body === undefined ? { status: 404, body: '<html>404 - Not Found</html>' } : { status: 200, body };
  }
}

/** Google's: answers at once, or when the value changes, as it is asked to. */
export class FakeGcp extends FakeMetadata {
  readonly #values = new Map([
    ['preempted', 'FALSE'],
    ['maintenance-event', 'NONE'],
  ]);
  #waiting: (() => void)[] = [];

  /** How many requests wait for a change now. */
  get waiting(): number {
    return this.#waiting.length;
  }

  set(key: 'preempted' | 'maintenance-event', value: string): void {
    this.#values.set(key, value);
    for (const wake of this.#waiting.splice(0)) wake();
  }

  protected async answer({ method, url = '', headers }: IncomingMessage): Promise<Answer> {
    if (headers['metadata-flavor'] !== 'Google') return { status: 403, body: 'Missing required header "Metadata-Flavor: Google".' };
    if (method !== 'GET') return { status: 405 };
    const { pathname, searchParams } = new URL(url, this.url);
    const key = /^\/computeMetadata\/v1\/instance\/([a-z-]+)$/.exec(pathname)?.[1] ?? '';
    const known = ['wait_for_change', 'timeout_sec', 'last_etag'];
    if ([...searchParams.keys()].some((name) => !known.includes(name))) return { status: 400 };
    if (!this.#values.has(key)) return { status: 404 };
    const value = () => this.#values.get(key) ?? '';
    const etag = () => Buffer.from(`${key}=${value()}`).toString('hex').slice(-16);
    const until = Date.now() + Number(searchParams.get('timeout_sec') ?? 3_600) * 1_000;
    while (searchParams.get('wait_for_change') === 'true' && searchParams.get('last_etag') === etag() && Date.now() < until) {
      await new Promise<void>((resolve) => {
        const timer = setTimeout(resolve, until - Date.now());
        this.#waiting.push(() => {
          clearTimeout(timer);
          resolve();
        });
      });
    }
    return { status: 200, body: value(), headers: { 'metadata-flavor': 'Google', etag: etag(), 'content-type': 'application/text' } };
  }
}

export interface AzureEvent {
  readonly EventId: string;
  readonly EventStatus: 'Scheduled' | 'Started';
  readonly EventType: string;
  readonly ResourceType: 'VirtualMachine';
  readonly Resources: readonly string[];
  readonly NotBefore: string;
}

/** Azure's: one list of events for a whole scale set. */
export class FakeAzure extends FakeMetadata {
  name = 'aks-gpu_7';
  events: AzureEvent[] = [];
  readonly started: string[] = [];

  protected async answer(request: IncomingMessage): Promise<Answer> {
    const { method, url = '', headers } = request;
    if (headers.metadata !== 'true' || headers['x-forwarded-for'] !== undefined) return { status: 400, body: '{"error":"Bad request"}' };
    const { pathname, searchParams } = new URL(url, this.url);
    if (!/^\d{4}-\d{2}-\d{2}$/.test(searchParams.get('api-version') ?? '')) return { status: 400, body: '{"error":"api-version"}' };
    if (pathname === '/metadata/instance/compute/name')
      return searchParams.get('format') === 'text' ? { status: 200, body: this.name } : { status: 400 };
    if (pathname !== '/metadata/scheduledevents') return { status: 404 };
    if (method === 'GET') return { status: 200, body: JSON.stringify({ DocumentIncarnation: 1, Events: this.events }) };
    if (method !== 'POST') return { status: 405 };
    let text = '';
    for await (const chunk of request) text += chunk;
    const ids: string[] = (JSON.parse(text) as { StartRequests: { EventId: string }[] }).StartRequests.map((r) => r.EventId);
    if (!ids.every((id) => this.events.some((e) => e.EventId === id))) return { status: 400 };
    this.started.push(...ids);
    return { status: 200 };
  }
}
