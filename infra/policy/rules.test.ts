import { describe, expect, it } from 'vitest';
import { RESOURCE_RULES, type Resource, STACK_RULES } from './rules.ts';

const resource = (type: string, properties: object, protect = false): Resource => ({
  type,
  name: 'x',
  properties: { ...properties },
  protect,
});
const policy = (...statements: object[]) =>
  resource('aws:iam/rolePolicy:RolePolicy', { policy: JSON.stringify({ Statement: statements }) });

const RULES: Readonly<Record<string, [Resource, RegExp][]>> = {
  'least-privilege-aws': [
    [policy({ Sid: 'All', Effect: 'Allow', Action: 's3:*', Resource: 'arn:aws:s3:::b' }), /All allows s3:\*/],
    [policy({ Effect: 'Allow', Action: ['s3:GetObject'], Resource: '*' }), /s3:GetObject on everything/],
    [
      resource('aws:iam/rolePolicyAttachment:RolePolicyAttachment', { policyArn: 'arn:aws:iam::aws:policy/AdministratorAccess' }),
      /AdministratorAccess/,
    ],
  ],
  'least-privilege-gcp': [
    [resource('gcp:projects/iAMMember:IAMMember', { role: 'roles/editor', member: 'user:a' }), /roles\/editor/],
    [resource('gcp:storage/bucketIAMMember:BucketIAMMember', { role: 'roles/storage.objectUser', member: 'allUsers' }), /everybody/],
  ],
  'least-privilege-kubernetes': [
    [
      resource('kubernetes:rbac.authorization.k8s.io/v1:ClusterRole', { rules: [{ apiGroups: [''], resources: ['pods'], verbs: ['*'] }] }),
      /verbs "\*"/,
    ],
  ],
  'closed-to-the-internet': [
    [resource('aws:eks/cluster:Cluster', { vpcConfig: { endpointPublicAccess: true } }), /open to the whole internet/],
    [resource('aws:eks/cluster:Cluster', { vpcConfig: { endpointPublicAccess: true, publicAccessCidrs: ['0.0.0.0/0'] } }), /open/],
    [
      resource('gcp:container/cluster:Cluster', { masterAuthorizedNetworksConfig: { cidrBlocks: [{ cidrBlock: '203.0.113.0/24' }] } }),
      /public addresses/,
    ],
    [resource('aws:vpc/securityGroupIngressRule:SecurityGroupIngressRule', { cidrIpv4: '0.0.0.0/0', fromPort: 22, toPort: 22 }), /port 22/],
  ],
  encrypted: [
    [resource('aws:eks/cluster:Cluster', {}), /Secrets/],
    [resource('aws:ec2/launchTemplate:LaunchTemplate', { blockDeviceMappings: [{ ebs: { encrypted: 'false' } }] }), /not encrypted/],
    [resource('kubernetes:karpenter.k8s.aws/v1:EC2NodeClass', { spec: {} }), /not encrypted/],
    [resource('aws:sqs/queue:Queue', {}), /not encrypted/],
    [resource('aws:ecr/repository:Repository', {}), /not encrypted/],
    [resource('aws:kms/key:Key', {}), /never rotated/],
  ],
  'metadata-service': [
    [
      resource('aws:ec2/launchTemplate:LaunchTemplate', { metadataOptions: { httpTokens: 'optional', httpPutResponseHopLimit: 1 } }),
      /metadata/,
    ],
    [resource('gcp:container/nodePool:NodePool', { nodeConfig: {} }), /metadata/],
  ],
  'no-public-bucket': [
    [resource('gcp:storage/bucket:Bucket', { publicAccessPrevention: 'inherited', uniformBucketLevelAccess: true }), /made public/],
    [resource('aws:s3/bucketPublicAccessBlock:BucketPublicAccessBlock', { blockPublicAcls: true }), /blockPublicPolicy/],
    [resource('aws:s3/bucketAcl:BucketAcl', {}), /ACL/],
  ],
  'data-protected': [
    [resource('aws:s3/bucket:Bucket', {}), /not protected/],
    [resource('aws:s3/bucket:Bucket', { forceDestroy: true }, true), /deleted with all/],
    [resource('gcp:storage/bucket:Bucket', {}, true), /old versions/],
  ],
  'gpu-nodes-bounded': [
    [
      resource('gcp:container/nodePool:NodePool', {
        initialNodeCount: 1,
        autoscaling: { minNodeCount: 1, maxNodeCount: 2 },
        nodeConfig: { guestAccelerators: [{}] },
      }),
      /keeps nodes/,
    ],
    [resource('gcp:container/nodePool:NodePool', { nodeConfig: { guestAccelerators: [{}] } }), /no limit/],
    [
      resource('kubernetes:karpenter.sh/v1:NodePool', {
        spec: { template: { metadata: { labels: { 'vicuna.run/pool': 'x' } }, spec: {} } },
      }),
      /no taint/,
    ],
  ],
};

describe('rules of single resources', () => {
  for (const rule of RESOURCE_RULES)
    describe(rule.name, () => {
      const bad = RULES[rule.name] ?? [];
      it('has something that it refuses', () => expect(bad.length).toBeGreaterThan(0));
      it.each(bad)('refuses %j', (wrong, message) => expect(rule.check(wrong).join('\n')).toMatch(message));
      it('says nothing of what it is not about', () => expect(rule.check(resource('random:index:Thing', {}))).toEqual([]));
    });
});

describe('rules of whole stacks', () => {
  const [buckets, budget] = STACK_RULES;
  it('refuse a bucket without what belongs to it', () =>
    expect(buckets?.check([resource('aws:s3/bucket:Bucket', {})]).join('\n')).toMatch(/no BucketPublicAccessBlock[\s\S]*no BucketPolicy/));
  it('refuse a cloud whose costs nobody watches', () => {
    expect(budget?.check([resource('aws:s3/bucket:Bucket', {})])).toEqual(['nobody is told when aws costs more than planned']);
    expect(budget?.check([resource('gcp:billing/budget:Budget', { allUpdatesRule: {} })])).toEqual([
      'nobody is told when gcp costs more than planned',
    ]);
  });
});
