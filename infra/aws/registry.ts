import aws from '@pulumi/aws';
import * as pulumi from '@pulumi/pulumi';
import { IMAGES } from '../shared/images.ts';

/** A private repository per image. Tags never move; what no tag names any more goes after two weeks. */
export class AwsRegistry extends pulumi.ComponentResource {
  /** What the images' names are put behind. */
  readonly url: pulumi.Output<string>;

  constructor(name: string, options: pulumi.ComponentResourceOptions) {
    super('vicuna:aws:Registry', name, {}, options);
    const parent = { parent: this };
    const repositories = IMAGES.map((image) => {
      const repository = new aws.ecr.Repository(
        `${name}-${image}`,
        {
          name: `${name}/${image}`,
          imageTagMutability: 'IMMUTABLE',
          imageScanningConfiguration: { scanOnPush: true },
          encryptionConfigurations: [{ encryptionType: 'AES256' }],
          // Images are built again from the repository's code; they are no data to keep.
          forceDelete: true,
        },
        parent,
      );
      new aws.ecr.LifecyclePolicy(
        `${name}-${image}`,
        {
          repository: repository.name,
          policy: JSON.stringify({
            rules: [
              {
                rulePriority: 1,
                description: 'untagged images',
                selection: { tagStatus: 'untagged', countType: 'sinceImagePushed', countUnit: 'days', countNumber: 14 },
                action: { type: 'expire' },
              },
            ],
          }),
        },
        parent,
      );
      return repository;
    });
    this.url = pulumi.output(repositories[0]?.repositoryUrl ?? '').apply((url) => url.slice(0, url.lastIndexOf('/')));
    this.registerOutputs({ url: this.url });
  }
}
