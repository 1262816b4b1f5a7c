// Karpenter's objects, as plain values: what tests hold against Karpenter's own CRDs is what Pulumi applies.
import type * as pulumi from '@pulumi/pulumi';
import { GPU_TAINT, nodeLabels, type Pool } from '../shared/pools.ts';

export interface NodeClassArgs {
  readonly roleName: pulumi.Input<string>;
  readonly subnetIds: pulumi.Input<string>[];
  readonly securityGroupId: pulumi.Input<string>;
  readonly tags: Readonly<Record<string, string>>;
}

/** The family of an instance type: p5.48xlarge is a p5. */
export function familyOf(instanceType: string): string {
  return instanceType.slice(0, instanceType.indexOf('.'));
}

/** How nodes of a family (or `general`) are set up. */
export function nodeClass(name: string, { roleName, subnetIds, securityGroupId, tags }: NodeClassArgs, diskGiB: number) {
  return {
    apiVersion: 'karpenter.k8s.aws/v1',
    kind: 'EC2NodeClass',
    metadata: { name },
    spec: {
      // Amazon Linux with NVIDIA's driver where the instance type has GPUs.
      amiSelectorTerms: [{ alias: 'al2023@latest' }],
      role: roleName,
      subnetSelectorTerms: subnetIds.map((id) => ({ id })),
      securityGroupSelectorTerms: [{ id: securityGroupId }],
      // One hop: a pod cannot ask for the node's credentials.
      metadataOptions: { httpEndpoint: 'enabled', httpTokens: 'required', httpPutResponseHopLimit: 1 },
      blockDeviceMappings: [
        { deviceName: '/dev/xvda', ebs: { volumeSize: `${diskGiB}Gi`, volumeType: 'gp3', encrypted: true, deleteOnTermination: true } },
      ],
      // Local NVMe disks, where there are any, hold images and emptyDirs.
      instanceStorePolicy: 'RAID0',
      tags,
    },
  };
}

type NodeClass = ReturnType<typeof nodeClass>;

function nodeClassRef({ metadata }: NodeClass) {
  return { group: 'karpenter.k8s.aws', kind: 'EC2NodeClass', name: metadata.name };
}

const requirement = (key: string, ...values: string[]) => ({ key, operator: 'In', values });

/** Nodes grow a month old at most, so that their image is no older. */
const OLDEST = '720h';
/** Drained pods that take longer than this are ended: a save takes minutes at most. */
const DRAIN = '15m';

/** The nodes of one pool. They carry the pool's label, by which pods ask for exactly this one. */
export function gpuNodePool(pool: Pool, ofClass: NodeClass) {
  return {
    apiVersion: 'karpenter.sh/v1',
    kind: 'NodePool',
    metadata: { name: pool.name },
    spec: {
      template: {
        metadata: { labels: nodeLabels(pool) },
        spec: {
          nodeClassRef: nodeClassRef(ofClass),
          requirements: [
            requirement('node.kubernetes.io/instance-type', pool.instanceType),
            requirement('topology.kubernetes.io/zone', pool.zone),
            requirement('karpenter.sh/capacity-type', pool.capacity === 'spot' ? 'spot' : 'on-demand'),
          ],
          taints: [GPU_TAINT],
          expireAfter: OLDEST,
          terminationGracePeriod: DRAIN,
        },
      },
      limits: { 'nvidia.com/gpu': `${pool.maxNodes * pool.accelerator.count}` },
      // An idle node goes. A busy one is not moved for a newer image: what replaces it has it.
      disruption: {
        consolidationPolicy: 'WhenEmpty',
        consolidateAfter: '5m',
        budgets: [
          { nodes: '100%', reasons: ['Empty'] },
          { nodes: '0', reasons: ['Drifted', 'Underutilized'] },
        ],
      },
    },
  };
}

/** vCPUs of nodes without GPUs that gateways, judges and data pipelines may have together. */
export const GENERAL_CPUS = 64;

/** Nodes without GPUs, on demand: gateways must not go with a spot node while the models' replicas do. */
export function generalNodePool(zones: readonly string[], ofClass: NodeClass) {
  return {
    apiVersion: 'karpenter.sh/v1',
    kind: 'NodePool',
    metadata: { name: 'general' },
    spec: {
      template: {
        metadata: { labels: { 'vicuna.run/role': 'general' } },
        spec: {
          nodeClassRef: nodeClassRef(ofClass),
          requirements: [
            requirement('karpenter.k8s.aws/instance-category', 'c', 'm', 'r'),
            { key: 'karpenter.k8s.aws/instance-generation', operator: 'Gt', values: ['5'] },
            requirement('kubernetes.io/arch', 'amd64'),
            requirement('topology.kubernetes.io/zone', ...zones),
            requirement('karpenter.sh/capacity-type', 'on-demand'),
          ],
          expireAfter: OLDEST,
          terminationGracePeriod: DRAIN,
        },
      },
      limits: { cpu: `${GENERAL_CPUS}` },
      disruption: { consolidationPolicy: 'WhenEmptyOrUnderutilized', consolidateAfter: '5m', budgets: [{ nodes: '1' }] },
    },
  };
}
