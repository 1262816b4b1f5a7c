import { z } from 'zod';
import { cpu, credentials, IMAGE, MEMORY } from './forms.ts';
import { conditionsSchema, duration, formed, labels, type ObjectMeta, time } from './meta.ts';

// What the kinds have in common that run as one pod which ends by itself: datasets, evaluations, and a training's release.

/** Longest name of an object whose pods are `<name>-evaluation-<attempt>`: a legal label value, with room for the attempt. */
export const MAX_TASK_NAME = 40;

export const taskPlacement = z
  .strictObject({
    pools: z
      .strictObject({ matchLabels: labels('matchLabels', 'matchLabels that a GpuPool must carry, all of them.') })
      .optional()
      .describe('pools that may be used. Default: all pools without accelerators; where there is none, any node.'),
    capacity: z
      .enum(['spot', 'onDemand', 'auto'])
      .default('auto')
      .describe('capacity to use; auto takes spot first, and on-demand where no spot pool has room. Default: auto.'),
  })
  .prefault({})
  .describe('placement: where to run.');

/** Fields of a spec that say how its pod runs; `pod` names it in descriptions, `image` its default. */
export function taskFields(pod: string, image: string) {
  return {
    image: formed(IMAGE, `image of the ${pod}. Default: ${image}.`).optional(),
    cpu: cpu(`cpu that the ${pod} asks for, in cores, such as 8 or 500m. Default: what the template says.`).optional(),
    memory: formed(MEMORY, `memory that the ${pod} asks for, in bytes, such as 8Gi. Default: what the template says.`).optional(),
    template: z
      .record(z.string(), z.unknown())
      .optional()
      .meta({ 'x-kubernetes-preserve-unknown-fields': true })
      .describe(`template: a PodTemplateSpec under the ${pod}; its container named "task" is the program. Default: none.`),
    placement: taskPlacement,
    credentials: credentials(pod),
  };
}

export function ttlAfterFinished(what: string) {
  return duration(`ttlAfterFinished after which a finished ${what} is deleted; 0s deletes it at once. Default: never.`, {
    zero: true,
  }).optional();
}

export const capacity = z.enum(['spot', 'onDemand']).describe('capacity type that is paid for.');

export const retries = z
  .array(
    z.object({
      cause: z.string().max(63).describe('cause that was charged.'),
      times: z
        .array(time('time of a retry.'))
        .max(100)
        .meta({ 'x-kubernetes-list-type': 'atomic' })
        .describe('times at which it was charged, the last 100.'),
      count: z.int().min(0).describe('count of all retries for the cause.'),
    }),
  )
  .max(8)
  .optional()
  .meta({ 'x-kubernetes-list-type': 'map', 'x-kubernetes-list-map-keys': ['cause'] })
  .describe('retries that were charged, by cause.');

/** How far a task's pod has come: all that the operator needs to go on with it after any interruption, its own included. */
const runFields = {
  phase: z
    .enum(['Pending', 'Waiting', 'Starting', 'Running', 'Complete', 'Failed'])
    .optional()
    .describe('phase in one word, for people; programs should read conditions.'),
  attempt: z.int().min(0).optional().describe('attempt: number of the latest pod; it grows with every replacement.'),
  pod: z.string().max(63).optional().describe('pod that runs now, or ran last.'),
  pool: z.string().max(253).optional().describe('pool that the pod was placed in; none when any node would do.'),
  capacity: capacity.optional(),
  notBefore: time('notBefore this time the next pod starts, after an error.').optional(),
  progress: z
    .object({
      stage: z.string().max(63).describe('stage that the program is in.'),
      done: z.number().min(0).describe('done so far in this stage, in units.'),
      total: z.number().min(0).optional().describe('total of this stage, in units; absent while unknown.'),
      unit: z.string().max(63).describe('unit of done and total, such as conversations.'),
      display: z.string().max(63).describe('display of done and total, for printing.'),
      eta: z.string().max(32).optional().describe('eta: time left, for printing.'),
      updatedAt: time('updatedAt is when the operator copied this.'),
    })
    .optional()
    .describe('progress as the pod last reported it, at most 10 s old while it runs.'),
  retries,
  totals: z
    .object({
      interruptions: z.int().min(0).optional().describe('interruptions in all: pods that were replaced through no fault of their own.'),
      cost: z.string().max(32).optional().describe('cost of the pods so far, in US dollars.'),
      onDemandCost: z.string().max(32).optional().describe('onDemandCost: what the same time would have cost on demand.'),
      savedPercent: z.string().max(32).optional().describe('savedPercent against on-demand, for printing.'),
    })
    .optional()
    .describe('totals of all pods.'),
  accruedUntil: time('accruedUntil this time costs are in the totals.').optional(),
  startedAt: time('startedAt is when the first pod ran.').optional(),
  finishedAt: time('finishedAt is when it completed or failed.').optional(),
};

export const taskRunSchema = z.object(runFields);
export type TaskRun = z.output<typeof taskRunSchema>;

/** Fields of a status, besides the kind's own. */
export const taskStatusFields = {
  observedGeneration: z.int().min(0).optional().describe('observedGeneration is the metadata.generation that the status speaks of.'),
  conditions: conditionsSchema.optional(),
  ...runFields,
};

export interface TaskSpec {
  readonly image?: string | undefined;
  readonly cpu?: string | number | undefined;
  readonly memory?: string | undefined;
  readonly template?: Record<string, unknown> | undefined;
  readonly placement: z.output<typeof taskPlacement>;
  readonly credentials: readonly { readonly name: string }[];
  readonly ttlAfterFinished?: string | undefined;
}

export interface TaskStatus extends TaskRun {
  observedGeneration?: number | undefined;
  conditions?: z.output<typeof conditionsSchema> | undefined;
}

/** An object that runs as one pod. */
export interface TaskObject {
  apiVersion?: string;
  kind?: string;
  metadata: ObjectMeta;
  spec: TaskSpec;
  status?: TaskStatus;
}
