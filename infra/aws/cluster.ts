import aws from '@pulumi/aws';
import * as kubernetes from '@pulumi/kubernetes';
import * as pulumi from '@pulumi/pulumi';
import { commandKubeconfig } from '../shared/in-cluster.ts';
import type { AwsNetwork } from './network.ts';
import { trust } from './policy-document.ts';

/** Nodes for the operator, gateways and Karpenter itself; they are not taken away. */
export const SYSTEM_NODES = { instanceType: 'm7i.large', count: 2, labels: { 'vicuna.run/role': 'system' } } as const;
const LOG_DAYS = 30;
const MANAGED = 'arn:aws:iam::aws:policy';

export interface EksClusterArgs {
  readonly region: string;
  readonly version: string;
  readonly network: AwsNetwork;
  readonly apiAccess: readonly pulumi.Input<string>[];
}

/** EKS with its own small group of on-demand nodes. GPU nodes are Karpenter's. */
export class EksCluster extends pulumi.ComponentResource {
  readonly clusterName: pulumi.Output<string>;
  readonly arn: pulumi.Output<string>;
  readonly endpoint: pulumi.Output<string>;
  readonly issuer: pulumi.Output<string>;
  readonly securityGroupId: pulumi.Output<string>;
  readonly kubeconfig: pulumi.Output<string>;
  readonly kubernetes: kubernetes.Provider;
  readonly systemNodes: aws.eks.NodeGroup;
  /** What must be there for programs in the cluster to work, and to go on working until they are removed. */
  readonly ready: readonly pulumi.Resource[];

  constructor(name: string, { region, version, network, apiAccess }: EksClusterArgs, options: pulumi.ComponentResourceOptions) {
    super('vicuna:aws:Cluster', name, {}, options);
    const parent = { parent: this };
    const key = new aws.kms.Key(
      `${name}-secrets`,
      { description: `Kubernetes Secrets of ${name}`, enableKeyRotation: true, deletionWindowInDays: 7 },
      parent,
    );
    // EKS would make it by itself, and leave it behind.
    const logs = new aws.cloudwatch.LogGroup(`${name}-logs`, { name: `/aws/eks/${name}/cluster`, retentionInDays: LOG_DAYS }, parent);
    const role = new aws.iam.Role(`${name}-cluster`, { assumeRolePolicy: trust('eks.amazonaws.com') }, parent);
    const permission = new aws.iam.RolePolicyAttachment(
      `${name}-cluster`,
      { role: role.name, policyArn: `${MANAGED}/AmazonEKSClusterPolicy` },
      parent,
    );
    const cluster = new aws.eks.Cluster(
      name,
      {
        name,
        version,
        roleArn: role.arn,
        enabledClusterLogTypes: ['api', 'audit', 'authenticator'],
        accessConfig: { authenticationMode: 'API', bootstrapClusterCreatorAdminPermissions: true },
        encryptionConfig: { provider: { keyArn: key.arn }, resources: ['secrets'] },
        // Extended support costs six times as much: at the end of the standard one, EKS upgrades by itself.
        upgradePolicy: { supportType: 'STANDARD' },
        vpcConfig: {
          subnetIds: network.privateSubnetIds,
          endpointPrivateAccess: true,
          endpointPublicAccess: true,
          publicAccessCidrs: [...apiAccess],
        },
      },
      { ...parent, dependsOn: [logs, permission] },
    );
    this.clusterName = cluster.name;
    this.arn = cluster.arn;
    this.endpoint = cluster.endpoint;
    this.issuer = cluster.identities.apply((identities) => identities[0]?.oidcs[0]?.issuer ?? '');
    this.securityGroupId = cluster.vpcConfig.clusterSecurityGroupId;
    this.kubeconfig = pulumi
      .all([cluster.name, cluster.endpoint, cluster.certificateAuthority.data])
      .apply(([clusterName, endpoint, ca]) =>
        commandKubeconfig(clusterName, endpoint, ca, 'aws', [
          '--region',
          region,
          'eks',
          'get-token',
          '--cluster-name',
          clusterName,
          '--output',
          'json',
        ]),
      );
    const addon = (addonName: string, dependsOn: pulumi.Resource[], settings: { configurationValues?: string } = {}) =>
      new aws.eks.Addon(
        `${name}-${addonName}`,
        { clusterName: cluster.name, addonName, ...settings, resolveConflictsOnCreate: 'OVERWRITE', resolveConflictsOnUpdate: 'OVERWRITE' },
        { ...parent, dependsOn },
      );
    // Without this, EKS takes NetworkPolicies and heeds none.
    const policies = { configurationValues: JSON.stringify({ enableNetworkPolicy: 'true' }) };
    const first = [addon('vpc-cni', [], policies), addon('kube-proxy', []), addon('eks-pod-identity-agent', [])];
    // Without the way out nodes cannot join, nor Karpenter end instances: it comes before them and goes after them.
    this.systemNodes = this.#systemNodes(name, cluster, network, [network, ...first]);
    this.ready = [this.systemNodes, addon('coredns', [this.systemNodes])];
    this.kubernetes = new kubernetes.Provider(
      name,
      { kubeconfig: this.kubeconfig, enableServerSideApply: true },
      { ...parent, dependsOn: [...this.ready] },
    );
    this.registerOutputs({ clusterName: this.clusterName });
  }

  #systemNodes(name: string, cluster: aws.eks.Cluster, network: AwsNetwork, dependsOn: pulumi.Resource[]): aws.eks.NodeGroup {
    const parent = { parent: this };
    const role = nodeRole(`${name}-system`, parent);
    const template = new aws.ec2.LaunchTemplate(
      `${name}-system`,
      {
        metadataOptions: { httpEndpoint: 'enabled', httpTokens: 'required', httpPutResponseHopLimit: 1 },
        blockDeviceMappings: [
          { deviceName: '/dev/xvda', ebs: { volumeSize: 50, volumeType: 'gp3', encrypted: 'true', deleteOnTermination: 'true' } },
        ],
        tagSpecifications: [{ resourceType: 'instance', tags: { Name: `${name}-system` } }],
      },
      parent,
    );
    return new aws.eks.NodeGroup(
      `${name}-system`,
      {
        clusterName: cluster.name,
        nodeRoleArn: role.role.arn,
        subnetIds: network.privateSubnetIds,
        amiType: 'AL2023_x86_64_STANDARD',
        capacityType: 'ON_DEMAND',
        instanceTypes: [SYSTEM_NODES.instanceType],
        labels: SYSTEM_NODES.labels,
        launchTemplate: { id: template.id, version: template.latestVersion.apply(String) },
        scalingConfig: { minSize: SYSTEM_NODES.count, desiredSize: SYSTEM_NODES.count, maxSize: SYSTEM_NODES.count + 2 },
        updateConfig: { maxUnavailable: 1 },
      },
      { ...parent, dependsOn: [...dependsOn, ...role.attachments] },
    );
  }
}

/** What a node needs to join, give pods addresses, and pull images; nothing of the account's data. */
export function nodeRole(name: string, options: pulumi.CustomResourceOptions): { role: aws.iam.Role; attachments: pulumi.Resource[] } {
  const role = new aws.iam.Role(name, { assumeRolePolicy: trust('ec2.amazonaws.com') }, options);
  const attachments = ['AmazonEKSWorkerNodePolicy', 'AmazonEKS_CNI_Policy', 'AmazonEC2ContainerRegistryPullOnly'].map(
    (policy) => new aws.iam.RolePolicyAttachment(`${name}-${policy}`, { role: role.name, policyArn: `${MANAGED}/${policy}` }, options),
  );
  return { role, attachments };
}
