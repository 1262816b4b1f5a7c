import aws from '@pulumi/aws';
import * as pulumi from '@pulumi/pulumi';
import { WORKLOAD_ACCOUNT } from '../shared/in-cluster.ts';
import type { EksCluster } from './cluster.ts';
import { POD_IDENTITY_TRUST, policyDocument } from './policy-document.ts';
import type { AwsStorage } from './storage.ts';

export interface AwsWorkloadIdentityArgs {
  readonly cluster: EksCluster;
  readonly storage: AwsStorage;
  readonly namespace: string;
}

/** Pods under the workloads' account may read and write the bucket, and nothing else of AWS; no key exists that could leak. */
export class AwsWorkloadIdentity extends pulumi.ComponentResource {
  constructor(name: string, { cluster, storage, namespace }: AwsWorkloadIdentityArgs, options: pulumi.ComponentResourceOptions) {
    super('vicuna:aws:WorkloadIdentity', name, {}, options);
    const parent = { parent: this };
    const role = new aws.iam.Role(name, { assumeRolePolicy: POD_IDENTITY_TRUST }, parent);
    new aws.iam.RolePolicy(name, { role: role.id, policy: policyDocument(storage.access) }, parent);
    new aws.eks.PodIdentityAssociation(
      name,
      { clusterName: cluster.clusterName, namespace, serviceAccount: WORKLOAD_ACCOUNT, roleArn: role.arn },
      parent,
    );
    this.registerOutputs();
  }
}
