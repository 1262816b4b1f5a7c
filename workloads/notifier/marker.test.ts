import type { V1Node } from '@kubernetes/client-node';
import { afterEach, beforeEach, describe, expect, it, vi } from 'vitest';
import { ApiError } from '../../operator/kube/api-error.ts';
import type { Announcement } from './announcement.ts';
import type { Log } from './log.ts';
import { NodeMarker } from './marker.ts';

const START = Date.parse('2026-01-01T00:00:00Z');
beforeEach(() => void vi.useFakeTimers({ now: START }));
afterEach(() => void vi.useRealTimers());

const notice: Announcement = { cause: 'spotPreemption', deadline: START + 120_000, estimated: false, words: 'is taken back' };

/** One node behind an API server that keeps resource versions, as far as the marker uses it. */
class FakeNode {
  node = { metadata: { name: 'n1', resourceVersion: '1' }, spec: {}, status: {} } as unknown as V1Node;
  /** Called before each request; throws what the server answers. */
  before: (verb: string) => void = () => undefined;
  readonly calls: string[] = [];

  #call(verb: string): void {
    this.calls.push(verb);
    this.before(verb);
  }

  get = async () => {
    this.#call('get');
    return structuredClone(this.node);
  };

  apply = async (_: unknown, object: object) => {
    this.#call('apply');
    const { conditions = [] } = (object as V1Node).status ?? {};
    const others = (this.node.status?.conditions ?? []).filter((c) => !conditions.some((n) => n.type === c.type));
    this.#write({ status: { conditions: [...others, ...conditions] } });
    return this.node;
  };

  mergePatch = async (_: unknown, __: unknown, ___: unknown, patch: object) => {
    this.#call('patch');
    const { metadata, spec } = patch as V1Node;
    if (metadata?.resourceVersion !== this.node.metadata?.resourceVersion)
      throw new ApiError(409, 'Conflict', 'the object has been modified');
    this.#write({ spec: { ...this.node.spec, ...spec } });
    return this.node;
  };

  #write(change: object): void {
    const resourceVersion = String(Number(this.node.metadata?.resourceVersion) + 1);
    this.node = { ...this.node, ...change, metadata: { ...this.node.metadata, resourceVersion } };
  }

  get taints() {
    return (this.node.spec?.taints ?? []).map((t) => t.key);
  }

  get condition() {
    return this.node.status?.conditions?.find((c) => c.type === 'vicuna.run/Interruption');
  }
}

function start(feeds = 1) {
  const api = new FakeNode();
  const lines: string[] = [];
  const log: Log = { info: (_, m) => lines.push(m), warn: (_, m) => lines.push(m), error: (_, m) => lines.push(`error: ${m}`) };
  const marker = new NodeMarker({ client: api as never, node: 'n1', now: () => Date.now(), log }, feeds);
  const stop = new AbortController();
  const done = marker.run(stop.signal);
  const end = async () => {
    stop.abort();
    await done;
  };
  return { api, marker, lines, end };
}

const pass = (ms: number) => vi.advanceTimersByTimeAsync(ms);

describe('marking a node', () => {
  it('at the notice, at once', async () => {
    const { api, marker, end } = start(3);
    marker.hear('a', [notice]);
    await pass(0);
    expect(api.taints).toEqual(['vicuna.run/interruption']);
    expect(api.condition?.status).toBe('True');
    await end();
  });

  it('goes on trying while the API server is away, and catches up when it is back', async () => {
    const { api, marker, end } = start();
    api.before = () => {
      throw new Error('ECONNREFUSED');
    };
    marker.hear('a', [notice]);
    await pass(60_000);
    expect(api.taints).toEqual([]);
    expect(api.calls.length).toBeGreaterThan(25);
    api.before = () => undefined;
    await pass(2_000);
    expect(api.taints).toEqual(['vicuna.run/interruption']);
    await end();
  });

  it('says that it was too late, and still goes on', async () => {
    const { api, marker, lines, end } = start();
    api.before = () => {
      throw new Error('ECONNREFUSED');
    };
    marker.hear('a', [notice]);
    await pass(200_000);
    expect(lines).toContain('error: the node could not be marked before the deadline');
    api.before = () => undefined;
    await pass(10_000);
    expect(api.taints).toEqual(['vicuna.run/interruption']);
    await end();
  });

  it('taints although the status may not be written', async () => {
    const { api, marker, end } = start();
    api.before = (verb) => {
      if (verb === 'apply') throw new ApiError(403, 'Forbidden', 'nodes/status is forbidden');
    };
    marker.hear('a', [notice]);
    await pass(0);
    expect(api.taints).toEqual(['vicuna.run/interruption']);
    expect(api.condition).toBeUndefined();
    await end();
  });

  it('does not lose a taint that somebody else adds at the same moment', async () => {
    const { api, marker, end } = start();
    let gets = 0;
    api.before = (verb) => {
      const spec = { taints: [{ key: 'theirs', effect: 'NoSchedule' }] };
      if (verb === 'get' && ++gets === 2) api.node = { ...api.node, spec, metadata: { ...api.node.metadata, resourceVersion: '9' } };
    };
    marker.hear('a', [notice]);
    await pass(500);
    expect(api.taints).toEqual(['theirs', 'vicuna.run/interruption']);
    await end();
  });

  it('marks again when the marks were lost', async () => {
    const { api, marker, end } = start();
    marker.hear('a', [notice]);
    await pass(0);
    api.node = { ...api.node, spec: {} };
    await pass(10_000);
    expect(api.taints).toEqual(['vicuna.run/interruption']);
    await end();
  });

  it('withdraws what was announced', async () => {
    const { api, marker, end } = start();
    marker.hear('a', [notice]);
    await pass(0);
    marker.hear('a', []);
    await pass(0);
    expect(api.taints).toEqual([]);
    expect(api.condition).toMatchObject({ status: 'False', reason: 'NothingAnnounced' });
    await end();
  });

  it('keeps the taint to withdraw when only half of it worked', async () => {
    const { api, marker, end } = start();
    marker.hear('a', [notice]);
    await pass(0);
    api.before = (verb) => {
      if (verb === 'patch') throw new Error('ECONNRESET');
    };
    marker.hear('a', []);
    await pass(300);
    api.before = () => undefined;
    await pass(2_000);
    expect(api.taints).toEqual([]);
    expect(api.condition?.status).toBe('False');
    await end();
  });

  it('touches nothing before every feed has been heard, and nothing when there is nothing', async () => {
    const { api, marker, end } = start(2);
    marker.hear('a', []);
    await pass(30_000);
    expect(api.calls).toEqual([]);
    marker.hear('b', []);
    await pass(30_000);
    expect(api.calls).toEqual(['get']);
    await end();
  });

  it('takes the most urgent of what several feeds say', async () => {
    const { api, marker, end } = start(2);
    marker.hear('a', [{ ...notice, cause: 'rebalance', deadline: null }]);
    marker.hear('b', [notice]);
    await pass(0);
    expect(api.condition?.reason).toBe('SpotPreemption');
    await end();
  });
});
