import aws from '@pulumi/aws';
import * as kubernetes from '@pulumi/kubernetes';
import * as pulumi from '@pulumi/pulumi';
import { POOL_LABEL } from '../../operator/pods/labels.ts';
import { GPU_TAINT, type Pool } from '../shared/pools.ts';
import { type EksCluster, nodeRole, SYSTEM_NODES } from './cluster.ts';
import { familyOf, generalNodePool, gpuNodePool, nodeClass } from './karpenter-objects.ts';
import { karpenterStatements } from './karpenter-policy.ts';
import type { AwsNetwork } from './network.ts';
import { POD_IDENTITY_TRUST, policyDocument } from './policy-document.ts';

const KARPENTER = '1.14.1';
const DEVICE_PLUGIN = '0.17.4';
const NAMESPACE = 'kube-system';
const ACCOUNT = 'karpenter';
/** Images of CUDA programs are large. */
const GPU_DISK_GIB = 200;
const GENERAL_DISK_GIB = 50;
/** Draining, and the instances' end, are waited for when a pool is removed: what still ran would cost on, and nobody would know it. */
const REMOVAL = { delete: '40m' };

export interface KarpenterArgs {
  readonly account: pulumi.Input<string>;
  readonly region: string;
  readonly zones: readonly string[];
  readonly cluster: EksCluster;
  readonly network: AwsNetwork;
  readonly pools: readonly Pool[];
  readonly tags: Readonly<Record<string, string>>;
}

/** Karpenter with its interruption queue, a NodePool for every pool, and NVIDIA's device plugin on their nodes. */
export class Karpenter extends pulumi.ComponentResource {
  constructor(name: string, args: KarpenterArgs, options: pulumi.ComponentResourceOptions) {
    super('vicuna:aws:Karpenter', name, {}, options);
    const { account, region, cluster, network, pools } = args;
    const parent = { parent: this };
    const inCluster = { parent: this, provider: cluster.kubernetes };
    const queue = new InterruptionQueue(`${name}-interruptions`, parent);
    const nodes = nodeRole(`${name}-nodes`, parent);
    // The group of system nodes has its entry from EKS; Karpenter's nodes need one to be let in.
    const entry = new aws.eks.AccessEntry(
      `${name}-nodes`,
      { clusterName: cluster.clusterName, principalArn: nodes.role.arn, type: 'EC2_LINUX' },
      parent,
    );
    const role = new aws.iam.Role(name, { assumeRolePolicy: POD_IDENTITY_TRUST }, parent);
    const policy = new aws.iam.RolePolicy(
      name,
      {
        role: role.id,
        policy: pulumi.output(cluster.clusterName).apply((clusterName) =>
          policyDocument(
            karpenterStatements({
              account,
              region,
              clusterName,
              clusterArn: cluster.arn,
              nodeRoleArn: nodes.role.arn,
              queueArn: queue.arn,
            }),
          ),
        ),
      },
      parent,
    );
    const identity = new aws.eks.PodIdentityAssociation(
      name,
      { clusterName: cluster.clusterName, namespace: NAMESPACE, serviceAccount: ACCOUNT, roleArn: role.arn },
      parent,
    );
    const crds = new kubernetes.helm.v3.Release(
      `${name}-crds`,
      { name: 'karpenter-crd', namespace: NAMESPACE, chart: 'oci://public.ecr.aws/karpenter/karpenter-crd', version: KARPENTER },
      inCluster,
    );
    const controller = new kubernetes.helm.v3.Release(
      name,
      {
        name: 'karpenter',
        namespace: NAMESPACE,
        chart: 'oci://public.ecr.aws/karpenter/karpenter',
        version: KARPENTER,
        skipCrds: true,
        atomic: true,
        timeout: 600,
        values: {
          replicas: SYSTEM_NODES.count,
          nodeSelector: SYSTEM_NODES.labels,
          serviceAccount: { name: ACCOUNT },
          settings: { clusterName: cluster.clusterName, clusterEndpoint: cluster.endpoint, interruptionQueue: queue.name },
          controller: { resources: { requests: { cpu: '200m', memory: '512Mi' }, limits: { memory: '1Gi' } } },
        },
      },
      // All that it needs to end instances is there as long as it is: it is removed before them.
      { ...inCluster, dependsOn: [crds, policy, identity, entry, queue, ...nodes.attachments, ...cluster.ready] },
    );
    new kubernetes.helm.v3.Release(
      `${name}-nvidia-device-plugin`,
      {
        name: 'nvidia-device-plugin',
        namespace: NAMESPACE,
        chart: 'nvidia-device-plugin',
        version: DEVICE_PLUGIN,
        repositoryOpts: { repo: 'https://nvidia.github.io/k8s-device-plugin' },
        values: {
          tolerations: [{ key: GPU_TAINT.key, operator: 'Exists', effect: GPU_TAINT.effect }],
          affinity: {
            nodeAffinity: {
              requiredDuringSchedulingIgnoredDuringExecution: {
                nodeSelectorTerms: [{ matchExpressions: [{ key: POOL_LABEL, operator: 'Exists' }] }],
              },
            },
          },
        },
      },
      { ...inCluster, dependsOn: [...cluster.ready] },
    );
    const removable = { ...inCluster, dependsOn: [controller], customTimeouts: REMOVAL };
    const classArgs = {
      roleName: nodes.role.name,
      subnetIds: network.privateSubnetIds,
      securityGroupId: cluster.securityGroupId,
      tags: args.tags,
    };
    const makeClass = (className: string, diskGiB: number) => {
      const object = nodeClass(className, classArgs, diskGiB);
      return { object, resource: new kubernetes.apiextensions.CustomResource(`${name}-class-${className}`, object, removable) };
    };
    const makePool = (object: { apiVersion: string; kind: string; metadata: { name: string } }, dependsOn: pulumi.Resource) =>
      new kubernetes.apiextensions.CustomResource(`${name}-pool-${object.metadata.name}`, object, { ...removable, dependsOn: [dependsOn] });

    const general = makeClass('general', GENERAL_DISK_GIB);
    makePool(generalNodePool(args.zones, general.object), general.resource);
    for (const family of new Set(pools.map((pool) => familyOf(pool.instanceType)))) {
      const { object, resource } = makeClass(family, GPU_DISK_GIB);
      for (const pool of pools.filter((p) => familyOf(p.instanceType) === family)) makePool(gpuNodePool(pool, object), resource);
    }
    this.registerOutputs();
  }
}

/** What EC2 and AWS Health tell of instances that are about to go, queued for Karpenter. */
class InterruptionQueue extends pulumi.ComponentResource {
  readonly name: pulumi.Output<string>;
  readonly arn: pulumi.Output<string>;

  constructor(name: string, options: pulumi.ComponentResourceOptions) {
    super('vicuna:aws:InterruptionQueue', name, {}, options);
    const parent = { parent: this };
    // What is older than a notice's two minutes helps nobody.
    const queue = new aws.sqs.Queue(name, { messageRetentionSeconds: 300, sqsManagedSseEnabled: true }, parent);
    const events = {
      'spot-interruption': ['aws.ec2', 'EC2 Spot Instance Interruption Warning'],
      rebalance: ['aws.ec2', 'EC2 Instance Rebalance Recommendation'],
      'state-change': ['aws.ec2', 'EC2 Instance State-change Notification'],
      health: ['aws.health', 'AWS Health Event'],
    } as const;
    const rules = Object.entries(events).map(([event, [source, detailType]]) => {
      const rule = new aws.cloudwatch.EventRule(
        `${name}-${event}`,
        { eventPattern: JSON.stringify({ source: [source], 'detail-type': [detailType] }) },
        parent,
      );
      new aws.cloudwatch.EventTarget(`${name}-${event}`, { rule: rule.name, arn: queue.arn }, parent);
      return rule;
    });
    new aws.sqs.QueuePolicy(
      name,
      {
        queueUrl: queue.url,
        policy: policyDocument([
          {
            Sid: 'Events',
            Effect: 'Allow',
            Principal: { Service: 'events.amazonaws.com' },
            Action: 'sqs:SendMessage',
            Resource: queue.arn,
            Condition: { ArnEquals: { 'aws:SourceArn': rules.map((rule) => rule.arn) } },
          },
          {
            Sid: 'EncryptedTransportOnly',
            Effect: 'Deny',
            Principal: '*',
            Action: 'sqs:*',
            Resource: queue.arn,
            Condition: { Bool: { 'aws:SecureTransport': 'false' } },
          },
        ]),
      },
      parent,
    );
    this.name = queue.name;
    this.arn = queue.arn;
    this.registerOutputs({ name: this.name });
  }
}
