import type { CoreV1Event } from '@kubernetes/client-node';
import { describe, expect, it } from 'vitest';
import { ApiError } from './api-error.ts';
import { EventRecorder } from './events.ts';
import type { KubeObject } from './types.ts';

const training: KubeObject = {
  apiVersion: 'vicuna.run/v1alpha1',
  kind: 'VicunaTraining',
  metadata: { name: 'a', namespace: 'ns', uid: 'u-1' },
};
const pool: KubeObject = { apiVersion: 'vicuna.run/v1alpha1', kind: 'GpuPool', metadata: { name: 'p', uid: 'u-2' } };
const started = { type: 'Normal', reason: 'Started', message: 'generation 1 runs' } as const;

/** Takes events as the API server does, as long as it is allowed to. */
class EventServer {
  readonly events: CoreV1Event[] = [];
  readonly patches: [string, object][] = [];
  answer: () => Promise<void> = async () => undefined;

  readonly client = {
    create: async (_: unknown, event: CoreV1Event) => {
      await this.answer();
      this.events.push(event);
      return event;
    },
    mergePatch: async (_: unknown, namespace: string, name: string, patch: object) => {
      await this.answer();
      if (!this.events.some((e) => e.metadata.name === name && e.metadata.namespace === namespace))
        throw new ApiError(404, 'NotFound', 'gone');
      this.patches.push([name, patch]);
      return patch;
    },
  } as unknown as ConstructorParameters<typeof EventRecorder>[0];
}

function setUp() {
  const server = new EventServer();
  const clock = { now: Date.parse('2026-01-01T00:00:00Z') };
  return { server, clock, recorder: new EventRecorder(server.client, 'vicuna-operator', () => clock.now) };
}

describe('events', () => {
  it('say what happened to which object', async () => {
    const { server, recorder } = setUp();
    recorder.event(training, started);
    await recorder.flush();
    expect(server.events).toMatchObject([
      {
        metadata: { namespace: 'ns', name: expect.stringMatching(/^a\.[0-9a-f]+$/) },
        involvedObject: { apiVersion: 'vicuna.run/v1alpha1', kind: 'VicunaTraining', namespace: 'ns', name: 'a', uid: 'u-1' },
        type: 'Normal',
        reason: 'Started',
        message: 'generation 1 runs',
        source: { component: 'vicuna-operator' },
        firstTimestamp: '2026-01-01T00:00:00.000Z',
        count: 1,
      },
    ]);
  });

  it('about cluster-scoped objects live in "default" without claiming that the object does', async () => {
    const { server, recorder } = setUp();
    recorder.event(pool, started);
    await recorder.flush();
    expect([server.events[0]?.metadata.namespace, server.events[0]?.involvedObject.namespace]).toEqual(['default', undefined]);
  });

  it('fit into the API’s limits, however long the name and the message', async () => {
    const { server, recorder } = setUp();
    recorder.event({ ...training, metadata: { ...training.metadata, name: 'n'.repeat(253) } }, { ...started, message: 'm'.repeat(5_000) });
    await recorder.flush();
    expect(server.events[0]?.metadata.name?.length).toBeLessThanOrEqual(253);
    expect(server.events[0]?.message?.length).toBe(1_024);
  });

  it('that happen again within ten minutes are counted up; another message, object or a later time is another event', async () => {
    const { server, clock, recorder } = setUp();
    for (let i = 0; i < 3; i++) {
      recorder.event(training, started);
      clock.now += 60_000;
    }
    recorder.event(training, { ...started, message: 'generation 2 runs' });
    recorder.event(pool, started);
    await recorder.flush();
    expect(server.events).toHaveLength(3);
    const name = server.events[0]?.metadata.name;
    expect(server.patches).toEqual([
      [name, { count: 2, lastTimestamp: '2026-01-01T00:01:00.000Z' }],
      [name, { count: 3, lastTimestamp: '2026-01-01T00:02:00.000Z' }],
    ]);
    clock.now += 10 * 60_000;
    recorder.event(training, started);
    await recorder.flush();
    expect(server.events).toHaveLength(4);
    expect(new Set(server.events.map((e) => e.metadata.name)).size).toBe(4);
  });

  it('whose first is gone from the server are written anew', async () => {
    const { server, recorder } = setUp();
    recorder.event(training, started);
    await recorder.flush();
    server.events.length = 0;
    recorder.event(training, started);
    await recorder.flush();
    expect(server.events).toHaveLength(1);
    expect(recorder.dropped).toBe(0);
  });

  it('never hold anything up: with a server that hangs, a thousand wait and the rest is dropped and counted', async () => {
    const { server, recorder } = setUp();
    const gate = Promise.withResolvers<void>();
    server.answer = () => gate.promise;
    for (let i = 0; i < 1_500; i++) recorder.event(training, { ...started, message: `${i}` });
    expect(recorder.dropped).toBe(499);
    gate.resolve();
    await recorder.flush();
    expect(server.events).toHaveLength(1_001);
  });

  it('that are refused are dropped and counted, and the next is tried', async () => {
    const { server, recorder } = setUp();
    server.answer = () => Promise.reject(new ApiError(403, 'Forbidden', 'no'));
    recorder.event(training, started);
    recorder.event(training, started);
    await recorder.flush();
    server.answer = async () => undefined;
    recorder.event(training, started);
    await recorder.flush();
    expect([recorder.dropped, server.events.length]).toEqual([2, 1]);
  });

  it('remember only so many series', async () => {
    const { server, recorder } = setUp();
    const many = async (from: number) => {
      for (let i = from; i < from + 900; i++) recorder.event(training, { ...started, message: `${i}` });
      await recorder.flush();
    };
    for (let i = 0; i < 5; i++) await many(i * 900);
    recorder.event(training, { ...started, message: '0' });
    recorder.event(training, { ...started, message: '4499' });
    await recorder.flush();
    expect([server.events.length, server.patches.length, recorder.dropped]).toEqual([4_501, 1, 0]);
  });
});
