import aws from '@pulumi/aws';
import * as pulumi from '@pulumi/pulumi';
import { policyDocument } from '../aws/policy-document.ts';
import type { AwsStorage } from '../aws/storage.ts';
import { WORKLOAD_ACCOUNT } from '../shared/in-cluster.ts';

const AUDIENCE = 'sts.amazonaws.com';
/** Where the pods' templates mount the account's token for AWS; docs/clouds.md shows how. */
export const TOKEN_FILE = '/var/run/secrets/vicuna.run/aws/token';

export interface FederatedIdentityArgs {
  /** Who signs the tokens of each cluster's accounts, by a short name. */
  readonly issuers: Readonly<Record<string, pulumi.Output<string>>>;
  readonly storage: AwsStorage;
  readonly namespace: string;
}

/**
 * One role for the workloads of all clusters: AWS trusts what each cluster's API server signs, so that Google's pods reach the bucket on AWS
 * without a key that could leak, and with the very template that the pods on AWS have.
 */
export class FederatedIdentity extends pulumi.ComponentResource {
  readonly roleArn: pulumi.Output<string>;

  constructor(name: string, { issuers, storage, namespace }: FederatedIdentityArgs, options: pulumi.ComponentResourceOptions) {
    super('vicuna:multi:FederatedIdentity', name, {}, options);
    const parent = { parent: this };
    const providers = Object.entries(issuers).map(([cluster, url]) => ({
      host: url.apply((u) => u.replace(/^https:\/\//, '')),
      provider: new aws.iam.OpenIdConnectProvider(`${name}-${cluster}`, { url, clientIdLists: [AUDIENCE] }, parent),
    }));
    const role = new aws.iam.Role(
      name,
      {
        assumeRolePolicy: pulumi.all(providers.map(({ host, provider }) => ({ host, arn: provider.arn }))).apply((trusted) =>
          policyDocument(
            trusted.map(({ host, arn }) => ({
              Effect: 'Allow',
              Principal: { Federated: arn },
              Action: 'sts:AssumeRoleWithWebIdentity',
              Condition: {
                StringEquals: { [`${host}:aud`]: AUDIENCE, [`${host}:sub`]: `system:serviceaccount:${namespace}:${WORKLOAD_ACCOUNT}` },
              },
            })),
          ),
        ),
      },
      parent,
    );
    new aws.iam.RolePolicy(name, { role: role.id, policy: policyDocument(storage.access) }, parent);
    this.roleArn = role.arn;
    this.registerOutputs({ roleArn: this.roleArn });
  }
}
