import * as pulumi from '@pulumi/pulumi';
import { GATEWAY_PORT } from '../../operator/serving/names.ts';
import { costTable } from '../shared/cost.ts';
import { gatewaySelector, OperatorInstallation, Workloads } from '../shared/in-cluster.ts';
import { readSettings } from '../shared/settings.ts';
import { SYSTEM_NODES } from './cluster.ts';
import { awsFixedCosts } from './cost.ts';
import { AwsEndpoints, type Exposed } from './endpoints.ts';
import { awsInfrastructure } from './infrastructure.ts';
import { AWS_STACK, type AwsSettings } from './settings.ts';
import { AwsWorkloadIdentity } from './workload-identity.ts';

/** One cluster on AWS with the operator in it. Run by `pulumi up` and by the tests alike; what it returns are the stack's outputs. */
export async function awsProgram() {
  const settings = readSettings(AWS_STACK);
  const { name, region, zones, apiAccess, operator, workloadNamespace, endpoints, huggingFaceToken } = settings;
  const { provider, cluster, karpenter, network, storage, registry, pools } = awsInfrastructure(name, settings, apiAccess);
  const cost = costTable(awsFixedCosts(zones.length, endpoints !== undefined), pools);
  if (pulumi.runtime.isDryRun()) await pulumi.log.info(cost);

  const options = { providers: { aws: provider } };
  new AwsWorkloadIdentity(`${name}-workloads`, { cluster, storage, namespace: workloadNamespace }, options);
  const inCluster = { providers: { kubernetes: cluster.kubernetes }, dependsOn: [karpenter] };
  const workloads = new Workloads(
    'workloads',
    { namespace: workloadNamespace, accountAnnotations: {}, storage: { AWS_REGION: region }, huggingFaceToken },
    inCluster,
  );
  new OperatorInstallation(
    'vicuna-operator',
    {
      settings: operator,
      pools: pools.map((pool) => ({ pool, options: {} })),
      workersFrom: [],
      nodeSelector: SYSTEM_NODES.labels,
      kubeconfigs: {},
    },
    inCluster,
  );
  if (endpoints !== undefined)
    new AwsEndpoints(
      name,
      { hostedZone: endpoints.hostedZone, network, cluster, exposed: [exposedGateway(endpoints.gateway, workloadNamespace)] },
      { ...options, dependsOn: [workloads] },
    );
  return {
    kubeconfig: pulumi.secret(cluster.kubeconfig),
    bucket: pulumi.interpolate`s3://${storage.bucketName}`,
    registry: registry.url,
    gateway: endpoints === undefined ? undefined : `https://${endpoints.gateway.host}`,
    cost,
    keptByDestroy: [pulumi.interpolate`S3 bucket ${storage.bucketName} with its settings: protected, and it costs what is stored in it`],
  };
}

/** A serving's gateway, under port 443. */
export function exposedGateway({ host, serving, allow }: NonNullable<AwsSettings['endpoints']>['gateway'], namespace: string): Exposed {
  return {
    key: 'gateway',
    host,
    port: 443,
    nodePort: 30_080,
    namespace,
    selector: gatewaySelector(serving),
    targetPort: GATEWAY_PORT,
    allow,
  };
}
