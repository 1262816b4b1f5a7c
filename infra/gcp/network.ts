import * as gcp from '@pulumi/gcp';
import * as pulumi from '@pulumi/pulumi';

export interface GcpNetworkArgs {
  readonly region: string;
  /** Fixed addresses for what nodes ask of the internet, so that others can let them in. */
  readonly natAddresses: number;
}

/** A network of its own with one subnet; nodes have no public addresses and reach the internet through Cloud NAT. */
export class GcpNetwork extends pulumi.ComponentResource {
  readonly networkId: pulumi.Output<string>;
  readonly subnetworkId: pulumi.Output<string>;
  readonly natAddresses: pulumi.Output<string>[];
  static readonly PODS = 'pods';
  static readonly SERVICES = 'services';

  constructor(name: string, { region, natAddresses }: GcpNetworkArgs, options: pulumi.ComponentResourceOptions) {
    super('vicuna:gcp:Network', name, {}, options);
    const parent = { parent: this };
    const network = new gcp.compute.Network(name, { autoCreateSubnetworks: false }, parent);
    const subnetwork = new gcp.compute.Subnetwork(
      name,
      {
        network: network.id,
        region,
        ipCidrRange: '10.80.0.0/20',
        privateIpGoogleAccess: true,
        secondaryIpRanges: [
          { rangeName: GcpNetwork.PODS, ipCidrRange: '10.84.0.0/14' },
          { rangeName: GcpNetwork.SERVICES, ipCidrRange: '10.81.0.0/20' },
        ],
      },
      parent,
    );
    const router = new gcp.compute.Router(name, { network: network.id, region }, parent);
    const addresses = Array.from({ length: natAddresses }, (_, i) => new gcp.compute.Address(`${name}-nat-${i}`, { region }, parent));
    new gcp.compute.RouterNat(
      name,
      {
        router: router.name,
        region,
        natIpAllocateOption: 'MANUAL_ONLY',
        natIps: addresses.map((address) => address.selfLink),
        sourceSubnetworkIpRangesToNat: 'ALL_SUBNETWORKS_ALL_IP_RANGES',
        enableDynamicPortAllocation: true,
      },
      parent,
    );
    this.networkId = network.id;
    this.subnetworkId = subnetwork.id;
    this.natAddresses = addresses.map((address) => address.address);
    this.registerOutputs({ networkId: this.networkId });
  }
}
