import aws from '@pulumi/aws';
import * as pulumi from '@pulumi/pulumi';
import { policyDocument, type Statement } from './policy-document.ts';

/** Days that overwritten and deleted objects stay, for who deletes the wrong prefix. */
export const NONCURRENT_DAYS = 7;
/** Days after which the parts of an upload that never ended go; until then they cost and are seen by nobody. */
export const INCOMPLETE_DAYS = 2;

/**
 * The bucket for checkpoints, models and data sets. It is protected, with all that guards it: `pulumi destroy` refuses to delete it until
 * `pulumi state unprotect`.
 */
export class AwsStorage extends pulumi.ComponentResource {
  readonly bucketName: pulumi.Output<string>;
  readonly arn: pulumi.Output<string>;

  constructor(name: string, options: pulumi.ComponentResourceOptions) {
    super('vicuna:aws:Storage', name, {}, { ...options, protect: true });
    const parent = { parent: this };
    const bucket = new aws.s3.Bucket(name, { bucketPrefix: `${name}-` }, parent);
    const of = { bucket: bucket.id };
    new aws.s3.BucketOwnershipControls(name, { ...of, rule: { objectOwnership: 'BucketOwnerEnforced' } }, parent);
    const closed = new aws.s3.BucketPublicAccessBlock(
      name,
      { ...of, blockPublicAcls: true, blockPublicPolicy: true, ignorePublicAcls: true, restrictPublicBuckets: true },
      parent,
    );
    new aws.s3.BucketServerSideEncryptionConfiguration(
      name,
      { ...of, rules: [{ applyServerSideEncryptionByDefault: { sseAlgorithm: 'AES256' } }] },
      parent,
    );
    const versioning = new aws.s3.BucketVersioning(name, { ...of, versioningConfiguration: { status: 'Enabled' } }, parent);
    new aws.s3.BucketLifecycleConfiguration(
      name,
      {
        ...of,
        rules: [
          {
            id: 'old-versions',
            status: 'Enabled',
            filter: { prefix: '' },
            noncurrentVersionExpiration: { noncurrentDays: NONCURRENT_DAYS },
            expiration: { expiredObjectDeleteMarker: true },
          },
          {
            id: 'incomplete-uploads',
            status: 'Enabled',
            filter: { prefix: '' },
            abortIncompleteMultipartUpload: { daysAfterInitiation: INCOMPLETE_DAYS },
          },
        ],
      },
      { ...parent, dependsOn: [versioning] },
    );
    new aws.s3.BucketPolicy(
      name,
      {
        ...of,
        policy: policyDocument([
          {
            Sid: 'EncryptedTransportOnly',
            Effect: 'Deny',
            Principal: '*',
            Action: 's3:*',
            Resource: [bucket.arn, pulumi.interpolate`${bucket.arn}/*`],
            Condition: { Bool: { 'aws:SecureTransport': 'false' } },
          },
        ]),
      },
      { ...parent, dependsOn: [closed] },
    );
    this.bucketName = bucket.bucket;
    this.arn = bucket.arn;
    this.registerOutputs({ bucketName: this.bucketName });
  }

  /** What reading and writing below the bucket takes: no settings of the bucket, no old versions. */
  get access(): Statement[] {
    return [
      {
        Sid: 'List',
        Effect: 'Allow',
        Action: ['s3:ListBucket', 's3:GetBucketLocation', 's3:ListBucketMultipartUploads'],
        Resource: this.arn,
      },
      {
        Sid: 'Objects',
        Effect: 'Allow',
        Action: ['s3:GetObject', 's3:PutObject', 's3:DeleteObject', 's3:AbortMultipartUpload', 's3:ListMultipartUploadParts'],
        Resource: pulumi.interpolate`${this.arn}/*`,
      },
    ];
  }
}
