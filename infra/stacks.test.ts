// What each stack makes, by Pulumi's mocks: no engine, no cloud.
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { beforeAll, describe, expect, it } from 'vitest';
import { parseAllDocuments } from 'yaml';
import { gpuPoolSchema } from '../operator/api/gpu-pool.ts';
import { exampleSettings, type Made, type Ran, refusal, runMocked, STACKS, type StackName } from '../test/infra/mocked.ts';
import { CLUSTER_RULES, WORKLOAD_RULES } from './multi/remote-access.ts';
import { RESOURCE_RULES, STACK_RULES } from './policy/rules.ts';

const NODE_POOL = 'kubernetes:karpenter.sh/v1:NodePool';
const GKE_POOL = 'gcp:container/nodePool:NodePool';
const GPU_POOL = 'kubernetes:vicuna.run/v1alpha1:GpuPool';

const ran = new Map<StackName, Ran>();
beforeAll(async () => {
  for (const stack of STACKS) ran.set(stack, await runMocked(stack));
});

/** Properties, for expectations to look into. */
// biome-ignore lint/suspicious/noExplicitAny: every type of resource has a shape of its own
type Loose = any;

function made(stack: StackName, type: string): (Made & { inputs: Loose })[] {
  return (ran.get(stack)?.resources ?? []).filter((r) => r.type === type);
}

function only(stack: StackName, type: string): Loose {
  const [first, ...more] = made(stack, type);
  if (first === undefined || more.length > 0) throw new Error(`${more.length + (first ? 1 : 0)} resources of type ${type}`);
  return first.inputs;
}

const gpuNodePools = (stack: StackName) => made(stack, NODE_POOL).filter((r) => r.name !== 'vicuna-karpenter-pool-general');
const gpuGkePools = (stack: StackName) => made(stack, GKE_POOL).filter((r) => r.inputs.nodeConfig.guestAccelerators !== undefined);

describe.each(STACKS)('stack %s', (stack) => {
  it('keeps every rule of the policy pack', () => {
    const resources = (ran.get(stack)?.resources ?? []).map((r) => ({ ...r, properties: r.inputs }));
    const broken = [
      ...RESOURCE_RULES.flatMap((rule) => resources.flatMap((r) => rule.check(r).map((problem) => `${r.type} ${r.name} ${problem}`))),
      ...STACK_RULES.flatMap((rule) => rule.check(resources)),
    ];
    expect(broken).toEqual([]);
  });

  it('says of every resource which account and region it is in', () => {
    const [own] = [`vicuna-${stack}`];
    for (const r of ran.get(stack)?.resources ?? [])
      if (/^(aws|gcp|kubernetes):/.test(r.type)) expect(`${r.type} ${r.provider}`).toContain(`urn:pulumi:example::${own}`);
  });

  it('makes one GpuPool for every NodePool and node pool with GPUs, and they say the same', () => {
    const nodes = [
      ...gpuNodePools(stack).map(({ inputs }) => {
        const { metadata, spec } = inputs.template ? inputs : inputs.spec.template;
        const values = (key: string) => spec.requirements.find((r: Loose) => r.key === key).values;
        return {
          name: metadata.labels['vicuna.run/pool'],
          zone: values('topology.kubernetes.io/zone')[0],
          instanceType: values('node.kubernetes.io/instance-type')[0],
          isSpot: values('karpenter.sh/capacity-type')[0] === 'spot',
          gpus: Number(inputs.spec.limits['nvidia.com/gpu']),
        };
      }),
      ...gpuGkePools(stack).map(({ inputs }) => ({
        name: inputs.nodeConfig.labels['vicuna.run/pool'],
        zone: inputs.nodeLocations[0],
        instanceType: inputs.nodeConfig.machineType,
        isSpot: inputs.nodeConfig.spot,
        gpus: inputs.autoscaling.maxNodeCount * inputs.nodeConfig.guestAccelerators[0].count,
      })),
    ];
    const pools = made(stack, GPU_POOL).map(({ inputs: { metadata, spec } }) => ({
      name: metadata.name,
      zone: spec.zone,
      instanceType: spec.instanceType,
      isSpot: spec.capacity === 'spot',
      gpus: spec.maxNodes * spec.accelerator.count,
    }));
    const byName = (list: { name: string }[]) => [...list].sort((a, b) => a.name.localeCompare(b.name));
    expect(byName(nodes)).toEqual(byName(pools));
    expect(pools.length).toBeGreaterThan(1);
    expect(pools.some((p) => p.isSpot) && (stack === 'multi' || pools.some((p) => !p.isSpot))).toBe(true);
  });

  it('makes GpuPools that the operator’s own schema accepts', () => {
    for (const { inputs } of made(stack, GPU_POOL)) expect(gpuPoolSchema.parse({ spec: inputs.spec }).spec.price.onDemand).toMatch(/^\d/);
  });

  it('installs CRDs, namespace and operator, and tells what stays after destroy', () => {
    expect(made(stack, 'kubernetes:apiextensions.k8s.io/v1:CustomResourceDefinition').map((r) => r.name)).toContain('gpupools.vicuna.run');
    const release = made(stack, 'kubernetes:helm.sh/v3:Release').find((r) => r.name === 'vicuna-operator');
    expect(release?.inputs).toMatchObject({
      namespace: 'vicuna-system',
      values: { replicas: 2, nodeSelector: { 'vicuna.run/role': 'system' } },
    });
    expect(release?.inputs.chart).toMatch(/charts\/vicuna-operator$/);
    expect(`${ran.get(stack)?.outputs.keptByDestroy}`).toMatch(/bucket .*vicuna-storage.*protected/);
    expect(ran.get(stack)?.outputs.cost).toMatch(/At zero .* at maximum .* Spot nodes .* instead of/);
  });
});

describe('AWS', () => {
  it('spreads over several zones, each with its own way out', () => {
    expect(made('aws', 'aws:ec2/natGateway:NatGateway')).toHaveLength(3);
    expect(made('aws', 'aws:ec2/subnet:Subnet').filter((r) => r.name.includes('private'))).toHaveLength(3);
    expect(new Set(gpuNodePools('aws').map((r) => r.inputs.spec.template.spec.requirements[1].values[0])).size).toBe(3);
  });

  it('has one node class for each family of GPU nodes', () => {
    expect(made('aws', 'kubernetes:karpenter.k8s.aws/v1:EC2NodeClass').map((r) => r.inputs.metadata.name)).toEqual(
      expect.arrayContaining(['general', 'p4d', 'p5']),
    );
  });

  it('hears of every kind of interruption', () => {
    const heard = made('aws', 'aws:cloudwatch/eventRule:EventRule').map((r) => JSON.parse(r.inputs.eventPattern)['detail-type'][0]);
    expect(heard.sort()).toEqual([
      'AWS Health Event',
      'EC2 Instance Rebalance Recommendation',
      'EC2 Instance State-change Notification',
      'EC2 Spot Instance Interruption Warning',
    ]);
    expect(made('aws', 'aws:cloudwatch/eventTarget:EventTarget')).toHaveLength(4);
    const queue = only('aws', 'aws:sqs/queuePolicy:QueuePolicy');
    expect(JSON.parse(queue.policy).Statement[0]).toMatchObject({
      Action: 'sqs:SendMessage',
      Principal: { Service: 'events.amazonaws.com' },
    });
  });

  it('keeps data, and nothing that is thrown away, from being deleted', () => {
    const kept = (ran.get('aws')?.resources ?? []).filter((r) => r.protect).map((r) => r.type);
    expect(kept).toContain('aws:s3/bucket:Bucket');
    expect(kept.every((type) => type.startsWith('aws:s3/') || type === 'vicuna:aws:Storage')).toBe(true);
  });

  it('cleans the bucket of old versions and of uploads that never ended, and speaks TLS only', () => {
    const { rules } = only('aws', 'aws:s3/bucketLifecycleConfiguration:BucketLifecycleConfiguration');
    expect(rules).toMatchObject([
      { noncurrentVersionExpiration: { noncurrentDays: 7 } },
      { abortIncompleteMultipartUpload: { daysAfterInitiation: 2 } },
    ]);
    const [deny] = JSON.parse(only('aws', 'aws:s3/bucketPolicy:BucketPolicy').policy).Statement;
    expect(deny).toMatchObject({ Effect: 'Deny', Condition: { Bool: { 'aws:SecureTransport': 'false' } } });
  });

  it('lets workloads into the bucket and nowhere else', () => {
    const role = made('aws', 'aws:iam/rolePolicy:RolePolicy').find((r) => r.name === 'vicuna-workloads');
    const { Statement } = JSON.parse(role?.inputs.policy);
    expect(Statement.flatMap((s: Loose) => s.Resource)).toEqual([
      'arn:aws:s3:::vicuna-storage-20260101',
      'arn:aws:s3:::vicuna-storage-20260101/*',
    ]);
    const identity = made('aws', 'aws:eks/podIdentityAssociation:PodIdentityAssociation').find((r) => r.name === 'vicuna-workloads');
    expect(identity?.inputs).toMatchObject({ namespace: 'vicuna', serviceAccount: 'vicuna-workload' });
  });

  it('heeds NetworkPolicies', () => {
    const cni = made('aws', 'aws:eks/addon:Addon').find((r) => r.name === 'vicuna-vpc-cni');
    expect(JSON.parse(cni?.inputs.configurationValues)).toEqual({ enableNetworkPolicy: 'true' });
  });

  it('has its own log group, which EKS would leave behind', () =>
    expect(only('aws', 'aws:cloudwatch/logGroup:LogGroup')).toMatchObject({ name: '/aws/eks/vicuna/cluster', retentionInDays: 30 }));
});

describe('Google Cloud', () => {
  it('gives spot nodes two minutes, and taints them', () => {
    for (const { inputs } of gpuGkePools('gcp').filter((r) => r.inputs.nodeConfig.spot)) {
      expect(inputs.nodeConfig.kubeletConfig).toEqual({ shutdownGracePeriodSeconds: 120, shutdownGracePeriodCriticalPodsSeconds: 15 });
      expect(inputs.nodeConfig.taints).toEqual([{ key: 'cloud.google.com/gke-spot', value: 'true', effect: 'NO_SCHEDULE' }]);
    }
  });

  it('keeps its nodes private and its pods apart from the machines’ account', () => {
    expect(only('gcp', 'gcp:container/cluster:Cluster')).toMatchObject({
      privateClusterConfig: { enablePrivateNodes: true },
      workloadIdentityConfig: { workloadPool: 'example-project.svc.id.goog' },
      deletionProtection: false,
    });
    expect(only('gcp', 'gcp:serviceaccount/iAMMember:IAMMember').member).toBe(
      'serviceAccount:example-project.svc.id.goog[vicuna/vicuna-workload]',
    );
    const account = made('gcp', 'kubernetes:core/v1:ServiceAccount').find((r) => r.name === 'workloads-account');
    expect(account?.inputs.metadata.annotations).toEqual({
      'iam.gke.io/gcp-service-account': 'vicuna-workloads@example-project.iam.gserviceaccount.com',
    });
  });

  it('cleans the bucket of old versions and of uploads that never ended', () =>
    expect(only('gcp', 'gcp:storage/bucket:Bucket').lifecycleRules).toMatchObject([
      { action: { type: 'Delete' }, condition: { daysSinceNoncurrentTime: 7 } },
      { action: { type: 'AbortIncompleteMultipartUpload' }, condition: { age: 2 } },
    ]));
});

describe('both clouds', () => {
  it('tells the operator where Google’s pools are, and what reading there costs', () => {
    for (const { inputs } of made('multi', GPU_POOL))
      expect(inputs.spec.cluster).toEqual(
        inputs.spec.cloud === 'gcp' ? { kubeconfigSecret: 'gke', workerUrl: 'https://workers.example.org:8443' } : undefined,
      );
    expect(made('multi', GPU_POOL).filter((r) => r.inputs.spec.egress?.pricePerGiB === '0.09')).toHaveLength(2);
  });

  it('lets the operator into Google’s cluster by a token, from the addresses of its own nodes', () => {
    // The SDK marks what is in a Secret as one, and so it comes here.
    const secret = made('multi', 'kubernetes:core/v1:Secret').find((r) => r.name === 'gke');
    const kubeconfig = JSON.parse(secret?.inputs.stringData.value.kubeconfig);
    expect(kubeconfig.users).toEqual([{ name: 'gke', user: { token: 'remote-token' } }]);
    const { cidrBlocks } = only('multi', 'gcp:container/cluster:Cluster').masterAuthorizedNetworksConfig;
    expect(cidrBlocks).toHaveLength(1 + 3);
    expect(cidrBlocks[1].cidrBlock).toMatch(/^198\.51\.100\.\d+\/32$/);
  });

  it('lets the operator do there what the example for any other cluster does, and in the workloads’ namespace only what changes something', () => {
    const example = parseAllDocuments(readFileSync(join(import.meta.dirname, '..', 'examples', 'remote-cluster-access.yaml'), 'utf8'))
      .map((d) => d.toJS())
      .find((o) => o.kind === 'ClusterRole');
    const rights = (rules: readonly { apiGroups: string[]; resources: string[]; verbs: string[] }[]) =>
      rules.flatMap((r) => r.resources.flatMap((what) => r.verbs.map((verb) => `${verb} ${what} ${r.apiGroups[0]}`))).sort();
    expect(rights([...CLUSTER_RULES, ...WORKLOAD_RULES])).toEqual(rights(example.rules));
    const [everywhere] = made('multi', 'kubernetes:rbac.authorization.k8s.io/v1:ClusterRole');
    expect(rights(everywhere?.inputs.rules).filter((right) => !/^(list|watch) |^create tokenreviews/.test(right))).toEqual([]);
  });

  it('opens the worker protocol to Google’s nodes only', () => {
    const [rule] = made('multi', 'aws:vpc/securityGroupIngressRule:SecurityGroupIngressRule').filter((r) => r.inputs.fromPort === 8443);
    expect(rule?.inputs.cidrIpv4).toMatch(/^192\.0\.2\.\d+\/32$/);
  });

  it('lets pods of both clusters take on one role, each as its own account', () => {
    const role = made('multi', 'aws:iam/role:Role').find((r) => r.name === 'vicuna-workloads');
    const { Statement } = JSON.parse(role?.inputs.assumeRolePolicy);
    expect(Statement).toHaveLength(2);
    for (const s of Statement)
      expect(Object.values(s.Condition.StringEquals)).toEqual(['sts.amazonaws.com', 'system:serviceaccount:vicuna:vicuna-workload']);
  });
});

describe('settings', () => {
  const changed = (stack: StackName, change: Record<string, string>) => refusal(stack, { ...exampleSettings(stack), ...change });

  it.each<[string, StackName, Record<string, string>, RegExp]>([
    [
      'an API that is open to all',
      'aws',
      { 'vicuna-aws:apiAccess': '["0.0.0.0/0"]' },
      /vicuna-aws:apiAccess\[0\]: the Kubernetes API must not be open/,
    ],
    [
      'a zone of another region',
      'aws',
      { 'vicuna-aws:zones': '["us-east-1a","us-west-2b"]' },
      /zones\[0\]: us-east-1a is not in region us-west-2/,
    ],
    [
      'a pool where the network is not',
      'aws',
      { 'vicuna-aws:zones': '["us-west-2a","us-west-2b"]' },
      /pools\[1\]\.zones: there is no subnet in us-west-2c/,
    ],
    [
      'a setting that there is not',
      'aws',
      { 'vicuna-aws:zone': 'us-west-2a' },
      /vicuna-aws:zone: there is no such setting; there are .*zones/,
    ],
    ['no JSON', 'gcp', { 'vicuna-gcp:pools': '[{' }, /vicuna-gcp:pools: .*expected array/],
    [
      'a budget of nothing',
      'gcp',
      { 'vicuna-gcp:budget': '{"billingAccount":"0A0A0A-0B0B0B-0C0C0C","monthly":0,"emails":["a@example.org"]}' },
      /monthly: a budget of nothing/,
    ],
    [
      'two things at once',
      'aws',
      { 'vicuna-aws:name': 'Vicuna', 'vicuna-aws:region': 'Oregon' },
      /region: is no region of AWS[\s\S]*name: use at most 20/,
    ],
    [
      'a host of somebody else',
      'multi',
      { 'vicuna-multi:endpoints': '{"hostedZone":"example.org","workersHost":"workers.example.com"}' },
      /not below the hosted zone/,
    ],
  ])('are refused for %s', async (_, stack, change, message) => expect(await changed(stack, change)).toMatch(message));

  it('that are missing are named', async () => {
    const { 'vicuna-aws:region': _, ...rest } = exampleSettings('aws');
    expect(await refusal('aws', rest)).toMatch(/vicuna-aws:region: is missing \(string\)/);
  });
});
