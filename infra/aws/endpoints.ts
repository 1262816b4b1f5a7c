import aws from '@pulumi/aws';
import * as kubernetes from '@pulumi/kubernetes';
import * as pulumi from '@pulumi/pulumi';
import type { EksCluster } from './cluster.ts';
import type { AwsNetwork } from './network.ts';

/** Something in the cluster that the outside reaches by name and TLS. */
export interface Exposed {
  /** Short, for the names of what it consists of. */
  readonly key: string;
  readonly host: string;
  readonly port: number;
  readonly nodePort: number;
  /** The namespace exists, or comes to exist with what is in it. */
  readonly namespace: pulumi.Input<string>;
  readonly selector: Readonly<Record<string, string>>;
  readonly targetPort: number;
  /** Ranges of addresses that may come. */
  readonly allow: readonly pulumi.Input<string>[];
}

export interface AwsEndpointsArgs {
  readonly hostedZone: string;
  readonly network: AwsNetwork;
  readonly cluster: EksCluster;
  readonly exposed: readonly Exposed[];
}

/**
 * A network load balancer that ends TLS, with its certificate and names. It reaches the pods through a port of the system nodes: all of it is
 * Pulumi's, no controller in the cluster makes load balancers that would outlive it.
 */
export class AwsEndpoints extends pulumi.ComponentResource {
  constructor(name: string, { hostedZone, network, cluster, exposed }: AwsEndpointsArgs, options: pulumi.ComponentResourceOptions) {
    super('vicuna:aws:Endpoints', name, {}, options);
    const parent = { parent: this };
    const zoneId = aws.route53.getZoneOutput({ name: hostedZone }, { parent: this }).zoneId;
    const group = new aws.ec2.SecurityGroup(name, { vpcId: network.vpcId, description: 'load balancer of the Vicuna operator' }, parent);
    const balancer = new aws.lb.LoadBalancer(
      name,
      {
        loadBalancerType: 'network',
        internal: false,
        subnets: network.publicSubnetIds,
        securityGroups: [group.id],
        enableCrossZoneLoadBalancing: true,
      },
      parent,
    );
    for (const e of exposed) this.#expose(`${name}-${e.key}`, e, { zoneId, balancer, group, cluster, network });
    this.registerOutputs();
  }

  #expose(
    name: string,
    e: Exposed,
    to: {
      zoneId: pulumi.Output<string>;
      balancer: aws.lb.LoadBalancer;
      group: aws.ec2.SecurityGroup;
      cluster: EksCluster;
      network: AwsNetwork;
    },
  ): void {
    const parent = { parent: this };
    e.allow.forEach((cidrIpv4, i) => {
      new aws.vpc.SecurityGroupIngressRule(
        `${name}-${i}`,
        { securityGroupId: to.group.id, ipProtocol: 'tcp', fromPort: e.port, toPort: e.port, cidrIpv4 },
        parent,
      );
    });
    const nodePort = { ipProtocol: 'tcp', fromPort: e.nodePort, toPort: e.nodePort };
    new aws.vpc.SecurityGroupEgressRule(
      `${name}-out`,
      { ...nodePort, securityGroupId: to.group.id, referencedSecurityGroupId: to.cluster.securityGroupId },
      parent,
    );
    new aws.vpc.SecurityGroupIngressRule(
      `${name}-nodes`,
      { ...nodePort, securityGroupId: to.cluster.securityGroupId, referencedSecurityGroupId: to.group.id },
      parent,
    );
    new kubernetes.core.v1.Service(
      name,
      {
        metadata: { name, namespace: e.namespace },
        spec: {
          type: 'NodePort',
          selector: e.selector,
          ports: [{ name: 'http', port: e.targetPort, targetPort: e.targetPort, nodePort: e.nodePort }],
        },
      },
      { ...parent, provider: to.cluster.kubernetes },
    );
    const target = new aws.lb.TargetGroup(
      name,
      { vpcId: to.network.vpcId, targetType: 'instance', port: e.nodePort, protocol: 'TCP', healthCheck: { protocol: 'TCP' } },
      parent,
    );
    new aws.autoscaling.Attachment(
      name,
      {
        autoscalingGroupName: to.cluster.systemNodes.resources.apply((r) => r[0]?.autoscalingGroups[0]?.name ?? ''),
        lbTargetGroupArn: target.arn,
      },
      parent,
    );
    const certificate = new aws.acm.Certificate(name, { domainName: e.host, validationMethod: 'DNS' }, parent);
    const challenge = certificate.domainValidationOptions.apply((options) => {
      const [option] = options;
      if (option === undefined) throw new Error(`AWS names no record that would prove ${e.host} to be yours`);
      return option;
    });
    const proof = new aws.route53.Record(
      `${name}-proof`,
      {
        zoneId: to.zoneId,
        name: challenge.resourceRecordName,
        type: challenge.resourceRecordType,
        records: [challenge.resourceRecordValue],
        ttl: 60,
        allowOverwrite: true,
      },
      parent,
    );
    const valid = new aws.acm.CertificateValidation(name, { certificateArn: certificate.arn, validationRecordFqdns: [proof.fqdn] }, parent);
    new aws.lb.Listener(
      name,
      {
        loadBalancerArn: to.balancer.arn,
        port: e.port,
        protocol: 'TLS',
        sslPolicy: 'ELBSecurityPolicy-TLS13-1-2-2021-06',
        certificateArn: valid.certificateArn,
        defaultActions: [{ type: 'forward', targetGroupArn: target.arn }],
      },
      parent,
    );
    new aws.route53.Record(
      name,
      {
        zoneId: to.zoneId,
        name: e.host,
        type: 'A',
        aliases: [{ name: to.balancer.dnsName, zoneId: to.balancer.zoneId, evaluateTargetHealth: true }],
      },
      parent,
    );
  }
}
