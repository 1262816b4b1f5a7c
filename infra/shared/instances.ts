// What each instance type of the clouds carries. Facts of the clouds' own documentation of their GPU machine types:
// docs.aws.amazon.com/ec2/latest/instancetypes/ac.html and docs.cloud.google.com/compute/docs/gpus.

export interface Accelerator {
  readonly type: string;
  readonly count: number;
  /** Of one accelerator, as the GpuPool gives it. */
  readonly memory: string;
}

const T4 = { type: 'T4', memory: '16Gi' };
const V100 = { type: 'V100', memory: '16Gi' };
const A10G = { type: 'A10G', memory: '24Gi' };
const L4 = { type: 'L4', memory: '24Gi' };
const L40S = { type: 'L40S', memory: '48Gi' };
const A100 = { type: 'A100', memory: '40Gi' };
const A100_80 = { type: 'A100-80GB', memory: '80Gi' };
const H100 = { type: 'H100', memory: '80Gi' };
const H200 = { type: 'H200', memory: '141Gi' };

/** AWS: the types of one family differ in size; the family is the part before the point. */
export const AWS_INSTANCES: Readonly<Record<string, Accelerator>> = {
  ...family('g4dn', T4, { xlarge: 1, '2xlarge': 1, '4xlarge': 1, '8xlarge': 1, '12xlarge': 4, '16xlarge': 1 }),
  ...family('g5', A10G, {
    xlarge: 1,
    '2xlarge': 1,
    '4xlarge': 1,
    '8xlarge': 1,
    '12xlarge': 4,
    '16xlarge': 1,
    '24xlarge': 4,
    '48xlarge': 8,
  }),
  ...family('g6', L4, { xlarge: 1, '2xlarge': 1, '4xlarge': 1, '8xlarge': 1, '12xlarge': 4, '16xlarge': 1, '24xlarge': 4, '48xlarge': 8 }),
  ...family('g6e', L40S, {
    xlarge: 1,
    '2xlarge': 1,
    '4xlarge': 1,
    '8xlarge': 1,
    '12xlarge': 4,
    '16xlarge': 1,
    '24xlarge': 4,
    '48xlarge': 8,
  }),
  ...family('p3', V100, { '2xlarge': 1, '8xlarge': 4, '16xlarge': 8 }),
  ...family('p4d', A100, { '24xlarge': 8 }),
  ...family('p4de', A100_80, { '24xlarge': 8 }),
  ...family('p5', H100, { '4xlarge': 1, '48xlarge': 8 }),
  ...family('p5en', H200, { '48xlarge': 8 }),
};

export interface GoogleAccelerator extends Accelerator {
  /** What GKE calls it. */
  readonly gkeType: string;
}

/** Google: machine types that carry their GPUs (N1 with GPUs attached by hand is left out). */
export const GCP_INSTANCES: Readonly<Record<string, GoogleAccelerator>> = {
  ...machines({ ...L4, gkeType: 'nvidia-l4' }, { 'g2-standard-8': 1, 'g2-standard-24': 2, 'g2-standard-48': 4, 'g2-standard-96': 8 }),
  ...machines(
    { ...A100, gkeType: 'nvidia-tesla-a100' },
    { 'a2-highgpu-1g': 1, 'a2-highgpu-2g': 2, 'a2-highgpu-4g': 4, 'a2-highgpu-8g': 8, 'a2-megagpu-16g': 16 },
  ),
  ...machines(
    { ...A100_80, gkeType: 'nvidia-a100-80gb' },
    { 'a2-ultragpu-1g': 1, 'a2-ultragpu-2g': 2, 'a2-ultragpu-4g': 4, 'a2-ultragpu-8g': 8 },
  ),
  ...machines({ ...H100, gkeType: 'nvidia-h100-80gb' }, { 'a3-highgpu-1g': 1, 'a3-highgpu-2g': 2, 'a3-highgpu-4g': 4, 'a3-highgpu-8g': 8 }),
  ...machines({ ...H200, gkeType: 'nvidia-h200-141gb' }, { 'a3-ultragpu-8g': 8 }),
};

type Kind = Omit<Accelerator, 'count'>;

function family(name: string, kind: Kind, sizes: Readonly<Record<string, number>>): Record<string, Accelerator> {
  return Object.fromEntries(Object.entries(sizes).map(([size, count]) => [`${name}.${size}`, { ...kind, count }]));
}

function machines(kind: Omit<GoogleAccelerator, 'count'>, types: Readonly<Record<string, number>>): Record<string, GoogleAccelerator> {
  return Object.fromEntries(Object.entries(types).map(([type, count]) => [type, { ...kind, count }]));
}
