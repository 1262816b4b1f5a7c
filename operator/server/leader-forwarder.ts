import { Agent as HttpAgent, request as httpRequest, type IncomingMessage, type RequestOptions, type ServerResponse } from 'node:http';
import { Agent as HttpsAgent, request as httpsRequest } from 'node:https';
import { pipeline } from 'node:stream/promises';
import type { Logger } from 'pino';
import { ProtocolError } from './protocol-error.ts';

/** Which copy of the operator leads. */
export type Leadership = {
  isLeader(): boolean;
  /** Where the leader's worker protocol is served, null while there is no leader. */
  leaderUrl(): string | null;
};

/** Marks a request that a standby has passed on: it is never passed on again. */
export const FORWARDED = 'vicuna-forwarded';

/** A long poll takes 30 s; anything slower is a leader that hangs. */
const ANSWER_TIMEOUT_MS = 40_000;
const CONNECT_TIMEOUT_MS = 2_000;
/** How often requests under way are compared with who leads now; a hung old leader would otherwise hold a worker for 40 s. */
const LEADER_CHECK_MS = 250;
const PASSED_ON = ['authorization', 'content-type', 'accept'];
const PASSED_BACK = ['content-type', 'content-length', 'retry-after', 'www-authenticate'];

/** Passes workers' requests on from a standby to the leader. */
export class LeaderForwarder {
  readonly #leader: Leadership;
  readonly #log: Logger;
  readonly #agents = { 'http:': new HttpAgent({ keepAlive: true }), 'https:': new HttpsAgent({ keepAlive: true }) };
  readonly #underWay = new Map<AbortController, string>();
  #check: NodeJS.Timeout | undefined;

  constructor({ leader, log }: { leader: Leadership; log: Logger }) {
    this.#leader = leader;
    this.#log = log;
  }

  /**
   * Has the leader answer the request at `path`, as it comes. The path is the caller's, made of checked parts: a request's own may name
   * another host. Throws ProtocolError 503 when there is no leader or it does not answer.
   */
  async forward(request: IncomingMessage, response: ServerResponse, path: string, body: Buffer | null): Promise<void> {
    if (request.headers[FORWARDED] !== undefined)
      throw noLeader('This copy of the operator does not lead, and the request was passed on to it');
    const leader = this.#leader.leaderUrl();
    if (leader === null) throw noLeader('No copy of the operator leads at present');
    if (response.destroyed) return;
    const cancel = new AbortController();
    const gone = () => cancel.abort();
    response.once('close', gone);
    this.#watch(cancel, leader);
    try {
      const headers = { ...pick(request.headers, PASSED_ON), [FORWARDED]: '1' };
      const answer = await this.#send(new URL(path, leader), { method: request.method, headers, signal: cancel.signal }, body);
      response.writeHead(answer.statusCode ?? 502, pick(answer.headers, PASSED_BACK));
      await pipeline(answer, response, { signal: cancel.signal });
    } catch (error) {
      if (response.destroyed || response.writableEnded) return;
      if (response.headersSent) {
        response.destroy(); // half an answer: the worker must see that it is not whole
        return;
      }
      this.#log.warn({ leader, err: error }, 'the leader did not answer a worker');
      throw noLeader('The leading copy of the operator did not answer');
    } finally {
      response.off('close', gone);
      this.#unwatch(cancel);
    }
  }

  /** Ends the requests under way and closes the connections to the leader. */
  async close(): Promise<void> {
    for (const cancel of [...this.#underWay.keys()]) cancel.abort();
    for (const agent of Object.values(this.#agents)) agent.destroy();
  }

  /** Node's own client: loading undici would take 10 MB of each copy's memory. Resolves with the answer's head. */
  #send(url: URL, options: RequestOptions, body: Buffer | null): Promise<IncomingMessage> {
    const secure = url.protocol === 'https:';
    const agent = this.#agents[secure ? 'https:' : 'http:'];
    return new Promise((resolve, reject) => {
      const sent = (secure ? httpsRequest : httpRequest)(url, { ...options, agent }, resolve);
      sent.once('error', reject);
      sent.once('socket', (socket) => {
        if (!socket.connecting) return;
        const late = setTimeout(() => sent.destroy(new Error(`no connection within ${CONNECT_TIMEOUT_MS} ms`)), CONNECT_TIMEOUT_MS);
        for (const event of ['connect', 'close'] as const) socket.once(event, () => clearTimeout(late));
      });
      sent.setTimeout(ANSWER_TIMEOUT_MS, () => sent.destroy(new Error(`no answer within ${ANSWER_TIMEOUT_MS} ms`)));
      sent.end(body);
    });
  }

  #watch(cancel: AbortController, leader: string): void {
    this.#underWay.set(cancel, leader);
    this.#check ??= setInterval(() => {
      const now = this.#leader.isLeader() ? null : this.#leader.leaderUrl();
      for (const [underWay, asked] of this.#underWay) if (asked !== now) underWay.abort();
    }, LEADER_CHECK_MS).unref();
  }

  #unwatch(cancel: AbortController): void {
    this.#underWay.delete(cancel);
    if (this.#underWay.size > 0) return;
    clearInterval(this.#check);
    this.#check = undefined;
  }
}

function noLeader(what: string): ProtocolError {
  return new ProtocolError('NoLeader', `${what}: train on and try again in a second.`, 1);
}

function pick(headers: Record<string, string | string[] | undefined>, names: string[]): Record<string, string | string[]> {
  const picked: Record<string, string | string[]> = {};
  for (const name of names) {
    const value = headers[name];
    if (value !== undefined) picked[name] = value;
  }
  return picked;
}
