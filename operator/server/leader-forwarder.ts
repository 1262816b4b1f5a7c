import type { IncomingMessage, ServerResponse } from 'node:http';
import { pipeline } from 'node:stream/promises';
import type { Logger } from 'pino';
import { Agent, request as send } from 'undici';
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
  readonly #agent = new Agent({
    connect: { timeout: CONNECT_TIMEOUT_MS },
    headersTimeout: ANSWER_TIMEOUT_MS,
    bodyTimeout: ANSWER_TIMEOUT_MS,
  });
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
      const answer = await send(new URL(path, leader), {
        dispatcher: this.#agent,
        method: request.method as 'GET' | 'POST',
        headers: { ...pick(request.headers, PASSED_ON), [FORWARDED]: '1' },
        body,
        signal: cancel.signal,
      });
      response.writeHead(answer.statusCode, pick(answer.headers, PASSED_BACK));
      await pipeline(answer.body, response, { signal: cancel.signal });
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
    await this.#agent.destroy();
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
