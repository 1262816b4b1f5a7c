import { setTimeout as delay } from 'node:timers/promises';
import type { V1Lease } from '@kubernetes/client-node';
import { isAlreadyExists, isConflict, isNotFound, type KubeClient } from './client.ts';
import { LEASE } from './types.ts';

const URL_ANNOTATION = 'vicuna.run/url';
const RELEASE_MS = 2_000;

/** Monotonic time, and waiting in it; `sleep` ends early, without an error, when `signal` aborts. */
export interface LeaderClock {
  now(): number;
  sleep(ms: number, signal: AbortSignal): Promise<void>;
}

export interface LeaderElectorOptions {
  readonly client: Pick<KubeClient, 'get' | 'create' | 'replace'>;
  readonly namespace: string;
  readonly name: string;
  /** Unique to this process. */
  readonly identity: string;
  /** Where other copies reach this one. */
  readonly url: string;
  /** How long others wait, after they last saw the lease change, before they take it. Default 15. */
  readonly leaseSeconds?: number;
  /** How long the leader tries to renew before it gives up; less than `leaseSeconds`. Default 10. */
  readonly renewSeconds?: number;
  /** Between attempts. Default 2. */
  readonly retrySeconds?: number;
  readonly clock?: LeaderClock;
  readonly random?: () => number;
  readonly onFault?: (error: unknown) => void;
}

const REAL_CLOCK: LeaderClock = {
  now: () => performance.now(),
  sleep: (ms, signal) => delay(ms, undefined, { signal }).catch(() => undefined),
};

/**
 * One leader among several copies, with client-go's semantics: the lease is judged by when *this* process last saw it change, never
 * by the clocks written into it; who cannot renew in time stops leading before anyone else may start.
 */
export class LeaderElector {
  readonly #o: Required<Omit<LeaderElectorOptions, 'onFault'>> & Pick<LeaderElectorOptions, 'onFault'>;
  #observed: V1Lease | null = null;
  #observedAt = 0;
  #leading = false;
  /** When the request was sent with which the lease was last won or renewed. */
  #renewedAt = Number.NEGATIVE_INFINITY;

  constructor(options: LeaderElectorOptions) {
    this.#o = { leaseSeconds: 15, renewSeconds: 10, retrySeconds: 2, clock: REAL_CLOCK, random: Math.random, ...options };
  }

  /** Also false when this process was held up so long that it may have lost the lease without knowing. */
  isLeader(): boolean {
    return this.#leading && this.#renewableFor() > 0;
  }

  /** The leader's address, as far as is known; null while there is none. */
  leaderUrl(): string | null {
    const lease = this.#observed;
    if (lease === null || !lease.spec?.holderIdentity || this.#isExpired()) return null;
    return lease.metadata?.annotations?.[URL_ANNOTATION] ?? null;
  }

  /**
   * Campaigns, leads and renews until `signal` aborts or the lease is lost, then calls `onStopped` and returns. On abort the lease is
   * given back after `onStopped`, so that a successor need not wait for it to expire.
   */
  async run(
    callbacks: { onStarted: (signal: AbortSignal) => void; onStopped: () => Promise<void> | void },
    signal: AbortSignal,
  ): Promise<void> {
    if (!(await this.#campaign(signal))) return;
    this.#leading = true;
    const term = new AbortController();
    callbacks.onStarted(term.signal);
    await this.#renew(signal);
    this.#leading = false;
    term.abort();
    await callbacks.onStopped();
    if (signal.aborted) await this.#release();
  }

  async #campaign(signal: AbortSignal): Promise<boolean> {
    const { clock, retrySeconds, random } = this.#o;
    while (!signal.aborted) {
      if (await this.#attempt(this.#attemptMs, signal)) return true;
      // Jittered, so that copies that started together do not collide for ever.
      await clock.sleep(retrySeconds * 1000 * (1 + random() * 0.2), signal);
    }
    return false;
  }

  /** Returns when the lease could not be renewed in time, somebody else holds it, or `signal` aborts. */
  async #renew(signal: AbortSignal): Promise<void> {
    const { clock, identity, retrySeconds } = this.#o;
    while (!signal.aborted && this.#renewableFor() > 0) {
      await clock.sleep(Math.min(retrySeconds * 1000, this.#renewableFor()), signal);
      if (signal.aborted || this.#renewableFor() <= 0) return;
      const renewed = await this.#attempt(Math.min(this.#attemptMs, this.#renewableFor()), signal);
      if (!renewed && this.#observed?.spec?.holderIdentity !== identity) return;
    }
  }

  /** One request that hangs must not use up all the time there is to renew. */
  get #attemptMs(): number {
    return (this.#o.renewSeconds * 1000) / 2;
  }

  /** Milliseconds left until a leader that has not renewed must stop. */
  #renewableFor(): number {
    return this.#renewedAt + this.#o.renewSeconds * 1000 - this.#o.clock.now();
  }

  /** One attempt to win or renew the lease; given up after `ms`, and never throws. */
  async #attempt(ms: number, signal: AbortSignal): Promise<boolean> {
    const { clock, onFault } = this.#o;
    const startedAt = clock.now();
    try {
      const won = await this.#within(ms, signal, (limit) => this.#tryAcquireOrRenew(limit));
      if (won) this.#renewedAt = startedAt;
      return won;
    } catch (error) {
      if (!isConflict(error) && !isAlreadyExists(error) && !signal.aborted) onFault?.(error);
      return false;
    }
  }

  async #tryAcquireOrRenew(signal: AbortSignal): Promise<boolean> {
    const { client, namespace, name, identity } = this.#o;
    if (this.#leading && this.#observed !== null) {
      try {
        this.#observe(await client.replace(LEASE, this.#lease(this.#observed), { signal, attempts: 1 }));
        return true;
      } catch (error) {
        if (!isConflict(error) && !isNotFound(error)) throw error; // else look who changed it
      }
    }
    const current = await client.get(LEASE, namespace, name, { signal, attempts: 1 }).catch((error) => {
      if (isNotFound(error)) return null;
      throw error;
    });
    if (current === null) {
      this.#observe(await client.create(LEASE, this.#lease(null), { signal, attempts: 1 }));
      return true;
    }
    this.#observe(current);
    const holder = current.spec?.holderIdentity ?? '';
    if (holder !== '' && holder !== identity && !this.#isExpired()) return false;
    // The resourceVersion in it makes the second of two simultaneous takers fail.
    this.#observe(await client.replace(LEASE, this.#lease(current), { signal, attempts: 1 }));
    return true;
  }

  /** Gives the lease back, if it still is ours. */
  async #release(): Promise<void> {
    const { client, namespace, name, identity, onFault } = this.#o;
    const never = new AbortController().signal;
    const giveBack = async (limit: AbortSignal) => {
      // Read anew: a renewal that was cut off by the shutdown may have arrived all the same.
      const lease = await client.get(LEASE, namespace, name, { signal: limit, attempts: 1 });
      if (lease.spec?.holderIdentity !== identity) return;
      const released = { ...lease, spec: { ...lease.spec, holderIdentity: '', leaseDurationSeconds: 1, renewTime: microTime() } };
      this.#observe(await client.replace(LEASE, released as unknown as V1Lease, { signal: limit, attempts: 1 }));
    };
    await this.#within(RELEASE_MS, never, giveBack).catch((error) => onFault?.(error));
  }

  /** Runs `work` with a signal that aborts after `ms` or with `signal`; fails then even when `work` does not heed it. */
  async #within<R>(ms: number, signal: AbortSignal, work: (limit: AbortSignal) => Promise<R>): Promise<R> {
    const done = new AbortController();
    const late = new AbortController();
    const limit = AbortSignal.any([signal, late.signal]);
    void this.#o.clock
      .sleep(ms, done.signal)
      .then(() => late.abort(new Error(`the lease ${this.#o.name}: no answer within ${Math.round(ms)} ms`)));
    const { promise: cut, reject } = Promise.withResolvers<never>();
    const stop = () => reject(limit.reason);
    limit.addEventListener('abort', stop);
    try {
      return await Promise.race([work(limit), cut]);
    } finally {
      // Signals keep those who listen: without this, every renewal would stay in memory for as long as the process leads.
      limit.removeEventListener('abort', stop);
      done.abort();
    }
  }

  #observe(lease: V1Lease): void {
    const before = this.#observed;
    this.#observed = lease;
    if (before?.metadata?.resourceVersion !== lease.metadata?.resourceVersion) this.#observedAt = this.#o.clock.now();
  }

  #isExpired(): boolean {
    const seconds = this.#observed?.spec?.leaseDurationSeconds ?? this.#o.leaseSeconds;
    return this.#o.clock.now() - this.#observedAt >= seconds * 1000;
  }

  #lease(current: V1Lease | null): V1Lease {
    const { namespace, name, identity, url, leaseSeconds } = this.#o;
    const now = microTime();
    const held = current?.spec?.holderIdentity === identity;
    return {
      metadata: {
        ...(current?.metadata ?? { name, namespace }),
        annotations: { ...current?.metadata?.annotations, [URL_ANNOTATION]: url },
      },
      spec: {
        holderIdentity: identity,
        leaseDurationSeconds: leaseSeconds,
        acquireTime: held ? current?.spec?.acquireTime : now,
        renewTime: now,
        leaseTransitions: (current?.spec?.leaseTransitions ?? 0) + (held || current === null ? 0 : 1),
      },
    } as unknown as V1Lease;
  }
}

/** Leases carry microseconds. */
function microTime(): string {
  return new Date().toISOString().replace('Z', '000Z');
}
