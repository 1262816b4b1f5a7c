import * as gcp from '@pulumi/gcp';
import * as pulumi from '@pulumi/pulumi';
import type { GkeCluster } from './cluster.ts';

export interface GcpRegistryArgs {
  readonly project: string;
  readonly region: string;
  readonly cluster: GkeCluster;
  readonly labels: Readonly<Record<string, string>>;
}

/** A private repository for images, which the nodes may read. Tags never move; what no tag names any more goes after two weeks. */
export class GcpRegistry extends pulumi.ComponentResource {
  readonly url: pulumi.Output<string>;

  constructor(name: string, { project, region, cluster, labels }: GcpRegistryArgs, options: pulumi.ComponentResourceOptions) {
    super('vicuna:gcp:Registry', name, {}, options);
    const parent = { parent: this };
    const repository = new gcp.artifactregistry.Repository(
      name,
      {
        repositoryId: name,
        location: region,
        format: 'DOCKER',
        dockerConfig: { immutableTags: true },
        cleanupPolicies: [{ id: 'untagged', action: 'DELETE', condition: { tagState: 'UNTAGGED', olderThan: '1209600s' } }],
        labels,
      },
      parent,
    );
    new gcp.artifactregistry.RepositoryIamMember(
      `${name}-nodes`,
      {
        repository: repository.name,
        location: region,
        role: 'roles/artifactregistry.reader',
        member: pulumi.interpolate`serviceAccount:${cluster.nodeAccount.email}`,
      },
      parent,
    );
    this.url = pulumi.interpolate`${region}-docker.pkg.dev/${project}/${repository.repositoryId}`;
    this.registerOutputs({ url: this.url });
  }
}
