// The informer and the work queue alone: CPU per watch event, as a ratio to JSON.parse of the same lines.
// `node test/bench/informer.ts` prints the figures.
import { fork } from 'node:child_process';
import { once } from 'node:events';
import { createServer } from 'node:http';
import type { AddressInfo } from 'node:net';
import { setImmediate as turn } from 'node:timers/promises';
import { fileURLToPath } from 'node:url';
import type { V1Pod } from '@kubernetes/client-node';
import { KubeClient } from '../../operator/kube/client.ts';
import { Informer } from '../../operator/kube/informer.ts';
import { POD } from '../../operator/kube/types.ts';
import { WorkQueue } from '../../operator/kube/work-queue.ts';
import { TRAINING_LABEL } from '../../operator/pods/labels.ts';
import { slimPod } from '../../operator/slim.ts';

const FILE = fileURLToPath(import.meta.url);
const SETTINGS = { pods: 2_000, changesPerPod: 5 };

/** A pod as the API server shows it, with the fields that make it large. */
function pod(index: number, version: number): object {
  const field = (manager: string, paths: number) => ({
    manager,
    operation: 'Update',
    apiVersion: 'v1',
    time: '2026-01-01T00:00:00Z',
    fieldsType: 'FieldsV1',
    fieldsV1: Object.fromEntries(Array.from({ length: paths }, (_, i) => [`f:some-field-${i}`, { '.': {}, 'f:value': {}, 'f:other': {} }])),
  });
  return {
    apiVersion: 'v1',
    kind: 'Pod',
    metadata: {
      name: `training-${index >> 1}-g1-${index & 1}`,
      namespace: 'default',
      uid: `00000000-0000-0000-0000-${String(index).padStart(12, '0')}`,
      resourceVersion: String(version),
      labels: { [TRAINING_LABEL]: `training-${index >> 1}` },
      ownerReferences: [{ apiVersion: 'vicuna.run/v1alpha1', kind: 'VicunaTraining', name: `training-${index >> 1}`, uid: 'u' }],
      managedFields: [field('vicuna-operator', 20), field('kube-scheduler', 2), field('kubelet', 12)],
    },
    spec: {
      nodeName: `node-${index % 300}`,
      containers: [
        {
          name: 'trainer',
          image: 'trainer',
          env: Array.from({ length: 15 }, (_, i) => ({ name: `VICUNA_VARIABLE_${i}`, value: 'a value of some length, as they have' })),
          resources: { limits: { 'nvidia.com/gpu': '1' } },
        },
      ],
    },
    status: {
      phase: 'Running',
      podIP: `10.0.${index >> 8}.${index & 255}`,
      conditions: ['Initialized', 'Ready', 'ContainersReady', 'PodScheduled'].map((type) => ({ type, status: 'True' })),
      containerStatuses: [{ name: 'trainer', state: { running: { startedAt: '2026-01-01T00:00:00Z' } } }],
    },
  };
}

function lines(): string[] {
  let version = 1_000;
  return Array.from({ length: SETTINGS.changesPerPod }, (_, round) =>
    Array.from({ length: SETTINGS.pods }, (_, i) =>
      JSON.stringify({ type: round === 0 ? 'ADDED' : 'MODIFIED', object: pod(i, ++version) }),
    ),
  ).flat();
}

/** The server is another process: its CPU must not count. */
async function serve(): Promise<void> {
  const stream = Buffer.from(`${lines().join('\n')}\n`);
  const server = createServer((request, response) => {
    response.writeHead(200, { 'content-type': 'application/json' });
    if (request.url?.includes('watch=true')) response.write(stream);
    else response.end(JSON.stringify({ metadata: { resourceVersion: '1000' }, items: [] }));
  });
  server.listen(0, '127.0.0.1');
  await once(server, 'listening');
  process.send?.((server.address() as AddressInfo).port);
}

function cpuSeconds(since?: NodeJS.CpuUsage): number {
  const { user, system } = process.cpuUsage(since);
  return (user + system) / 1e6;
}

export async function benchInformer(): Promise<Record<string, number>> {
  const all = lines();
  const parseStart = process.cpuUsage();
  for (const line of all) JSON.parse(line);
  const parseSeconds = cpuSeconds(parseStart);

  const child = fork(FILE, ['serve']);
  const [port] = (await once(child, 'message')) as [number];
  const client = new KubeClient({ server: `http://127.0.0.1:${port}`, rejectUnauthorized: true });
  const stop = new AbortController();
  const queue = new WorkQueue();
  const pods = new Informer<V1Pod>({
    client,
    type: POD,
    transform: slimPod,
    indexes: {
      training: (p) => [p.metadata?.labels?.[TRAINING_LABEL] ?? ''],
      node: (p) => [p.spec?.nodeName ?? ''],
    },
  });
  let events = 0;
  let reconciles = 0;
  pods.onChange(({ object }) => {
    events++;
    queue.add(object.metadata?.labels?.[TRAINING_LABEL] ?? '');
  });
  const working = queue.run(
    16,
    async (key) => {
      reconciles++;
      pods.byIndex('training', key);
      await turn();
    },
    stop.signal,
  );
  const start = process.cpuUsage();
  const startedAt = performance.now();
  pods.start(stop.signal);
  while (events < all.length || queue.depth + queue.unfinished > 0) await turn();
  const seconds = (performance.now() - startedAt) / 1000;
  const informerSeconds = cpuSeconds(start);
  stop.abort();
  await working;
  client.close();
  child.kill();
  return {
    events,
    bytesPerEvent: all.reduce((sum, line) => sum + line.length, 0) / all.length,
    reconciles,
    eventsPerSecond: events / seconds,
    cpuMicrosecondsPerEvent: (informerSeconds / events) * 1e6,
    cpuRatioToParse: informerSeconds / parseSeconds,
  };
}

if (process.argv[1] === FILE) {
  if (process.argv[2] === 'serve') await serve();
  else console.log(await benchInformer());
}
