import type { Fixed } from '../shared/cost.ts';
import { SYSTEM_NODES } from './cluster.ts';

/**
 * What costs without any GPU node, US dollars per hour: list prices in us-west-2 and us-east-1 as they are usually quoted, not read from
 * the cloud. Check them on aws.amazon.com/eks/pricing, /vpc/pricing, /elasticloadbalancing/pricing and /kms/pricing; m7i.large is of
 * Karpenter v1.14.1's price table.
 */
export function awsFixedCosts(zones: number, hasEndpoints: boolean): Fixed[] {
  return [
    { what: 'EKS control plane', count: 1, perHour: 0.1 },
    { what: `system nodes ${SYSTEM_NODES.instanceType}`, count: SYSTEM_NODES.count, perHour: 0.1008 },
    { what: 'system nodes, 50 GB gp3', count: SYSTEM_NODES.count, perHour: (50 * 0.08) / 730 },
    { what: 'NAT gateways, one per zone', count: zones, perHour: 0.045 },
    { what: 'public addresses of the NAT gateways', count: zones, perHour: 0.005 },
    { what: 'KMS key', count: 1, perHour: 1 / 730 },
    ...(hasEndpoints
      ? [
          { what: 'network load balancer', count: 1, perHour: 0.0225 },
          { what: 'public addresses of the load balancer', count: zones, perHour: 0.005 },
        ]
      : []),
  ];
}
