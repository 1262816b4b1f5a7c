import { z } from 'zod';
import type { ResourceType } from '../kube/types.ts';
import { DURATION_PATTERN } from './duration.ts';
import { API_VERSION, conditionsSchema, dollars, GROUP, type ObjectMeta, time, VERSION } from './meta.ts';

const spec = z
  .strictObject({
    cloud: z.enum(['aws', 'gcp', 'azure', 'onPremise']).describe('cloud that the nodes run on.'),
    region: z.string().min(1).max(63).optional().describe('region of the nodes, as the cloud names it.'),
    zone: z.string().min(1).max(63).optional().describe('zone of the nodes, as the cloud names it.'),
    instanceType: z.string().min(1).max(63).optional().describe('instanceType of the nodes, as the cloud names it.'),
    capacity: z.enum(['spot', 'onDemand']).describe('capacity: spot nodes may be taken back at any time, onDemand nodes are not.'),
    accelerator: z
      .strictObject({
        type: z.string().min(1).max(63).default('none').describe('type of the accelerator, such as A100. Default: none.'),
        count: z.int().min(0).max(64).describe('count of accelerators in one node; 0 for a pool of CPU nodes.'),
        memory: z
          .string()
          .max(16)
          .regex(/^[1-9][0-9]*(Mi|Gi|Ti)$/)
          .optional()
          .describe('memory of one accelerator, such as 80Gi.'),
        resourceName: z
          .string()
          .min(1)
          .max(253)
          .default('nvidia.com/gpu')
          .describe('resourceName under which nodes offer the accelerator. Default: nvidia.com/gpu.'),
      })
      .describe('accelerator of the nodes.'),
    price: z
      .strictObject({
        onDemand: dollars('onDemand price of one node in US dollars per hour.'),
        spot: dollars(
          'spot price of one node in US dollars per hour. At or above the on-demand price the pool is not used as spot.',
        ).optional(),
      })
      .describe('price of one node per hour.'),
    nodeSelector: z
      .record(z.string().max(317), z.string().max(63))
      .describe('nodeSelector: labels that every node of the pool carries. Worker pods get it too.')
      .meta({
        'x-kubernetes-validations': [
          { rule: 'size(self) > 0', message: 'nodeSelector must name at least one label, or the pool would be every node of the cluster' },
        ],
        maxProperties: 16,
      }),
    tolerations: z
      .array(
        z.strictObject({
          key: z.string().max(317).optional().describe('key of the taint; empty matches every key.'),
          operator: z.enum(['Exists', 'Equal']).optional().describe('operator that compares the value. Default: Equal.'),
          value: z.string().max(63).optional().describe('value of the taint.'),
          effect: z
            .enum(['NoSchedule', 'PreferNoSchedule', 'NoExecute'])
            .optional()
            .describe('effect of the taint; empty matches every effect.'),
          tolerationSeconds: z.int().min(0).optional().describe('tolerationSeconds for NoExecute, in seconds. Default: for ever.'),
        }),
      )
      .max(16)
      .optional()
      .meta({ 'x-kubernetes-list-type': 'atomic' })
      .describe(
        "tolerations that worker pods need for the pool's own taints. The taint of its GPU resource is tolerated without being named.",
      ),
    maxNodes: z
      .int()
      .min(0)
      .max(10_000)
      .optional()
      .describe('maxNodes up to which an autoscaler may grow the pool. Default: the nodes there are; nothing is waited for.'),
    notice: z
      .string()
      .max(32)
      .regex(new RegExp(DURATION_PATTERN))
      .default('30s')
      .describe('notice that the cloud gives before it takes a spot node back: 120s on AWS, 30s on GCP and Azure. Default: 30s.'),
  })
  .describe('The nodes of one kind, price and place.');

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
    memory: z
      .record(z.string().max(63), z.unknown())
      .optional()
      .meta({ 'x-kubernetes-preserve-unknown-fields': true })
      .describe('memory of launches, interruptions and lives from which the estimates are made; for the operator itself.'),
    conditions: conditionsSchema.optional(),
  })
  .describe('What the operator has learnt of the pool.');

export const gpuPoolSchema = z.object({ spec, status: status.optional() });

export type GpuPoolSpec = z.output<typeof spec>;
export type GpuPoolStatus = z.output<typeof status>;

export interface GpuPool {
  apiVersion?: string;
  kind?: string;
  metadata: ObjectMeta;
  spec: GpuPoolSpec;
  status?: GpuPoolStatus;
}

export const GPU_POOL: ResourceType<GpuPool> = { group: GROUP, version: VERSION, kind: 'GpuPool', plural: 'gpupools', namespaced: false };

/** Fills in defaults, for objects older than a default. */
export function poolWithDefaults(pool: GpuPool): GpuPool {
  return { ...pool, apiVersion: API_VERSION, kind: 'GpuPool', spec: spec.parse(pool.spec) };
}
