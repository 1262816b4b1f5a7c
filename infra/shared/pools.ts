// The one description of the GPU pools. Karpenter's NodePools, GKE's node pools and the operator's GpuPools are all made from it.
import { z } from 'zod';
import { API_VERSION } from '../../operator/api/meta.ts';
import { POOL_LABEL } from '../../operator/pods/labels.ts';
import { type Accelerator, AWS_INSTANCES, GCP_INSTANCES } from './instances.ts';

export type Cloud = 'aws' | 'gcp';
export type Capacity = 'spot' | 'onDemand';

const INSTANCES: Readonly<Record<Cloud, Readonly<Record<string, Accelerator>>>> = { aws: AWS_INSTANCES, gcp: GCP_INSTANCES };
/** GKE's limit for names of node pools, the shortest of all that a pool's name becomes. */
const NAME_LENGTH = 40;

const dollars = z.string().regex(/^\d{1,6}(\.\d{1,6})?$/, 'write US dollars per hour as a quoted number, such as "12.69"');

/** Pulumi's YAML makes a time of a date without quotes. */
const day = z
  .string()
  .transform((text) => text.replace(/T00:00:00Z$/, ''))
  .pipe(z.iso.date('say when the prices were read, as year-month-day'));

/** Pools of one kind of node in several zones of the cloud. */
export function poolSchema(cloud: Cloud) {
  const instances = INSTANCES[cloud];
  return z
    .strictObject({
      name: z.string().regex(/^[a-z]([a-z0-9-]{0,13}[a-z0-9])?$/, 'use at most 15 small letters, digits and "-", such as h100'),
      instanceType: z.string().refine((type) => Object.hasOwn(instances, type), {
        error: (issue) => `"${issue.input}" is no GPU instance type known here; there are: ${Object.keys(instances).join(', ')}`,
      }),
      capacity: z.array(z.enum(['spot', 'onDemand'])).min(1, 'name spot, onDemand or both'),
      zones: z.array(z.string().min(1)).min(1, 'name the zones that the pool may use'),
      maxNodesPerZone: z.int().min(1, 'a pool without nodes is of no use: leave it out').max(1_000),
      price: z.strictObject({
        onDemand: dollars,
        /** By zone. */
        spot: z.record(z.string(), dollars).default({}),
        source: z.string().min(1, 'say where the prices are from'),
        date: day,
      }),
    })
    .superRefine((pool, context) => {
      const complain = (path: string[], message: string) => context.addIssue({ code: 'custom', path, message });
      for (const list of ['capacity', 'zones'] as const)
        if (new Set<string>(pool[list]).size < pool[list].length) complain([list], 'the same value comes twice');
      for (const zone of pool.zones)
        for (const capacity of pool.capacity)
          if (poolName(cloud, pool.name, capacity, zone).length > NAME_LENGTH)
            complain(['name'], `is too long: ${poolName(cloud, pool.name, capacity, zone)} has more than ${NAME_LENGTH} characters`);
      for (const zone of Object.keys(pool.price.spot))
        if (!pool.zones.includes(zone))
          complain(['price', 'spot', zone], 'the pool has no such zone: add it to zones, or leave its price out');
      if (!pool.capacity.includes('spot')) return;
      for (const zone of pool.zones) {
        const spot = pool.price.spot[zone];
        if (spot === undefined) complain(['price', 'spot'], `the spot price in ${zone} is missing: give it, or leave the zone or spot out`);
        else if (Number(spot) >= Number(pool.price.onDemand))
          complain(
            ['price', 'spot', zone],
            `spot costs ${spot} and saves nothing against ${pool.price.onDemand} on demand: leave the zone or spot out`,
          );
      }
    });
}

export type PoolDescription = z.output<ReturnType<typeof poolSchema>>;

/** The list of a cloud's pools; their zones must be among `zones` of the network. */
export function poolsSchema(cloud: Cloud) {
  return z
    .array(poolSchema(cloud))
    .min(1, 'describe at least one pool')
    .superRefine((pools, context) => {
      pools.forEach((pool, i) => {
        if (pools.findIndex((p) => p.name === pool.name) < i)
          context.addIssue({ code: 'custom', path: [i, 'name'], message: `a pool before has the name "${pool.name}" already` });
      });
    });
}

/** Nodes of one type, in one zone, of one capacity: one GpuPool, and one NodePool or node pool. */
export interface Pool {
  readonly name: string;
  readonly cloud: Cloud;
  readonly region: string;
  readonly zone: string;
  readonly instanceType: string;
  readonly capacity: Capacity;
  readonly accelerator: Accelerator;
  readonly maxNodes: number;
  /** US dollars per node and hour. */
  readonly price: { readonly onDemand: string; readonly spot?: string; readonly source: string; readonly date: string };
}

/** Every (type, zone, capacity) of the descriptions. */
export function expandPools(cloud: Cloud, region: string, descriptions: readonly PoolDescription[]): Pool[] {
  return descriptions.flatMap(({ name, instanceType, capacity, zones, maxNodesPerZone, price }) =>
    capacity.flatMap((kind) =>
      zones.map((zone) => {
        const accelerator = INSTANCES[cloud][instanceType];
        if (accelerator === undefined) throw new Error(`pool "${name}": "${instanceType}" is no GPU instance type known here`);
        const { onDemand, source, date } = price;
        const spot = kind === 'spot' ? price.spot[zone] : undefined;
        return {
          name: poolName(cloud, name, kind, zone),
          cloud,
          region,
          zone,
          instanceType,
          capacity: kind,
          accelerator,
          maxNodes: maxNodesPerZone,
          price: { onDemand, ...(spot === undefined ? {} : { spot }), source, date },
        };
      }),
    ),
  );
}

function poolName(cloud: Cloud, name: string, capacity: Capacity, zone: string): string {
  return `${cloud}-${name}-${capacity === 'spot' ? 'spot' : 'od'}-${zone}`;
}

/** Label that every node of the pool carries; the clouds' autoscalers know by it which pool a waiting pod wants. */
export function nodeLabels(pool: Pool): Record<string, string> {
  return { [POOL_LABEL]: pool.name };
}

/** Labels that the clouds set by themselves: a node that lies elsewhere or is of another kind does not count to the pool. */
function cloudLabels(pool: Pool): Record<string, string> {
  const isSpot = pool.capacity === 'spot';
  return {
    'topology.kubernetes.io/zone': pool.zone,
    'node.kubernetes.io/instance-type': pool.instanceType,
    ...(pool.cloud === 'aws' ? { 'karpenter.sh/capacity-type': isSpot ? 'spot' : 'on-demand' } : {}),
    ...(pool.cloud === 'gcp' && isSpot ? { 'cloud.google.com/gke-spot': 'true' } : {}),
  };
}

export interface Taint {
  readonly key: string;
  readonly value: string;
  readonly effect: 'NoSchedule';
}

/** Keeps everything that needs no GPU off the nodes. Workers tolerate it because they ask for the resource of this name. */
export const GPU_TAINT: Taint = { key: 'nvidia.com/gpu', value: 'present', effect: 'NoSchedule' };
/** GKE's convention for spot nodes. On AWS the label is enough: nothing but GPU workers gets onto these nodes anyway. */
export const GKE_SPOT_TAINT: Taint = { key: 'cloud.google.com/gke-spot', value: 'true', effect: 'NoSchedule' };

/**
 * Seconds between a spot node's notice and its end. AWS gives two minutes. Google sends the signal 30 s before, and two minutes
 * where the kubelet asks for them (GKE 1.35.0-gke.1171000 and later); of these the system's own pods get the last 15 s.
 * Sources: docs.aws.amazon.com, "Spot Instance interruption notices"; docs.cloud.google.com, "Spot VMs" in GKE.
 */
export const GKE_SHUTDOWN_SECONDS = { total: 120, systemPods: 15 } as const;
const NOTICE: Readonly<Record<Cloud, string>> = { aws: '120s', gcp: `${GKE_SHUTDOWN_SECONDS.total - GKE_SHUTDOWN_SECONDS.systemPods}s` };

export interface GpuPoolOptions {
  /** US dollars per GiB that reading a checkpoint here costs, where the storage is in another cloud. */
  readonly egressPerGiB?: string;
  /** The cluster that the nodes are in, where it is not the operator's own. */
  readonly cluster?: {
    /** Secret in the operator's namespace with its kubeconfig. */
    readonly kubeconfigSecret: string;
    /** Base URL under which its workers reach the operator. */
    readonly workerUrl: string;
  };
}

/** The operator's object for a pool. */
export function gpuPool(pool: Pool, { egressPerGiB, cluster }: GpuPoolOptions = {}) {
  const { source, date, ...price } = pool.price;
  const { type, count, memory } = pool.accelerator;
  return {
    apiVersion: API_VERSION,
    kind: 'GpuPool',
    metadata: {
      name: pool.name,
      labels: { cloud: pool.cloud, region: pool.region },
      annotations: { 'vicuna.run/price-source': source, 'vicuna.run/price-date': date },
    },
    spec: {
      cloud: pool.cloud,
      region: pool.region,
      zone: pool.zone,
      instanceType: pool.instanceType,
      capacity: pool.capacity,
      accelerator: { type, count, memory },
      price,
      ...(egressPerGiB === undefined ? {} : { egress: { pricePerGiB: egressPerGiB } }),
      nodeSelector: { ...cloudLabels(pool), ...nodeLabels(pool) },
      ...(pool.cloud === 'gcp' && pool.capacity === 'spot' ? { tolerations: [{ ...GKE_SPOT_TAINT, operator: 'Equal' }] } : {}),
      maxNodes: pool.maxNodes,
      notice: NOTICE[pool.cloud],
      ...(cluster === undefined ? {} : { cluster }),
    },
  };
}
