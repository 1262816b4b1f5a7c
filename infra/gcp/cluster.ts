import * as gcp from '@pulumi/gcp';
import * as kubernetes from '@pulumi/kubernetes';
import * as pulumi from '@pulumi/pulumi';
import { commandKubeconfig } from '../shared/in-cluster.ts';
import { GCP_INSTANCES } from '../shared/instances.ts';
import { GKE_SHUTDOWN_SECONDS, GKE_SPOT_TAINT, nodeLabels, type Pool } from '../shared/pools.ts';
import { GcpNetwork } from './network.ts';

/** Nodes for the operator and gateways; they are not taken away. At least one in every zone. */
export const SYSTEM_NODES = { machineType: 'e2-standard-2', maxPerZone: 4, labels: { 'vicuna.run/role': 'system' } } as const;
/** The first minor version in which spot nodes may be given two minutes; see GKE_SHUTDOWN_SECONDS. */
const OLDEST_VERSION = '1.35';
const SYSTEM_DISK_GB = 50;
const GPU_DISK_GB = 200;

export interface GkeClusterArgs {
  readonly project: string;
  readonly region: string;
  readonly zones: readonly string[];
  readonly network: GcpNetwork;
  readonly apiAccess: readonly pulumi.Input<string>[];
  readonly labels: Readonly<Record<string, string>>;
  readonly dependsOn: readonly pulumi.Resource[];
}

/** A regional GKE cluster of private nodes with a small pool on demand. */
export class GkeCluster extends pulumi.ComponentResource {
  readonly clusterName: pulumi.Output<string>;
  readonly endpoint: pulumi.Output<string>;
  readonly ca: pulumi.Output<string>;
  readonly issuer: pulumi.Output<string>;
  readonly kubeconfig: pulumi.Output<string>;
  readonly kubernetes: kubernetes.Provider;
  readonly nodeAccount: gcp.serviceaccount.Account;
  readonly systemNodes: gcp.container.NodePool;

  constructor(name: string, args: GkeClusterArgs, options: pulumi.ComponentResourceOptions) {
    super('vicuna:gcp:Cluster', name, {}, options);
    const { project, region, zones, network } = args;
    const parent = { parent: this };
    this.nodeAccount = new gcp.serviceaccount.Account(`${name}-nodes`, { accountId: `${name}-nodes` }, parent);
    // Logs, metrics, and no more; what pods may do is their own accounts' matter.
    const permission = new gcp.projects.IAMMember(
      `${name}-nodes`,
      { project, role: 'roles/container.defaultNodeServiceAccount', member: pulumi.interpolate`serviceAccount:${this.nodeAccount.email}` },
      parent,
    );
    const cluster = new gcp.container.Cluster(
      name,
      {
        name,
        location: region,
        nodeLocations: [...zones],
        network: network.networkId,
        subnetwork: network.subnetworkId,
        ipAllocationPolicy: { clusterSecondaryRangeName: GcpNetwork.PODS, servicesSecondaryRangeName: GcpNetwork.SERVICES },
        // Its own pool comes with the project's default account: replaced by the pools below.
        removeDefaultNodePool: true,
        initialNodeCount: 1,
        releaseChannel: { channel: 'REGULAR' },
        minMasterVersion: OLDEST_VERSION,
        privateClusterConfig: { enablePrivateNodes: true, enablePrivateEndpoint: false, masterIpv4CidrBlock: '172.16.0.0/28' },
        masterAuthorizedNetworksConfig: {
          cidrBlocks: args.apiAccess.map((cidrBlock) => ({ cidrBlock })),
          gcpPublicCidrsAccessEnabled: false,
        },
        workloadIdentityConfig: { workloadPool: `${project}.svc.id.goog` },
        datapathProvider: 'ADVANCED_DATAPATH',
        gatewayApiConfig: { channel: 'CHANNEL_STANDARD' },
        enableShieldedNodes: true,
        resourceLabels: args.labels,
        // The cluster is no data: Pulumi's own protection is for the bucket.
        deletionProtection: false,
      },
      { ...parent, dependsOn: [...args.dependsOn], ignoreChanges: ['initialNodeCount'] },
    );
    this.clusterName = cluster.name;
    this.endpoint = pulumi.interpolate`https://${cluster.endpoint}`;
    this.ca = cluster.masterAuth.clusterCaCertificate;
    this.issuer = pulumi.interpolate`https://container.googleapis.com/v1/projects/${project}/locations/${region}/clusters/${cluster.name}`;
    this.kubeconfig = pulumi
      .all([cluster.name, this.endpoint, this.ca])
      .apply(([clusterName, endpoint, ca]) => commandKubeconfig(clusterName, endpoint, ca, 'gke-gcloud-auth-plugin', []));
    this.systemNodes = new gcp.container.NodePool(
      `${name}-system`,
      {
        cluster: cluster.id,
        nodeLocations: [...zones],
        autoscaling: { minNodeCount: 1, maxNodeCount: SYSTEM_NODES.maxPerZone },
        management: { autoRepair: true, autoUpgrade: true },
        nodeConfig: {
          ...this.nodeConfig(SYSTEM_DISK_GB),
          machineType: SYSTEM_NODES.machineType,
          labels: SYSTEM_NODES.labels,
        },
      },
      // Images come through Cloud NAT.
      { ...parent, dependsOn: [permission, network], ignoreChanges: ['initialNodeCount'] },
    );
    this.kubernetes = new kubernetes.Provider(
      name,
      { kubeconfig: this.kubeconfig, enableServerSideApply: true },
      { ...parent, dependsOn: [this.systemNodes] },
    );
    this.registerOutputs({ clusterName: this.clusterName });
  }

  /** What all nodes have: an account without rights of its own, no metadata of the machine for pods, a verified boot. */
  nodeConfig(diskSizeGb: number) {
    return {
      serviceAccount: this.nodeAccount.email,
      oauthScopes: ['https://www.googleapis.com/auth/cloud-platform'],
      workloadMetadataConfig: { mode: 'GKE_METADATA' },
      shieldedInstanceConfig: { enableSecureBoot: true, enableIntegrityMonitoring: true },
      imageType: 'COS_CONTAINERD',
      diskType: 'pd-balanced',
      diskSizeGb,
    };
  }
}

/** A node pool for every pool, from none to its maximum. */
export class GkePools extends pulumi.ComponentResource {
  constructor(name: string, cluster: GkeCluster, pools: readonly Pool[], options: pulumi.ComponentResourceOptions) {
    super('vicuna:gcp:Pools', name, {}, options);
    for (const pool of pools) {
      const machine = GCP_INSTANCES[pool.instanceType];
      if (machine === undefined) throw new Error(`pool "${pool.name}": "${pool.instanceType}" is no GPU machine type known here`);
      const isSpot = pool.capacity === 'spot';
      new gcp.container.NodePool(
        pool.name,
        {
          name: pool.name,
          cluster: cluster.systemNodes.cluster,
          nodeLocations: [pool.zone],
          initialNodeCount: 0,
          autoscaling: { minNodeCount: 0, maxNodeCount: pool.maxNodes, locationPolicy: 'ANY' },
          // GKE would drain a node to upgrade it in the midst of a training: a node that comes anew has the new version.
          management: { autoRepair: true, autoUpgrade: true },
          upgradeSettings: { strategy: 'SURGE', maxSurge: 0, maxUnavailable: 1 },
          nodeConfig: {
            ...cluster.nodeConfig(GPU_DISK_GB),
            machineType: pool.instanceType,
            spot: isSpot,
            guestAccelerators: [
              { type: machine.gkeType, count: machine.count, gpuDriverInstallationConfig: { gpuDriverVersion: 'DEFAULT' } },
            ],
            gvnic: { enabled: true },
            labels: nodeLabels(pool),
            // GKE adds the taint of the GPUs by itself.
            taints: isSpot ? [{ ...GKE_SPOT_TAINT, effect: 'NO_SCHEDULE' }] : [],
            ...(isSpot
              ? {
                  kubeletConfig: {
                    shutdownGracePeriodSeconds: GKE_SHUTDOWN_SECONDS.total,
                    shutdownGracePeriodCriticalPodsSeconds: GKE_SHUTDOWN_SECONDS.systemPods,
                  },
                }
              : {}),
          },
        },
        { parent: this, dependsOn: [cluster.systemNodes], deleteBeforeReplace: true, ignoreChanges: ['initialNodeCount'] },
      );
    }
    this.registerOutputs();
  }
}
