// Every field of the full examples is spoilt in every way its type allows. Each spoilt object must be refused with a message, or be one
// that the operator can work with: plans can be made of it and the API server takes the pods made from it.
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { openApiSchema, type Schema } from '../../operator/api/crd.ts';
import { GPU_POOL, type GpuPool, poolWithDefaults } from '../../operator/api/gpu-pool.ts';
import { KINDS } from '../../operator/api/kinds.ts';
import type { TaskObject } from '../../operator/api/task.ts';
import { DATASET } from '../../operator/api/vicuna-dataset.ts';
import { EVALUATION } from '../../operator/api/vicuna-evaluation.ts';
import { SERVING, servingWithDefaults, type VicunaServing } from '../../operator/api/vicuna-serving.ts';
import { TRAINING, type VicunaTraining, withDefaults } from '../../operator/api/vicuna-training.ts';
import { datasetKind } from '../../operator/dataset/kind.ts';
import { evaluationKind } from '../../operator/evaluation/kind.ts';
import { ApiError, KubeClient } from '../../operator/kube/client.ts';
import { CONFIG_MAP, DEPLOYMENT, type KubeObject, metadataOf, POD, type ResourceType, ROLE } from '../../operator/kube/types.ts';
import { groupContainer, modelContainer } from '../../operator/serving/engine-container.ts';
import { gatewayObjects } from '../../operator/serving/gateway-objects.ts';
import { planServing } from '../../operator/serving/plan.ts';
import { replicaDeployment } from '../../operator/serving/replica-deployment.ts';
import type { TaskKind } from '../../operator/tasks/kind.ts';
import { planTask } from '../../operator/tasks/plan.ts';
import { taskPod } from '../../operator/tasks/pods.ts';
import { cpuPool } from '../../operator/tasks/testing.ts';
import { planTraining } from '../../operator/training/plan.ts';
import { workerPod } from '../../operator/training/pods.ts';
import { pool as poolView } from '../../operator/training/testing.ts';
import { run, until } from '../cluster/run.ts';
import { toolPath } from '../cluster/tools.ts';
import { dataset, evaluation, gpuPool, type Path, serving, setAt, training } from './objects.ts';

const NOW = Date.parse('2026-06-01T00:00:00Z');

let client: KubeClient;
beforeAll(async () => {
  client = await KubeClient.fromKubeconfig();
  // Pods need their namespace's account, which a controller makes, and their priority class.
  await until('the default service account', 20_000, async () => {
    await run(toolPath('kubectl'), ['get', 'serviceaccount', 'default', '-n', 'default']);
    return true;
  });
  const priority = { apiVersion: 'scheduling.k8s.io/v1', kind: 'PriorityClass', metadata: { name: 'training' }, value: 1000 };
  await run(toolPath('kubectl'), ['apply', '-f', '-'], { input: JSON.stringify(priority) });
});
afterAll(async () => {
  await run(toolPath('kubectl'), ['delete', 'priorityclass', 'training']);
  client.close();
});

interface Mutation {
  readonly path: Path;
  readonly value: unknown;
}

/** Values that a field of this schema might be given by mistake; undefined leaves it out. */
function spoiltValues(schema: Schema): unknown[] {
  const anything = [undefined, null, '', 'x', 'ü🦙', 'a\u0000b', '../..', -1, 0, 1.5, 1e18, true, [], {}, [null], { a: null }];
  const long =
    typeof schema.maxLength === 'number'
      ? ['x'.repeat(schema.maxLength), '9'.repeat(schema.maxLength), 'x'.repeat(schema.maxLength + 1)]
      : [];
  const edges = [schema.minimum, schema.maximum].flatMap((edge) => (typeof edge === 'number' ? [edge, edge - 1, edge + 1] : []));
  const many = typeof schema.maxItems === 'number' ? [Array.from({ length: schema.maxItems + 1 }, () => 'x')] : [];
  return [...anything, ...long, ...edges, ...many, ...((schema.enum ?? []) as unknown[])];
}

/** One mutation per field of the schema that the object has, and per spoilt value. Open parts are spoilt as a whole only. */
function* mutationsOf(schema: Schema, object: unknown, path: Path): Generator<Mutation> {
  for (const value of spoiltValues(schema)) yield { path, value };
  if (object === null || typeof object !== 'object' || schema['x-kubernetes-preserve-unknown-fields']) return;
  if (Array.isArray(object)) {
    if (schema.items && object.length > 0) yield* mutationsOf(schema.items, object[0], [...path, 0]);
    return;
  }
  for (const [name, value] of Object.entries(object)) {
    const inner = schema.properties?.[name] ?? schema.additionalProperties;
    if (typeof inner === 'object') yield* mutationsOf(inner, value, [...path, name]);
  }
}

function schemaOf(kind: string): Schema {
  const found = KINDS.find((k) => k.kind === kind);
  if (!found) throw new Error(`no kind ${kind}`);
  return openApiSchema(found).properties?.spec ?? {};
}

/** What came of creating the object: the object as stored, or null when it was refused as it should be. */
async function created<T extends KubeObject>(type: ResourceType<T>, object: T, what: string): Promise<T | null> {
  try {
    return await client.create(type, object);
  } catch (error) {
    expect(error, what).toBeInstanceOf(ApiError);
    const { status, message } = error as ApiError;
    expect(status, `${what}: ${message}`).toBeGreaterThanOrEqual(400);
    expect(status, `${what}: ${message}`).toBeLessThan(500);
    expect(message.length, what).toBeGreaterThan(20);
    return null;
  }
}

/** Plans and makes a worker pod as the operator would; the API server must take the pod. */
async function expectUsable(object: VicunaTraining, pool: GpuPool, name: string, what: string): Promise<void> {
  const full = withDefaults(object);
  const state = {
    training: full,
    pods: new Map(),
    reports: new Map(),
    pools: [poolView('pool')],
    dataset: null,
    release: null,
    problem: null,
    podRefusal: null,
    listeningSince: NOW,
  };
  expect(() => planTraining(state, NOW), what).not.toThrow();
  const pod = workerPod({
    training: full,
    name,
    generation: 1,
    rank: 0,
    pool: poolWithDefaults(pool),
    group: null,
    home: null,
    operatorUrl: 'http://operator',
  });
  try {
    await client.create(POD, pod);
  } catch (error) {
    expect.fail(`${what}: accepted, but its worker pod is not: ${(error as Error).message}`);
  }
  await client.delete(POD, 'default', name, { gracePeriodSeconds: 0 });
}

/** Plans and makes what a serving consists of; the API server must take its Deployments, and what its gateway needs. */
async function expectServable(object: VicunaServing, pool: GpuPool, what: string): Promise<void> {
  const full = servingWithDefaults(object);
  const scale = new Map(full.spec.models.map((m) => [m.name, { replicas: 2, reason: 'test', limitedBy: null, queue: null }]));
  const metrics = { status: 'False', reason: 'NotUsed', message: 'test' } as const;
  const state = {
    serving: full,
    replicas: [],
    deployments: [],
    poolsFor: () => [poolView('pool')],
    scale,
    groups: null,
    metrics,
    firstTokenP99: new Map(),
    gateways: [],
    missing: null,
    refusal: null,
  };
  expect(() => planServing(state, NOW), what).not.toThrow();
  const [model] = full.spec.models;
  if (!model) expect.fail(`${what}: accepted without a model`);
  const made: [ResourceType<KubeObject>, KubeObject][] = (['stable', 'canary'] as const).map((track) => [
    DEPLOYMENT,
    replicaDeployment({
      serving: full,
      engine: modelContainer(model, track, 'engine'),
      track,
      pool,
      replicas: 1,
      roomToSurge: true,
      home: null,
    }),
  ]);
  if (full.spec.multiplexing) {
    const group = { name: 'group-00000000', models: full.spec.models.map((m) => m.name), pipeline: 1, tensor: 1, replicas: 1 };
    const engine = groupContainer(full, group, 80, 'engine');
    made.push([
      DEPLOYMENT,
      replicaDeployment({ serving: full, engine, track: 'stable', pool, replicas: 1, roomToSurge: true, home: null }),
    ]);
  }
  const types: Readonly<Record<string, ResourceType<KubeObject>>> = { Deployment: DEPLOYMENT, ConfigMap: CONFIG_MAP, Role: ROLE };
  for (const own of gatewayObjects(full, 'gateway')) {
    const type = types[own.kind ?? ''];
    if (type) made.push([type, own]);
  }
  for (const [type, own] of made) {
    try {
      await client.create(type, own);
    } catch (error) {
      expect.fail(`${what}: accepted, but its ${own.kind} is not: ${(error as Error).message}`);
    }
    await client.delete(type, 'default', metadataOf(own).name ?? '', { propagationPolicy: 'Background' });
  }
}

const label = ({ path, value }: Mutation) => `${path.join('.')} = ${JSON.stringify(value)?.slice(0, 60)}`;

/** What only the cluster can say: whether a priority class exists, or an image is in the template. */
function needsTheCluster({ path, value }: Mutation): boolean {
  const [, section, field] = path;
  return section === 'priorityClassName' || (field === 'image' && (value ?? null) === null);
}

/** Spoils copies of `base`, several at a time; resolves to how many were accepted. */
async function spoil<T extends KubeObject>(
  type: ResourceType<T>,
  base: T,
  mutations: readonly Mutation[],
  check: (made: T, mutation: Mutation) => Promise<void>,
): Promise<number> {
  let accepted = 0;
  const queue = mutations[Symbol.iterator]();
  const lane = async (name: string) => {
    for (const mutation of queue) {
      const object = structuredClone(base);
      setAt(object, ['metadata', 'name'], name);
      setAt(object, mutation.path, mutation.value);
      const made = await created(type, object, label(mutation));
      if (made === null) continue;
      accepted++;
      await check(made, mutation);
      await client.delete(type, type.namespaced ? 'default' : undefined, name);
    }
  };
  await Promise.all(['a', 'b', 'c', 'd', 'e', 'f'].map((letter) => lane(`mutant-${letter}`)));
  return accepted;
}

describe('every field of a VicunaTraining spoilt in every way', () => {
  it('is refused with a message, or can be worked with', { timeout: 300_000 }, async () => {
    const pool = gpuPool('pool');
    const base = training('mutant', {}, 'training-full.yaml');
    const mutations = [...mutationsOf(schemaOf('VicunaTraining'), base.spec, ['spec'])];
    const accepted = await spoil(TRAINING, base, mutations, async (made, mutation) => {
      if (!needsTheCluster(mutation)) await expectUsable(made, pool, `${made.metadata.name}-g1-0`, label(mutation));
    });
    expect(mutations.length).toBeGreaterThan(800);
    expect(accepted).toBeGreaterThan(80);
    expect(accepted).toBeLessThan(mutations.length / 2);
  });
});

describe('every field of a VicunaServing spoilt in every way', () => {
  it('is refused with a message, or can be worked with', { timeout: 300_000 }, async () => {
    const pool = gpuPool('pool');
    const base = serving('mutant', {}, 'serving-full.yaml');
    const mutations = [...mutationsOf(schemaOf('VicunaServing'), base.spec, ['spec'])];
    const accepted = await spoil(SERVING, base, mutations, (made, mutation) => expectServable(made, pool, label(mutation)));
    expect(mutations.length).toBeGreaterThan(1_500);
    expect(accepted).toBeGreaterThan(100);
    expect(accepted).toBeLessThan(mutations.length / 2);
  });
});

/** Plans and makes the pod of a task as the operator would; the API server must take it. */
async function expectDoable<T extends TaskObject>(kind: TaskKind<T>, made: T, pool: GpuPool, what: string): Promise<void> {
  const full = kind.withDefaults(made);
  const { name = '', uid = '' } = made.metadata;
  const state = {
    name: `${name}-${kind.suffix}`,
    placement: full.spec.placement,
    run: {},
    pods: new Map(),
    reports: new Map(),
    pools: [cpuPool('pool')],
    problem: null,
    podRefusal: null,
  };
  const plan = planTask(state, NOW);
  const planned = plan.create;
  expect(planned ?? plan.placed, what).not.toBeNull();
  const pod = taskPod({
    planned: planned ?? { name: `${name}-${kind.suffix}-1`, attempt: 1, pool: null },
    namespace: 'default',
    label: [kind.label, name],
    owner: { apiVersion: 'vicuna.run/v1alpha1', kind: kind.type.kind, name, uid },
    pool,
    program: kind.program(full),
    operatorUrl: 'http://operator',
  });
  try {
    await client.create(POD, pod);
  } catch (error) {
    expect.fail(`${what}: accepted, but its pod is not: ${(error as Error).message}`);
  }
  await client.delete(POD, 'default', pod.metadata?.name ?? '', { gracePeriodSeconds: 0 });
}

describe('every field of a VicunaDataset spoilt in every way', () => {
  it('is refused with a message, or can be worked with', { timeout: 300_000 }, async () => {
    const pool = poolWithDefaults(gpuPool('pool'));
    const base = dataset('mutant', {}, 'dataset-full.yaml');
    const mutations = [...mutationsOf(schemaOf('VicunaDataset'), base.spec, ['spec'])];
    const kind = datasetKind('data');
    const accepted = await spoil(DATASET, base, mutations, (made, mutation) => expectDoable(kind, made, pool, label(mutation)));
    expect(mutations.length).toBeGreaterThan(600);
    expect(accepted).toBeGreaterThan(80);
    expect(accepted).toBeLessThan(mutations.length / 2);
  });
});

describe('every field of a VicunaEvaluation spoilt in every way', () => {
  it('is refused with a message, or can be worked with', { timeout: 300_000 }, async () => {
    const pool = poolWithDefaults(gpuPool('pool'));
    const base = evaluation('mutant', {}, 'evaluation-full.yaml');
    const mutations = [...mutationsOf(schemaOf('VicunaEvaluation'), base.spec, ['spec'])];
    const kind = evaluationKind({ image: 'judge', servingOf: () => undefined });
    const accepted = await spoil(EVALUATION, base, mutations, (made, mutation) => expectDoable(kind, made, pool, label(mutation)));
    expect(mutations.length).toBeGreaterThan(800);
    expect(accepted).toBeGreaterThan(80);
    expect(accepted).toBeLessThan(mutations.length / 2);
  });
});

describe('every field of a GpuPool spoilt in every way', () => {
  it('is refused with a message, or can be worked with', { timeout: 300_000 }, async () => {
    const base = gpuPool('mutant');
    const mutations = [...mutationsOf(schemaOf('GpuPool'), base.spec, ['spec'])];
    const owner = await client.create(TRAINING, training('owner'));
    const accepted = await spoil(GPU_POOL, base, mutations, (made, mutation) =>
      expectUsable(owner, made, `owner-${made.metadata.name}`, label(mutation)),
    );
    await client.delete(TRAINING, 'default', 'owner');
    expect(mutations.length).toBeGreaterThan(250);
    expect(accepted).toBeGreaterThan(30);
  });
});
