import { setTimeout as delay } from 'node:timers/promises';
import type { V1Lease } from '@kubernetes/client-node';
import { isAlreadyExists, isConflict, isNotFound, type KubeClient } from './client.ts';
import { LEASE } from './types.ts';

const URL_ANNOTATION = 'vicuna.run/url';

export interface LeaderElectorOptions {
  readonly client: KubeClient;
  readonly namespace: string;
  readonly name: string;
  /** Unique to this process. */
  readonly identity: string;
  /** Where other copies reach this one. */
  readonly url: string;
  readonly leaseSeconds?: number;
  readonly renewSeconds?: number;
  readonly retrySeconds?: number;
  /** Monotonic milliseconds. */
  readonly clock?: () => number;
  readonly onFault?: (error: unknown) => void;
}

/**
 * One leader among several copies, with client-go's semantics: the lease is judged by when *this* process last saw it change, never
 * by the clocks written into it; who cannot renew in time stops leading before anyone else may start.
 */
export class LeaderElector {
  readonly #o: Required<Omit<LeaderElectorOptions, 'onFault'>> & Pick<LeaderElectorOptions, 'onFault'>;
  #observed: V1Lease | null = null;
  #observedAt = 0;
  #leading = false;

  constructor(options: LeaderElectorOptions) {
    this.#o = { leaseSeconds: 15, renewSeconds: 10, retrySeconds: 2, clock: () => performance.now(), ...options };
  }

  isLeader(): boolean {
    return this.#leading;
  }

  /** The leader's address, as far as is known; null while there is none. */
  leaderUrl(): string | null {
    const lease = this.#observed;
    if (lease === null || !lease.spec?.holderIdentity || this.#isExpired()) return null;
    return lease.metadata?.annotations?.[URL_ANNOTATION] ?? null;
  }

  /**
   * Campaigns, leads and renews until `signal` aborts or the lease is lost, then calls `onStopped` and returns. On abort the lease is
   * given back after `lead`'s own clean-up, so that a successor need not wait for it to expire.
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
    while (!signal.aborted) {
      if (await this.#tryAcquireOrRenew()) return true;
      await pause(this.#o.retrySeconds * 1000 * (1 + Math.random() * 0.2), signal);
    }
    return false;
  }

  /** Returns when the lease could not be renewed in time, or `signal` aborts. */
  async #renew(signal: AbortSignal): Promise<void> {
    const { clock, renewSeconds, retrySeconds } = this.#o;
    let renewedAt = clock();
    while (!signal.aborted) {
      await pause(retrySeconds * 1000, signal);
      if (signal.aborted) return;
      if (await this.#tryAcquireOrRenew()) renewedAt = clock();
      else if (this.#observed?.spec?.holderIdentity !== this.#o.identity && !this.#isExpired()) return; // somebody else holds it
      if (clock() - renewedAt > renewSeconds * 1000) return;
    }
  }

  async #tryAcquireOrRenew(): Promise<boolean> {
    const { client, namespace, name, identity, renewSeconds } = this.#o;
    const signal = AbortSignal.timeout((renewSeconds * 1000) / 2);
    try {
      const current = await client.get(LEASE, namespace, name, { signal }).catch((error) => {
        if (isNotFound(error)) return null;
        throw error;
      });
      if (current === null) {
        this.#observe(await client.create(LEASE, this.#lease(null), { signal }));
        return true;
      }
      this.#observe(current);
      const holder = current.spec?.holderIdentity ?? '';
      if (holder !== '' && holder !== identity && !this.#isExpired()) return false;
      // The resourceVersion in it makes the second of two simultaneous takers fail.
      this.#observe(await client.replace(LEASE, this.#lease(current), { signal }));
      return true;
    } catch (error) {
      if (!isConflict(error) && !isAlreadyExists(error)) this.#o.onFault?.(error);
      return false;
    }
  }

  #observe(lease: V1Lease): void {
    const before = this.#observed;
    this.#observed = lease;
    if (before?.metadata?.resourceVersion !== lease.metadata?.resourceVersion) this.#observedAt = this.#o.clock();
  }

  #isExpired(): boolean {
    const seconds = this.#observed?.spec?.leaseDurationSeconds ?? this.#o.leaseSeconds;
    return this.#o.clock() - this.#observedAt >= seconds * 1000;
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

  async #release(): Promise<void> {
    const lease = this.#observed;
    if (lease?.spec?.holderIdentity !== this.#o.identity) return;
    const now = microTime();
    const released = { ...lease, spec: { ...lease.spec, holderIdentity: '', leaseDurationSeconds: 1, renewTime: now, acquireTime: now } };
    await this.#o.client
      .replace(LEASE, released as unknown as V1Lease, { signal: AbortSignal.timeout(2_000) })
      .catch((error) => this.#o.onFault?.(error));
  }
}

/** Leases carry microseconds. */
function microTime(): string {
  return new Date().toISOString().replace('Z', '000Z');
}

async function pause(ms: number, signal: AbortSignal): Promise<void> {
  await delay(ms, undefined, { signal }).catch(() => undefined);
}
