import { z } from 'zod';
import type { ResourceType } from '../kube/types.ts';
import { structuralSchema } from './crd.ts';
import { defaultsOf } from './defaults.ts';
import { GPU_MEMORY, HTTP_URL } from './forms.ts';
import {
  API_VERSION,
  conditionsSchema,
  DNS_NAME,
  dollars,
  duration,
  type Form,
  formed,
  GROUP,
  labels,
  type ObjectMeta,
  type Rule,
  time,
  VERSION,
} from './meta.ts';

const RESOURCE: Form = {
  pattern: /^[a-z0-9]([-a-z0-9.]*[a-z0-9])?\/[A-Za-z0-9]([-A-Za-z0-9_.]{0,61}[A-Za-z0-9])?$/,
  maxLength: 253,
  sentence: 'no name of an extended resource: write it as domain/name, such as nvidia.com/gpu',
};

const TAINT_KEY: Form = {
  pattern: /^([a-z0-9]([-a-z0-9.]*[a-z0-9])?\/)?[A-Za-z0-9]([-A-Za-z0-9_.]{0,61}[A-Za-z0-9])?$/,
  maxLength: 317,
  sentence: 'no key of a taint: write it as name or domain/name, such as cloud.google.com/gke-spot',
};

const TAINT_VALUE: Form = {
  pattern: /^([A-Za-z0-9]([-A-Za-z0-9_.]*[A-Za-z0-9])?)?$/,
  minLength: 0,
  maxLength: 63,
  sentence: 'no value of a taint: use letters, digits, "-", "_" and "."',
};

/** What the API server would say of a pod with such a toleration, said before there is a pod. */
const tolerationRules: readonly Rule[] = [
  {
    rule: "!has(self.value) || self.value == '' || !has(self.operator) || self.operator == 'Equal'",
    message: 'value is compared by operator Equal only: leave value out, or change operator',
  },
  {
    rule: "has(self.key) || (has(self.operator) && self.operator == 'Exists')",
    message: 'a toleration without key matches every taint: say so with operator Exists, or give the key',
  },
  {
    rule: "!has(self.tolerationSeconds) || (has(self.effect) && self.effect == 'NoExecute')",
    message: 'tolerationSeconds is for effect NoExecute only',
  },
];

/** What each cloud gives a spot node before it takes it back. */
const NOTICE: Readonly<Record<'aws' | 'gcp' | 'azure' | 'onPremise', string>> = { aws: '120s', gcp: '30s', azure: '30s', onPremise: '30s' };

const priceSource = z
  .strictObject({
    refresh: duration('refresh: how often prices are read again. Default: 15m.').default('15m'),
    aws: z
      .strictObject({})
      .optional()
      .describe(
        "aws: the spot price of Linux by AWS's spot price history, for the pool's region, zone and instanceType; {} is all it takes. Default: not asked.",
      ),
    gcp: z
      .strictObject({
        parts: z
          .array(
            z
              .strictObject({
                sku: z.string().min(3).max(128).describe('sku: how its description in the price list begins, such as A3 Instance Core.'),
                quantity: z.number().min(0.001).max(100_000).describe('quantity of it in one node: cores, GiB of memory or accelerators.'),
              })
              .describe('part of a node that has a price of its own.'),
          )
          .min(1)
          .max(8)
          .meta({ 'x-kubernetes-list-type': 'atomic' })
          .describe('parts that make up one node.'),
      })
      .optional()
      .describe("gcp: spot and on-demand prices by Google's price list, for the pool's region. Default: not asked."),
  })
  .describe(
    "source from which prices are read, by the cloud's SDK with its usual chain of credentials. While they cannot be read, the prices written here are used. Default: none.",
  )
  .meta({
    'x-kubernetes-validations': [
      { rule: 'has(self.aws) != has(self.gcp)', message: 'names where prices are read: give exactly one of aws and gcp' },
      {
        rule: "!has(self.refresh) || duration(self.refresh.contains('d') ? '1h' : self.refresh) >= duration('1m')",
        message: 'refresh is shorter than clouds change their prices: give 1m or more',
      },
    ],
  });

const spec = z
  .strictObject({
    cloud: z.enum(['aws', 'gcp', 'azure', 'onPremise']).describe('cloud that the nodes run on.'),
    region: z.string().min(1).max(63).optional().describe('region of the nodes, as the cloud names it. Default: not said.'),
    zone: z.string().min(1).max(63).optional().describe('zone of the nodes, as the cloud names it. Default: not said.'),
    instanceType: z.string().min(1).max(63).optional().describe('instanceType of the nodes, as the cloud names it. Default: not said.'),
    capacity: z.enum(['spot', 'onDemand']).describe('capacity: spot nodes may be taken back at any time, onDemand nodes are not.'),
    accelerator: z
      .strictObject({
        type: z.string().min(1).max(63).default('none').describe('type of the accelerator, such as A100. Default: none.'),
        count: z.int().min(0).max(64).describe('count of accelerators in one node; 0 for a pool of CPU nodes.'),
        memory: formed(GPU_MEMORY, 'memory of one accelerator, in bytes, such as 80Gi. Default: not said.').optional(),
        resourceName: formed(RESOURCE, 'resourceName under which nodes offer the accelerator. Default: nvidia.com/gpu.').default(
          'nvidia.com/gpu',
        ),
      })
      .describe('accelerator of the nodes.'),
    price: z
      .strictObject({
        onDemand: dollars('onDemand price of one node in US dollars per hour.'),
        spot: dollars(
          'spot price of one node in US dollars per hour. At or above the on-demand price the pool is not used as spot. Default: none, which only an onDemand pool may have.',
        ).optional(),
        source: priceSource.optional(),
      })
      .describe('price of one node per hour.'),
    egress: z
      .strictObject({
        pricePerGiB: dollars('pricePerGiB in US dollars that clouds bill when a checkpoint is read here. Default: 0.').default('0'),
      })
      .optional()
      .describe('egress: what bringing checkpoints here from their storage costs; 0 in the same region. Default: nothing.'),
    nodeSelector: labels('nodeSelector', 'nodeSelector: labels that every node of the pool carries. Worker pods get it too.'),
    tolerations: z
      .array(
        z
          .strictObject({
            key: formed(TAINT_KEY, 'key of the taint. Default: every key, with operator Exists.').optional(),
            operator: z.enum(['Exists', 'Equal']).optional().describe('operator that compares the value. Default: Equal.'),
            value: formed(TAINT_VALUE, 'value of the taint. Default: empty.').optional(),
            effect: z
              .enum(['NoSchedule', 'PreferNoSchedule', 'NoExecute'])
              .optional()
              .describe('effect of the taint. Default: every effect.'),
            tolerationSeconds: z
              .int()
              .min(0)
              .max(1_000_000_000)
              .optional()
              .describe('tolerationSeconds for NoExecute, in seconds. Default: for ever.'),
          })
          .describe('toleration of a taint.')
          .meta({ 'x-kubernetes-validations': tolerationRules }),
      )
      .max(16)
      .optional()
      .meta({ 'x-kubernetes-list-type': 'atomic' })
      .describe(
        "tolerations that worker pods need for the pool's own taints. The taint of its GPU resource is tolerated without being named. Default: none.",
      ),
    maxNodes: z
      .int()
      .min(0)
      .max(10_000)
      .optional()
      .describe('maxNodes up to which an autoscaler may grow the pool. Default: the nodes there are; nothing is waited for.'),
    cluster: z
      .strictObject({
        kubeconfigSecret: formed(
          DNS_NAME,
          'kubeconfigSecret: name of a Secret in the operator’s namespace whose key kubeconfig says how to reach the cluster: with a token or a client certificate, no program to run. Immutable.',
        ),
        workerUrl: formed(
          HTTP_URL,
          'workerUrl: base URL under which workers in the cluster reach the operator. Default: the one that workers at home use.',
        ).optional(),
      })
      .optional()
      .describe(
        'cluster that the nodes are in, where it is not the operator’s own. Namespaces, Secrets and claims of what runs there must exist there too. Default: the operator’s own. Immutable.',
      ),
    notice: duration('notice that the cloud gives before it takes a spot node back. Default: 120s on aws, 30s elsewhere.', {
      zero: true,
    }).optional(),
  })
  .describe('spec: the nodes of one kind, price and place.')
  .meta({
    'x-kubernetes-validations': [
      {
        rule: '(has(self.cluster) ? self.cluster.kubeconfigSecret : "") == (has(oldSelf.cluster) ? oldSelf.cluster.kubeconfigSecret : "")',
        message: 'spec.cluster is fixed once the pool exists: create a new pool under another name instead',
      },
      {
        rule: "self.capacity != 'spot' || has(self.price.spot)",
        message: 'a spot pool needs its spot price, or nothing can be said of what it costs: give price.spot, or capacity onDemand',
      },
      {
        rule: "!has(self.price.source) || !has(self.price.source.aws) || (self.cloud == 'aws' && has(self.region) && has(self.zone) && has(self.instanceType))",
        message:
          'AWS has a spot price for each zone and instance type: give cloud aws, region, zone and instanceType, or another price.source',
      },
      {
        rule: "!has(self.price.source) || !has(self.price.source.gcp) || (self.cloud == 'gcp' && has(self.region))",
        message: "Google's price list goes by region: give cloud gcp and region, or another price.source",
      },
      {
        rule: "self.accelerator.count == 0 || self.accelerator.type != 'none'",
        message: 'the nodes have accelerators of an unknown type: give accelerator.type, such as A100, or accelerator.count 0',
      },
    ],
  });

const status = z
  .object({
    observedGeneration: z.int().min(0).optional().describe('observedGeneration is the metadata.generation that the status speaks of.'),
    nodes: z.int().min(0).optional().describe('nodes that match the selector.'),
    gpus: z
      .object({ total: z.int().min(0).describe('total of all nodes.'), free: z.int().min(0).describe('free on healthy nodes.') })
      .optional()
      .describe('gpus of the pool.'),
    interruptions: z.int().min(0).optional().describe('interruptions seen since the pool was made.'),
    launches: z
      .object({
        succeeded: z.int().min(0).describe('succeeded: gangs that started.'),
        failed: z.int().min(0).describe('failed: gangs that found no capacity.'),
      })
      .optional()
      .describe('launches tried in the pool.'),
    estimatedLifeHours: z.number().min(0).optional().describe('estimatedLifeHours that a node lasts from now, in hours.'),
    blockedUntil: time('blockedUntil this time nothing new is placed here, after launches that found no capacity.').optional(),
    price: z
      .object({
        spot: z.string().max(32).optional().describe('spot price of one node in US dollars per hour.'),
        onDemand: z.string().max(32).optional().describe('onDemand price of one node in US dollars per hour.'),
        readAt: time('readAt is when they were read.'),
      })
      .optional()
      .describe('price of one node as last read from spec.price.source; condition PricesFresh says whether it is used.'),
    memory: z
      .record(z.string().max(63), z.unknown())
      .optional()
      .meta({ 'x-kubernetes-preserve-unknown-fields': true })
      .describe('memory of launches, interruptions and lives from which the estimates are made; for the operator itself.'),
    conditions: conditionsSchema.optional(),
  })
  .describe('status: what the operator has learnt of the pool.');

export const gpuPoolSchema = z.object({ spec, status: status.optional() });

export type GpuPoolSpec = Omit<z.output<typeof spec>, 'notice'> & { notice: string };
export type GpuPoolStatus = z.output<typeof status>;

export interface GpuPool {
  apiVersion?: string;
  kind?: string;
  metadata: ObjectMeta;
  spec: GpuPoolSpec;
  status?: GpuPoolStatus;
}

export const GPU_POOL: ResourceType<GpuPool> = { group: GROUP, version: VERSION, kind: 'GpuPool', plural: 'gpupools', namespaced: false };

const withSpecDefaults = defaultsOf(() => structuralSchema(spec));

/** Fills in defaults, for objects older than a default; `notice` is each cloud's own, which a CRD cannot say. It refuses nothing. */
export function poolWithDefaults(pool: GpuPool): GpuPool {
  const full = withSpecDefaults(pool.spec) as z.output<typeof spec>;
  return { ...pool, apiVersion: API_VERSION, kind: 'GpuPool', spec: { ...full, notice: full.notice ?? NOTICE[full.cloud] } };
}
