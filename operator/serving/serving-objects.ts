import { createHash } from 'node:crypto';
import type { VicunaServing } from '../api/vicuna-serving.ts';
import { isNotFound, type KubeClient } from '../kube/client.ts';
import {
  CONFIG_MAP,
  DEPLOYMENT,
  type KubeObject,
  LEASE,
  metadataOf,
  POD_DISRUPTION_BUDGET,
  type ResourceType,
  ROLE,
  ROLE_BINDING,
  SERVICE,
  SERVICE_ACCOUNT,
} from '../kube/types.ts';
import { gatewayObjects } from './gateway-objects.ts';
import { demandLease, trackService, unitBudget } from './model-objects.ts';
import { demandLeaseName, modelObjectName } from './names.ts';

/** What the operator last wrote of an object: a change by anybody else to something else is none of its business. */
const APPLIED = 'vicuna.run/applied';
/** Objects are written anew after so long in any case: somebody may have changed or removed them. */
const AGAIN_MS = 10 * 60_000;

const TYPES: Readonly<Record<string, ResourceType<KubeObject>>> = {
  ServiceAccount: SERVICE_ACCOUNT,
  Role: ROLE,
  RoleBinding: ROLE_BINDING,
  ConfigMap: CONFIG_MAP,
  Service: SERVICE,
  PodDisruptionBudget: POD_DISRUPTION_BUDGET,
  Deployment: DEPLOYMENT,
  Lease: LEASE,
};

interface Applied {
  readonly hash: string;
  readonly at: number;
}

/** Keeps what a serving consists of besides its replicas: Services, budgets, leases and the gateway. */
export class ServingObjects {
  readonly #client: KubeClient;
  readonly #gatewayImage: string;
  /** By serving and object. */
  readonly #applied = new Map<string, Map<string, Applied>>();

  constructor(client: KubeClient, gatewayImage: string) {
    this.#client = client;
    this.#gatewayImage = gatewayImage;
  }

  /** Writes what is missing or has changed, and removes what models that are gone have left. */
  async ensure(key: string, serving: VicunaServing, units: readonly string[]): Promise<void> {
    const known = this.#applied.get(key) ?? new Map<string, Applied>();
    this.#applied.set(key, known);
    // A Service may be there only after its account and role are; the rest need not wait for each other, but seldom changes.
    for (const object of objectsOf(serving, units, this.#gatewayImage)) {
      const name = `${object.kind} ${metadataOf(object).name}`;
      const hash = hashOf(object);
      const last = known.get(name);
      if (last?.hash === hash && Date.now() - last.at < AGAIN_MS) continue;
      await this.#client.apply(typeOf(object), object);
      known.set(name, { hash, at: Date.now() });
    }
    await this.#removeOfGoneModels(serving, units);
  }

  /** Applies an object unless `existing` is what was applied last; undefined if so. `client` is of the cluster that it is for. */
  async apply<T extends KubeObject>(
    type: ResourceType<T>,
    object: T,
    existing: T | undefined,
    client = this.#client,
  ): Promise<T | undefined> {
    const hash = hashOf(object);
    const annotations = (existing?.metadata as { annotations?: Record<string, string> } | undefined)?.annotations;
    if (annotations?.[APPLIED] === hash && sameReplicas(object, existing)) return undefined;
    const metadata = { ...object.metadata, annotations: { [APPLIED]: hash } };
    return client.apply(type, { ...object, metadata });
  }

  forget(key: string): void {
    this.#applied.delete(key);
  }

  async #removeOfGoneModels(serving: VicunaServing, units: readonly string[]): Promise<void> {
    const { name: serves = '', namespace } = serving.metadata;
    const { models = [], multiplexing } = serving.status ?? {};
    const budgeted = (multiplexing?.groups ?? models).filter((unit) => !units.includes(unit.name));
    const gone = models.filter((m) => !serving.spec.models.some((s) => s.name === m.name));
    const remove = (type: ResourceType<KubeObject>, name: string) =>
      this.#client.delete(type, namespace, name).catch((error: unknown) => {
        if (!isNotFound(error)) throw error;
      });
    for (const { name } of budgeted) await remove(POD_DISRUPTION_BUDGET, modelObjectName(serves, name));
    for (const { name } of gone) {
      await remove(SERVICE, modelObjectName(serves, name));
      await remove(SERVICE, modelObjectName(serves, name, 'canary'));
      await remove(LEASE, demandLeaseName(serves, name));
    }
  }
}

function objectsOf(serving: VicunaServing, units: readonly string[], gatewayImage: string): KubeObject[] {
  const ofModels = serving.spec.models.flatMap((model) => [
    trackService(serving, model.name, 'stable'),
    ...(model.canary ? [trackService(serving, model.name, 'canary')] : []),
    demandLease(serving, model.name),
  ]);
  return [...ofModels, ...units.map((unit) => unitBudget(serving, unit)), ...gatewayObjects(serving, gatewayImage)];
}

function typeOf(object: KubeObject): ResourceType<KubeObject> {
  const type = TYPES[object.kind ?? ''];
  if (!type) throw new Error(`no type for ${object.kind}`);
  return type;
}

function hashOf(object: KubeObject): string {
  return createHash('sha256').update(JSON.stringify(object)).digest('hex').slice(0, 16);
}

/** Replicas are set by others, too, by hand for one. */
function sameReplicas(a: KubeObject, b: KubeObject | undefined): boolean {
  const replicas = (o: KubeObject | undefined) => (o as { spec?: { replicas?: number } } | undefined)?.spec?.replicas;
  return replicas(a) === replicas(b);
}
