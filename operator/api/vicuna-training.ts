import { z } from 'zod';
import type { ResourceType } from '../kube/types.ts';
import { DURATION_PATTERN } from './duration.ts';
import { API_VERSION, conditionsSchema, DNS_SUBDOMAIN, dollars, GROUP, immutable, type ObjectMeta, time, VERSION } from './meta.ts';

/** Longest name of a training: `<name>-g<generation>-<rank>` must stay a legal pod name and label value (63). */
export const MAX_NAME_LENGTH = 40;
export const FINALIZER = 'vicuna.run/final-save';
export const MANAGER = 'vicuna.run/operator';

const STORAGE_URI = /^(s3|gs|file|pvc):\/\/[^\s]+$/;
const SOURCE_URI = /^(s3|gs|file|pvc|hf):\/\/[^\s]+$/;
const QUANTITY = /^[0-9]+(\.[0-9]+)?(m|k|Ki|M|Mi|G|Gi|T|Ti)?$/;

const uri = (pattern: RegExp, description: string) => z.string().min(1).max(1_024).regex(pattern).describe(description);
const duration = (description: string) => z.string().max(32).regex(new RegExp(DURATION_PATTERN)).describe(description);

const model = z
  .strictObject({
    base: uri(
      SOURCE_URI,
      'base model to start from: a Hugging Face model directory under s3://, gs://, hf://, pvc:// or file://. Immutable.',
    ),
    tokenizer: uri(SOURCE_URI, 'tokenizer directory. Default: the one of base. Immutable.').optional(),
  })
  .describe('model to fine-tune. Immutable.')
  .meta({ 'x-kubernetes-validations': [immutable('spec.model')] });

const dataset = z
  .strictObject({
    name: z.string().min(1).max(253).regex(new RegExp(DNS_SUBDOMAIN)).optional().describe('name of a VicunaDataset in the same namespace.'),
    uri: uri(SOURCE_URI, 'uri of conversations in ShareGPT form (JSON or JSON lines).').optional(),
  })
  .describe('dataset to train on: exactly one of name and uri. Immutable.')
  .meta({
    'x-kubernetes-validations': [
      { rule: 'has(self.name) != has(self.uri)', message: 'give exactly one of dataset.name and dataset.uri' },
      immutable('spec.dataset'),
    ],
  });

const recipeFields = {
  learningRate: z.number().positive().max(1).optional().describe('learningRate at its peak, per optimizer step.'),
  epochs: z.number().positive().max(1_000).optional().describe('epochs over the dataset.'),
  contextLength: z.int().min(8).max(1_048_576).optional().describe('contextLength of one sequence, in tokens.'),
  globalBatchTokens: z
    .int()
    .min(8)
    .max(1_073_741_824)
    .optional()
    .describe('globalBatchTokens in one optimizer step, in tokens; constant under any world size, by gradient accumulation.'),
  microBatchSize: z.int().min(1).max(4_096).optional().describe('microBatchSize: sequences that one process holds at a time.'),
  warmupRatio: z.number().min(0).max(1).optional().describe('warmupRatio: share of all steps in which the learning rate rises.'),
  weightDecay: z.number().min(0).max(10).optional().describe('weightDecay of AdamW.'),
  schedule: z.enum(['cosine', 'linear', 'constant']).optional().describe('schedule of the learning rate after the warm-up.'),
  seed: z.int().min(0).max(2_147_483_647).optional().describe('seed of the data order and of random initial weights.'),
  precision: z.enum(['bf16', 'fp32']).optional().describe('precision of the computation. Weights of the optimizer are always fp32.'),
  activationCheckpointing: z.boolean().optional().describe('activationCheckpointing: recompute activations to save memory.'),
  attention: z.enum(['sdpa', 'flash', 'eager']).optional().describe('attention implementation.'),
  maxSteps: z
    .int()
    .min(1)
    .max(1_000_000_000)
    .optional()
    .describe('maxSteps after which training ends, if the epochs do not end it before.'),
};

const recipe = z
  .strictObject({
    preset: z
      .enum(['vicuna-7b', 'vicuna-13b', 'alpaca-7b', 'tiny'])
      .default('vicuna-7b')
      .describe('preset of hyper-parameters to start from; docs/reference lists their values. Default: vicuna-7b.'),
    overrides: z.strictObject(recipeFields).default({}).describe('overrides of single values of the preset. Default: none.'),
  })
  .prefault({})
  .describe('recipe: how to train. Immutable.')
  .meta({ 'x-kubernetes-validations': [immutable('spec.recipe')] });

const workers = z
  .strictObject({
    gpusPerWorker: z
      .int()
      .min(0)
      .max(64)
      .default(1)
      .describe('gpusPerWorker that each worker pod takes; 0 trains on CPUs. Default: 1. Immutable.'),
    min: z
      .int()
      .min(1)
      .max(1_024)
      .default(1)
      .describe('min workers with which training goes on when there is no room for more. Default: 1.'),
    max: z.int().min(1).max(1_024).optional().describe('max workers that are wanted. Default: min, which makes the size fixed.'),
    image: z.string().min(1).max(512).optional().describe('image of the worker. Default: the release’s trainer image.'),
    command: z
      .array(z.string().max(4_096))
      .min(1)
      .max(64)
      .optional()
      .meta({ 'x-kubernetes-list-type': 'atomic' })
      .describe('command to run instead of the built-in recipe: any program that torchrun could start.'),
    cpu: z
      .union([z.string().max(16).regex(QUANTITY), z.int().min(0)])
      .optional()
      .describe('cpu that each worker asks for, in cores.')
      .meta({ 'x-kubernetes-int-or-string': true }),
    memory: z.string().max(16).regex(QUANTITY).optional().describe('memory that each worker asks for, such as 64Gi.'),
    readyDeadline: duration(
      'readyDeadline: when not all workers run by then, the gang is given up and another pool is tried. Default: 10m.',
    ).default('10m'),
    template: z
      .record(z.string(), z.unknown())
      .optional()
      .meta({ 'x-kubernetes-preserve-unknown-fields': true })
      .describe('template: a PodTemplateSpec under the worker pods; its container named "trainer" is the worker.'),
  })
  .describe('workers that train.')
  .meta({
    'x-kubernetes-validations': [
      {
        rule: '!has(self.max) || self.min <= self.max',
        message: 'min is larger than max: give a larger max, or leave max out for a fixed size',
      },
      {
        rule: 'self.gpusPerWorker == oldSelf.gpusPerWorker',
        message: 'spec.workers.gpusPerWorker cannot be changed: create a new object instead',
      },
    ],
  });

const placement = z
  .strictObject({
    pools: z
      .strictObject({
        matchLabels: z
          .record(z.string().max(317), z.string().max(63))
          .describe('matchLabels that a GpuPool must carry.')
          .meta({ maxProperties: 16 }),
      })
      .optional()
      .describe('pools that may be used. Default: all whose nodes have enough accelerators.'),
    accelerator: z.string().min(1).max(63).optional().describe('accelerator type that a pool must have, such as A100. Default: any.'),
    capacity: z
      .enum(['spot', 'onDemand', 'auto'])
      .default('auto')
      .describe(
        'capacity to use; auto takes spot first, and on-demand when the deadline demands it or no spot pool matches. Default: auto.',
      ),
    deadline: time(
      'deadline by which training should be done. A deadline that has passed is shown in condition Placed, and nothing is refused for it.',
    ).optional(),
    maxPricePerHour: dollars('maxPricePerHour of all workers together, in US dollars.').optional(),
    budget: dollars(
      'budget for the whole training, in US dollars; when it is spent, the workers save and stop until it is raised.',
    ).optional(),
  })
  .prefault({})
  .describe('placement: where and at what price to run.');

const checkpoint = z
  .strictObject({
    storage: uri(STORAGE_URI, 'storage directory for checkpoints and the final model: s3://, gs://, pvc:// or file://. Immutable.'),
    interval: z
      .string()
      .max(32)
      .regex(/^(auto|([0-9]{1,6}(ms|s|m|h|d))+|[1-9][0-9]{0,8}steps)$/)
      .default('auto')
      .describe(
        'interval between saves: a duration (10m), a number of steps (500steps), or auto, from the nodes’ expected life and the cost of a save. Default: auto.',
      ),
    keep: z.int().min(1).max(1_000).default(3).describe('keep so many of the newest checkpoints. Default: 3.'),
    finalSaveOnDelete: z
      .boolean()
      .default(false)
      .describe('finalSaveOnDelete: hold a deletion back until a last checkpoint is committed. Default: false.'),
  })
  .describe('checkpoint: where and how often to save.')
  .meta({
    'x-kubernetes-validations': [
      { rule: 'self.storage == oldSelf.storage', message: 'spec.checkpoint.storage cannot be changed: create a new object instead' },
    ],
  });

const retryRule = z
  .strictObject({
    causes: z
      .array(z.enum(['interruption', 'capacity', 'error', 'node']))
      .min(1)
      .max(4)
      .meta({ 'x-kubernetes-list-type': 'set' })
      .describe('causes that the rule is for.'),
    exitCodes: z
      .array(z.int().min(1).max(255))
      .max(64)
      .optional()
      .meta({ 'x-kubernetes-list-type': 'set' })
      .describe('exitCodes of the program that the rule is for. Default: every one.'),
    limit: z
      .union([z.int().min(0).max(1_000_000), z.literal('unlimited')])
      .optional()
      .meta({ 'x-kubernetes-int-or-string': true })
      .describe('limit of retries: a number, or unlimited. Default: unlimited.'),
    for: duration('for so long a cause may go on before the training fails, such as 24h without capacity.').optional(),
    window: duration('window in which retries are counted. Default: the whole run.').optional(),
  })
  .meta({
    'x-kubernetes-validations': [
      {
        rule: "!has(self.exitCodes) || self.causes.all(c, c == 'error')",
        message: 'exitCodes is for cause error only: put the other causes into a rule of their own',
      },
      {
        rule: "!has(self.limit) || type(self.limit) == int || self.limit == 'unlimited'",
        message: 'limit is a number or unlimited',
      },
      { rule: '!has(self.limit) || type(self.limit) != int || self.limit >= 0', message: 'limit cannot be negative' },
    ],
  })
  .describe('One rule of how often a cause may strike.');

const spec = z
  .strictObject({
    model,
    dataset,
    recipe,
    workers,
    placement,
    checkpoint,
    credentials: z
      .array(
        z.strictObject({
          name: z.string().min(1).max(253).regex(new RegExp(DNS_SUBDOMAIN)).describe('name of a Secret in the same namespace.'),
        }),
      )
      .max(16)
      .default([])
      .meta({ 'x-kubernetes-list-type': 'map', 'x-kubernetes-list-map-keys': ['name'] })
      .describe('credentials: Secrets whose keys become environment variables of the workers, such as AWS_ACCESS_KEY_ID. Default: none.'),
    retry: z
      .array(retryRule)
      .max(16)
      .default([])
      .meta({ 'x-kubernetes-list-type': 'atomic' })
      .describe(
        'retry rules by cause, the first that fits counts. Default: interruptions and capacity unlimited, 3 errors an hour, 5 bad nodes.',
      ),
    suspend: z.boolean().default(false).describe('suspend: save, free all nodes, and wait until it is false again. Default: false.'),
    ttlAfterFinished: duration('ttlAfterFinished after which a finished training is deleted. Default: never.').optional(),
    priorityClassName: z
      .string()
      .min(1)
      .max(253)
      .regex(new RegExp(DNS_SUBDOMAIN))
      .optional()
      .describe('priorityClassName of the worker pods.'),
    managedBy: z
      .string()
      .min(1)
      .max(63)
      .optional()
      .describe(
        'managedBy names the controller in charge. Default: vicuna.run/operator; any other value makes this operator leave the object alone. Immutable.',
      ),
  })
  .describe('What to train, and how to run it.')
  .meta({
    'x-kubernetes-validations': [
      {
        rule: 'has(self.managedBy) == has(oldSelf.managedBy) && (!has(self.managedBy) || self.managedBy == oldSelf.managedBy)',
        message: 'spec.managedBy cannot be changed: create a new object instead',
      },
    ],
  });

const member = z.object({ rank: z.int().min(0).describe('rank of the worker.'), pod: z.string().max(63).describe('pod of that rank.') });
const members = z
  .array(member)
  .max(1_024)
  .meta({ 'x-kubernetes-list-type': 'map', 'x-kubernetes-list-map-keys': ['rank'] })
  .describe('members of the world.');
const capacity = z.enum(['spot', 'onDemand']).describe('capacity type that is paid for.');
const generation = z.int().min(0).describe('generation of the world: it grows with every change of members.');

const world = z
  .object({
    generation,
    pool: z.string().max(253).describe('pool that the members run in.'),
    capacity,
    members,
    startedAt: time('startedAt is when the world was published.'),
    stopBy: time('stopBy is when its last save must be committed, once it was told to stop.').optional(),
    stoppedStep: z.int().min(0).optional().describe('stoppedStep that the generation before had reached.'),
    checkpointInterval: z
      .union([z.object({ seconds: z.number() }), z.object({ steps: z.int() })])
      .meta({ 'x-kubernetes-preserve-unknown-fields': true })
      .describe('checkpointInterval that the workers were told.'),
    resume: z
      .object({ step: z.int().min(0).describe('step of the checkpoint.'), uri: z.string().max(1_024).describe('uri of the checkpoint.') })
      .optional()
      .describe('resume: the checkpoint that the world started from.'),
  })
  .describe('world that was published to the workers.');

const next = z
  .object({
    generation,
    pool: z.string().max(253).describe('pool that it will run in.'),
    capacity,
    members,
    since: time('since when it is being formed.'),
    reason: z.enum(['start', 'interruption', 'error', 'restart', 'grow', 'move']).describe('reason for it.'),
    notBefore: time('notBefore this time it starts, after an error.').optional(),
  })
  .describe('next world, while its pods start.');

const interruption = z
  .object({
    pool: z.string().max(253).describe('pool that took the node back.'),
    node: z.string().max(253).optional().describe('node that went.'),
    pods: z.array(z.string().max(63)).max(64).meta({ 'x-kubernetes-list-type': 'atomic' }).describe('pods that went with it.'),
    cause: z.string().max(63).describe('cause, such as spotPreemption or nodeLost.'),
    notice: z.boolean().describe('notice: whether it was announced.'),
    noticedAt: time('noticedAt is when the operator learnt of it.'),
    deadline: time('deadline at which the node goes.').optional(),
    checkpointAckedAt: time('checkpointAckedAt is when a checkpoint made for it was committed.').optional(),
    checkpointStep: z.int().min(0).optional().describe('checkpointStep that was saved.'),
    replacedAt: time('replacedAt is when a world without the node was published.').optional(),
    resumedAt: time('resumedAt is when that world had resumed, verified.').optional(),
    resumedStep: z.int().min(0).optional().describe('resumedStep it resumed at.'),
    lostSteps: z.int().min(0).optional().describe('lostSteps that had to be done again.'),
  })
  .describe('One interruption and its legs.');

const status = z
  .object({
    observedGeneration: z.int().min(0).optional().describe('observedGeneration is the metadata.generation that the status speaks of.'),
    phase: z
      .enum(['Pending', 'Waiting', 'Starting', 'Running', 'Interrupted', 'Suspending', 'Suspended', 'Deleting', 'Complete', 'Failed'])
      .optional()
      .describe('phase in one word, for people; programs should read conditions.'),
    conditions: conditionsSchema.optional(),
    generation: generation.optional(),
    pool: z.string().max(253).optional().describe('pool that the training runs or is being placed in.'),
    capacity: capacity.optional(),
    world: world.optional(),
    next: next.optional(),
    progress: z
      .object({
        step: z.int().min(0).describe('step reached.'),
        totalSteps: z.int().min(0).describe('totalSteps of the run; 0 while unknown.'),
        display: z.string().max(32).describe('display of step and total, for printing.'),
        epoch: z.number().min(0).describe('epoch reached, with fraction.'),
        loss: z.number().optional().describe('loss of the last step.'),
        lossDisplay: z.string().max(16).optional().describe('lossDisplay: the loss, for printing.'),
        tokensPerSecond: z.number().min(0).optional().describe('tokensPerSecond of all workers.'),
        stepSeconds: z.number().min(0).optional().describe('stepSeconds that a step takes, in seconds.'),
        eta: z.string().max(16).optional().describe('eta: time left, for printing.'),
        updatedAt: time('updatedAt is when the operator copied this.'),
      })
      .optional()
      .describe('progress of the training, at most 10 s old while it runs.'),
    checkpoint: z
      .object({
        step: z.int().min(0).describe('step that was saved.'),
        uri: z.string().max(1_024).describe('uri of the checkpoint.'),
        savedAt: time('savedAt is when it was committed.'),
        bytes: z.number().min(0).describe('bytes it takes.'),
        seconds: z.number().min(0).optional().describe('seconds from the start of the save to its commit.'),
        generation: z.int().min(0).describe('generation that saved it.'),
      })
      .optional()
      .describe('checkpoint: the last committed one, from which the next generation resumes.'),
    interruptions: z
      .array(interruption)
      .max(10)
      .optional()
      .meta({ 'x-kubernetes-list-type': 'atomic' })
      .describe('interruptions, the last 10.'),
    retries: z
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
      .describe('retries that were charged, by cause.'),
    totals: z
      .object({
        interruptions: z.int().min(0).optional().describe('interruptions in all.'),
        lostSteps: z.int().min(0).optional().describe('lostSteps in all.'),
        goodput: z
          .number()
          .min(0)
          .max(1)
          .optional()
          .describe('goodput: share of the time since the first start that went into steps that count.'),
        gpuHours: z.number().min(0).optional().describe('gpuHours paid for.'),
        cost: z.string().max(24).optional().describe('cost so far in US dollars.'),
        onDemandCost: z.string().max(24).optional().describe('onDemandCost: what the same GPU hours would have cost on demand.'),
        savedPercent: z.string().max(8).optional().describe('savedPercent against on-demand, for printing.'),
        usefulSeconds: z.number().min(0).optional().describe('usefulSeconds spent in steps that count.'),
      })
      .optional()
      .describe('totals of the run.'),
    accruedUntil: time('accruedUntil this time costs are in the totals.').optional(),
    startedAt: time('startedAt is when the first world was published.').optional(),
    finishedAt: time('finishedAt is when it completed or failed.').optional(),
  })
  .describe('What the operator knows of the training.');

export const vicunaTrainingSchema = z.object({ spec, status: status.optional() });

/** Rules over the whole object: only here can CEL see the name. */
export const trainingRules = [
  {
    rule: `self.metadata.name.size() <= ${MAX_NAME_LENGTH}`,
    message: `metadata.name is part of pod names: use at most ${MAX_NAME_LENGTH} characters`,
  },
] as const;

export type VicunaTrainingSpec = Omit<z.output<typeof spec>, 'workers'> & { workers: z.output<typeof workers> & { max: number } };
export type VicunaTrainingStatus = z.output<typeof status>;

export interface VicunaTraining {
  apiVersion?: string;
  kind?: string;
  metadata: ObjectMeta;
  spec: VicunaTrainingSpec;
  status?: VicunaTrainingStatus;
}

export const TRAINING: ResourceType<VicunaTraining> = {
  group: GROUP,
  version: VERSION,
  kind: 'VicunaTraining',
  plural: 'vicunatrainings',
  namespaced: true,
};

/** Fills in defaults, for objects older than a default; `max` defaults to `min`, which a CRD cannot say. Throws on an impossible spec. */
export function withDefaults(training: VicunaTraining): VicunaTraining {
  const parsed = spec.parse(training.spec);
  const { min, max } = parsed.workers;
  return {
    ...training,
    apiVersion: API_VERSION,
    kind: 'VicunaTraining',
    spec: { ...parsed, workers: { ...parsed.workers, max: Math.max(min, max ?? min) } },
  };
}
