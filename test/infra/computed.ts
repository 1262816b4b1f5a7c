// What clouds add to what a program asked for: identifiers, addresses, names. Enough for our programs, made from the name alone.

type Properties = Record<string, unknown>;

const ACCOUNT = '123456789012';

/** Outputs of a resource besides its inputs. */
export function computed(type: string, name: string, inputs: Properties): Properties {
  const own = COMPUTED[type]?.(name, inputs) ?? {};
  const arn = type.startsWith('aws:') ? { arn: `arn:aws:${type.split(':')[1]?.split('/')[0]}:us-west-2:${ACCOUNT}:${name}` } : {};
  const named = inputs.name === undefined ? { name } : {};
  return { ...arn, ...named, ...own };
}

const COMPUTED: Readonly<Record<string, (name: string, inputs: Properties) => Properties>> = {
  'aws:eks/cluster:Cluster': (name, inputs) => ({
    endpoint: `https://${name}.eks.example`,
    certificateAuthority: { data: Buffer.from('aws-ca').toString('base64') },
    identities: [{ oidcs: [{ issuer: `https://oidc.eks.us-west-2.amazonaws.com/id/${name}` }] }],
    vpcConfig: { ...(inputs.vpcConfig as Properties), clusterSecurityGroupId: `sg-0${hex(name)}`, vpcId: 'vpc-0abc' },
  }),
  'aws:eks/nodeGroup:NodeGroup': (name) => ({ resources: [{ autoscalingGroups: [{ name: `eks-${name}` }] }] }),
  'aws:ec2/subnet:Subnet': () => ({}),
  'aws:ec2/eip:Eip': (name) => ({ publicIp: `198.51.100.${byte(name)}`, allocationId: `eipalloc-${hex(name)}` }),
  'aws:ec2/launchTemplate:LaunchTemplate': () => ({ latestVersion: 1 }),
  'aws:s3/bucket:Bucket': (name) => ({ bucket: `${name}-20260101`, arn: `arn:aws:s3:::${name}-20260101` }),
  'aws:sqs/queue:Queue': (name) => ({ url: `https://sqs.us-west-2.amazonaws.com/${ACCOUNT}/${name}` }),
  'aws:ecr/repository:Repository': (_, inputs) => ({ repositoryUrl: `${ACCOUNT}.dkr.ecr.us-west-2.amazonaws.com/${inputs.name}` }),
  'aws:iam/role:Role': (name) => ({ arn: `arn:aws:iam::${ACCOUNT}:role/${name}` }),
  'aws:lb/loadBalancer:LoadBalancer': (name) => ({ dnsName: `${name}.elb.example`, zoneId: 'Z0LB' }),
  'aws:acm/certificate:Certificate': (_, inputs) => ({
    domainValidationOptions: [
      {
        domainName: inputs.domainName,
        resourceRecordName: `_proof.${inputs.domainName}`,
        resourceRecordType: 'CNAME',
        resourceRecordValue: '_proof.acm-validations.aws.',
      },
    ],
  }),
  'aws:acm/certificateValidation:CertificateValidation': (_, inputs) => ({ certificateArn: inputs.certificateArn }),
  'aws:route53/record:Record': (_, inputs) => ({ fqdn: inputs.name }),
  'kubernetes:core/v1:Secret': (_, inputs) =>
    inputs.type === 'kubernetes.io/service-account-token' ? { data: { token: Buffer.from('remote-token').toString('base64') } } : {},
  'gcp:compute/address:Address': (name) => ({ address: `192.0.2.${byte(name)}`, selfLink: `https://compute.example/addresses/${name}` }),
  'gcp:compute/globalAddress:GlobalAddress': (name) => ({ address: `192.0.2.${byte(name)}` }),
  'gcp:container/cluster:Cluster': () => ({
    endpoint: '192.0.2.200',
    masterAuth: { clusterCaCertificate: Buffer.from('gcp-ca').toString('base64'), clientCertificate: '', clientKey: '' },
  }),
  'gcp:serviceaccount/account:Account': (_, inputs) => ({
    email: `${inputs.accountId}@example-project.iam.gserviceaccount.com`,
    name: `projects/example-project/serviceAccounts/${inputs.accountId}@example-project.iam.gserviceaccount.com`,
  }),
  'gcp:storage/hmacKey:HmacKey': () => ({ accessId: 'GOOG1EXAMPLE', secret: 'hmac-secret' }),
  'gcp:certificatemanager/dnsAuthorization:DnsAuthorization': (_, inputs) => ({
    dnsResourceRecords: [{ name: `_acme-challenge.${inputs.domain}.`, type: 'CNAME', data: 'proof.authorize.certificatemanager.goog.' }],
  }),
};

/** Answers of the functions that programs call. */
export function answer(token: string, args: Properties): Properties {
  const find = ANSWERS[token];
  if (find === undefined) throw new Error(`no cloud here answers ${token}`);
  return find(args);
}

const ANSWERS: Readonly<Record<string, (args: Properties) => Properties>> = {
  'aws:index/getCallerIdentity:getCallerIdentity': () => ({
    accountId: ACCOUNT,
    arn: `arn:aws:iam::${ACCOUNT}:user/test`,
    id: ACCOUNT,
    userId: 'test',
  }),
  'aws:route53/getZone:getZone': ({ name }) => ({
    zoneId: 'Z0EXAMPLE',
    id: 'Z0EXAMPLE',
    name,
    arn: 'arn:aws:route53:::hostedzone/Z0EXAMPLE',
  }),
  'gcp:organizations/getProject:getProject': ({ projectId }) => ({
    number: '424242',
    projectId,
    id: `projects/${projectId}`,
    name: projectId,
  }),
};

function byte(text: string): number {
  return [...text].reduce((sum, c) => (sum * 31 + c.charCodeAt(0)) % 199, 7) + 1;
}

function hex(text: string): string {
  return Buffer.from(text).toString('hex').slice(0, 16);
}
