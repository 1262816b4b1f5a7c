import { expect, it } from 'vitest';
import { problemsOf } from './check.ts';
import { type Members, SdkTypes } from './sdk-types.ts';

const aws = new SdkTypes('aws');
const kubernetes = new SdkTypes('kubernetes');
const LIFECYCLE = 'aws:s3/bucketLifecycleConfiguration:BucketLifecycleConfiguration';

function inputs(types: SdkTypes, token: string): Members {
  const members = types.inputsOf(token);
  if (members === null) throw new Error(`no type ${token}`);
  return members;
}

const said = (members: Members, value: Record<string, unknown>) => problemsOf(members, value).map((p) => `${p.property} ${p.reason}`);

it('knows no types but the SDK’s', () => {
  expect(aws.inputsOf('aws:s3/buckets:Buckets')).toBeNull();
  expect(aws.inputsOf('aws:../../../aws/s3/bucket:Bucket')).toBeNull();
  expect(kubernetes.inputsOf('kubernetes:karpenter.sh/v1:NodePool')).toBeNull();
  expect(kubernetes.inputsOf('kubernetes:rbac.authorization.k8s.io/v1:ClusterRole')?.has('rules')).toBe(true);
});

it('finds what is unknown, missing and of another type, however deep', () => {
  expect(
    said(inputs(aws, LIFECYCLE), { bucket: 1, rules: [{ id: 'a', status: 'Enabled', filter: { prefx: '' } }, { status: 'x' }], size: 1 }),
  ).toEqual([
    'size there is no such property',
    'bucket is 1, but string is wanted',
    'rules[0].filter.prefx there is no such property',
    'rules[1].id is required',
  ]);
});

it('takes values that are not known yet, and secrets', () => {
  expect(said(inputs(aws, LIFECYCLE), { bucket: '04da6b54-80e4-46f7-96ec-b56ff0331ba9' })).toEqual([]);
  const secret = { '4dabf18193072939515e22adb298388d': '1b47061264138c4ac30d75fd1eb44270', value: { a: 'b' } };
  expect(said(inputs(kubernetes, 'kubernetes:core/v1:Secret'), { stringData: secret })).toEqual([]);
  expect(said(inputs(kubernetes, 'kubernetes:core/v1:Secret'), { stringData: { ...secret, value: 'b' } })).toEqual([
    'stringData is "b", but a map is wanted',
  ]);
});
