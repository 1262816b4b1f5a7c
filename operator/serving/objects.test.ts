import { describe, expect, it } from 'vitest';
import { parseGatewayConfig } from '../api/gateway-config.ts';
import { poolWithDefaults } from '../api/gpu-pool.ts';
import { servingWithDefaults, type VicunaServing } from '../api/vicuna-serving.ts';
import { groupContainer, modelContainer } from './engine-container.ts';
import { engineCommand, GRACE_SECONDS } from './engines.ts';
import { gatewayConfig, gatewayObjects } from './gateway-objects.ts';
import { trackService, unitBudget } from './model-objects.ts';
import { deploymentName } from './names.ts';
import { replicaDeployment } from './replica-deployment.ts';
import { secretsOf } from './secrets.ts';

const serving = (spec: object = {}): VicunaServing =>
  servingWithDefaults({
    metadata: { name: 'chat', namespace: 'default', uid: 'u' },
    spec: { models: [{ name: 'tiny', weights: 's3://models/tiny', ...spec }] },
  } as unknown as VicunaServing);
const pool = poolWithDefaults({
  metadata: { name: 'aws-a' },
  spec: {
    cloud: 'aws',
    capacity: 'spot',
    accelerator: { type: 'A100', count: 8 },
    price: { onDemand: '3', spot: '1' },
    nodeSelector: { zone: 'a' },
    tolerations: [{ key: 'spot', operator: 'Exists' }],
  },
} as never);

function command(spec: object) {
  const [model] = serving(spec).spec.models;
  if (!model) throw new Error('no model');
  return engineCommand(model, 'stable', 'own-engine:1');
}

describe('a cache of weights on the node', () => {
  it('is handed to the engine’s user before the engine starts', () => {
    const model = serving().spec.models[0];
    if (!model) expect.fail('no model');
    const cached = { ...serving(), spec: { ...serving().spec, weightsCache: { hostPath: '/var/cache/vicuna' } } };
    const request = {
      engine: modelContainer(model, 'stable', 'engine'),
      track: 'stable',
      pool,
      replicas: 1,
      roomToSurge: true,
      home: null,
    } as const;
    const { initContainers, volumes } = replicaDeployment({ ...request, serving: cached }).spec?.template.spec ?? {};
    expect(initContainers).toMatchObject([{ command: ['chown', '1000:1000', '/var/cache/vicuna'], securityContext: { runAsUser: 0 } }]);
    expect(volumes).toContainEqual({ name: 'weights', hostPath: { path: '/var/cache/vicuna', type: 'DirectoryOrCreate' } });
    expect(replicaDeployment({ ...request, serving: serving() }).spec?.template.spec?.initContainers).toBeUndefined();
  });
});

describe('the Secrets of a serving', () => {
  it('are told with the field that names each', () => {
    const full = servingWithDefaults({
      metadata: { name: 'chat' },
      spec: {
        models: [{ name: 'tiny', weights: 's3://models/tiny' }],
        credentials: [{ name: 'bucket' }],
        workers: [
          { url: 'http://a', models: ['b'] },
          { url: 'http://c', models: ['d'], secret: { name: 'worker' } },
        ],
        gateway: {
          apiKeys: { name: 'keys' },
          registration: { name: 'register' },
          moderation: { url: 'http://m', secret: { name: 'judge' } },
        },
      },
    } as unknown as VicunaServing);
    expect(secretsOf(full)).toEqual([
      { field: 'spec.credentials', name: 'bucket' },
      { field: 'spec.gateway.apiKeys', name: 'keys' },
      { field: 'spec.gateway.registration', name: 'register' },
      { field: 'spec.gateway.moderation.secret', name: 'judge' },
      { field: 'spec.workers[1].secret', name: 'worker' },
    ]);
  });
});

describe('an engine’s command line', () => {
  it('of vLLM has the model’s names, its GPUs, and time to finish answers', () => {
    const { command: program, args, image } = command({ engine: 'vllm', aliases: ['x/y'], gpus: 2, args: ['--max-model-len', '4096'] });
    expect([...(program ?? []), ...args].join(' ')).toBe(
      'vllm serve s3://models/tiny --served-model-name tiny x/y --host 0.0.0.0 --port 8000 --tensor-parallel-size 2 --load-format runai_streamer --shutdown-timeout 45 --max-model-len 4096',
    );
    expect(image).toMatch(/^docker\.io\/vllm\/vllm-openai:v/);
  });

  it('of SGLang, too, by the full names of its flags', () => {
    const { command: program, args } = command({ engine: 'sglang', weights: 'hf://lmsys/vicuna-7b', gpus: 2 });
    expect([...(program ?? []), ...args].join(' ')).toBe(
      'python3 -m sglang.launch_server --model-path lmsys/vicuna-7b --served-model-name tiny --host 0.0.0.0 --port 8000 --tensor-parallel-size 2 --enable-metrics',
    );
  });

  it('takes models from the hub, claims and directories as each engine wants them', () => {
    expect(command({ engine: 'vllm', weights: 'pvc://models/v' }).command).toEqual(['vllm', 'serve', '/mnt/claims/models/v']);
    expect(command({ engine: 'transformers', weights: 'pvc://models/v' }).args.slice(0, 2)).toEqual([
      '--model',
      'file:///mnt/claims/models/v',
    ]);
  });

  it('of a custom engine is its own; it is told by its environment', () => {
    const custom = command({ engine: 'custom', image: 'mine:1', command: ['serve'] });
    expect(custom).toMatchObject({ image: 'mine:1', command: ['serve'], env: { VICUNA_MODEL: 's3://models/tiny', VICUNA_PORT: '8000' } });
  });
});

describe('a replica’s pod', () => {
  const template = (spec: object = {}) => {
    const object = serving(spec);
    const [model] = object.spec.models;
    if (!model) throw new Error('no model');
    return replicaDeployment({
      serving: object,
      engine: modelContainer(model, 'stable', 'own:1'),
      track: 'stable',
      pool,
      replicas: 2,
      roomToSurge: false,
      home: null,
    }).spec?.template;
  };

  it('goes where its pool’s nodes are, with its GPUs, and is restricted', () => {
    const spec = template({ gpus: 2 })?.spec;
    expect(spec).toMatchObject({
      nodeSelector: { zone: 'a' },
      automountServiceAccountToken: false,
      securityContext: { runAsNonRoot: true },
    });
    expect(spec?.tolerations?.map((t) => t.key)).toEqual(['nvidia.com/gpu', 'spot']);
    expect(spec?.containers[0]).toMatchObject({
      resources: { limits: { 'nvidia.com/gpu': '2' } },
      securityContext: { readOnlyRootFilesystem: true, allowPrivilegeEscalation: false },
    });
  });

  it('is routed to only while its gate is on, and has time for its answers at its end', () => {
    const spec = template()?.spec;
    expect(spec?.readinessGates).toEqual([{ conditionType: 'vicuna.run/routable' }]);
    expect(spec?.terminationGracePeriodSeconds).toBe(GRACE_SECONDS);
    expect(GRACE_SECONDS).toBeGreaterThan(5 + 45);
  });

  it('keeps what the template says of other containers, volumes and resources', () => {
    const own = {
      spec: {
        containers: [
          { name: 'engine', resources: { requests: { cpu: '2' } } },
          { name: 'side', image: 's' },
        ],
        hostIPC: true,
      },
    };
    const spec = template({ template: own })?.spec;
    expect(spec?.containers.map((c) => c.name)).toEqual(['engine', 'side']);
    expect(spec?.containers[0]?.resources?.requests).toEqual({ 'nvidia.com/gpu': '1', cpu: '2' });
    expect(spec?.hostIPC).toBe(true);
  });
});

describe('a model that is published as base and delta', () => {
  const delta = { uri: 's3://public/vicuna-7b-delta' };
  const podOf = (spec: object, track: 'stable' | 'canary' = 'stable', more: object = {}) => {
    const object = serving(spec);
    Object.assign(object.spec, more);
    const [model] = object.spec.models;
    if (!model) throw new Error('no model');
    const engine = modelContainer(model, track, 'own:1');
    return replicaDeployment({ serving: object, engine, track, pool, replicas: 1, roomToSurge: true, home: null }).spec?.template.spec;
  };
  const outputOf = (container?: { args?: string[] }) => container?.args?.at(-1)?.replace('file://', '');

  it('is restored by a restricted container before the engine starts, which gets its directory', () => {
    const spec = podOf({ weights: 'pvc://models/llama', delta }, 'stable', { credentials: [{ name: 'bucket' }] });
    const [restore] = spec?.initContainers ?? [];
    expect(restore).toMatchObject({
      image: 'own:1',
      command: ['python3', '-m', 'vicuna_trainer.release', 'apply'],
      securityContext: { readOnlyRootFilesystem: true, allowPrivilegeEscalation: false, capabilities: { drop: ['ALL'] } },
      envFrom: [{ secretRef: { name: 'bucket' } }],
    });
    expect(restore?.args?.slice(0, 5)).toEqual(['--base', 'file:///mnt/claims/models/llama', '--delta', delta.uri, '--output']);
    expect(restore?.volumeMounts?.map((m) => m.mountPath)).toEqual(['/tmp', '/var/cache/vicuna', '/mnt/claims/models']);
    expect(spec?.containers[0]?.command).toEqual(['vllm', 'serve', outputOf(restore)]);
    expect(spec?.containers[0]?.args).not.toContain('runai_streamer');
  });

  it('keeps its directory while base and delta stay the same, after the cache has its owner', () => {
    const cached = podOf({ delta }, 'stable', { weightsCache: { hostPath: '/var/cache/vicuna' } });
    expect(cached?.initContainers?.map((c) => c.name)).toEqual(['own-cache', 'apply-delta-0']);
    const places = [podOf({ delta }), podOf({ delta, args: ['--x'] }), podOf({ delta: { uri: 's3://public/other' } })].map((spec) =>
      outputOf(spec?.initContainers?.[0]),
    );
    expect(places[0]).toBe(places[1]);
    expect(places[0]).not.toBe(places[2]);
  });

  it.each([
    ['the model’s own, with its delta', { percent: 5 }, ['s3://models/tiny', delta.uri]],
    ['other weights, which are whole', { percent: 5, weights: 's3://models/new' }, null],
    ['another delta of the same base', { percent: 5, delta: { uri: 's3://public/new' } }, ['s3://models/tiny', 's3://public/new']],
    ['base and delta of its own', { percent: 5, weights: 's3://b', delta: { uri: 's3://d' } }, ['s3://b', 's3://d']],
  ])('has a canary of %s', (_, canary, expected) => {
    const args = podOf({ delta, canary }, 'canary')?.initContainers?.[0]?.args;
    expect(args === undefined ? null : [args[1], args[3]]).toEqual(expected);
  });

  it('shares GPUs with others, each restored first', () => {
    const profile = { latencySeconds: 0.5, weightsMemory: '14Gi' };
    const object = servingWithDefaults({
      metadata: { name: 'chat' },
      spec: {
        models: ['one', 'two'].map((name) => ({ name, weights: `s3://models/${name}`, delta, profile })),
        multiplexing: { maxGpus: 2 },
      },
    } as never);
    const group = { name: 'group-1', models: ['one', 'two'], pipeline: 1, tensor: 1, replicas: 1 };
    const engine = groupContainer(object, group, 80, 'own:1');
    const spec = replicaDeployment({ serving: object, engine, track: 'stable', pool, replicas: 1, roomToSurge: true, home: null }).spec
      ?.template.spec;
    const lines = spec?.containers[0]?.args?.map((line) => (JSON.parse(line) as string[])[2]);
    expect(spec?.initContainers?.map(outputOf)).toEqual(lines);
    expect(new Set(lines).size).toBe(2);
  });
});

describe('the gateway', () => {
  it('is told what its own schema takes, without a secret in it', () => {
    const object = serving();
    Object.assign(object.spec.gateway, { apiKeys: { name: 'keys' }, registration: { name: 'reg' } });
    object.spec.workers = [{ url: 'https://gpu.example.org', models: ['tiny'], secret: { name: 'outside' }, engine: 'vllm' }];
    const config = parseGatewayConfig(JSON.stringify(gatewayConfig(object)));
    expect(config).toMatchObject({
      serving: 'default/chat',
      models: [{ name: 'tiny', engine: 'vllm', demandLease: 'chat-tiny-demand' }],
      workers: [{ url: 'https://gpu.example.org', engine: 'vllm', keyFile: '/etc/vicuna/worker-0/token' }],
      apiKeys: { directory: '/etc/vicuna/api-keys' },
      copies: 2,
    });
  });

  it('may see its configuration and workers, and renew its models’ leases; nothing else', () => {
    const role = gatewayObjects(serving(), 'gateway:1').find((o) => o.kind === 'Role') as { rules?: object[] };
    expect(role.rules).toEqual([
      { apiGroups: [''], resources: ['configmaps'], resourceNames: ['chat-gateway'], verbs: ['get', 'list', 'watch'] },
      { apiGroups: ['discovery.k8s.io'], resources: ['endpointslices'], verbs: ['get', 'list', 'watch'] },
      { apiGroups: ['coordination.k8s.io'], resources: ['leases'], resourceNames: ['chat-tiny-demand'], verbs: ['patch'] },
    ]);
  });
});

describe('names of Deployments', () => {
  it('leave pods legal names, and differ where what they are for differs', () => {
    const long = 'a-pool-with-a-very-long-name-in-a-region-far-away';
    const names = (['stable', 'canary'] as const).flatMap((track) =>
      ['aws-a', long, `${long}-2`, 'a.b', 'a-b'].map((p) => deploymentName('n'.repeat(30), 'vicuna-13b', p, track)),
    );
    expect(new Set(names).size).toBe(names.length);
    for (const name of names) {
      expect(`${name}-1234567890-12345`.length).toBeLessThanOrEqual(63);
      expect(name).toMatch(/^[a-z0-9]([-a-z0-9]*[a-z0-9])?$/);
    }
    expect(deploymentName('chat', 'tiny', 'aws-a', 'stable')).toBe('chat-tiny-aws-a');
  });
});

describe('a group of models', () => {
  const profile = { latencySeconds: 0.5, weightsMemory: '14Gi', workingMemory: '2Gi' };
  const object = servingWithDefaults({
    metadata: { name: 'chat', namespace: 'default', uid: 'u1' },
    spec: {
      models: ['one', 'two', 'three'].map((name) => ({ name, weights: `s3://models/${name}`, profile })),
      multiplexing: { maxGpus: 8, template: { spec: { containers: [{ name: 'engine', resources: { requests: { memory: '64Gi' } } }] } } },
    },
  } as never);
  const group = { name: 'group-1', models: ['three', 'one'], pipeline: 2, tensor: 2, replicas: 1 };
  const engine = groupContainer(object, group, 80, 'own:1');
  const deployment = replicaDeployment({ serving: object, engine, track: 'stable', pool, replicas: 1, roomToSurge: true, home: null });

  it('is one container with all its GPUs, and a server with its own port and share of memory for each model', () => {
    expect(deployment.metadata?.name).toBe('chat-group-1-aws-a');
    const [container] = deployment.spec?.template.spec?.containers ?? [];
    expect(container?.resources).toMatchObject({ limits: { 'nvidia.com/gpu': '4' }, requests: { memory: '64Gi' } });
    const commands = container?.args?.map((line) => JSON.parse(line) as string[]);
    expect(
      commands?.map((line) => [line[2], line[line.indexOf('--port') + 1], line[line.indexOf('--gpu-memory-utilization') + 1]]),
    ).toEqual([
      ['s3://models/one', '8000', '0.050'],
      ['s3://models/three', '8001', '0.050'],
    ]);
    for (const line of commands ?? []) expect(line.join(' ')).toContain('--tensor-parallel-size 2 --pipeline-parallel-size 2');
    expect(container?.readinessProbe?.exec?.command?.slice(-2)).toEqual(['8000', '8001']);
  });

  it('is found by the Service of each of its models, at the model’s port', () => {
    const { labels } = deployment.spec?.template.metadata ?? {};
    const [container] = deployment.spec?.template.spec?.containers ?? [];
    for (const model of ['one', 'two', 'three']) {
      const { selector, ports } = trackService(object, model, 'stable').spec ?? {};
      const isFound = Object.entries(selector ?? {}).every(([key, value]) => labels?.[key] === value);
      expect(isFound, model).toBe(model !== 'two');
      const port = container?.ports?.find((p) => p.name === ports?.[0]?.targetPort);
      expect(port?.containerPort).toBe({ one: 8_000, three: 8_001 }[model]);
    }
    for (const name of container?.ports?.map((p) => p.name ?? '') ?? []) expect(name).toMatch(/^[a-z0-9-]{1,15}$/);
  });

  it('may be drained one replica at a time', () => {
    const { selector } = unitBudget(object, 'group-1').spec ?? {};
    expect(Object.entries(selector?.matchLabels ?? {}).every(([k, v]) => deployment.spec?.template.metadata?.labels?.[k] === v)).toBe(true);
  });
});
