import type { Fixed } from '../shared/cost.ts';
import { SYSTEM_NODES } from './cluster.ts';

/**
 * What costs without any GPU node. List prices in us-central1, US dollars per hour, as they are usually quoted; no part of them is read from the cloud: see cloud.google.com/kubernetes-engine/pricing,
 * /compute/vm-instance-pricing, /compute/disks-image-pricing, /nat/pricing, /vpc/network-pricing and /load-balancing/pricing. Credits, such as the
 * one for a first zonal cluster, are not counted.
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
