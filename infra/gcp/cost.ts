import type { Fixed } from '../shared/cost.ts';
import { SYSTEM_NODES } from './cluster.ts';

/**
 * What costs without any GPU node, US dollars per hour: list prices in us-central1 as they are usually quoted, not read from the cloud.
 * Check them on cloud.google.com/kubernetes-engine/pricing, /compute/all-pricing and /vpc/network-pricing.
 */
export function gcpFixedCosts(zones: number, hasEndpoints: boolean, natAddresses: number): Fixed[] {
  return [
    { what: 'GKE control plane', count: 1, perHour: 0.1 },
    { what: `system nodes ${SYSTEM_NODES.machineType}, one per zone`, count: zones, perHour: 0.067006 },
    { what: 'system nodes, 50 GB balanced disk', count: zones, perHour: (50 * 0.1) / 730 },
    // Up to 32 machines; more cost 0.044 an hour in all.
    { what: 'Cloud NAT, per system node', count: zones, perHour: 0.0014 },
    { what: 'addresses of Cloud NAT', count: natAddresses, perHour: 0.005 },
    ...(hasEndpoints ? [{ what: 'load balancer', count: 1, perHour: 0.025 }] : []),
  ];
}
