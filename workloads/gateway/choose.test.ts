import { describe, expect, it } from 'vitest';
import { chooseWorker } from './choose.ts';
import { workersOf } from './endpoint-workers.ts';
import { hashOf, Worker, type WorkerSpec } from './worker.ts';

const worker = (name: string, changes: Partial<WorkerSpec> = {}) =>
  new Worker(
    {
      name,
      url: 'http://127.0.0.1:1',
      models: ['m'],
      track: 'stable',
      protocol: 'openai',
      engine: 'vllm',
      zone: null,
      keyFile: null,
      ...changes,
    },
    () => 0,
  );
const choice = (text: string, changes: object = {}) => ({
  prefix: hashOf(text),
  canaryPercent: 0,
  exclude: new Set<Worker>(),
  random: () => 0.5,
  ...changes,
});

describe('the worker for a request', () => {
  const workers = ['a', 'b', 'c', 'd'].map((name) => worker(name));

  it('is the same for conversations that begin alike, in every copy of the gateway, and others elsewhere', () => {
    const others = ['d', 'b', 'a', 'c'].map((name) => worker(name));
    const homes = new Set<string>();
    for (let i = 0; i < 50; i++) {
      const home = chooseWorker(workers, choice(`conversation ${i}`))?.spec.name;
      expect(chooseWorker(others, choice(`conversation ${i}`))?.spec.name).toBe(home);
      homes.add(home ?? '');
    }
    expect(homes.size).toBe(4);
  });

  it('changes for few conversations when a worker comes', () => {
    const more = [...workers, worker('e')];
    let moved = 0;
    for (let i = 0; i < 200; i++)
      if (chooseWorker(workers, choice(`c${i}`))?.spec.name !== chooseWorker(more, choice(`c${i}`))?.spec.name) moved++;
    expect(moved).toBeLessThan(80);
  });

  it('is the idlest one while the conversation’s own is crowded', () => {
    const own = chooseWorker(workers, choice('x'));
    if (own) own.running = 20;
    expect(chooseWorker(workers, choice('x'))).not.toBe(own);
    if (own) own.running = 0;
  });

  it('is not one that failed this request, nor one that is left alone', () => {
    const [a = worker('a'), b = worker('b')] = workers;
    for (let i = 0; i < 3; i++) b.breaker.failed();
    expect(chooseWorker([a, b], choice('x', { exclude: new Set([a]) }))).toBeNull();
    expect(chooseWorker([a, b], choice('x'))).toBe(a);
  });

  it('is a canary for its share of requests, and for all while nothing else is there', () => {
    const canary = worker('canary', { track: 'canary' });
    const both = [...workers, canary];
    expect(chooseWorker(both, choice('x', { canaryPercent: 60 }))).toBe(canary);
    expect(chooseWorker(both, choice('x', { canaryPercent: 40 }))?.spec.track).toBe('stable');
    expect(chooseWorker(both, choice('x'))?.spec.track).toBe('stable');
    expect(chooseWorker([canary], choice('x'))).toBe(canary);
  });
});

describe('workers of EndpointSlices', () => {
  const slice = (endpoints: object[], labels: object = {}) =>
    ({
      metadata: { labels: { 'vicuna.run/serving': 'chat', 'vicuna.run/model': 'tiny', 'vicuna.run/track': 'stable', ...labels } },
      ports: [{ name: 'http', port: 8000 }],
      endpoints,
    }) as never;
  const models = [{ name: 'tiny', aliases: [], engine: 'transformers' as const, canaryPercent: 0 }];

  it('are those that are ready, with what is known of them', () => {
    const endpoints = [
      { addresses: ['10.0.0.1'], conditions: { ready: true }, targetRef: { name: 'pod-1' }, zone: 'a' },
      { addresses: ['10.0.0.2'], conditions: { ready: false, serving: true, terminating: true } },
      { addresses: ['fd00::1'], conditions: { ready: true } },
    ];
    expect(workersOf([slice(endpoints)], models)).toMatchObject([
      { name: 'pod-1', url: 'http://10.0.0.1:8000', models: ['tiny'], track: 'stable', engine: 'transformers', zone: 'a' },
      { name: 'fd00::1', url: 'http://[fd00::1]:8000', zone: null },
    ]);
  });

  it('of a canary are canaries; slices of nothing that is served are left out', () => {
    const endpoints = [{ addresses: ['10.0.0.1'], conditions: { ready: true } }];
    expect(workersOf([slice(endpoints, { 'vicuna.run/track': 'canary' })], models)[0]?.track).toBe('canary');
    expect(workersOf([slice(endpoints, { 'vicuna.run/model': undefined })], models)).toEqual([]);
  });
});
