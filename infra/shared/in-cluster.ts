// The half that is alike everywhere: what the operator needs inside a Kubernetes cluster.
import { readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import * as kubernetes from '@pulumi/kubernetes';
import * as pulumi from '@pulumi/pulumi';
import { parse } from 'yaml';
import type { z } from 'zod';
import { MANAGED_BY, OPERATOR as OPERATOR_NAME, SERVING_LABEL } from '../../operator/pods/labels.ts';
import { COMPONENT_LABEL } from '../../operator/serving/names.ts';
import { type GpuPoolOptions, gpuPool, type Pool } from './pools.ts';
import type { OPERATOR } from './settings.ts';

const ROOT = join(import.meta.dirname, '..', '..');
/** The chart in this repository. Not published under a moving tag: infrastructure and chart are of one commit. */
const CHART = join(ROOT, 'charts', 'vicuna-operator');
export const OPERATOR_NAMESPACE = 'vicuna-system';
/** Account under which trainings, engines and data pipelines reach the bucket: spec.workers.template.spec.serviceAccountName. */
export const WORKLOAD_ACCOUNT = 'vicuna-workload';
/** Secret of environment variables with which they find it: spec.credentials. */
export const STORAGE_SECRET = 'vicuna-storage';
const HUGGING_FACE_SECRET = 'huggingface';
/** Port of the worker protocol in the chart's Service. */
export const WORKER_PORT = 8080;

type OperatorSettings = z.output<typeof OPERATOR>;

/** The operator's own kinds. Their removal removes all objects of the kind, so the objects of others come and go after and before them. */
export function customResourceDefinitions(options: pulumi.CustomResourceOptions): kubernetes.apiextensions.v1.CustomResourceDefinition[] {
  const directory = join(ROOT, 'crds');
  return readdirSync(directory)
    .filter((file) => file.endsWith('.yaml'))
    .sort()
    .map((file) => {
      const crd = parse(readFileSync(join(directory, file), 'utf8'));
      return new kubernetes.apiextensions.v1.CustomResourceDefinition(
        crd.metadata.name,
        { metadata: crd.metadata, spec: crd.spec },
        options,
      );
    });
}

export interface WorkloadsArgs {
  readonly namespace: string;
  /** Annotations by which the cloud knows the account. */
  readonly accountAnnotations: Readonly<Record<string, pulumi.Input<string>>>;
  /** Environment variables with which workers find the bucket. */
  readonly storage: Readonly<Record<string, pulumi.Input<string>>>;
  readonly huggingFaceToken: pulumi.Output<string> | undefined;
}

/** The namespace that trainings and servings run in, with their account and Secrets. A cluster that only lends nodes needs it too. */
export class Workloads extends pulumi.ComponentResource {
  constructor(name: string, args: WorkloadsArgs, options: pulumi.ComponentResourceOptions) {
    super('vicuna:shared:Workloads', name, {}, options);
    const parent = { parent: this };
    const namespace = new kubernetes.core.v1.Namespace(
      `${name}-namespace`,
      { metadata: { name: args.namespace, labels: { 'pod-security.kubernetes.io/enforce': 'restricted' } } },
      parent,
    );
    const metadata = (objectName: string) => ({ name: objectName, namespace: namespace.metadata.name });
    new kubernetes.core.v1.ServiceAccount(
      `${name}-account`,
      { metadata: { ...metadata(WORKLOAD_ACCOUNT), annotations: args.accountAnnotations }, automountServiceAccountToken: false },
      parent,
    );
    new kubernetes.core.v1.Secret(`${name}-storage`, { metadata: metadata(STORAGE_SECRET), stringData: args.storage }, parent);
    if (args.huggingFaceToken !== undefined)
      new kubernetes.core.v1.Secret(
        `${name}-huggingface`,
        { metadata: metadata(HUGGING_FACE_SECRET), stringData: { HF_TOKEN: args.huggingFaceToken } },
        parent,
      );
    this.registerOutputs();
  }
}

export interface OperatorArgs {
  readonly settings: OperatorSettings;
  /** Base URL that workers in other clusters reach the operator under. */
  readonly pools: readonly { readonly pool: Pool; readonly options: GpuPoolOptions }[];
  /** Ranges from which the worker protocol is reached besides the cluster's own pods, such as a load balancer's. */
  readonly workersFrom: readonly pulumi.Input<string>[];
  /** Nodes that are not taken away. */
  readonly nodeSelector: Readonly<Record<string, string>>;
  /** kubeconfigs of other clusters, by the name of the Secret that they go into. */
  readonly kubeconfigs: Readonly<Record<string, pulumi.Input<string>>>;
}

/** CRDs, the operator by its chart, and one GpuPool for every pool. */
export class OperatorInstallation extends pulumi.ComponentResource {
  readonly release: kubernetes.helm.v3.Release;

  constructor(name: string, args: OperatorArgs, options: pulumi.ComponentResourceOptions) {
    super('vicuna:shared:OperatorInstallation', name, {}, options);
    const parent = { parent: this };
    const crds = customResourceDefinitions(parent);
    const namespace = new kubernetes.core.v1.Namespace(`${name}-namespace`, { metadata: { name: OPERATOR_NAMESPACE } }, parent);
    const secrets = Object.entries(args.kubeconfigs).map(
      ([secret, kubeconfig]) =>
        new kubernetes.core.v1.Secret(
          secret,
          { metadata: { name: secret, namespace: namespace.metadata.name }, stringData: { kubeconfig: pulumi.secret(kubeconfig) } },
          parent,
        ),
    );
    this.release = new kubernetes.helm.v3.Release(
      name,
      {
        name: OPERATOR_NAME,
        namespace: namespace.metadata.name,
        chart: CHART,
        skipCrds: true,
        atomic: true,
        timeout: 600,
        values: chartValues(args),
      },
      { ...parent, dependsOn: [...crds, ...secrets] },
    );
    for (const { pool, options: poolOptions } of args.pools)
      new kubernetes.apiextensions.CustomResource(pool.name, gpuPool(pool, poolOptions), { ...parent, dependsOn: crds });
    this.registerOutputs({ release: this.release });
  }
}

/** All that is said to the chart `charts/vicuna-operator`, in one place. */
function chartValues({ settings, workersFrom, nodeSelector }: OperatorArgs) {
  return {
    replicas: settings.replicas,
    ...(settings.registry === undefined && settings.tag === undefined
      ? {}
      : { images: { ...(settings.registry ? { registry: settings.registry } : {}), ...(settings.tag ? { tag: settings.tag } : {}) } }),
    nodeSelector,
    crds: { install: false },
    service: { port: WORKER_PORT },
    networkPolicy: { workersFrom: workersFrom.map((cidr) => ({ ipBlock: { cidr } })) },
    monitoring: { operator: settings.monitoring, servings: settings.monitoring, alerts: settings.monitoring },
  };
}

/** Pods of a serving's gateway, as the operator labels them. */
export function gatewaySelector(serving: string): Record<string, string> {
  return { [MANAGED_BY]: OPERATOR_NAME, [SERVING_LABEL]: serving, [COMPONENT_LABEL]: 'gateway' };
}

/** Pods of the operator, as its chart labels them. */
export const OPERATOR_SELECTOR = {
  'app.kubernetes.io/name': OPERATOR_NAME,
  'app.kubernetes.io/instance': OPERATOR_NAME,
  [COMPONENT_LABEL]: 'operator',
};

/** A kubeconfig of a token: no program to run, so that it also works in the operator's pod. */
export function tokenKubeconfig(name: string, server: string, ca: string, token: string): string {
  return JSON.stringify({
    apiVersion: 'v1',
    kind: 'Config',
    'current-context': name,
    clusters: [{ name, cluster: { server, 'certificate-authority-data': ca } }],
    users: [{ name, user: { token } }],
    contexts: [{ name, context: { cluster: name, user: name } }],
  });
}

/** A kubeconfig that asks the cloud's own command for a token, for pulumi and people. */
export function commandKubeconfig(name: string, server: string, ca: string, command: string, args: readonly string[]): string {
  return JSON.stringify({
    apiVersion: 'v1',
    kind: 'Config',
    'current-context': name,
    clusters: [{ name, cluster: { server, 'certificate-authority-data': ca } }],
    users: [
      {
        name,
        user: {
          exec: { apiVersion: 'client.authentication.k8s.io/v1beta1', command, args, interactiveMode: 'Never', provideClusterInfo: true },
        },
      },
    ],
    contexts: [{ name, context: { cluster: name, user: name } }],
  });
}
