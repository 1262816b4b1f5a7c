import type { V1Pod } from '@kubernetes/client-node';
import type { Logger } from 'pino';
import type { GpuPool } from '../api/gpu-pool.ts';
import type { VicunaDataset } from '../api/vicuna-dataset.ts';
import type { VicunaEvaluation } from '../api/vicuna-evaluation.ts';
import {
  FINALIZER,
  SAVE_AFTER_ANNOTATION,
  TRAINING,
  type VicunaTraining,
  type VicunaTrainingStatus,
  withDefaults,
} from '../api/vicuna-training.ts';
import { type Clusters, clusterOfPool } from '../clusters/clusters.ts';
import { clusterOf } from '../clusters/located.ts';
import { ApiError, ignoreNotFound, isAlreadyExists, isConflict, isNotFound, isRefusal, type KubeClient } from '../kube/client.ts';
import type { EventRecorder } from '../kube/events.ts';
import type { Informer } from '../kube/informer.ts';
import { sameJson } from '../kube/same-json.ts';
import { POD, type ResourceType } from '../kube/types.ts';
import type { WorkQueue } from '../kube/work-queue.ts';
import { OWNER_UID_LABEL, RELEASE_LABEL, TRAINING_LABEL } from '../pods/labels.ts';
import { sameNode } from '../pods/same-node.ts';
import type { PoolBook } from '../pools/book.ts';
import type { ReportInbox } from '../server/report-inbox.ts';
import type { TaskInbox } from '../server/task-inbox.ts';
import type { WorldBoard } from '../server/world-board.ts';
import { missingSecret } from '../tasks/missing.ts';
import { observeTasks } from '../tasks/observe.ts';
import { taskPod } from '../tasks/pods.ts';
import type { Plan, PlannedGroup } from './draft.ts';
import type { TrainingMetrics } from './metrics.ts';
import { datasetFor } from './needs.ts';
import { observePod } from './observe.ts';
import { planTraining } from './plan.ts';
import { type PodGroup, podGroup } from './pod-group.ts';
import { ownerOf, workerPod } from './pods.ts';
import { releaseProgram } from './release.ts';
import type { TrainingState } from './state.ts';

export const BY_TRAINING = 'training';
export const BY_NODE = 'node';
/** Indexes of trainings: by the VicunaDataset that they train on, and by the VicunaEvaluation that their release waits for. */
export const BY_DATASET = 'dataset';
export const BY_GATE = 'gate';

/** A refused pod is tried again after so long: a quota or policy may have changed. */
const REFUSED_AGAIN_MS = 30_000;

/** A worker that has reported within this time is not lost. */
const HEARD_MS = 30_000;
/** A training is looked at again so soon when nothing can be told yet of the cluster that its workers are in. */
const UNSETTLED_AGAIN_MS = 500;

/** How long only the cache of this process knows that a world is forming, and of what made it form. */
const FORMING_UNWRITTEN_MS = 5_000;
const INTERRUPTION_UNWRITTEN_MS = 1_000;
/** What tells of it, and what goes on meanwhile. */
const FORMING: readonly string[] = [
  'next',
  'generation',
  'pool',
  'capacity',
  'phase',
  'observedGeneration',
  'accruedUntil',
  'totals',
  'placement',
  'estimate',
];
const FORMING_CONDITIONS: readonly string[] = ['Placed', 'Running'];

export interface TrainingControllerOptions {
  readonly client: KubeClient;
  readonly trainings: Informer<VicunaTraining>;
  readonly clusters: Clusters;
  readonly datasets: Informer<VicunaDataset>;
  readonly evaluations: Informer<VicunaEvaluation>;
  readonly queue: WorkQueue;
  readonly book: PoolBook;
  readonly board: WorldBoard;
  readonly inbox: ReportInbox;
  readonly tasks: TaskInbox;
  readonly recorder: EventRecorder;
  readonly metrics: TrainingMetrics;
  readonly operatorUrl: string;
  /** Kubernetes' own gangs, where the cluster serves them. */
  readonly podGroups: ResourceType<PodGroup> | null;
  readonly log: Logger;
  readonly clock: () => number;
}

/** Carries out plans. It keeps nothing that matters: what a plan decides is in the status before it is acted on. */
export class TrainingController {
  readonly #o: TrainingControllerOptions;
  readonly #listeningSince: number;
  readonly #unsubscribe = new Map<string, () => void>();
  /** What the API server said of worker pods that it refused, by training. */
  readonly #podRefusals = new Map<string, string>();
  /** Statuses that differ from the written one only by the world that is forming, and when they will be written after all. */
  readonly #unwritten = new Map<string, { readonly status: VicunaTrainingStatus; readonly writeAt: number }>();
  /** Trainings without a place, to be looked at again when GPUs come free. */
  readonly #waiting = new Set<string>();
  #wakeTimer: NodeJS.Timeout | null = null;

  constructor(options: TrainingControllerOptions) {
    this.#o = options;
    this.#listeningSince = options.clock();
    const { trainings, queue, book, clusters } = options;
    const { pods, nodes } = clusters;
    trainings.onChange(({ type, object, old }) => {
      const key = keyOf(object);
      if (type === 'updated' && old && sameSpec(object, old)) return; // our own status write
      queue.add(key);
    });
    const wake = (pod: V1Pod, priority: number) => {
      const { namespace, labels } = pod.metadata ?? {};
      const training = labels?.[TRAINING_LABEL] ?? labels?.[RELEASE_LABEL];
      if (training !== undefined) queue.add(`${namespace}/${training}`, { priority });
    };
    // What has been begun is brought to its end before more is begun.
    pods.onChange(({ object }) => wake(object, 1));
    nodes.onChange(({ type, object, old }) => {
      if (type === 'updated' && old && sameNode(object, old)) return;
      // A notice is a matter of seconds: it overtakes whatever else waits.
      for (const pod of pods.byIndex(BY_NODE, object.metadata?.name ?? '')) wake(pod, 10);
    });
    options.datasets.onChange(({ object }) => {
      for (const training of trainings.byIndex(BY_DATASET, keyOf(object))) if (!training.status?.dataset) queue.add(keyOf(training));
    });
    options.evaluations.onChange(({ object }) => {
      for (const training of trainings.byIndex(BY_GATE, keyOf(object)))
        if (training.status?.phase === 'Complete') queue.add(keyOf(training));
    });
    options.tasks.onFirst(({ namespace, pod }) => {
      const found = pods.get(namespace, pod);
      if (found) wake(found, 0);
    });
    book.onRoom(() => this.#wakeWaiting());
    clusters.onHealth((cluster) => {
      const concerned = (name: string | undefined) => name !== undefined && clusterOfPoolNamed(book, name) === cluster;
      for (const t of trainings.list()) {
        if (concerned(t.status?.world?.pool) || concerned(t.status?.next?.pool)) queue.add(keyOf(t), { priority: 1 });
      }
      this.#wakeWaiting();
    });
  }

  /** Brings one training ("namespace/name") a step towards its spec. Called by the queue, never twice at a time for one key. */
  async reconcile(key: string): Promise<void> {
    const o = this.#o;
    const [namespace = '', name = ''] = key.split('/');
    const found = o.trainings.get(namespace, name);
    await this.#removeOrphans(key, found);
    if (!found) return this.#forget(key);
    if (this.#isUnsettled(found)) return this.#o.queue.addAfter(key, UNSETTLED_AGAIN_MS);
    this.#subscribe(key);
    const unwritten = this.#unwritten.get(key)?.status;
    const training = withDefaults(unwritten ? { ...found, status: unwritten } : found);
    const now = o.clock();
    const state = await this.#observe(key, training, now);
    const plan = planTraining(state, now);
    await this.#act(key, found, training, state, plan);
  }

  /**
   * In other clusters nothing is removed with its owner: what belongs to a training that is gone is removed here, at the latest when the
   * cluster can be reached again.
   */
  async #removeOrphans(key: string, training: VicunaTraining | undefined): Promise<void> {
    const { clusters } = this.#o;
    for (const pod of clusters.pods.byIndex(BY_TRAINING, key)) {
      const cluster = clusterOf(pod);
      if (cluster === null || (training && isOwnedBy(pod, training))) continue;
      const { namespace, name = '', uid = '' } = pod.metadata ?? {};
      await clusters.place(cluster)?.client.delete(POD, namespace, name, { uid }).catch(ignoreNotFound);
    }
  }

  /** Whether the training has workers in a cluster of which nothing can be told yet, as after the operator's own start. */
  #isUnsettled({ status }: VicunaTraining): boolean {
    const { book, clusters } = this.#o;
    const pools = [status?.world?.pool, status?.next?.pool].filter((name) => name !== undefined);
    return pools.some((name) => !clusters.isSettled(clusterOfPoolNamed(book, name)));
  }

  #subscribe(key: string): void {
    if (!this.#unsubscribe.has(key))
      this.#unsubscribe.set(
        key,
        this.#o.inbox.onChange(key, () => this.#o.queue.add(key)),
      );
  }

  #forget(key: string): void {
    const { board, inbox, metrics, book } = this.#o;
    this.#unsubscribe.get(key)?.();
    this.#unsubscribe.delete(key);
    this.#waiting.delete(key);
    this.#podRefusals.delete(key);
    this.#unwritten.delete(key);
    board.withdraw(key);
    inbox.forget(key);
    metrics.forget(key);
    book.release(key);
  }

  async #observe(key: string, training: VicunaTraining, now: number): Promise<TrainingState> {
    const { clusters, inbox, book } = this.#o;
    const { pods, nodes } = clusters;
    const own = pods.byIndex(BY_TRAINING, key).filter((p) => isOwnedBy(p, training));
    const received = inbox.list(key);
    const heardAt = new Map(received.map((r) => [r.pod, r.receivedAt]));
    const views = own.map((p) => {
      const lostSince = clusters.lostSince(clusterOf(p));
      // Whoever still reports is not lost, though the API server that knows of it is.
      const isHeard = now - (heardAt.get(p.metadata?.name ?? '') ?? 0) < HEARD_MS;
      return observePod(p, p.spec?.nodeName ? nodes.get(undefined, p.spec.nodeName) : undefined, now, isHeard ? null : lostSince);
    });
    const byUid = new Map(views.map((v) => [v.name, v.uid]));
    const reports = received.filter((r) => byUid.get(r.pod) === r.podUid);
    const { namespace } = training.metadata;
    const dataset = datasetFor(training, this.#o.datasets.get(namespace, training.spec.dataset.name ?? ''));
    const problem = training.status?.world ? null : ((await this.#missing(training)) ?? dataset.problem);
    return {
      training,
      pods: new Map(views.map((v) => [v.name, v])),
      reports: new Map(reports.map((r) => [r.pod, r])),
      get pools() {
        return book.viewsFor(training);
      },
      dataset: dataset.use,
      release: this.#observeRelease(key, training, now),
      problem,
      podRefusal: this.#podRefusals.get(key) ?? null,
      listeningSince: this.#listeningSince,
    };
  }

  /** A Secret that the spec names and the cluster lacks, in one sentence, or null. They are read by name only when nothing runs yet. */
  #missing({ metadata, spec }: VicunaTraining): Promise<TrainingState['problem']> {
    const secrets = spec.credentials.map(({ name }) => ({ field: 'spec.credentials', name }));
    return missingSecret(this.#o.client, metadata.namespace ?? 'default', secrets);
  }

  #observeRelease(key: string, { metadata, spec, status }: VicunaTraining, now: number): TrainingState['release'] {
    const { clusters, tasks, evaluations, book } = this.#o;
    const { pods, nodes } = clusters;
    const { release } = spec;
    if (release === undefined || status?.phase !== 'Complete') return null;
    const { namespace = 'default', uid = '' } = metadata;
    return {
      ...observeTasks(pods.byIndex(RELEASE_LABEL, key), uid, nodes, tasks, now),
      pools: book.viewsAtHome(release.placement.pools?.matchLabels ?? {}, 0),
      evaluation: release.gate === undefined ? null : (evaluations.get(namespace, release.gate.evaluation) ?? null),
    };
  }

  /**
   * Directives for the world that workers already know go out first, since seconds count; new pods do not wait for the status; a new
   * world does, since workers act on it. It is safe to die anywhere: pods that no status knows of are found and used by the next
   * operator, and everything else follows from the status.
   */
  async #act(key: string, found: VicunaTraining, training: VicunaTraining, state: TrainingState, plan: Plan): Promise<void> {
    const { client, board, queue, recorder, metrics, book, log, clock } = this.#o;
    if (plan.world && !plan.publishAfterStatus) board.publish(key, plan.world);
    book.reserve(key, plan.create, training, state.pods);
    try {
      if (plan.finalizer !== 'keep') await this.#setFinalizer(found, plan.finalizer);
      const made = this.#createPods(training, plan);
      await Promise.all([
        made.then(() => this.#writeStatus(key, found, training.status, plan)),
        ...plan.remove.map((removal) => this.#removePod(training, removal)),
      ]);
      if (plan.releasePod) await this.#createReleasePod(training, plan.releasePod);
      for (const event of plan.events) recorder.event(found, event);
      for (const observation of plan.observations) book.observe(observation, clock());
    } catch (error) {
      book.release(key);
      if (isConflict(error) || isNotFound(error)) {
        log.debug({ key, error }, 'the object has changed meanwhile; looking again');
        this.#unwritten.delete(key);
        queue.addAfter(key, 20);
        return;
      }
      if (isRefusal(error)) {
        // Trying at once again would be refused again; the condition tells what is wrong, and a change of the spec comes by itself.
        this.#podRefusals.set(key, error.message);
        recorder.event(found, { type: 'Warning', reason: 'PodRefused', message: error.message });
        queue.addAfter(key, REFUSED_AGAIN_MS);
        return;
      }
      throw error;
    }
    if (plan.create.length > 0 || plan.releasePod) this.#podRefusals.delete(key);
    if (plan.world && plan.publishAfterStatus) board.publish(key, plan.world);
    if (!plan.world && plan.status.world === undefined) board.withdraw(key);
    if (plan.status.phase === 'Waiting') this.#waiting.add(key);
    else this.#waiting.delete(key);
    metrics.update(key, plan, state);
    if (plan.doneGroup !== null) await this.#removeGroup(training, plan.doneGroup);
    if (plan.deleteTraining) {
      await client
        .delete(TRAINING, training.metadata.namespace, training.metadata.name ?? '', { propagationPolicy: 'Background' })
        .catch(ignoreNotFound);
    }
    if (plan.wakeAt !== null) queue.addAfter(key, Math.max(10, plan.wakeAt - clock()));
  }

  /** Without it, the ready deadline alone sees to it that all of a gang start or none. */
  async #createGroup(training: VicunaTraining, { name, minCount }: PlannedGroup): Promise<void> {
    const { client, podGroups } = this.#o;
    if (podGroups === null) return;
    await client.create(podGroups, podGroup(training, name, minCount)).catch((error) => {
      if (!isAlreadyExists(error)) throw error;
    });
  }

  async #removeGroup(training: VicunaTraining, name: string): Promise<void> {
    const { client, podGroups } = this.#o;
    if (podGroups !== null) await client.delete(podGroups, training.metadata.namespace, name).catch(ignoreNotFound);
  }

  /**
   * Writes the status if it has changed. That a world is forming can wait a little: most often its pods run before anybody could read
   * of it, and the write is one of four requests that a launch takes. So can the interruption it follows, which is seen again by
   * whoever leads next: where many nodes go at once, these writes would come before other trainings' pods.
   */
  async #writeStatus(key: string, found: VicunaTraining, before: VicunaTraining['status'], plan: Plan): Promise<void> {
    const { client, trainings, queue, clock } = this.#o;
    const { status } = plan;
    const now = clock();
    const waiting = this.#unwritten.get(key);
    const patience = patienceWith(found.status, status);
    if (patience > 0 && (waiting === undefined ? !sameJson(status, before ?? {}) : now < waiting.writeAt)) {
      const writeAt = Math.min(waiting?.writeAt ?? Number.POSITIVE_INFINITY, now + patience);
      this.#unwritten.set(key, { status, writeAt });
      queue.addAfter(key, writeAt - now + 1);
      return;
    }
    if (sameJson(status, found.status ?? {})) return;
    const written = await client.replaceStatus(TRAINING, { ...found, status });
    this.#unwritten.delete(key);
    trainings.upsert(written);
  }

  async #createPods(training: VicunaTraining, plan: Plan): Promise<void> {
    if (plan.group) await this.#createGroup(training, plan.group);
    await Promise.all(plan.create.map((pod) => this.#createPod(training, pod, plan.group)));
  }

  async #createPod(training: VicunaTraining, planned: Plan['create'][number], group: PlannedGroup | null): Promise<void> {
    const { clusters, book, operatorUrl, podGroups } = this.#o;
    const pool: GpuPool | undefined = book.pool(planned.pool);
    const place = pool && clusters.place(clusterOfPool(pool));
    if (!place) return;
    const isHome = place.cluster === null;
    const pod = workerPod({
      training,
      ...planned,
      pool,
      group: podGroups && group && isHome ? group.name : null,
      operatorUrl: pool.spec.cluster?.workerUrl ?? operatorUrl,
      home: isHome ? null : clusters.homeId,
    });
    try {
      clusters.pods.upsert(await place.client.create(POD, pod, isHome ? {} : { attempts: 1 }), place.cluster);
    } catch (error) {
      if (isAlreadyExists(error)) return; // made before a restart, or the cache is behind: it will come by itself
      if (isHome || !isNotFound(error)) throw error;
      const { namespace } = training.metadata;
      throw new ApiError(
        422,
        'Invalid',
        `cluster ${place.cluster} has no namespace ${namespace}: create it there, with the Secrets that workers need`,
      );
    }
  }

  async #createReleasePod(training: VicunaTraining, planned: NonNullable<Plan['releasePod']>): Promise<void> {
    const { client, clusters, book, operatorUrl } = this.#o;
    const { release } = training.spec;
    const pool = planned.pool === null ? null : book.pool(planned.pool);
    if (release === undefined || pool === undefined) return;
    const { namespace = 'default', name = '' } = training.metadata;
    const program = releaseProgram(training, release);
    const pod = taskPod({ planned, namespace, label: [RELEASE_LABEL, name], owner: ownerOf(training), pool, program, operatorUrl });
    try {
      clusters.pods.upsert(await client.create(POD, pod));
    } catch (error) {
      if (!isAlreadyExists(error)) throw error;
    }
  }

  async #removePod(training: VicunaTraining, { name, uid, gracePeriodSeconds }: Plan['remove'][number]): Promise<void> {
    const { clusters } = this.#o;
    const { namespace = 'default', name: run } = training.metadata;
    const pod = clusters.pods.byIndex(BY_TRAINING, `${namespace}/${run}`).find((p) => p.metadata?.uid === uid);
    const place = clusters.place(pod ? clusterOf(pod) : null);
    if (place === null) return; // the plan says it again when the cluster can be reached
    const options = { uid, ...(gracePeriodSeconds === undefined ? {} : { gracePeriodSeconds }) };
    await place.client.delete(POD, namespace, name, options).catch(ignoreNotFound);
  }

  async #setFinalizer(training: VicunaTraining, change: 'add' | 'remove'): Promise<void> {
    const before = training.metadata.finalizers ?? [];
    const finalizers = change === 'add' ? [...before, FINALIZER] : before.filter((f) => f !== FINALIZER);
    if (finalizers.length === before.length) return;
    const patch = { metadata: { finalizers, resourceVersion: training.metadata.resourceVersion } };
    const { namespace, name } = training.metadata;
    const written = await this.#o.client.mergePatch(TRAINING, namespace, name ?? '', patch).catch(ignoreNotFound);
    if (written) Object.assign(training.metadata, { resourceVersion: written.metadata.resourceVersion, finalizers });
  }

  /** GPUs came free or a pool changed. Many such events come together: one look after a short while serves them all. */
  #wakeWaiting(): void {
    if (this.#waiting.size === 0) return;
    this.#wakeTimer ??= setTimeout(() => {
      this.#wakeTimer = null;
      for (const key of this.#waiting) this.#o.queue.add(key);
    }, 100);
  }
}

export function keyOf(object: { metadata: { namespace?: string; name?: string } }): string {
  return `${object.metadata.namespace}/${object.metadata.name}`;
}

/** By a reference at home, by a label in other clusters. */
function isOwnedBy({ metadata }: V1Pod, { metadata: { uid } }: VicunaTraining): boolean {
  return metadata?.labels?.[OWNER_UID_LABEL] === uid || (metadata?.ownerReferences?.some((r) => r.uid === uid) ?? false);
}

function clusterOfPoolNamed(book: PoolBook, name: string): string | null {
  const pool = book.pool(name);
  return pool === undefined ? null : clusterOfPool(pool);
}

function sameSpec(a: VicunaTraining, b: VicunaTraining): boolean {
  return (
    a.metadata.generation === b.metadata.generation &&
    a.metadata.uid === b.metadata.uid &&
    a.metadata.deletionTimestamp === b.metadata.deletionTimestamp &&
    JSON.stringify(a.metadata.labels) === JSON.stringify(b.metadata.labels) &&
    a.metadata.annotations?.[SAVE_AFTER_ANNOTATION] === b.metadata.annotations?.[SAVE_AFTER_ANNOTATION] &&
    (a.metadata.finalizers?.length ?? 0) === (b.metadata.finalizers?.length ?? 0)
  );
}

/** How long a status can wait to be written, ms: all that it says anew is that a world is forming whose pods are on their way, and why. */
function patienceWith(before: VicunaTrainingStatus | undefined, after: VicunaTrainingStatus): number {
  if (after.next === undefined) return 0;
  if (sameJson(without(FORMING, before ?? {}), without(FORMING, after))) return FORMING_UNWRITTEN_MS;
  const interrupted = [...FORMING, 'interruptions'];
  return sameJson(without(interrupted, before ?? {}), without(interrupted, after)) ? INTERRUPTION_UNWRITTEN_MS : 0;
}

function without(fields: readonly string[], status: VicunaTrainingStatus): object {
  const rest = Object.entries(status).filter(([name]) => !fields.includes(name) && name !== 'conditions');
  const conditions = (status.conditions ?? []).filter((c) => !FORMING_CONDITIONS.includes(c.type));
  return { ...Object.fromEntries(rest), ...(conditions.length === 0 ? {} : { conditions }) };
}
