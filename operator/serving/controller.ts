import type { V1Lease, V1Pod } from '@kubernetes/client-node';
import type { Logger } from 'pino';
import { gibOf } from '../api/forms.ts';
import { SERVING, type ServedModel, servingWithDefaults, type VicunaServing, type VicunaServingStatus } from '../api/vicuna-serving.ts';
import type { VicunaTraining } from '../api/vicuna-training.ts';
import { type Clusters, clusterOfPool, type Place } from '../clusters/clusters.ts';
import { clusterOf, nodeIn } from '../clusters/located.ts';
import { ApiError, ignoreNotFound, isConflict, isNotFound, isRefusal, type KubeClient } from '../kube/client.ts';
import type { EventRecorder } from '../kube/events.ts';
import type { Informer } from '../kube/informer.ts';
import { sameJson } from '../kube/same-json.ts';
import { DEPLOYMENT, ENDPOINT_SLICE, POD, SECRET } from '../kube/types.ts';
import type { WorkQueue } from '../kube/work-queue.ts';
import { CLUSTER_LABEL, MANAGED_BY, OPERATOR, OWNER_UID_LABEL, SERVING_LABEL } from '../pods/labels.ts';
import { sameNode } from '../pods/same-node.ts';
import type { PoolBook } from '../pools/book.ts';
import { awaySlices } from './away-slices.ts';
import type { ServingPlan } from './draft.ts';
import { groupContainer, modelContainer } from './engine-container.ts';
import type { ServingMetrics } from './metrics.ts';
import type { Multiplexing } from './multiplexing/multiplexing.ts';
import { COMPONENT_LABEL, DELETION_COST, ROUTABLE_GATE } from './names.ts';
import { observeDeployment, observeGateway, observeReplica } from './observe.ts';
import { planServing } from './plan.ts';
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
/** A serving is looked at again so soon when nothing can be told yet of a cluster that its replicas may be in. */
const UNSETTLED_AGAIN_MS = 500;
/** Money alone is no reason to write a status more often than this. */
const TOTALS_MS = 25_000;

export interface ServingControllerOptions {
  readonly client: KubeClient;
  readonly servings: Informer<VicunaServing>;
  readonly clusters: Clusters;
  readonly trainings: Informer<VicunaTraining>;
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
  /** EndpointSlices of replicas in other clusters as last written, by serving and name. */
  readonly #slices = new Map<string, Map<string, string>>();
  /** Generation of which every Secret was found, by serving. */
  readonly #complete = new Map<string, number>();
  readonly #startedAt: number;

  constructor(options: ServingControllerOptions) {
    this.#o = options;
    this.#objects = new ServingObjects(options.client, options.images.gateway);
    this.#startedAt = options.clock();
    const { servings, clusters, leases, queue, scaling, multiplexing, book } = options;
    const { pods, nodes, deployments } = clusters;
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
    clusters.onHealth(() => {
      for (const serving of servings.list()) queue.add(keyOf(serving), { priority: 1 });
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
    await this.#removeOrphans(key, found);
    if (!found || found.metadata.deletionTimestamp !== undefined) {
      if (!found) this.#forget(key);
      return; // what belongs to it goes with it
    }
    // Who cannot see all replicas yet would take those that he does not see for lost.
    if (!this.#o.clusters.areSettled()) return queue.addAfter(key, UNSETTLED_AGAIN_MS);
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
    const { clusters } = this.#o;
    const { pods, nodes, deployments } = clusters;
    const counted = this.#countedOf(key);
    const own = pods.byIndex(PODS_BY_SERVING, key);
    const nodeOf = (pod: V1Pod) => (pod.spec?.nodeName ? nodes.get(undefined, pod.spec.nodeName) : undefined);
    const neighboursOf = (pod: V1Pod) => (pod.spec?.nodeName ? pods.byIndex(PODS_BY_NODE, pod.spec.nodeName).length - 1 : 0);
    const isGateway = (labels: Record<string, string> | undefined) => labels?.[COMPONENT_LABEL] === 'gateway';
    const replicas = own
      .filter((p) => !isGateway(p.metadata?.labels))
      .map((p) =>
        observeReplica(p, nodeOf(p), now, {
          counted: counted.has(p.metadata?.uid ?? ''),
          neighbours: neighboursOf(p),
          lostSince: clusters.lostSince(clusterOf(p)),
        }),
      )
      .map((r) => (r.readyAt !== null && r.readyAt < this.#startedAt ? { ...r, counted: true } : r));
    const views = new Map<number, ReturnType<PoolBook['views']>>();
    const poolsFor = (gpus: number) => {
      const known = views.get(gpus) ?? this.#viewsFor(serving, gpus);
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

  /** Pools that the serving may use. Ports of models that share a pod are found by name, which no EndpointSlice of ours can tell. */
  #viewsFor(serving: VicunaServing, gpus: number): ReturnType<PoolBook['views']> {
    const { book } = this.#o;
    const labels = serving.spec.placement.pools?.matchLabels ?? {};
    return serving.spec.multiplexing ? book.viewsAtHome(labels, gpus) : book.views(labels, gpus);
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
    const { clusters, book, images } = this.#o;
    const { serving, groups } = state;
    const namespace = serving.metadata.namespace ?? 'default';
    await Promise.all(
      plan.gates.map(async ({ pod, routable }) => {
        const place = this.#placeOf(key, pod);
        if (place) clusters.pods.upsert(await this.#setGate(place, namespace, pod, routable), place.cluster);
      }),
    );
    await this.#tellOfReplicasAway(key, serving);
    await this.#objects.ensure(
      key,
      serving,
      unitsOf(state).map((unit) => unit.name),
    );
    await Promise.all(
      plan.deletionCosts.map(async ({ pod, cost }) => {
        const annotations = { [DELETION_COST]: String(cost) };
        await this.#placeOf(key, pod)?.client.mergePatch(POD, namespace, pod, { metadata: { annotations } }).catch(ignoreNotFound);
      }),
    );
    await Promise.all(
      plan.deployments.map(async ({ model: name, track, pool: poolName, replicas, roomToSurge }) => {
        const model = serving.spec.models.find((m) => m.name === name);
        const group = groups?.groups.find((g) => g.name === name);
        const pool = book.pool(poolName);
        const place = pool && clusters.place(clusterOfPool(pool));
        if (!place || (!model && !group)) return;
        const engine = group
          ? groupContainer(serving, group, gibOf(pool.spec.accelerator.memory ?? '80Gi'), images.engine)
          : modelContainer(model as ServedModel, track, images.engine);
        const home = place.cluster === null ? null : clusters.homeId;
        const wanted = replicaDeployment({ serving, engine, track, pool, replicas, roomToSurge, home });
        const existing = clusters.deployments.get(namespace, nodeIn(place.cluster, wanted.metadata?.name ?? ''));
        const written = await this.#objects.apply(DEPLOYMENT, wanted, existing, place.client).catch(missingNamespace(place, namespace));
        if (written) clusters.deployments.upsert(written, place.cluster);
      }),
    );
    await Promise.all([
      ...plan.removals.map(async (name) => {
        const deployment = clusters.deployments.byIndex(DEPLOYMENTS_BY_SERVING, key).find((d) => d.metadata?.name === name);
        const place = clusters.place(deployment ? clusterOf(deployment) : null);
        await place?.client.delete(DEPLOYMENT, namespace, name, { propagationPolicy: 'Background' }).catch(ignoreNotFound);
      }),
      ...plan.evictions.map(({ pod, uid, graceSeconds }) =>
        this.#placeOf(key, pod)?.client.delete(POD, namespace, pod, { uid, gracePeriodSeconds: graceSeconds }).catch(ignoreNotFound),
      ),
    ]);
  }

  /** Where a pod of the serving is, while something may be written there. */
  #placeOf(key: string, name: string): Place | null {
    const { clusters } = this.#o;
    const pod = clusters.pods.byIndex(PODS_BY_SERVING, key).find((p) => p.metadata?.name === name);
    return clusters.place(pod ? clusterOf(pod) : null);
  }

  /** Gateways find replicas in other clusters by EndpointSlices of the operator's own making. */
  async #tellOfReplicasAway(key: string, serving: VicunaServing): Promise<void> {
    const { client, clusters } = this.#o;
    const { namespace = 'default', name = '' } = serving.metadata;
    const remotes = clusters.remotes();
    if (remotes.length === 0 && !this.#slices.has(key)) return;
    let known = this.#slices.get(key);
    if (known === undefined) {
      const labelSelector = `${MANAGED_BY}=${OPERATOR},${SERVING_LABEL}=${name},${CLUSTER_LABEL}`;
      const { items } = await client.list(ENDPOINT_SLICE, { namespace, labelSelector });
      known = new Map(items.map((slice) => [slice.metadata?.name ?? '', '']));
      this.#slices.set(key, known);
    }
    // What is not seen now may still answer: a cluster out of reach keeps the slices that it had.
    const wanted = awaySlices(
      serving,
      clusters.pods.byIndex(PODS_BY_SERVING, key),
      remotes.filter((r) => clusters.isSynced(r)),
    );
    for (const slice of wanted) {
      const sliceName = slice.metadata?.name ?? '';
      const text = JSON.stringify(slice);
      if (known.get(sliceName) === text) continue;
      await client.apply(ENDPOINT_SLICE, slice);
      known.set(sliceName, text);
    }
    const kept = new Set(awaySlices(serving, [], remotes).map((slice) => slice.metadata?.name));
    for (const sliceName of known.keys()) {
      if (kept.has(sliceName)) continue;
      await client.delete(ENDPOINT_SLICE, namespace, sliceName).catch(ignoreNotFound);
      known.delete(sliceName);
    }
  }

  /** In other clusters nothing is removed with its owner: Deployments of a serving that is gone are removed here. */
  async #removeOrphans(key: string, serving: VicunaServing | undefined): Promise<void> {
    const { clusters } = this.#o;
    for (const deployment of clusters.deployments.byIndex(DEPLOYMENTS_BY_SERVING, key)) {
      const cluster = clusterOf(deployment);
      const isOrphan =
        !serving ||
        serving.metadata.deletionTimestamp !== undefined ||
        deployment.metadata?.labels?.[OWNER_UID_LABEL] !== serving.metadata.uid;
      if (cluster === null || !isOrphan) continue;
      const { namespace, name = '' } = deployment.metadata ?? {};
      await clusters.place(cluster)?.client.delete(DEPLOYMENT, namespace, name, { propagationPolicy: 'Background' }).catch(ignoreNotFound);
    }
  }

  /** Server-side apply owns this one condition of the pod's; a merge would replace the kubelet's. */
  #setGate({ client }: Place, namespace: string, name: string, routable: boolean): Promise<V1Pod> {
    const condition = {
      type: ROUTABLE_GATE,
      status: routable ? 'True' : 'False',
      reason: routable ? 'Routable' : 'NodeIsLeaving',
      lastTransitionTime: new Date(this.#o.clock()).toISOString() as unknown as Date,
    };
    const pod: V1Pod = { apiVersion: 'v1', kind: 'Pod', metadata: { name, namespace }, status: { conditions: [condition] } };
    return client.apply(POD, pod, { subresource: 'status' });
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
    this.#slices.delete(key);
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

/** What a cluster lacks that was never prepared for the serving. */
function missingNamespace({ cluster }: Place, namespace: string) {
  return (error: unknown): never => {
    if (cluster === null || !isNotFound(error)) throw error;
    throw new ApiError(
      422,
      'Invalid',
      `cluster ${cluster} has no namespace ${namespace}: create it there, with the Secrets that replicas need`,
    );
  };
}
