import type { NodeSpec } from './node-profiles.ts';

const aws = { cloud: 'aws', region: 'us-east-1', instanceType: 'g5.xlarge', gpus: 1 } as const;
const gcp = { cloud: 'gcp', region: 'us-central1', instanceType: 'g2-standard-8', gpus: 1 } as const;

/** The nodes of the demo: two spot pools on two clouds, and an on-demand node to fall back to. */
export const DEMO_NODES: readonly NodeSpec[] = [
  { ...aws, name: 'aws-a-1', capacity: 'spot', zone: 'us-east-1a' },
  { ...aws, name: 'aws-a-2', capacity: 'spot', zone: 'us-east-1a' },
  { ...gcp, name: 'gcp-a-1', capacity: 'spot', zone: 'us-central1-a' },
  { ...gcp, name: 'gcp-a-2', capacity: 'spot', zone: 'us-central1-a' },
  { ...aws, name: 'aws-od-1', capacity: 'onDemand', zone: 'us-east-1b', gpus: 2 },
];
