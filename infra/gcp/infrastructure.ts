// Everything on Google Cloud below the operator; the stacks `gcp` and `multi` both use it.
import * as gcp from '@pulumi/gcp';
import type * as pulumi from '@pulumi/pulumi';
import { expandPools, type Pool } from '../shared/pools.ts';
import { GcpBudget } from './budget.ts';
import { GkeCluster, GkePools } from './cluster.ts';
import { GcpNetwork } from './network.ts';
import { GcpRegistry } from './registry.ts';
import type { GcpSettings } from './settings.ts';

/** APIs that must be switched on in the project. They cost nothing by themselves, and others may use them: they stay when the stack goes. */
const SERVICES = [
  'artifactregistry',
  'billingbudgets',
  'certificatemanager',
  'cloudresourcemanager',
  'compute',
  'container',
  'iam',
  'monitoring',
  'storage',
];
/** Each has 64,512 ports, of which a node takes 32 at least and more as it needs. */
export const NAT_ADDRESSES = 1;

export interface GcpInfrastructure {
  readonly provider: gcp.Provider;
  readonly services: readonly gcp.projects.Service[];
  readonly network: GcpNetwork;
  readonly cluster: GkeCluster;
  readonly gpuNodes: GkePools;
  readonly registry: GcpRegistry;
  readonly pools: readonly Pool[];
  readonly labels: Readonly<Record<string, string>>;
}

export function gcpInfrastructure(name: string, settings: GcpSettings, apiAccess: readonly pulumi.Input<string>[]): GcpInfrastructure {
  const { project, region, zones, budget } = settings;
  const labels = { 'vicuna-stack': name };
  // The budget's API bills its calls to a project, and asks which when a person calls it.
  const provider = new gcp.Provider(name, { project, region, userProjectOverride: true, billingProject: project });
  const services = SERVICES.map(
    (service) =>
      new gcp.projects.Service(
        `${name}-${service}`,
        { project, service: `${service}.googleapis.com`, disableOnDestroy: false },
        { provider },
      ),
  );
  const options = { providers: { gcp: provider }, dependsOn: services };
  const pools = expandPools('gcp', region, settings.pools);
  const network = new GcpNetwork(name, { region, natAddresses: NAT_ADDRESSES }, options);
  const cluster = new GkeCluster(name, { project, region, zones, network, apiAccess, labels, dependsOn: services }, options);
  const gpuNodes = new GkePools(`${name}-pools`, cluster, pools, options);
  const registry = new GcpRegistry(name, { project, region, cluster, labels }, options);
  new GcpBudget(name, { project, ...budget }, options);
  return { provider, services, network, cluster, gpuNodes, registry, pools, labels };
}
