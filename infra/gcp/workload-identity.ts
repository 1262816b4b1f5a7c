import * as gcp from '@pulumi/gcp';
import * as pulumi from '@pulumi/pulumi';
import { WORKLOAD_ACCOUNT } from '../shared/in-cluster.ts';
import type { GkeCluster } from './cluster.ts';
import type { GcpStorage } from './storage.ts';

export interface GcpWorkloadIdentityArgs {
  readonly project: string;
  readonly cluster: GkeCluster;
  readonly storage: GcpStorage;
  readonly namespace: string;
}

/**
 * Pods under the workloads' account may read and write the bucket, and nothing else of the project. Programs that speak Google's own API
 * need no key. The trainer speaks S3, which Cloud Storage offers to holders of an HMAC key only: that is what `keys` is for, and it may do
 * no more than the account.
 */
export class GcpWorkloadIdentity extends pulumi.ComponentResource {
  readonly email: pulumi.Output<string>;
  readonly keys: { readonly accessId: pulumi.Output<string>; readonly secret: pulumi.Output<string> };

  constructor(name: string, { project, cluster, storage, namespace }: GcpWorkloadIdentityArgs, options: pulumi.ComponentResourceOptions) {
    super('vicuna:gcp:WorkloadIdentity', name, {}, options);
    const parent = { parent: this };
    const account = new gcp.serviceaccount.Account(name, { accountId: name }, parent);
    const member = pulumi.interpolate`serviceAccount:${account.email}`;
    new gcp.storage.BucketIAMMember(name, { bucket: storage.bucketName, role: 'roles/storage.objectUser', member }, parent);
    new gcp.serviceaccount.IAMMember(
      name,
      {
        serviceAccountId: account.name,
        role: 'roles/iam.workloadIdentityUser',
        member: `serviceAccount:${project}.svc.id.goog[${namespace}/${WORKLOAD_ACCOUNT}]`,
      },
      // The pool of identities comes to exist with the project's first cluster.
      { ...parent, dependsOn: [cluster] },
    );
    const key = new gcp.storage.HmacKey(name, { serviceAccountEmail: account.email }, parent);
    this.email = account.email;
    this.keys = { accessId: key.accessId, secret: pulumi.secret(key.secret) };
    this.registerOutputs({ email: this.email });
  }
}
