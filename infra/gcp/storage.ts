import * as gcp from '@pulumi/gcp';
import * as pulumi from '@pulumi/pulumi';

/** Days that overwritten and deleted objects stay, for who deletes the wrong prefix. */
export const NONCURRENT_DAYS = 7;
/** Days after which the parts of an upload that never ended go. */
export const INCOMPLETE_DAYS = 2;

/** The bucket for checkpoints, models and data sets. Protected: `pulumi destroy` refuses to delete it until `pulumi state unprotect`. */
export class GcpStorage extends pulumi.ComponentResource {
  readonly bucketName: pulumi.Output<string>;

  constructor(name: string, location: string, labels: Readonly<Record<string, string>>, options: pulumi.ComponentResourceOptions) {
    super('vicuna:gcp:Storage', name, {}, { ...options, protect: true });
    const bucket = new gcp.storage.Bucket(
      name,
      {
        location,
        labels,
        uniformBucketLevelAccess: true,
        publicAccessPrevention: 'enforced',
        versioning: { enabled: true },
        lifecycleRules: [
          { action: { type: 'Delete' }, condition: { daysSinceNoncurrentTime: NONCURRENT_DAYS, withState: 'ARCHIVED' } },
          { action: { type: 'AbortIncompleteMultipartUpload' }, condition: { age: INCOMPLETE_DAYS } },
        ],
        // Old versions are kept already; this would keep, and bill, everything once more.
        softDeletePolicy: { retentionDurationSeconds: 0 },
        forceDestroy: false,
      },
      { parent: this },
    );
    this.bucketName = bucket.name;
    this.registerOutputs({ bucketName: this.bucketName });
  }
}
