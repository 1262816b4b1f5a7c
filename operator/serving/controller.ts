import type { V1Deployment, V1Lease, V1Node, V1Pod } from '@kubernetes/client-node';
import type { Logger } from 'pino';
import { gibOf } from '../api/forms.ts';
import { SERVING, type ServedModel, servingWithDefaults, type VicunaServing, type VicunaServingStatus } from '../api/vicuna-serving.ts';
import type { VicunaTraining } from '../api/vicuna-training.ts';
import { isConflict, isNotFound, isRefusal, type KubeClient } from '../kube/client.ts';
import type { EventRecorder } from '../kube/events.ts';
import type { Informer } from '../kube/informer.ts';
import { sameJson } from '../kube/same-json.ts';
import { DEPLOYMENT, POD, SECRET } from '../kube/types.ts';
import type { WorkQueue } from '../kube/work-queue.ts';
import { SERVING_LABEL } from '../pods/labels.ts';
import { sameNode } from '../pods/same-node.ts';
import type { PoolBook } from '../pools/book.ts';
import { groupContainer, modelContainer } from './engine-container.ts';
import type { ServingMetrics } from './metrics.ts';
import type { Multiplexing } from './multiplexing/multiplexing.ts';
import { COMPONENT_LABEL, DELETION_COST, ROUTABLE_GATE } from './names.ts';
import { observeDeployment, observeGateway, observeReplica } from './observe.ts';
import { planServing, type ServingPlan } from './plan.ts';
import { replicaDeployment } from './replica-deployment.ts';
import type { Scaling } from './scaling.ts';
import { secretsOf } from './secrets.ts';
import { ServingObjects } from './serving-objects.ts';
import { type GroupsState, type ServingState, unitsOf } from './state.ts';
import { waitingStatus, withTrainings } from './trained-models.ts';

export const PODS_BY_SERVING = 'serving';
export const PODS_BY_NODE = 'node';
export const DEPLOYMENTS_BY_SERVING = 'serving';

/** What the API server refused is tried again after so long: a quota or policy may have changed. */
const REFUSED_AGAIN_MS = 30_000;
/** A Secret that is missing is looked for again after so long. */
const MISSING_AGAIN_MS = 5_000;
/** Money alone is no reason to write a status more often than this. */
const TOTALS_MS = 25_000;

export interface ServingControllerOptions {
  readonly client: KubeClient;
  readonly servings: Informer<VicunaServing>;
  readonly trainings: Informer<VicunaTraining>;
  readonly pods: Informer<V1Pod>;
  readonly nodes: Informer<V1Node>;
  readonly deployments: Informer<V1Deployment>;
  readonly leases: Informer<V1Lease>;
  readonly queue: WorkQueue;
  readonly book: PoolBook;
  readonly scaling: Scaling;
  readonly multiplexing: Multiplexing;
  readonly recorder: EventRecorder;
  readonly metrics: ServingMetrics;
  readonly images: { readonly engine: string; readonly gateway: string };
  readonly log: Logger;
  readonly clock: () => number;
}

/** Carries out plans. It keeps nothing that matters: pods' gates, Deployments and the status tell all of it. */
export class ServingController {
  readonly #o: ServingControllerOptions;
  readonly #objects: ServingObjects;
  /** What the API server said of objects that it refused, by serving. */
  readonly #refusals = new Map<string, string>();
  /** Pods whose start the pools know of, by serving. What answered before this process began was counted by the one before. */
  readonly #counted = new Map<string, Set<string>>();
  /** Generation of which every Secret was found, by serving. */
  readonly #complete = new Map<string, number>();
  readonly #startedAt: number;

  constructor(options: ServingControllerOptions) {
    this.#o = options;
    this.#objects = new ServingObjects(options.client, options.images.gateway);
    this.#startedAt = options.clock();
    const { servings, pods, nodes, deployments, leases, queue, scaling, multiplexing, book } = options;
    servings.onChange(({ type, object, old }) => {
      if (type === 'updated' && old && sameSpec(object, old)) return; // our own status write
      queue.add(keyOf(object));
    });
    pods.onChange(({ object }) => this.#wake(object));
    deployments.onChange(({ object }) => this.#wake(object));
    leases.onChange(({ object }) => this.#wake(object));
    nodes.onChange(({ type, object, old }) => {
      if (type === 'updated' && old && sameNode(object, old)) return;
      // A notice is a matter of seconds: it overtakes whatever else waits.
      for (const pod of pods.byIndex(PODS_BY_NODE, object.metadata?.name ?? '')) this.#wake(pod, 10);
    });
    scaling.onNews((key) => queue.add(key));
    multiplexing.onNews((key) => queue.add(key));
    book.onRoom(() => {
      for (const serving of servings.list()) if (isShort(serving)) queue.addAfter(keyOf(serving), 200);
    });
  }

  #wake(object: { metadata?: { namespace?: string; labels?: Record<string, string> } }, priority = 1): void {
    const serving = object.metadata?.labels?.[SERVING_LABEL];
    if (serving !== undefined) this.#o.queue.add(`${object.metadata?.namespace}/${serving}`, { priority });
  }

  /** Brings one serving ("namespace/name") a step towards its spec. Called by the queue, never twice at a time for one key. */
  async reconcile(key: string): Promise<void> {
    const { servings, clock, queue, log, recorder } = this.#o;
    const [namespace = '', name = ''] = key.split('/');
    const found = servings.get(namespace, name);
    if (!found || found.metadata.deletionTimestamp !== undefined) {
      if (!found) this.#forget(key);
      return; // what belongs to it goes with it
    }
    const now = clock();
    const { serving, waiting } = withTrainings(servingWithDefaults(found), (training) => this.#o.trainings.get(namespace, training));
    if (waiting !== null) {
      queue.addAfter(key, MISSING_AGAIN_MS);
      return this.#writeStatus(found, waitingStatus(found, waiting, now));
    }
    const missing = await this.#missingSecret(key, serving);
    if (missing !== null) queue.addAfter(key, MISSING_AGAIN_MS);
    // What it has been promised and has not used is free again while it is planned anew.
    this.#o.book.promise(key, []);
    const state = this.#observe(key, serving, now, missing);
    const plan = planServing(state, now);
    this.#o.book.promise(key, plan.coming);
    try {
      await this.#act(key, state, plan);
      this.#refusals.delete(key);
    } catch (error) {
      if (isConflict(error) || isNotFound(error)) {
        log.debug({ key, error }, 'an object has changed meanwhile; looking again');
        queue.addAfter(key, 50);
        return;
      }
      if (!isRefusal(error)) throw error;
      if (this.#refusals.get(key) !== error.message) recorder.event(found, { type: 'Warning', reason: 'Refused', message: error.message });
      this.#refusals.set(key, error.message);
      this.#o.book.promise(key, []);
      queue.addAfter(key, REFUSED_AGAIN_MS);
    }
    await this.#writeStatus(found, plan.status);
    for (const event of plan.events) recorder.event(found, event);
    for (const observation of plan.observations) this.#o.book.observe(observation, now);
    for (const uid of plan.counted) this.#countedOf(key).add(uid);
    this.#o.metrics.update(key, plan, state);
    if (plan.wakeAt !== null) queue.addAfter(key, Math.max(10, plan.wakeAt - clock()));
  }

  /** A Secret that the spec names and the namespace lacks, in one sentence, or null. Read once for every version of the spec. */
  async #missingSecret(key: string, serving: VicunaServing): Promise<string | null> {
    const { generation = 0, namespace = 'default' } = serving.metadata;
    if (this.#complete.get(key) === generation) return null;
    for (const { field, name } of secretsOf(serving)) {
      try {
        await this.#o.client.get(SECRET, namespace, name);
      } catch (error) {
        if (!isNotFound(error)) throw error;
        return `${field}: Secret "${name}" does not exist in namespace ${namespace}: create it, and what waits for it starts by itself`;
      }
    }
    this.#complete.set(key, generation);
    return null;
  }

  #observe(key: string, serving: VicunaServing, now: number, missing: string | null): ServingState {
    const { pods, nodes, deployments, book } = this.#o;
    const counted = this.#countedOf(key);
    const own = pods.byIndex(PODS_BY_SERVING, key);
    const nodeOf = (pod: V1Pod) => (pod.spec?.nodeName ? nodes.get(undefined, pod.spec.nodeName) : undefined);
    const neighboursOf = (pod: V1Pod) => (pod.spec?.nodeName ? pods.byIndex(PODS_BY_NODE, pod.spec.nodeName).length - 1 : 0);
    const isGateway = (labels: Record<string, string> | undefined) => labels?.[COMPONENT_LABEL] === 'gateway';
    const replicas = own
      .filter((p) => !isGateway(p.metadata?.labels))
      .map((p) => observeReplica(p, nodeOf(p), now, counted.has(p.metadata?.uid ?? ''), neighboursOf(p)))
      .map((r) => (r.readyAt !== null && r.readyAt < this.#startedAt ? { ...r, counted: true } : r));
    const views = new Map<number, ReturnType<PoolBook['views']>>();
    const poolsFor = (gpus: number) => {
      const known = views.get(gpus) ?? book.views(serving.spec.placement.pools?.matchLabels ?? {}, gpus);
      views.set(gpus, known);
      return known;
    };
    return {
      serving,
      replicas,
      deployments: deployments
        .byIndex(DEPLOYMENTS_BY_SERVING, key)
        .filter((d) => !isGateway(d.metadata?.labels))
        .map(observeDeployment),
      poolsFor,
      ...this.#decide(key, serving, replicas, poolsFor(1), now),
      gateways: own.filter((p) => isGateway(p.metadata?.labels)).map((p) => observeGateway(p, nodeOf(p), now)),
      missing,
      refusal: this.#refusals.get(key) ?? null,
    };
  }

  /** How many replicas there should be, and of what. */
  #decide(
    key: string,
    serving: VicunaServing,
    replicas: ServingState['replicas'],
    pools: ReturnType<PoolBook['views']>,
    now: number,
  ): Pick<ServingState, 'scale' | 'metrics' | 'firstTokenP99' | 'groups'> {
    const { scaling, multiplexing } = this.#o;
    if (!serving.spec.multiplexing) {
      multiplexing.forget(key);
      return { ...scaling.decide(serving, replicas, now), groups: null };
    }
    scaling.forget(key);
    const { groups, metrics } = multiplexing.decide(serving, pools);
    return { scale: scaleOf(groups), metrics, firstTokenP99: new Map(), groups };
  }

  /** Routing stops first. Replacements are asked for before anything is told to end. It is safe to die anywhere: all of it is repeatable. */
  async #act(key: string, state: ServingState, plan: ServingPlan): Promise<void> {
    const { client, pods, deployments, book, images } = this.#o;
    const { serving, groups } = state;
    const namespace = serving.metadata.namespace ?? 'default';
    await Promise.all(plan.gates.map(async ({ pod, routable }) => pods.upsert(await this.#setGate(namespace, pod, routable))));
    await this.#objects.ensure(
      key,
      serving,
      unitsOf(state).map((unit) => unit.name),
    );
    await Promise.all(
      plan.deletionCosts.map(async ({ pod, cost }) => {
        const annotations = { [DELETION_COST]: String(cost) };
        await client.mergePatch(POD, namespace, pod, { metadata: { annotations } }).catch(ignoreNotFound);
      }),
    );
    await Promise.all(
      plan.deployments.map(async ({ model: name, track, pool: poolName, replicas, roomToSurge }) => {
        const model = serving.spec.models.find((m) => m.name === name);
        const group = groups?.groups.find((g) => g.name === name);
        const pool = book.pool(poolName);
        if (!pool || (!model && !group)) return;
        const engine = group
          ? groupContainer(serving, group, gibOf(pool.spec.accelerator.memory ?? '80Gi'), images.engine)
          : modelContainer(model as ServedModel, track, images.engine);
        const wanted = replicaDeployment({ serving, engine, track, pool, replicas, roomToSurge });
        const written = await this.#objects.apply(DEPLOYMENT, wanted, deployments.get(namespace, wanted.metadata?.name ?? ''));
        if (written) deployments.upsert(written);
      }),
    );
    await Promise.all([
      ...plan.removals.map((name) => client.delete(DEPLOYMENT, namespace, name, { propagationPolicy: 'Background' }).catch(ignoreNotFound)),
      ...plan.evictions.map(({ pod, uid, graceSeconds }) =>
        client.delete(POD, namespace, pod, { uid, gracePeriodSeconds: graceSeconds }).catch(ignoreNotFound),
      ),
    ]);
  }

  /** Server-side apply owns this one condition of the pod's; a merge would replace the kubelet's. */
  #setGate(namespace: string, name: string, routable: boolean): Promise<V1Pod> {
    const condition = {
      type: ROUTABLE_GATE,
      status: routable ? 'True' : 'False',
      reason: routable ? 'Routable' : 'NodeIsLeaving',
      lastTransitionTime: new Date(this.#o.clock()).toISOString() as unknown as Date,
    };
    const pod: V1Pod = { apiVersion: 'v1', kind: 'Pod', metadata: { name, namespace }, status: { conditions: [condition] } };
    return this.#o.client.apply(POD, pod, { subresource: 'status' });
  }

  async #writeStatus(found: VicunaServing, status: VicunaServingStatus): Promise<void> {
    const before = found.status;
    const age = before?.accruedUntil === undefined ? Number.POSITIVE_INFINITY : this.#o.clock() - Date.parse(before.accruedUntil);
    if (sameJson(withoutTotals(status), withoutTotals(before ?? {})) && age < TOTALS_MS) return;
    try {
      this.#o.servings.upsert(await this.#o.client.replaceStatus(SERVING, { ...found, status }));
    } catch (error) {
      if (!isConflict(error) && !isNotFound(error)) throw error;
      this.#o.queue.addAfter(keyOf(found), 50);
    }
  }

  #countedOf(key: string): Set<string> {
    const known = this.#counted.get(key) ?? new Set();
    this.#counted.set(key, known);
    return known;
  }

  #forget(key: string): void {
    this.#refusals.delete(key);
    this.#counted.delete(key);
    this.#complete.delete(key);
    this.#o.book.promise(key, []);
    this.#objects.forget(key);
    this.#o.scaling.forget(key);
    this.#o.multiplexing.forget(key);
    this.#o.metrics.forget(key);
  }
}

/** Each group as often as the plan says. */
function scaleOf({ groups, reason }: GroupsState): ServingState['scale'] {
  return new Map(groups.map((g) => [g.name, { replicas: g.replicas, reason, limitedBy: null, queue: null }]));
}

function keyOf(object: { metadata: { namespace?: string; name?: string } }): string {
  return `${object.metadata.namespace}/${object.metadata.name}`;
}

/** Whether it waits for room. */
function isShort(serving: VicunaServing): boolean {
  return serving.status?.conditions?.some((c) => c.type === 'Placed' && c.status === 'False') ?? false;
}

function sameSpec(a: VicunaServing, b: VicunaServing): boolean {
  return (
    a.metadata.generation === b.metadata.generation &&
    a.metadata.uid === b.metadata.uid &&
    a.metadata.deletionTimestamp === b.metadata.deletionTimestamp
  );
}

function withoutTotals({ totals, accruedUntil: _, ...rest }: VicunaServingStatus): object {
  return { ...rest, interruptions: totals?.interruptions ?? 0 };
}

function ignoreNotFound(error: unknown): undefined {
  if (isNotFound(error)) return undefined;
  throw error;
}
