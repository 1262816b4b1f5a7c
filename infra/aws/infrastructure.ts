// Everything on AWS below the operator; the stacks `aws` and `multi` both begin with it.
import aws from '@pulumi/aws';
import type * as pulumi from '@pulumi/pulumi';
import { expandPools, type Pool } from '../shared/pools.ts';
import { AwsBudget } from './budget.ts';
import { EksCluster } from './cluster.ts';
import { Karpenter } from './karpenter.ts';
import { AwsNetwork } from './network.ts';
import { AwsRegistry } from './registry.ts';
import type { AwsSettings } from './settings.ts';
import { AwsStorage } from './storage.ts';

export interface AwsInfrastructure {
  readonly provider: aws.Provider;
  readonly account: pulumi.Output<string>;
  readonly network: AwsNetwork;
  readonly cluster: EksCluster;
  readonly karpenter: Karpenter;
  readonly storage: AwsStorage;
  readonly registry: AwsRegistry;
  readonly pools: readonly Pool[];
}

export function awsInfrastructure(name: string, settings: AwsSettings, apiAccess: readonly pulumi.Input<string>[]): AwsInfrastructure {
  const { region, zones, kubernetesVersion, budget } = settings;
  const tags = { 'vicuna.run/stack': name };
  const provider = new aws.Provider(name, { region: region as aws.Region, defaultTags: { tags } });
  const options = { providers: { aws: provider } };
  const account = aws.getCallerIdentityOutput({}, { provider }).accountId;
  const pools = expandPools('aws', region, settings.pools);
  const network = new AwsNetwork(name, { region, zones }, options);
  const cluster = new EksCluster(name, { region, version: kubernetesVersion, network, apiAccess }, options);
  const karpenter = new Karpenter(`${name}-karpenter`, { account, region, zones, cluster, network, pools, tags }, options);
  const storage = new AwsStorage(`${name}-storage`, options);
  const registry = new AwsRegistry(name, options);
  new AwsBudget(name, budget, options);
  return { provider, account, network, cluster, karpenter, storage, registry, pools };
}
