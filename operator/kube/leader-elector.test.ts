import { getEventListeners } from 'node:events';
import type { V1Lease } from '@kubernetes/client-node';
import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { ApiError } from './api-error.ts';
import type { KubeClient } from './client.ts';
import { LeaderElector } from './leader-elector.ts';
import { SimulatedTime } from './testing/simulated-time.ts';

type LeaseApi = Pick<KubeClient, 'get' | 'create' | 'replace'>;
type Trouble = 'lost' | 'answer lost' | 'slow' | 'late' | 'refused';

/** One lease at an API server that every copy reaches over its own, possibly broken, connection. */
class LeaseServer {
  lease: V1Lease | null = null;
  #version = 0;
  readonly #time: SimulatedTime;

  constructor(time: SimulatedTime) {
    this.#time = time;
  }

  connection(): Connection {
    return new Connection(this.#time, this);
  }

  put(lease: V1Lease, mustExist: boolean): V1Lease {
    if (mustExist && this.lease?.metadata?.resourceVersion !== lease.metadata?.resourceVersion)
      throw new ApiError(409, 'Conflict', 'changed');
    if (!mustExist && this.lease) throw new ApiError(409, 'AlreadyExists', 'exists');
    this.lease = structuredClone({ ...lease, metadata: { ...lease.metadata, resourceVersion: String(++this.#version) } });
    return structuredClone(this.lease);
  }
}

class Connection {
  trouble: Trouble | null = null;
  requests = 0;
  signal: AbortSignal | undefined;
  readonly #time: SimulatedTime;
  readonly #server: LeaseServer;

  constructor(time: SimulatedTime, server: LeaseServer) {
    this.#time = time;
    this.#server = server;
  }

  readonly api = {
    get: () =>
      this.#call(() => {
        if (!this.#server.lease) throw new ApiError(404, 'NotFound', 'none');
        return structuredClone(this.#server.lease);
      }),
    create: (_: unknown, lease: V1Lease) => this.#call(() => this.#server.put(lease, false)),
    replace: (_: unknown, lease: V1Lease, { signal }: { signal?: AbortSignal } = {}) => {
      this.signal = signal;
      return this.#call(() => this.#server.put(lease, true));
    },
  } as unknown as LeaseApi;

  async #call<R>(work: () => R): Promise<R> {
    this.requests++;
    await this.#time.sleep(5);
    if (this.trouble === 'lost') return new Promise(() => undefined);
    if (this.trouble === 'refused') throw new ApiError(500, 'InternalError', 'told to fail');
    if (this.trouble === 'slow') await this.#time.sleep(6_000);
    const result = work();
    await this.#time.sleep(5);
    if (this.trouble === 'late') await this.#time.sleep(4_000);
    if (this.trouble === 'answer lost') return new Promise(() => undefined);
    return result;
  }
}

/** One copy of the operator. */
class Copy {
  readonly connection: Connection;
  readonly elector: LeaderElector;
  readonly told: string[] = [];
  readonly faults: unknown[] = [];
  readonly stop = new AbortController();
  ended = false;
  /** How long its work takes to end. */
  endsAfter = 0;
  term: AbortSignal | null = null;

  constructor(time: SimulatedTime, server: LeaseServer, name: string, random: () => number = () => 0.5) {
    this.connection = server.connection();
    this.elector = new LeaderElector({
      client: this.connection.api,
      namespace: 'ns',
      name: 'lease',
      identity: name,
      url: `http://${name}`,
      clock: time,
      random,
      onFault: (error) => this.faults.push(error),
    });
    const callbacks = {
      onStarted: (term: AbortSignal) => {
        this.told.push('started');
        this.term = term;
      },
      onStopped: async () => {
        this.told.push(`stopped, term ${this.term?.aborted ? 'over' : 'going on'}`);
        await time.sleep(this.endsAfter);
      },
    };
    void this.elector.run(callbacks, this.stop.signal).then(() => {
      this.ended = true;
    });
  }

  /** kill -9: its requests go nowhere, and it is asked nothing any more. */
  kill(): void {
    this.connection.trouble = 'lost';
  }
}

function world(count: number) {
  const time = new SimulatedTime();
  const server = new LeaseServer(time);
  const copies = Array.from({ length: count }, (_, i) => new Copy(time, server, `copy-${i}`));
  const [first, second] = copies as [Copy, Copy];
  /** Milliseconds until the copy leads. */
  const untilLeads = async (copy: Copy) => {
    const startedAt = time.now();
    while (!copy.elector.isLeader() && time.now() - startedAt < 60_000) await time.pass(50);
    return time.now() - startedAt;
  };
  return { time, server, copies, first, second, untilLeads };
}

describe('one leader', () => {
  it('the first copy to come leads, the others know where it is', async () => {
    const { time, server, first, second } = world(2);
    expect(first.elector.leaderUrl()).toBeNull();
    await time.pass(3_000);
    expect([first.elector.isLeader(), second.elector.isLeader()]).toEqual([true, false]);
    expect([first.elector.leaderUrl(), second.elector.leaderUrl()]).toEqual(['http://copy-0', 'http://copy-0']);
    expect(server.lease?.spec).toMatchObject({ holderIdentity: 'copy-0', leaseDurationSeconds: 15, leaseTransitions: 0 });
    await time.pass(3_600_000);
    expect([first.told, second.told, first.faults, second.faults]).toEqual([['started'], [], [], []]);
    expect(second.elector.leaderUrl()).toBe('http://copy-0');
  });

  it('renews with one request every two seconds', async () => {
    const { time, first } = world(1);
    await time.pass(10_000);
    const before = first.connection.requests;
    await time.pass(100_000);
    expect(first.connection.requests - before).toBeLessThanOrEqual(50);
  });

  it('killed: the next takes over after 15 s of silence, in under 20 s', async () => {
    const { time, server, first, second, untilLeads } = world(2);
    await time.pass(30_000);
    first.kill();
    const ms = await untilLeads(second);
    expect(ms).toBeGreaterThan(13_000);
    expect(ms).toBeLessThan(20_000);
    expect(second.elector.leaderUrl()).toBe('http://copy-1');
    expect(server.lease?.spec?.leaseTransitions).toBe(1);
  });

  it('shut down: gives the lease back after its last work, and the next takes over in under 3 s', async () => {
    const { time, first, second, untilLeads } = world(2);
    await time.pass(30_000);
    first.endsAfter = 1_000;
    first.stop.abort();
    await time.pass(900);
    expect([first.elector.isLeader(), second.elector.isLeader(), first.ended]).toEqual([false, false, false]);
    expect(await untilLeads(second)).toBeLessThan(3_000);
    expect([first.told, first.ended]).toEqual([['started', 'stopped, term over'], true]);
  });

  it('shut down while a renewal’s answer is lost: still gives the lease back', async () => {
    const { time, first, second, untilLeads } = world(2);
    await time.pass(30_000);
    first.connection.trouble = 'answer lost';
    await time.pass(2_500);
    first.stop.abort();
    first.connection.trouble = null;
    expect(await untilLeads(second)).toBeLessThan(3_000);
  });

  it('cut off: stops within 10 s of its last renewal, before anybody else may start', async () => {
    const { time, first, second } = world(2);
    await time.pass(30_000);
    first.connection.trouble = 'lost';
    let stoppedAt = 0;
    const startedAt = time.now();
    await time.pass(30_000, () => {
      if (!first.elector.isLeader()) stoppedAt ||= time.now();
      expect(first.elector.isLeader() && second.elector.isLeader()).toBe(false);
    });
    expect(stoppedAt - startedAt).toBeLessThanOrEqual(10_000);
    expect([first.told, first.ended, second.told]).toEqual([['started', 'stopped, term over'], true, ['started']]);
    expect(first.faults.length).toBeGreaterThan(0);
  });

  it('counts its time from when a renewal was sent: others may have seen it as early as that', async () => {
    const { time, first } = world(1);
    await time.pass(30_000);
    first.connection.trouble = 'late';
    const { requests } = first.connection;
    while (first.connection.requests === requests) await time.pass(10);
    const sentAt = time.now();
    await time.pass(4_500);
    first.connection.trouble = 'lost';
    while (first.elector.isLeader()) await time.pass(10);
    expect(time.now() - sentAt).toBeLessThanOrEqual(10_000);
  });

  it('lets go of every renewal', async () => {
    const { time, first } = world(1);
    await time.pass(30_000);
    expect(first.connection.signal && getEventListeners(first.connection.signal, 'abort')).toEqual([]);
  });

  it('robbed while shutting down: leaves the lease to its new holder', async () => {
    const { time, server, first } = world(1);
    await time.pass(30_000);
    first.endsAfter = 1_000;
    first.stop.abort();
    await time.pass(500);
    server.put({ ...server.lease, spec: { ...server.lease?.spec, holderIdentity: 'thief' } } as V1Lease, true);
    await time.pass(2_000);
    expect([first.ended, server.lease?.spec?.holderIdentity]).toEqual([true, 'thief']);
  });

  it('is nobody as soon as the lease may have expired, or was given back', async () => {
    const { time, first, second } = world(2);
    await time.pass(30_000);
    second.connection.trouble = 'lost';
    await time.pass(16_000);
    expect(second.elector.leaderUrl()).toBeNull();
    first.stop.abort();
    await time.pass(100);
    expect(first.elector.leaderUrl()).toBeNull();
  });

  it('refused for a while, or answered late: goes on leading', async () => {
    const { time, first } = world(2);
    await time.pass(30_000);
    for (const trouble of ['refused', 'slow', 'answer lost'] as const) {
      first.connection.trouble = trouble;
      await time.pass(5_000);
      first.connection.trouble = null;
      await time.pass(5_000);
      expect([trouble, first.elector.isLeader(), first.told]).toEqual([trouble, true, ['started']]);
    }
  });

  it('robbed of the lease: stops at once', async () => {
    const { time, server, first } = world(1);
    await time.pass(30_000);
    server.put({ ...server.lease, spec: { ...server.lease?.spec, holderIdentity: 'thief' } } as V1Lease, true);
    await time.pass(2_100);
    expect([first.elector.isLeader(), first.told]).toEqual([false, ['started', 'stopped, term over']]);
  });

  it('whose lease was deleted, or touched by somebody else: takes it again', async () => {
    const { time, server, first } = world(1);
    await time.pass(30_000);
    server.lease = null;
    await time.pass(5_000);
    expect([first.elector.isLeader(), server.lease === null]).toEqual([true, false]);
    const again = server.lease as unknown as V1Lease;
    server.put({ ...again, metadata: { ...again.metadata, labels: { a: 'b' } } }, true);
    await time.pass(5_000);
    expect([first.elector.isLeader(), first.told]).toEqual([true, ['started']]);
  });

  it('held up for long: knows at once, without a request, that it may not be the leader any more', async () => {
    const { time, first } = world(1);
    await time.pass(30_000);
    time.jump(10_001);
    expect(first.elector.isLeader()).toBe(false);
  });

  it('does not trust the clocks in a lease: one that is renewed is alive whatever it says, one that is not is dead', async () => {
    const time = new SimulatedTime();
    const server = new LeaseServer(time);
    const strange = (renewTime: string) =>
      ({
        metadata: server.lease?.metadata ?? { name: 'lease' },
        spec: { holderIdentity: 'other', leaseDurationSeconds: 15, renewTime },
      }) as unknown as V1Lease;
    server.put(strange('1999-01-01T00:00:00.000000Z'), false);
    const copy = new Copy(time, server, 'copy');
    for (let i = 0; i < 10; i++) {
      await time.pass(5_000);
      server.put(strange('1999-01-01T00:00:00.000000Z'), true);
    }
    expect(copy.elector.isLeader()).toBe(false);
    server.put(strange('2999-01-01T00:00:00.000000Z'), true);
    await time.pass(18_000);
    expect(copy.elector.isLeader()).toBe(true);
  });

  it('stopped before it ever led: ends without a word', async () => {
    const { time, second } = world(2);
    await time.pass(5_000);
    second.stop.abort();
    await time.pass(100);
    expect([second.ended, second.told]).toEqual([true, []]);
  });
});

describe('whatever happens to the connections', () => {
  it('there are never two leaders, and soon one again when they are well', async () => {
    const change = fc.record({
      copy: fc.nat(2),
      trouble: fc.constantFrom<Trouble | null>('lost', 'answer lost', 'slow', 'late', 'refused', null, null),
      after: fc.integer({ min: 1, max: 12_000 }),
    });
    await fc.assert(
      fc.asyncProperty(
        fc.array(change, { maxLength: 25 }),
        fc.infiniteStream(fc.double({ min: 0, max: 1, noNaN: true })),
        async (changes, randoms) => {
          const time = new SimulatedTime();
          const server = new LeaseServer(time);
          const random = () => randoms.next().value ?? 0.5;
          let copies = Array.from({ length: 3 }, (_, i) => new Copy(time, server, `copy-${i}`, random));
          const leaders = () => copies.filter((copy) => copy.elector.isLeader()).length;
          let most = 0;
          const look = () => {
            most = Math.max(most, leaders());
          };
          for (const { copy: i, trouble, after } of changes) {
            await time.pass(after, look);
            const copy = copies[i];
            if (copy) copy.connection.trouble = trouble;
          }
          for (const copy of copies) copy.connection.trouble = null;
          // Who lost the lease ends, and is started anew.
          await time.pass(10_000, look);
          copies = copies.map((copy, i) => (copy.ended ? new Copy(time, server, `again-${i}`, random) : copy));
          await time.pass(25_000, look);
          expect([most <= 1, leaders()]).toEqual([true, 1]);
        },
      ),
      { numRuns: 60, seed: 1 },
    );
  }, 60_000);
});
