import * as kubernetes from '@pulumi/kubernetes';
import * as pulumi from '@pulumi/pulumi';
import { OPERATOR_NAMESPACE, tokenKubeconfig } from '../shared/in-cluster.ts';

type Rule = { readonly apiGroups: string[]; readonly resources: string[]; readonly verbs: string[] };

/** In the whole cluster: to see nodes and what runs on them, and whose a worker's token is. */
export const CLUSTER_RULES: readonly Rule[] = [
  { apiGroups: [''], resources: ['nodes', 'pods'], verbs: ['list', 'watch'] },
  { apiGroups: ['apps'], resources: ['deployments'], verbs: ['list', 'watch'] },
  { apiGroups: ['authentication.k8s.io'], resources: ['tokenreviews'], verbs: ['create'] },
];

/** In the workloads' namespace only: to make there what trainings and servings consist of. */
export const WORKLOAD_RULES: readonly Rule[] = [
  { apiGroups: [''], resources: ['pods'], verbs: ['create', 'delete', 'patch'] },
  { apiGroups: [''], resources: ['pods/status'], verbs: ['patch'] },
  { apiGroups: ['apps'], resources: ['deployments'], verbs: ['create', 'patch', 'delete'] },
];

export interface RemoteAccessArgs {
  readonly name: string;
  readonly endpoint: pulumi.Output<string>;
  readonly ca: pulumi.Output<string>;
  readonly workloadNamespace: string;
}

/** An account in a cluster that lends nodes, for the operator of another cluster, and a kubeconfig of its token. */
export class RemoteAccess extends pulumi.ComponentResource {
  readonly kubeconfig: pulumi.Output<string>;

  constructor(name: string, args: RemoteAccessArgs, options: pulumi.ComponentResourceOptions) {
    super('vicuna:multi:RemoteAccess', name, {}, options);
    const parent = { parent: this };
    const { core, rbac } = kubernetes;
    const roleName = 'vicuna-operator-remote';
    const namespace = new core.v1.Namespace(`${name}-namespace`, { metadata: { name: OPERATOR_NAMESPACE } }, parent);
    const account = new core.v1.ServiceAccount(
      `${name}-account`,
      { metadata: { name: roleName, namespace: namespace.metadata.name }, automountServiceAccountToken: false },
      parent,
    );
    const subjects = [{ kind: 'ServiceAccount', name: account.metadata.name, namespace: namespace.metadata.name }];
    const ref = (kind: string, metadata: pulumi.Output<{ name: string }>) => ({
      apiGroup: 'rbac.authorization.k8s.io',
      kind,
      name: metadata.name,
    });
    const everywhere = new rbac.v1.ClusterRole(`${name}-cluster`, { metadata: { name: roleName }, rules: [...CLUSTER_RULES] }, parent);
    new rbac.v1.ClusterRoleBinding(
      `${name}-cluster`,
      { metadata: { name: roleName }, roleRef: ref('ClusterRole', everywhere.metadata), subjects },
      parent,
    );
    const metadata = { name: roleName, namespace: args.workloadNamespace };
    const inNamespace = new rbac.v1.Role(`${name}-workloads`, { metadata, rules: [...WORKLOAD_RULES] }, parent);
    new rbac.v1.RoleBinding(`${name}-workloads`, { metadata, roleRef: ref('Role', inNamespace.metadata), subjects }, parent);
    const token = new core.v1.Secret(
      `${name}-token`,
      {
        metadata: {
          ...metadata,
          namespace: namespace.metadata.name,
          annotations: { 'kubernetes.io/service-account.name': account.metadata.name },
        },
        type: 'kubernetes.io/service-account-token',
      },
      parent,
    );
    // The API server fills the token in; where there is none yet, as in a preview, there is no data at all.
    const filled: pulumi.Output<Record<string, string> | undefined> = token.data;
    this.kubeconfig = pulumi.secret(
      pulumi
        .all([args.endpoint, args.ca, filled])
        .apply(([endpoint, ca, data]) => tokenKubeconfig(args.name, endpoint, ca, Buffer.from(data?.token ?? '', 'base64').toString())),
    );
    this.registerOutputs({ kubeconfig: this.kubeconfig });
  }
}
