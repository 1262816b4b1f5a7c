import * as pulumi from '@pulumi/pulumi';
import { costTable } from '../shared/cost.ts';
import { OperatorInstallation, Workloads } from '../shared/in-cluster.ts';
import { readSettings } from '../shared/settings.ts';
import { SYSTEM_NODES } from './cluster.ts';
import { gcpFixedCosts } from './cost.ts';
import { GcpEndpoints } from './endpoints.ts';
import { gcpInfrastructure, NAT_ADDRESSES } from './infrastructure.ts';
import { GCP_STACK } from './settings.ts';
import { GcpStorage } from './storage.ts';
import { GcpWorkloadIdentity } from './workload-identity.ts';

/** Cloud Storage for programs that speak S3. */
const S3_ENDPOINT = 'https://storage.googleapis.com';

/** One cluster on Google Cloud with the operator in it. Run by `pulumi up` and by the tests alike; what it returns are the stack's outputs. */
export async function gcpProgram() {
  const settings = readSettings(GCP_STACK);
  const { name, project, region, zones, apiAccess, operator, workloadNamespace, endpoints, huggingFaceToken } = settings;
  const { provider, services, cluster, registry, pools, gpuNodes, labels } = gcpInfrastructure(name, settings, apiAccess);
  const cost = costTable(gcpFixedCosts(zones.length, endpoints !== undefined, NAT_ADDRESSES), pools);
  if (pulumi.runtime.isDryRun()) await pulumi.log.info(cost);

  const options = { providers: { gcp: provider }, dependsOn: [...services] };
  const storage = new GcpStorage(`${name}-storage`, region, labels, options);
  const identity = new GcpWorkloadIdentity(`${name}-workloads`, { project, cluster, storage, namespace: workloadNamespace }, options);
  const inCluster = { providers: { kubernetes: cluster.kubernetes }, dependsOn: [gpuNodes] };
  const workloads = new Workloads(
    'workloads',
    {
      namespace: workloadNamespace,
      accountAnnotations: { 'iam.gke.io/gcp-service-account': identity.email },
      storage: {
        AWS_ENDPOINT_URL: S3_ENDPOINT,
        AWS_REGION: 'auto',
        AWS_ACCESS_KEY_ID: identity.keys.accessId,
        AWS_SECRET_ACCESS_KEY: identity.keys.secret,
      },
      huggingFaceToken,
    },
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
    new GcpEndpoints(name, { cluster, namespace: workloadNamespace, endpoints }, { ...options, dependsOn: [...services, workloads] });
  return {
    kubeconfig: pulumi.secret(cluster.kubeconfig),
    bucket: pulumi.interpolate`s3://${storage.bucketName}`,
    registry: registry.url,
    gateway: endpoints === undefined ? undefined : `https://${endpoints.gateway.host}`,
    cost,
    keptByDestroy: [
      pulumi.interpolate`Cloud Storage bucket ${storage.bucketName}: protected, and it costs what is stored in it`,
      'the APIs that were switched on in the project: they cost nothing by themselves',
    ],
  };
}
