import * as pulumi from '@pulumi/pulumi';
import { SYSTEM_NODES } from '../aws/cluster.ts';
import { awsFixedCosts } from '../aws/cost.ts';
import { AwsEndpoints, type Exposed } from '../aws/endpoints.ts';
import { awsInfrastructure } from '../aws/infrastructure.ts';
import { exposedGateway } from '../aws/program.ts';
import { gcpFixedCosts } from '../gcp/cost.ts';
import { gcpInfrastructure, NAT_ADDRESSES } from '../gcp/infrastructure.ts';
import { costTable } from '../shared/cost.ts';
import { OPERATOR_NAMESPACE, OPERATOR_SELECTOR, OperatorInstallation, WORKER_PORT, Workloads } from '../shared/in-cluster.ts';
import { readSettings } from '../shared/settings.ts';
import { FederatedIdentity, TOKEN_FILE } from './federated-identity.ts';
import { RemoteAccess } from './remote-access.ts';
import { MULTI_STACK } from './settings.ts';

/** Port under which workers of other clusters reach the operator. */
const WORKERS_PORT = 8443;
/** Secret, beside the operator, with the kubeconfig of Google's cluster; also its name there. */
const REMOTE = 'gke';

/**
 * The operator on AWS, with nodes on AWS and on Google Cloud. Run by `pulumi up` and by the tests alike; what it returns are the stack's
 * outputs.
 */
export async function multiProgram() {
  const settings = readSettings(MULTI_STACK);
  const { name, apiAccess, operator, workloadNamespace, endpoints, egressPerGiB, huggingFaceToken } = settings;
  const onAws = awsInfrastructure(name, settings.aws, apiAccess);
  // The operator speaks to Google's API server from behind these addresses.
  const operatorAddresses = onAws.network.natAddresses.map((address) => pulumi.interpolate`${address}/32`);
  const onGcp = gcpInfrastructure(name, settings.gcp, [...apiAccess, ...operatorAddresses]);
  const pools = [...onAws.pools, ...onGcp.pools];
  const fixed = [...awsFixedCosts(settings.aws.zones.length, true), ...gcpFixedCosts(settings.gcp.zones.length, false, NAT_ADDRESSES)];
  const cost = costTable(fixed, pools);
  if (pulumi.runtime.isDryRun()) await pulumi.log.info(cost);

  const { storage } = onAws;
  const identity = new FederatedIdentity(
    `${name}-workloads`,
    { issuers: { aws: onAws.cluster.issuer, gcp: onGcp.cluster.issuer }, storage, namespace: workloadNamespace },
    { providers: { aws: onAws.provider } },
  );
  const workloads = {
    namespace: workloadNamespace,
    accountAnnotations: {},
    storage: { AWS_REGION: settings.aws.region, AWS_ROLE_ARN: identity.roleArn, AWS_WEB_IDENTITY_TOKEN_FILE: TOKEN_FILE },
    huggingFaceToken,
  };
  const inAws = { providers: { kubernetes: onAws.cluster.kubernetes }, dependsOn: [onAws.karpenter] };
  const inGcp = { providers: { kubernetes: onGcp.cluster.kubernetes }, dependsOn: [onGcp.gpuNodes] };
  new Workloads('workloads-aws', workloads, inAws);
  const lent = new Workloads('workloads-gcp', workloads, inGcp);
  const { endpoint, ca } = onGcp.cluster;
  const access = new RemoteAccess('operator-in-gcp', { name: REMOTE, endpoint, ca, workloadNamespace }, { ...inGcp, dependsOn: [lent] });
  const cluster = { kubeconfigSecret: REMOTE, workerUrl: `https://${endpoints.workersHost}:${WORKERS_PORT}` };
  const installation = new OperatorInstallation(
    'vicuna-operator',
    {
      settings: operator,
      pools: [
        ...onAws.pools.map((pool) => ({ pool, options: {} })),
        ...onGcp.pools.map((pool) => ({ pool, options: { egressPerGiB, cluster } })),
      ],
      // The load balancer's calls come from nodes' addresses.
      workersFrom: [onAws.network.cidr],
      nodeSelector: SYSTEM_NODES.labels,
      kubeconfigs: { [REMOTE]: access.kubeconfig },
    },
    inAws,
  );
  const workers: Exposed = {
    key: 'workers',
    host: endpoints.workersHost,
    port: WORKERS_PORT,
    nodePort: 30_081,
    namespace: OPERATOR_NAMESPACE,
    selector: OPERATOR_SELECTOR,
    targetPort: WORKER_PORT,
    allow: onGcp.network.natAddresses.map((address) => pulumi.interpolate`${address}/32`),
  };
  new AwsEndpoints(
    name,
    {
      hostedZone: endpoints.hostedZone,
      network: onAws.network,
      cluster: onAws.cluster,
      exposed: [workers, ...(endpoints.gateway === undefined ? [] : [exposedGateway(endpoints.gateway, workloadNamespace)])],
    },
    { providers: { aws: onAws.provider }, dependsOn: [installation] },
  );
  return {
    kubeconfig: pulumi.secret(onAws.cluster.kubeconfig),
    kubeconfigGcp: pulumi.secret(onGcp.cluster.kubeconfig),
    bucket: pulumi.interpolate`s3://${storage.bucketName}`,
    registry: onAws.registry.url,
    registryGcp: onGcp.registry.url,
    gateway: endpoints.gateway === undefined ? undefined : `https://${endpoints.gateway.host}`,
    cost,
    keptByDestroy: [
      pulumi.interpolate`S3 bucket ${storage.bucketName} with its settings: protected, and it costs what is stored in it`,
      'the APIs that were switched on in the Google project: they cost nothing by themselves',
    ],
  };
}
