import type { V1Node, V1Pod } from '@kubernetes/client-node';
import type { Logger } from 'pino';
import { durationSeconds } from '../api/duration.ts';
import { API_VERSION } from '../api/meta.ts';
import type { TaskObject } from '../api/task.ts';
import { ignoreNotFound, isAlreadyExists, isConflict, isNotFound, isRefusal, type KubeClient } from '../kube/client.ts';
import type { EventRecorder } from '../kube/events.ts';
import type { Informer } from '../kube/informer.ts';
import { sameJson } from '../kube/same-json.ts';
import { POD } from '../kube/types.ts';
import type { WorkQueue } from '../kube/work-queue.ts';
import { sameNode } from '../pods/same-node.ts';
import type { PoolBook } from '../pools/book.ts';
import type { TaskInbox } from '../server/task-inbox.ts';
import type { TaskPlan } from './draft.ts';
import type { TaskKind } from './kind.ts';
import type { TaskMetrics } from './metrics.ts';
import { missingSecret } from './missing.ts';
import { observeTasks } from './observe.ts';
import { planTask } from './plan.ts';
import { taskPod } from './pods.ts';
import type { PlannedTaskPod, Problem, TaskState } from './state.ts';
import { runOf, taskStatus } from './status.ts';

/** A refused pod is tried again after so long: a quota or policy may have changed. */
const REFUSED_AGAIN_MS = 30_000;
/** A pod of the same name that belongs to something else goes with it: looked for again after so long. */
const NAME_TAKEN_AGAIN_MS = 2_000;

export interface TaskControllerOptions<T extends TaskObject> {
  readonly kind: TaskKind<T>;
  readonly client: KubeClient;
  readonly objects: Informer<T>;
  readonly pods: Informer<V1Pod>;
  readonly nodes: Informer<V1Node>;
  /** Index of `pods` by the kind's label, and by node. */
  readonly byOwner: string;
  readonly byNode: string;
  readonly queue: WorkQueue;
  readonly book: PoolBook;
  readonly inbox: TaskInbox;
  readonly recorder: EventRecorder;
  readonly metrics: TaskMetrics;
  readonly operatorUrl: string;
  readonly log: Logger;
  readonly clock: () => number;
}

/** Carries out the plans of one kind of task. It keeps nothing that matters: what a plan decides is in the status before it is acted on. */
export class TaskController<T extends TaskObject> {
  readonly #o: TaskControllerOptions<T>;
  /** What the API server said of pods that it refused, by object. */
  readonly #podRefusals = new Map<string, string>();

  constructor(options: TaskControllerOptions<T>) {
    this.#o = options;
    const { objects, pods, nodes, queue, book, inbox, kind, byNode } = options;
    objects.onChange(({ type, object, old }) => {
      if (type === 'updated' && old && sameSpec(object, old)) return; // our own status write
      queue.add(keyOf(object));
    });
    const wake = (pod: V1Pod, priority: number) => {
      const name = pod.metadata?.labels?.[kind.label];
      if (name !== undefined) queue.add(`${pod.metadata?.namespace}/${name}`, { priority });
    };
    pods.onChange(({ object }) => wake(object, 1));
    nodes.onChange(({ type, object, old }) => {
      if (type === 'updated' && old && sameNode(object, old)) return;
      for (const pod of pods.byIndex(byNode, object.metadata?.name ?? '')) wake(pod, 10);
    });
    inbox.onFirst(({ namespace, pod }) => {
      const found = pods.get(namespace, pod);
      if (found) wake(found, 0);
    });
    book.onRoom(() => {
      for (const object of objects.list()) if (object.status?.phase === 'Waiting') queue.addAfter(keyOf(object), 200);
    });
  }

  /** Brings one object ("namespace/name") a step on. Called by the queue, never twice at a time for one key. */
  async reconcile(key: string): Promise<void> {
    const o = this.#o;
    const [namespace = '', name = ''] = key.split('/');
    const found = o.objects.get(namespace, name);
    if (!found) {
      this.#podRefusals.delete(key);
      o.metrics.forget(o.kind.type.kind, key);
      return;
    }
    if (found.metadata.deletionTimestamp !== undefined) return; // its pods go with it
    const object = o.kind.withDefaults(found);
    const now = o.clock();
    const plan = planTask(await this.#observe(key, object, now), now);
    await this.#act(key, found, object, plan, now);
  }

  async #observe(key: string, object: T, now: number): Promise<TaskState> {
    const { kind, pods, nodes, inbox, book, byOwner } = this.#o;
    const { name = '', uid = '' } = object.metadata;
    return {
      name: `${name}-${kind.suffix}`,
      placement: object.spec.placement,
      run: runOf(object.status),
      ...observeTasks(pods.byIndex(byOwner, key), uid, nodes, inbox, now),
      pools: book.viewsAtHome(object.spec.placement.pools?.matchLabels ?? {}, 0),
      problem: hasPod(object) ? null : await this.#missing(object),
      podRefusal: this.#podRefusals.get(key) ?? null,
    };
  }

  async #missing(object: T): Promise<Problem | null> {
    const { kind, client } = this.#o;
    return kind.missing(object) ?? missingSecret(client, object.metadata.namespace ?? 'default', kind.secretsOf(object));
  }

  /** The status first: a pod that it does not name would not be known to the next operator. It is safe to die anywhere. */
  async #act(key: string, found: T, object: T, plan: TaskPlan, now: number): Promise<void> {
    const { client, kind, queue, recorder, metrics, book, log, clock } = this.#o;
    const { namespace, name = '' } = found.metadata;
    const result = plan.ending !== null && 'result' in plan.ending ? kind.conclude(object, plan.ending.result) : null;
    const next = taskStatus(found.status, found.metadata.generation ?? 0, plan, result?.problem ?? null, now);
    const status = { ...next.status, ...result?.status };
    kind.derive?.({ ...object, status });
    try {
      await this.#writeStatus({ ...found, status });
      await Promise.all([
        ...(plan.create ? [this.#createPod(key, object, plan.create)] : []),
        ...plan.remove.map(({ name: pod, ...options }) => client.delete(POD, namespace, pod, options).catch(ignoreNotFound)),
      ]);
    } catch (error) {
      if (isConflict(error) || isNotFound(error)) {
        log.debug({ key, error }, 'the object has changed meanwhile; looking again');
        queue.addAfter(key, 20);
        return;
      }
      if (!isRefusal(error)) throw error;
      if (this.#podRefusals.get(key) !== error.message)
        recorder.event(found, { type: 'Warning', reason: 'PodRefused', message: error.message });
      this.#podRefusals.set(key, error.message);
      queue.addAfter(key, REFUSED_AGAIN_MS);
      return;
    }
    if (plan.create) this.#podRefusals.delete(key);
    for (const event of [...plan.events, ...next.events]) recorder.event(found, event);
    for (const observation of plan.observations) book.observe(observation, clock());
    metrics.update(kind.type.kind, key, status, kind.results({ ...object, status }));
    if (plan.wakeAt !== null) queue.addAfter(key, Math.max(10, plan.wakeAt - clock()));
    await this.#expire(key, { ...object, status }, namespace, name);
  }

  async #writeStatus(next: T): Promise<void> {
    const { client, kind, objects } = this.#o;
    const { namespace, name = '' } = next.metadata;
    if (sameJson(next.status, objects.get(namespace, name)?.status ?? {})) return;
    objects.upsert(await client.replaceStatus(kind.type, next));
  }

  async #createPod(key: string, object: T, planned: PlannedTaskPod): Promise<void> {
    const { client, kind, pods, book, queue, operatorUrl } = this.#o;
    const { namespace = 'default', name = '', uid = '' } = object.metadata;
    const pool = planned.pool === null ? null : book.pool(planned.pool);
    if (pool === undefined) return queue.add(key); // the pool has gone this very moment
    const owner = { apiVersion: API_VERSION, kind: kind.type.kind, name, uid, controller: true, blockOwnerDeletion: true };
    const program = kind.program(object);
    const pod = taskPod({ planned, namespace, label: [kind.label, name], owner, pool, program, operatorUrl });
    try {
      pods.upsert(await client.create(POD, pod));
    } catch (error) {
      if (!isAlreadyExists(error)) throw error;
      queue.addAfter(key, NAME_TAKEN_AGAIN_MS); // made before a restart and not in the cache yet, or of an earlier object of this name
    }
  }

  async #expire(key: string, { spec, status }: T, namespace: string | undefined, name: string): Promise<void> {
    const { client, kind, queue, clock } = this.#o;
    if (spec.ttlAfterFinished === undefined || status?.finishedAt === undefined) return;
    const left = Date.parse(status.finishedAt) + durationSeconds(spec.ttlAfterFinished) * 1000 - clock();
    if (left > 0) return queue.addAfter(key, left);
    await client.delete(kind.type, namespace, name, { propagationPolicy: 'Background' }).catch(ignoreNotFound);
  }
}

/** Whether nothing needs to be there for a next pod: there is one, or none will follow. */
function hasPod({ status }: TaskObject): boolean {
  return status?.phase === 'Running' || status?.phase === 'Starting' || status?.phase === 'Complete' || status?.phase === 'Failed';
}

export function keyOf(object: { metadata: { namespace?: string; name?: string } }): string {
  return `${object.metadata.namespace}/${object.metadata.name}`;
}

function sameSpec(a: TaskObject, b: TaskObject): boolean {
  return (
    a.metadata.generation === b.metadata.generation &&
    a.metadata.uid === b.metadata.uid &&
    a.metadata.deletionTimestamp === b.metadata.deletionTimestamp
  );
}
