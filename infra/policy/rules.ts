// What must hold of every resource, whatever the settings: held by the policy pack at each `pulumi preview` and `up`, and by the tests.
import { UNSCOPED } from '../aws/karpenter-policy.ts';

/** As the engine hands them over: JSON of any shape, since a policy pack also sees resources that are not ours. */
export type Properties = Readonly<Record<string, unknown>>;

export interface Resource {
  readonly type: string;
  readonly name: string;
  readonly properties: Properties;
  readonly protect: boolean;
}

export interface ResourceRule {
  readonly name: string;
  readonly description: string;
  /** What is wrong with the resource, a sentence each; nothing for types that it is not about. */
  readonly check: (resource: Resource) => readonly string[];
}

export interface StackRule {
  readonly name: string;
  readonly description: string;
  readonly check: (resources: readonly Resource[]) => readonly string[];
}

/** AWS's own policies that roles may be given: what nodes and the control plane cannot do without. */
const MANAGED_POLICIES = [
  'AmazonEKSClusterPolicy',
  'AmazonEKSWorkerNodePolicy',
  'AmazonEKS_CNI_Policy',
  'AmazonEC2ContainerRegistryPullOnly',
];
/** Roles of Google's that accounts of the stack may be given. */
const GCP_ROLES = [
  'roles/container.defaultNodeServiceAccount',
  'roles/artifactregistry.reader',
  'roles/storage.objectUser',
  'roles/iam.workloadIdentityUser',
];

export const RESOURCE_RULES: readonly ResourceRule[] = [
  {
    name: 'least-privilege-aws',
    description:
      'Policies name their actions and resources; what AWS offers for "*" only is named in karpenter-policy.ts, with the reason.',
    check: ({ type, properties }) => {
      if (type === 'aws:iam/rolePolicyAttachment:RolePolicyAttachment') {
        const policy = `${properties.policyArn}`.split('/').at(-1) ?? '';
        return MANAGED_POLICIES.includes(policy) ? [] : [`gives a role the policy ${policy}, which is not among those that nodes need`];
      }
      return type === 'aws:iam/rolePolicy:RolePolicy' || type === 'aws:iam/policy:Policy' ? wideStatements(`${properties.policy}`) : [];
    },
  },
  {
    name: 'least-privilege-gcp',
    description: 'Accounts get the few roles that they need, and nobody gets anything without an account.',
    check: ({ type, properties }) => {
      if (!/^gcp:.*IAM(Member|Binding)|^gcp:.*Iam(Member|Binding)/.test(type)) return [];
      const members = [properties.member, ...list(properties.members)].filter((m) => m !== undefined);
      return [
        ...(GCP_ROLES.includes(`${properties.role}`) ? [] : [`gives the role ${properties.role}, which nothing here needs`]),
        ...(members.some((m) => m === 'allUsers' || m === 'allAuthenticatedUsers') ? ['gives a role to everybody'] : []),
      ];
    },
  },
  {
    name: 'least-privilege-kubernetes',
    description: 'Roles name their groups, resources and verbs.',
    check: ({ type, properties }) =>
      /^kubernetes:rbac.*:(Cluster)?Role$/.test(type)
        ? list(properties.rules).flatMap((rule) =>
            ['apiGroups', 'resources', 'verbs']
              .filter((key) => list(at(rule, key)).includes('*'))
              .map((key) => `has a rule with ${key} "*"`),
          )
        : [],
  },
  {
    name: 'closed-to-the-internet',
    description: 'The Kubernetes API is for named addresses; of everything else only port 443 may be for all.',
    check: ({ type, properties }) => {
      const open = (ranges: unknown[]) => ranges.some((range) => `${range}`.endsWith('/0'));
      if (type === 'aws:eks/cluster:Cluster') {
        const ranges = list(at(properties, 'vpcConfig', 'publicAccessCidrs'));
        return at(properties, 'vpcConfig', 'endpointPublicAccess') === true && (ranges.length === 0 || open(ranges))
          ? ['has its API open to the whole internet']
          : [];
      }
      if (type === 'gcp:container/cluster:Cluster') {
        const blocks = list(at(properties, 'masterAuthorizedNetworksConfig', 'cidrBlocks')).map((block) => at(block, 'cidrBlock'));
        const isPrivate = at(properties, 'privateClusterConfig', 'enablePrivateNodes') === true;
        return [
          ...(blocks.length === 0 || open(blocks) ? ['has its API open to the whole internet'] : []),
          ...(isPrivate ? [] : ['gives its nodes public addresses']),
        ];
      }
      if (type === 'aws:vpc/securityGroupIngressRule:SecurityGroupIngressRule')
        return open([properties.cidrIpv4 ?? '', properties.cidrIpv6 ?? '']) && !(properties.fromPort === 443 && properties.toPort === 443)
          ? [`opens port ${properties.fromPort} to the whole internet`]
          : [];
      return [];
    },
  },
  {
    name: 'encrypted',
    description: 'What is written down is encrypted: Secrets, disks, queues, images.',
    check: ({ type, properties }) => {
      const plain = unencrypted[type]?.(properties) ?? null;
      return plain === null ? [] : [plain];
    },
  },
  {
    name: 'metadata-service',
    description: 'Pods cannot ask the machine for its credentials.',
    check: ({ type, properties }) => {
      if (type === 'aws:ec2/launchTemplate:LaunchTemplate' || type === 'kubernetes:karpenter.k8s.aws/v1:EC2NodeClass') {
        const options = at(properties, 'metadataOptions') ?? at(properties, 'spec', 'metadataOptions');
        const isClosed = at(options, 'httpTokens') === 'required' && at(options, 'httpPutResponseHopLimit') === 1;
        return isClosed ? [] : ['lets pods reach the metadata service: httpTokens required and one hop are needed'];
      }
      if (type === 'gcp:container/nodePool:NodePool')
        return at(properties, 'nodeConfig', 'workloadMetadataConfig', 'mode') === 'GKE_METADATA'
          ? []
          : ['lets pods reach the metadata service'];
      return [];
    },
  },
  {
    name: 'no-public-bucket',
    description: 'Buckets are for accounts that were given access, and nobody else.',
    check: ({ type, properties }) => {
      if (type === 'gcp:storage/bucket:Bucket')
        return properties.publicAccessPrevention === 'enforced' && properties.uniformBucketLevelAccess === true
          ? []
          : ['may be made public: publicAccessPrevention enforced and uniformBucketLevelAccess are needed'];
      if (type === 'aws:s3/bucketPublicAccessBlock:BucketPublicAccessBlock') {
        const open = ['blockPublicAcls', 'blockPublicPolicy', 'ignorePublicAcls', 'restrictPublicBuckets'].filter(
          (key) => properties[key] !== true,
        );
        return open.map((key) => `leaves ${key} off`);
      }
      return type.startsWith('aws:s3/bucketAcl') ? ['gives access by an ACL; the bucket’s owner is to own everything in it'] : [];
    },
  },
  {
    name: 'data-protected',
    description: 'A bucket cannot be deleted by mistake, and keeps what is overwritten.',
    check: ({ type, properties, protect }) => {
      if (type !== 'aws:s3/bucket:Bucket' && type !== 'gcp:storage/bucket:Bucket') return [];
      return [
        ...(protect ? [] : ['is not protected']),
        ...(properties.forceDestroy === true ? ['would be deleted with all that is in it'] : []),
        ...(type === 'gcp:storage/bucket:Bucket' && at(properties, 'versioning', 'enabled') !== true ? ['keeps no old versions'] : []),
      ];
    },
  },
  {
    name: 'gpu-nodes-bounded',
    description: 'GPU nodes come from none, have a limit, and carry nothing that needs no GPU.',
    check: ({ type, properties }) => {
      if (type === 'gcp:container/nodePool:NodePool' && list(at(properties, 'nodeConfig', 'guestAccelerators')).length > 0) {
        const { minNodeCount, maxNodeCount } = (properties.autoscaling ?? {}) as { minNodeCount?: number; maxNodeCount?: number };
        return [
          ...(minNodeCount === 0 && properties.initialNodeCount === 0 ? [] : ['keeps nodes although nothing needs them']),
          ...(maxNodeCount !== undefined && maxNodeCount > 0 ? [] : ['has no limit']),
        ];
      }
      if (type === 'kubernetes:karpenter.sh/v1:NodePool') {
        const limits = (at(properties, 'spec', 'limits') ?? {}) as Record<string, string>;
        const labels = (at(properties, 'spec', 'template', 'metadata', 'labels') ?? {}) as Record<string, string>;
        const taints = list(at(properties, 'spec', 'template', 'spec', 'taints')).map((taint) => at(taint, 'key'));
        const isGpu = labels['vicuna.run/pool'] !== undefined;
        return [
          ...(Object.keys(limits).length > 0 ? [] : ['has no limit']),
          ...(isGpu && !taints.includes('nvidia.com/gpu') ? ['has no taint that keeps other pods off its GPUs'] : []),
        ];
      }
      return [];
    },
  },
];

export const STACK_RULES: readonly StackRule[] = [
  {
    name: 'buckets-closed-and-encrypted',
    description: 'Every S3 bucket has its access block, its encryption, its versions, its lifecycle and a policy against plain HTTP.',
    check: (resources) => {
      const buckets = resources.filter((r) => r.type === 'aws:s3/bucket:Bucket');
      const companions = [
        'BucketPublicAccessBlock',
        'BucketOwnershipControls',
        'BucketServerSideEncryptionConfiguration',
        'BucketVersioning',
        'BucketLifecycleConfiguration',
        'BucketPolicy',
      ];
      return companions
        .filter((companion) => resources.filter((r) => r.type.endsWith(`:${companion}`)).length < buckets.length)
        .map((companion) => `an S3 bucket has no ${companion}`);
    },
  },
  {
    name: 'budget-alarm',
    description: 'Each cloud that the stack spends on has a budget that tells somebody.',
    check: (resources) =>
      (['aws', 'gcp'] as const).flatMap((cloud) => {
        const isUsed = resources.some((r) => r.type.startsWith(`${cloud}:`));
        const budgets = resources.filter((r) => r.type === BUDGETS[cloud]);
        const tells = budgets.some(({ properties }) =>
          cloud === 'aws'
            ? list(properties.notifications).some((n) => list(at(n, 'subscriberEmailAddresses')).length > 0)
            : list(at(properties, 'allUpdatesRule', 'monitoringNotificationChannels')).length > 0,
        );
        return isUsed && !tells ? [`nobody is told when ${cloud} costs more than planned`] : [];
      }),
  },
];

const BUDGETS = { aws: 'aws:budgets/budget:Budget', gcp: 'gcp:billing/budget:Budget' } as const;

const unencrypted: Readonly<Record<string, (properties: Properties) => string | null>> = {
  'aws:eks/cluster:Cluster': (p) =>
    list(at(p, 'encryptionConfig', 'resources')).includes('secrets') ? null : 'keeps Secrets without a key of its own',
  'aws:ec2/launchTemplate:LaunchTemplate': (p) => plainDisk(list(p.blockDeviceMappings)),
  'kubernetes:karpenter.k8s.aws/v1:EC2NodeClass': (p) => plainDisk(list(at(p, 'spec', 'blockDeviceMappings'))),
  'aws:sqs/queue:Queue': (p) => (p.sqsManagedSseEnabled === true || p.kmsMasterKeyId ? null : 'is not encrypted'),
  'aws:ecr/repository:Repository': (p) => (list(p.encryptionConfigurations).length > 0 ? null : 'is not encrypted'),
  'aws:kms/key:Key': (p) => (p.enableKeyRotation === true ? null : 'is never rotated'),
};

function plainDisk(mappings: readonly unknown[]): string | null {
  const isEncrypted = (mapping: unknown) => `${at(mapping, 'ebs', 'encrypted')}` === 'true';
  return mappings.length > 0 && mappings.every(isEncrypted) ? null : 'has a disk that is not encrypted';
}

/** Allowing statements whose actions or resources are wider than they must be. */
function wideStatements(policy: string): string[] {
  const { Statement = [] } = JSON.parse(policy) as { Statement?: Properties[] };
  return Statement.filter((s) => s.Effect === 'Allow').flatMap((s) => {
    const actions = list(s.Action).map(String);
    const sid = `${s.Sid ?? 'a statement'}`;
    const wild = actions.filter((action) => action.includes('*'));
    const unscoped = list(s.Resource).includes('*') ? actions.filter((action) => !Object.hasOwn(UNSCOPED, action)) : [];
    return [
      ...wild.map((action) => `${sid} allows ${action}: name the actions`),
      ...unscoped.map((action) => `${sid} allows ${action} on everything: name the resources`),
    ];
  });
}

/** One or many, as IAM writes it, as many. */
function list(value: unknown): unknown[] {
  if (value === undefined || value === null) return [];
  return Array.isArray(value) ? value : [value];
}

function at(value: unknown, ...path: string[]): unknown {
  return path.reduce<unknown>((v, key) => (typeof v === 'object' && v !== null ? (v as Record<string, unknown>)[key] : undefined), value);
}
