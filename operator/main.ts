// Reads the configuration, wires the parts and starts them; nothing else.

import { setTimeout as delay } from 'node:timers/promises';
import type { V1Pod } from '@kubernetes/client-node';
import pino from 'pino';
import { GPU_POOL } from './api/gpu-pool.ts';
import { DATASET } from './api/vicuna-dataset.ts';
import { EVALUATION } from './api/vicuna-evaluation.ts';
import { SERVING } from './api/vicuna-serving.ts';
import { TRAINING } from './api/vicuna-training.ts';
import { Clusters } from './clusters/clusters.ts';
import { clusterOf, located, locatedPod, nodeIn } from './clusters/located.ts';
import { readConfig } from './config.ts';
import { datasetKind } from './dataset/kind.ts';
import { evaluationKind } from './evaluation/kind.ts';
import { KubeClient } from './kube/client.ts';
import { EventRecorder } from './kube/events.ts';
import { Informer, type InformerOptions } from './kube/informer.ts';
import { LeaderElector } from './kube/leader-elector.ts';
import { DEPLOYMENT, type KubeObject, LEASE, NODE, POD } from './kube/types.ts';
import { type QueueHooks, WorkQueue } from './kube/work-queue.ts';
import { workerUri } from './pods/claims.ts';
import { DATASET_LABEL, EVALUATION_LABEL, HOME_LABEL, RELEASE_LABEL, SERVING_LABEL, TRAINING_LABEL } from './pods/labels.ts';
import { PoolBook } from './pools/book.ts';
import { PoolController } from './pools/controller.ts';
import { readPrices } from './pools/prices/read.ts';
import { createServer } from './server/app.ts';
import { AUDIENCE, Authenticator } from './server/authenticator.ts';
import { OperatorMetrics } from './server/metrics.ts';
import { ReportInbox } from './server/report-inbox.ts';
import { TaskInbox } from './server/task-inbox.ts';
import { WorldBoard } from './server/world-board.ts';
import { prometheusAuthorization } from './serving/autoscaling/authorization.ts';
import { DEPLOYMENTS_BY_SERVING, PODS_BY_SERVING, ServingController } from './serving/controller.ts';
import { ServingMetrics } from './serving/metrics.ts';
import { Multiplexing } from './serving/multiplexing/multiplexing.ts';
import { Scaling } from './serving/scaling.ts';
import { slimDeployment, slimNode, slimPod, withoutManagedFields } from './slim.ts';
import { TaskController } from './tasks/controller.ts';
import { TaskMetrics } from './tasks/metrics.ts';
import { BY_DATASET, BY_GATE, BY_NODE, BY_TRAINING, TrainingController } from './training/controller.ts';
import { TrainingMetrics } from './training/metrics.ts';
import { servedPodGroups } from './training/pod-group.ts';

/** What keeps the operator from starting at all is one sentence, not a stack. */
function refuse(error: unknown): never {
  console.error(error instanceof Error ? error.message : error);
  process.exit(1);
}

const config = (() => {
  try {
    return readConfig(process.env);
  } catch (error) {
    return refuse(error);
  }
})();
const log = pino({ level: config.logLevel, base: null, timestamp: pino.stdTimeFunctions.isoTime });
const stop = new AbortController();
for (const signal of ['SIGTERM', 'SIGINT'] as const) process.once(signal, () => stop.abort(new Error(signal)));

const now = () => Date.now();
const client = await KubeClient.fromKubeconfig(config.kubeconfig ?? undefined).catch(refuse);
const metrics = new OperatorMetrics({ now });
metrics.collectProcess();
client.onRequest = ({ verb, resource, code, seconds }) => {
  metrics.instruments.apiRequests.inc({ verb, resource, code: String(code) });
  metrics.instruments.apiRequestSeconds.observe({ verb, resource }, seconds);
};

const informer = <T extends KubeObject>(options: Omit<InformerOptions<T>, 'client' | 'onFault'> & { client?: KubeClient }): Informer<T> =>
  new Informer<T>({
    client,
    ...options,
    onFault: ({ kind, error }) => log.warn({ kind, resource: options.type.plural, err: error }, 'informer fault; trying again'),
  });
/** Every cached pod keeps what it is filed under, in each index: one empty list serves all. */
const NOBODY: readonly string[] = [];
/** Key of what an object belongs to, by the label that says so. */
const belongsTo =
  (label: string) =>
  ({ metadata }: { metadata?: { namespace?: string; labels?: Record<string, string> } }) =>
    metadata?.labels?.[label] === undefined ? NOBODY : [`${metadata.namespace}/${metadata.labels[label]}`];

const trainings = informer({
  type: TRAINING,
  transform: withoutManagedFields,
  indexes: {
    [BY_DATASET]: ({ metadata, spec }) => (spec.dataset.name === undefined ? [] : [`${metadata.namespace}/${spec.dataset.name}`]),
    [BY_GATE]: ({ metadata, spec }) => (spec.release?.gate === undefined ? [] : [`${metadata.namespace}/${spec.release.gate.evaluation}`]),
  },
});
const pools = informer({ type: GPU_POOL });
const nodes = informer({ type: NODE, transform: slimNode });
const podIndexes = (belongs: typeof belongsTo) => ({
  [BY_TRAINING]: belongs(TRAINING_LABEL),
  [PODS_BY_SERVING]: belongs(SERVING_LABEL),
  [DATASET_LABEL]: belongs(DATASET_LABEL),
  [EVALUATION_LABEL]: belongs(EVALUATION_LABEL),
  [RELEASE_LABEL]: belongs(RELEASE_LABEL),
  [BY_NODE]: (pod: V1Pod) => (pod.spec?.nodeName ? [pod.spec.nodeName] : []),
});
const pods = informer({ type: POD, transform: slimPod, indexes: podIndexes(belongsTo) });

const servings = informer({ type: SERVING, transform: withoutManagedFields });
const deploymentsOf = {
  type: DEPLOYMENT,
  labelSelector: SERVING_LABEL,
  transform: slimDeployment,
  indexes: { [DEPLOYMENTS_BY_SERVING]: belongsTo(SERVING_LABEL) },
};
const deployments = informer(deploymentsOf);
const datasets = informer({ type: DATASET, transform: withoutManagedFields });
const evaluations = informer({ type: EVALUATION, transform: withoutManagedFields });
const leases = informer({ type: LEASE, labelSelector: SERVING_LABEL });

const clusters = new Clusters({
  home: { client, pods, nodes, deployments },
  namespace: config.namespace,
  makeCaches: (name, remote, home) => {
    // Another operator may have made pods there for an owner of the same name.
    const ours = (label: string) => (object: Parameters<ReturnType<typeof belongsTo>>[0]) =>
      object.metadata?.labels?.[HOME_LABEL] === home ? belongsTo(label)(object) : [];
    return {
      pods: informer({ client: remote, type: POD, transform: (pod) => locatedPod(name, slimPod(pod)), indexes: podIndexes(ours) }),
      nodes: informer({ client: remote, type: NODE, transform: slimNode }),
      deployments: informer({
        client: remote,
        ...deploymentsOf,
        transform: (deployment) => located(name, slimDeployment(deployment)),
        indexes: { [DEPLOYMENTS_BY_SERVING]: ours(SERVING_LABEL) },
      }),
    };
  },
  clock: now,
});

const queueHooks = (controller: string): QueueHooks => ({
  onAdd: () => metrics.instruments.queueAdds.inc({ name: controller }),
  onStart: (seconds) => metrics.instruments.queueSeconds.observe({ name: controller }, seconds),
  onRetry: () => metrics.instruments.queueRetries.inc({ name: controller }),
  onDone: (seconds, failed) => {
    metrics.instruments.workSeconds.observe({ name: controller }, seconds);
    metrics.instruments.reconcileSeconds.observe({ controller }, seconds);
    metrics.instruments.reconciles.inc({ controller, result: failed ? 'error' : 'success' });
    if (failed) metrics.instruments.reconcileErrors.inc({ controller });
  },
});
const newQueue = (controller: string) => {
  const queue = new WorkQueue({
    hooks: queueHooks(controller),
    onError: (key, error) => log.error({ controller, key, err: error }, 'reconcile failed; trying again'),
  });
  metrics.watchQueue(controller, queue);
  return queue;
};

const book = new PoolBook(now, (cluster) => {
  const health = clusters.health(cluster);
  return health === null || (health.reachable && clusters.isSettled(cluster)) ? null : `cluster ${cluster}: ${health.message}`;
});
clusters.pods.onChange(({ type, object }) => book.setPod(object, type === 'deleted'));
clusters.nodes.onChange(({ type, object }) => (type === 'deleted' ? book.removeNode(object.metadata?.name ?? '') : book.setNode(object)));
const poolQueue = newQueue('gpupool');
const poolController = new PoolController({ client, pools, queue: poolQueue, book, clusters, metrics, readPrices, clock: now });

const board = new WorldBoard({ now });
const inbox = new ReportInbox({ now, worldOf: (key) => board.get(key), onReport: (key, report) => metrics.reported(key, report) });
const taskInbox = new TaskInbox({ now });
const recorder = new EventRecorder(client, 'vicuna-operator');
metrics.watchEvents(recorder);
const trainingQueue = newQueue('vicunatraining');
const podGroups = await servedPodGroups(client).catch((error: unknown) => {
  log.warn({ err: error }, 'PodGroups cannot be listed: gangs are kept together by their ready deadline alone');
  return null;
});
const trainingController = new TrainingController({
  client,
  trainings,
  clusters,
  datasets,
  evaluations,
  queue: trainingQueue,
  book,
  board,
  inbox,
  tasks: taskInbox,
  recorder,
  metrics: new TrainingMetrics(metrics),
  operatorUrl: config.workerUrl,
  podGroups,
  log,
  clock: now,
});

const servingQueue = newQueue('vicunaserving');
const servingController = new ServingController({
  client,
  servings,
  clusters,
  trainings,
  leases,
  queue: servingQueue,
  book,
  scaling: new Scaling({ client, leases, now }),
  multiplexing: new Multiplexing({
    now,
    authorize: (namespace, prometheus) => prometheusAuthorization(client, namespace, prometheus, 'spec.multiplexing.prometheus'),
  }),
  recorder,
  metrics: new ServingMetrics(metrics),
  images: config.images,
  log,
  clock: now,
});

const taskMetrics = new TaskMetrics(metrics);
const tasks = { client, pods, nodes, byNode: BY_NODE, book, inbox: taskInbox, recorder, metrics: taskMetrics, log, clock: now };
const datasetQueue = newQueue('vicunadataset');
const datasetController = new TaskController({
  ...tasks,
  kind: datasetKind(config.images.data),
  objects: datasets,
  byOwner: DATASET_LABEL,
  queue: datasetQueue,
  operatorUrl: config.workerUrl,
});
const evaluationQueue = newQueue('vicunaevaluation');
const evaluationController = new TaskController({
  ...tasks,
  kind: evaluationKind({ image: config.images.judge, servingOf: (namespace, name) => servings.get(namespace, name) }),
  objects: evaluations,
  byOwner: EVALUATION_LABEL,
  queue: evaluationQueue,
  operatorUrl: config.workerUrl,
});

const elector = new LeaderElector({
  client,
  namespace: config.namespace,
  name: 'vicuna-operator',
  identity: config.identity,
  url: config.advertiseUrl,
  onFault: (error) => log.warn({ err: error }, 'leader election'),
});
const authenticator = new Authenticator({
  now,
  review: (token, key) => clusters.reviewToken(token, AUDIENCE, new Set([null, ...clusters.pods.byIndex(BY_TRAINING, key).map(clusterOf)])),
  memberOf: (key, podName, cluster) => {
    const [namespace = '', name = ''] = key.split('/');
    const training = trainings.get(namespace, name);
    const pod = clusters.pods.get(namespace, nodeIn(cluster, podName));
    if (!training || pod?.metadata?.labels?.[TRAINING_LABEL] !== name) return null;
    return { pod: podName, podUid: pod.metadata.uid ?? '', storage: workerUri(training.spec.checkpoint.storage) };
  },
  taskPodOf: (namespace, podName) => {
    const { labels = {}, uid = '' } = pods.get(namespace, podName)?.metadata ?? {};
    return [DATASET_LABEL, EVALUATION_LABEL, RELEASE_LABEL].some((label) => labels[label] !== undefined) ? uid : null;
  },
});

/** Longest that a copy which no longer leads waits for its own work. */
const SETTLE_MS = 3_000;
const informers = { trainings, servings, datasets, evaluations, pools, nodes, pods, deployments, leases };
const server = createServer({
  board,
  inbox,
  tasks: taskInbox,
  authenticator,
  leader: elector,
  metrics,
  now,
  log,
  notReady: () => {
    const missing = Object.entries(informers).filter(([, i]) => !i.hasSynced());
    return missing.length === 0 ? null : `waiting for the first list of ${missing.map(([name]) => name).join(', ')}`;
  },
});

for (const i of Object.values(informers)) i.start(stop.signal);
const { port, metricsPort } = await server.listen({ port: config.port, metricsPort: config.metricsPort });
log.info({ port, metricsPort, url: config.advertiseUrl, apiserver: client.server }, 'serving');
await Promise.all(Object.values(informers).map((i) => i.waitForSync(stop.signal))).catch(() => undefined);

let finished: Promise<unknown> = Promise.resolve();
await elector.run(
  {
    onStarted: (term) => {
      log.info({ identity: config.identity }, 'leading');
      metrics.instruments.leader.set({ name: 'vicuna-operator' }, 1);
      finished = Promise.all([
        trainingQueue.run(config.workers, (key) => trainingController.reconcile(key), term),
        servingQueue.run(config.workers, (key) => servingController.reconcile(key), term),
        datasetQueue.run(config.workers, (key) => datasetController.reconcile(key), term),
        evaluationQueue.run(config.workers, (key) => evaluationController.reconcile(key), term),
        poolQueue.run(1, (name) => poolController.reconcile(name), term),
      ]);
    },
    onStopped: async () => {
      log.info('no longer leading');
      metrics.instruments.leader.set({ name: 'vicuna-operator' }, 0);
      board.release();
      // Work in flight is let finish, but not for longer than the lease leaves before somebody else may lead.
      const settled = finished.then(() => recorder.flush());
      await Promise.race([settled, delay(SETTLE_MS, undefined, { ref: false })]);
    },
  },
  stop.signal,
);
await server.close();
clusters.stop();
client.close();
// Whoever lost the lease starts afresh: what it knows may be old.
process.exit(stop.signal.aborted ? 0 : 1);
