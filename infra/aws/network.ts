import aws from '@pulumi/aws';
import * as pulumi from '@pulumi/pulumi';

export interface AwsNetworkArgs {
  readonly region: string;
  readonly zones: readonly string[];
}

/** The range of the whole network: 16 × 4,094 addresses, of which each zone's private subnet takes one part. */
const VPC_CIDR = '10.64.0.0/16';

/**
 * A VPC with a public and a private subnet in every zone. Nodes are in the private ones and reach the internet through their own zone's NAT
 * gateway, so that a zone's end takes no other zone's images away. Checkpoints go to S3 past the NAT, through a gateway endpoint, which is free.
 */
export class AwsNetwork extends pulumi.ComponentResource {
  readonly vpcId: pulumi.Output<string>;
  readonly cidr = VPC_CIDR;
  readonly publicSubnetIds: pulumi.Output<string>[];
  readonly privateSubnetIds: pulumi.Output<string>[];
  /** Addresses that the outside sees the nodes under. */
  readonly natAddresses: pulumi.Output<string>[];

  constructor(name: string, { region, zones }: AwsNetworkArgs, options: pulumi.ComponentResourceOptions) {
    super('vicuna:aws:Network', name, {}, options);
    const parent = { parent: this };
    const tags = (what: string) => ({ Name: `${name}-${what}` });
    const vpc = new aws.ec2.Vpc(
      name,
      { cidrBlock: VPC_CIDR, enableDnsHostnames: true, enableDnsSupport: true, tags: { Name: name } },
      parent,
    );
    // Whatever is made without a security group of its own gets this one: it lets nothing through.
    new aws.ec2.DefaultSecurityGroup(`${name}-default`, { vpcId: vpc.id, ingress: [], egress: [] }, parent);
    const internet = new aws.ec2.InternetGateway(`${name}-internet`, { vpcId: vpc.id, tags: tags('internet') }, parent);
    const publicRoutes = new aws.ec2.RouteTable(`${name}-public`, { vpcId: vpc.id, tags: tags('public') }, parent);
    new aws.ec2.Route(
      `${name}-public`,
      { routeTableId: publicRoutes.id, destinationCidrBlock: '0.0.0.0/0', gatewayId: internet.id },
      parent,
    );

    const byZone = zones.map((zone, i) => {
      const publicSubnet = new aws.ec2.Subnet(
        `${name}-public-${zone}`,
        {
          vpcId: vpc.id,
          availabilityZone: zone,
          cidrBlock: `10.64.${240 + i}.0/24`,
          tags: { ...tags(`public-${zone}`), 'kubernetes.io/role/elb': '1' },
        },
        parent,
      );
      new aws.ec2.RouteTableAssociation(`${name}-public-${zone}`, { subnetId: publicSubnet.id, routeTableId: publicRoutes.id }, parent);
      const address = new aws.ec2.Eip(`${name}-nat-${zone}`, { domain: 'vpc', tags: tags(`nat-${zone}`) }, parent);
      const nat = new aws.ec2.NatGateway(
        `${name}-nat-${zone}`,
        { subnetId: publicSubnet.id, allocationId: address.id, tags: tags(`nat-${zone}`) },
        { ...parent, dependsOn: [internet] },
      );
      const privateSubnet = new aws.ec2.Subnet(
        `${name}-private-${zone}`,
        {
          vpcId: vpc.id,
          availabilityZone: zone,
          cidrBlock: `10.64.${32 * i}.0/19`,
          tags: { ...tags(`private-${zone}`), 'kubernetes.io/role/internal-elb': '1' },
        },
        parent,
      );
      const routes = new aws.ec2.RouteTable(`${name}-private-${zone}`, { vpcId: vpc.id, tags: tags(`private-${zone}`) }, parent);
      new aws.ec2.Route(
        `${name}-private-${zone}`,
        { routeTableId: routes.id, destinationCidrBlock: '0.0.0.0/0', natGatewayId: nat.id },
        parent,
      );
      new aws.ec2.RouteTableAssociation(`${name}-private-${zone}`, { subnetId: privateSubnet.id, routeTableId: routes.id }, parent);
      return { publicSubnet, privateSubnet, routes, address };
    });
    new aws.ec2.VpcEndpoint(
      `${name}-s3`,
      {
        vpcId: vpc.id,
        serviceName: `com.amazonaws.${region}.s3`,
        vpcEndpointType: 'Gateway',
        routeTableIds: byZone.map(({ routes }) => routes.id),
        tags: tags('s3'),
      },
      parent,
    );
    this.vpcId = vpc.id;
    this.publicSubnetIds = byZone.map(({ publicSubnet }) => publicSubnet.id);
    this.privateSubnetIds = byZone.map(({ privateSubnet }) => privateSubnet.id);
    this.natAddresses = byZone.map(({ address }) => address.publicIp);
    this.registerOutputs({ vpcId: this.vpcId });
  }
}
