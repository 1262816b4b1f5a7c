// What Karpenter may do: every call that its AWS provider makes (pkg/aws/sdk.go of v1.14.1), narrowed to this cluster by its tags, as
// Karpenter's own CloudFormation template does.
import * as pulumi from '@pulumi/pulumi';
import type { Statement } from './policy-document.ts';

export interface KarpenterPolicyArgs {
  readonly account: pulumi.Input<string>;
  readonly region: string;
  readonly clusterName: string;
  readonly clusterArn: pulumi.Input<string>;
  readonly nodeRoleArn: pulumi.Input<string>;
  readonly queueArn: pulumi.Input<string>;
}

/** Actions that AWS offers for `*` only, or before the things have a name, and why that is no harm. */
export const UNSCOPED: Readonly<Record<string, string>> = {
  'ec2:DescribeCapacityReservations': 'lists, which EC2 does not narrow',
  'ec2:DescribeImages': 'lists, which EC2 does not narrow',
  'ec2:DescribeInstances': 'lists, which EC2 does not narrow',
  'ec2:DescribeInstanceStatus': 'lists, which EC2 does not narrow',
  'ec2:DescribeInstanceTypeOfferings': 'lists, which EC2 does not narrow',
  'ec2:DescribeInstanceTypes': 'lists, which EC2 does not narrow',
  'ec2:DescribeLaunchTemplates': 'lists, which EC2 does not narrow',
  'ec2:DescribePlacementGroups': 'lists, which EC2 does not narrow',
  'ec2:DescribeSecurityGroups': 'lists, which EC2 does not narrow',
  'ec2:DescribeSpotPriceHistory': 'public prices',
  'ec2:DescribeSubnets': 'lists, which EC2 does not narrow',
  'pricing:GetProducts': 'public prices',
  'iam:ListInstanceProfiles': 'lists, which IAM does not narrow',
};

export function karpenterStatements({ account, region, clusterName, clusterArn, nodeRoleArn, queueArn }: KarpenterPolicyArgs): Statement[] {
  const ec2 = (kind: string, owner: pulumi.Input<string> = '*') => pulumi.interpolate`arn:aws:ec2:${region}:${owner}:${kind}/*`;
  const onlyOwned = ownedBy('aws:ResourceTag', clusterName);
  const asOwned = ownedBy('aws:RequestTag', clusterName);
  const profiles = pulumi.interpolate`arn:aws:iam::${account}:instance-profile/*`;
  const made = ['fleet', 'instance', 'volume', 'network-interface', 'launch-template', 'spot-instances-request'].map((kind) => ec2(kind));
  return [
    {
      Sid: 'LaunchFromWhatIsThere',
      Effect: 'Allow',
      Action: ['ec2:RunInstances', 'ec2:CreateFleet'],
      Resource: [
        pulumi.interpolate`arn:aws:ec2:${region}::image/*`,
        pulumi.interpolate`arn:aws:ec2:${region}::snapshot/*`,
        ec2('security-group'),
        ec2('subnet'),
        ec2('capacity-reservation'),
        ec2('placement-group'),
      ],
    },
    {
      Sid: 'LaunchFromItsOwnTemplates',
      Effect: 'Allow',
      Action: ['ec2:RunInstances', 'ec2:CreateFleet'],
      Resource: ec2('launch-template'),
      Condition: onlyOwned,
    },
    {
      Sid: 'MakeWhatIsTaggedAsTheClusters',
      Effect: 'Allow',
      Action: ['ec2:RunInstances', 'ec2:CreateFleet', 'ec2:CreateLaunchTemplate'],
      Resource: made,
      Condition: asOwned,
    },
    {
      Sid: 'TagWhatItMakes',
      Effect: 'Allow',
      Action: 'ec2:CreateTags',
      Resource: made,
      Condition: {
        ...asOwned,
        StringEquals: { ...asOwned.StringEquals, 'ec2:CreateAction': ['RunInstances', 'CreateFleet', 'CreateLaunchTemplate'] },
      },
    },
    {
      Sid: 'NameItsInstances',
      Effect: 'Allow',
      Action: 'ec2:CreateTags',
      Resource: ec2('instance'),
      Condition: {
        ...onlyOwned,
        'ForAllValues:StringEquals': { 'aws:TagKeys': ['eks:eks-cluster-name', 'karpenter.sh/nodeclaim', 'Name'] },
      },
    },
    {
      Sid: 'EndWhatIsTheClusters',
      Effect: 'Allow',
      Action: ['ec2:TerminateInstances', 'ec2:DeleteLaunchTemplate'],
      Resource: [ec2('instance'), ec2('launch-template')],
      Condition: onlyOwned,
    },
    {
      Sid: 'Look',
      Effect: 'Allow',
      Action: Object.keys(UNSCOPED).filter((action) => action.startsWith('ec2:')),
      Resource: '*',
      Condition: { StringEquals: { 'aws:RequestedRegion': region } },
    },
    { Sid: 'Prices', Effect: 'Allow', Action: 'pricing:GetProducts', Resource: '*' },
    { Sid: 'FindImages', Effect: 'Allow', Action: 'ssm:GetParameter', Resource: `arn:aws:ssm:${region}::parameter/aws/service/*` },
    {
      Sid: 'Interruptions',
      Effect: 'Allow',
      Action: ['sqs:DeleteMessage', 'sqs:GetQueueUrl', 'sqs:ReceiveMessage'],
      Resource: queueArn,
    },
    {
      Sid: 'GiveNodesTheirRole',
      Effect: 'Allow',
      Action: 'iam:PassRole',
      Resource: nodeRoleArn,
      Condition: { StringEquals: { 'iam:PassedToService': 'ec2.amazonaws.com' } },
    },
    { Sid: 'SeeTheRole', Effect: 'Allow', Action: 'iam:GetRole', Resource: nodeRoleArn },
    {
      Sid: 'MakeProfiles',
      Effect: 'Allow',
      Action: ['iam:CreateInstanceProfile', 'iam:TagInstanceProfile'],
      Resource: profiles,
      Condition: asOwned,
    },
    {
      Sid: 'ManageItsProfiles',
      Effect: 'Allow',
      Action: ['iam:AddRoleToInstanceProfile', 'iam:RemoveRoleFromInstanceProfile', 'iam:DeleteInstanceProfile'],
      Resource: profiles,
      Condition: onlyOwned,
    },
    { Sid: 'SeeProfiles', Effect: 'Allow', Action: 'iam:GetInstanceProfile', Resource: profiles },
    { Sid: 'ListProfiles', Effect: 'Allow', Action: 'iam:ListInstanceProfiles', Resource: '*' },
    { Sid: 'FindTheCluster', Effect: 'Allow', Action: 'eks:DescribeCluster', Resource: clusterArn },
  ];
}

/** What Karpenter tags everything with that it makes. */
function ownedBy(kind: 'aws:ResourceTag' | 'aws:RequestTag', clusterName: string) {
  return { StringEquals: { [`${kind}/kubernetes.io/cluster/${clusterName}`]: 'owned', [`${kind}/eks:eks-cluster-name`]: clusterName } };
}
