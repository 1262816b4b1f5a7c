import { z } from 'zod';
import type { ResourceType } from '../kube/types.ts';
import { structuralSchema } from './crd.ts';
import { defaultsOf } from './defaults.ts';
import { DURATION_PATTERN } from './duration.ts';
import { cpu, credentials, IMAGE, MEMORY, SOURCE_URI, STORAGE_URI } from './forms.ts';
import {
  API_VERSION,
  conditionsSchema,
  DNS_NAME,
  dollars,
  duration,
  type Form,
  formed,
  GROUP,
  immutable,
  labels,
  type ObjectMeta,
  type Rule,
  time,
  VERSION,
} from './meta.ts';
import { capacity, retries, taskFields, taskRunSchema } from './task.ts';

/** Longest name of a training: `<name>-g<generation>-<rank>` must stay a legal pod name and label value (63). */
export const MAX_NAME_LENGTH = 40;
export const FINALIZER = 'vicuna.run/final-save';
/**
 * On a training: "save a checkpoint of a later step than this". A step and no time, so that nobody's clock counts, and that it is done
 * once for each value.
 */
export const SAVE_AFTER_ANNOTATION = 'vicuna.run/save-after-step';
export const MANAGER = 'vicuna.run/operator';

/** Written by hand or by Kueue; any other manager makes this operator leave the object alone. */
const MANAGER_FORM: Form = {
  pattern: /^[a-z0-9]([-a-z0-9.]*[a-z0-9])?\/[A-Za-z0-9]([-A-Za-z0-9_.]*[A-Za-z0-9])?$/,
  maxLength: 63,
  sentence: 'no name of a controller: write it as domain/name, such as kueue.x-k8s.io/multikueue',
};

const PARAMETERS: Form = {
  pattern: /^[1-9][0-9]{0,3}([.][0-9]{1,3})?[MBT]$/,
  maxLength: 9,
  sentence: 'no number of parameters: write it as 350M, 7B or 13.5B',
};

const INTERVAL: Form = {
  pattern: new RegExp(`^(auto|[1-9][0-9]{0,8}steps|${DURATION_PATTERN.source.slice(1, -1)})$`),
  maxLength: 32,
  sentence: 'no interval between saves: write auto, a duration (10m) or a number of steps (500steps)',
};

/** As RFC 3339, without its rarer forms, which not every reader takes. */
const DEADLINE: Form = {
  pattern:
    /^[0-9]{4}-(0[1-9]|1[0-2])-(0[1-9]|[12][0-9]|3[01])T([01][0-9]|2[0-3]):[0-5][0-9]:[0-5][0-9]([.][0-9]{1,9})?(Z|[-+]([01][0-9]|2[0-3]):[0-5][0-9])$/,
  maxLength: 40,
  sentence: 'no point in time: write it with its time zone, such as 2026-12-01T00:00:00Z',
};

const model = z
  .strictObject({
    base: formed(
      SOURCE_URI,
      'base model to start from: a Hugging Face model directory under s3://, hf://, pvc:// (a PersistentVolumeClaim) or file://. Immutable.',
    ),
    tokenizer: formed(SOURCE_URI, 'tokenizer directory, as a URI. Default: the one of base. Immutable.').optional(),
    parameters: formed(
      PARAMETERS,
      'parameters of the model, such as 7B or 350M, for the estimate of memory and time; pools whose GPUs cannot hold their share are left out. Default: those of the model that the preset is named for, for the estimate alone. Immutable.',
    ).optional(),
  })
  .describe('model to fine-tune. Immutable.')
  .meta({ 'x-kubernetes-validations': [immutable('spec.model')] });

const dataset = z
  .strictObject({
    name: formed(DNS_NAME, 'name of a VicunaDataset in the same namespace. Default: none, and uri is used. Immutable.').optional(),
    uri: formed(
      SOURCE_URI,
      'uri of conversations in ShareGPT form (JSON or JSON lines). Default: none, and name is used. Immutable.',
    ).optional(),
    tokens: z
      .int()
      .min(1)
      .max(1e15)
      .optional()
      .describe('tokens of the dataset, for the estimate of time and cost before the run. Default: unknown. Immutable.'),
    validation: z
      .strictObject({
        uri: formed(SOURCE_URI, 'uri of conversations that are not trained on, in the same form.'),
        everySteps: z
          .int()
          .min(1)
          .max(1_000_000_000)
          .default(100)
          .describe('everySteps the loss on them is measured, and at the end. Default: 100.'),
      })
      .optional()
      .describe('validation: the loss on these conversations is measured while training. Default: none. Immutable.'),
  })
  .describe('dataset to train on: exactly one of name and uri. Immutable.')
  .meta({
    'x-kubernetes-validations': [
      {
        rule: 'has(self.name) || has(self.uri)',
        message: 'says nothing to train on: give name (of a VicunaDataset) or uri',
      },
      {
        rule: '!(has(self.name) && has(self.uri))',
        message: 'gives both name and uri: leave one of them out',
      },
      immutable('spec.dataset'),
    ],
  });

const recipeFields = {
  learningRate: z.number().positive().max(1).optional().describe('learningRate at its peak, per optimizer step. Default: the preset’s.'),
  epochs: z.number().positive().max(1_000).optional().describe('epochs over the dataset. Default: the preset’s.'),
  contextLength: z.int().min(8).max(1_048_576).optional().describe('contextLength of one sequence, in tokens. Default: the preset’s.'),
  globalBatchTokens: z
    .int()
    .min(8)
    .max(1_073_741_824)
    .optional()
    .describe(
      'globalBatchTokens in one optimizer step, in tokens; constant under any world size, by gradient accumulation. Default: the preset’s.',
    ),
  microBatchSize: z
    .int()
    .min(1)
    .max(4_096)
    .optional()
    .describe('microBatchSize: sequences that one process holds at a time. Default: the preset’s.'),
  warmupRatio: z
    .number()
    .min(0)
    .max(1)
    .optional()
    .describe('warmupRatio: share of all steps in which the learning rate rises. Default: the preset’s.'),
  weightDecay: z.number().min(0).max(10).optional().describe('weightDecay of AdamW. Default: the preset’s.'),
  schedule: z
    .enum(['cosine', 'linear', 'constant'])
    .optional()
    .describe('schedule of the learning rate after the warm-up. Default: the preset’s.'),
  seed: z
    .int()
    .min(0)
    .max(2_147_483_647)
    .optional()
    .describe('seed of the data order and of random initial weights. Default: the preset’s.'),
  precision: z
    .enum(['bf16', 'fp32'])
    .optional()
    .describe('precision of the computation. Weights of the optimizer are always fp32. Default: the preset’s.'),
  activationCheckpointing: z
    .boolean()
    .optional()
    .describe('activationCheckpointing: recompute activations to save memory. Default: the preset’s.'),
  attention: z.enum(['sdpa', 'flash', 'eager']).optional().describe('attention implementation. Default: the preset’s.'),
  conversationTemplate: z
    .enum(['vicuna_v1.1', 'vicuna_v0'])
    .optional()
    .describe(
      'conversationTemplate in which conversations are put to the model: vicuna_v1.1 (USER and ASSISTANT), or vicuna_v0 (### Human and ### Assistant, as in the first release). Default: the preset’s.',
    ),
  packing: z
    .boolean()
    .optional()
    .describe(
      'packing: several conversations in one sequence, which do not see each other; saves what padding costs. Not with attention flash, whose kernel takes no mask. Default: the preset’s.',
    ),
  lora: z
    .strictObject({
      rank: z.int().min(1).max(1_024).describe('rank of the adapter’s matrices.'),
      alpha: z.number().positive().max(65_536).optional().describe('alpha: the adapter counts alpha / rank. Default: twice the rank.'),
      dropout: z.number().min(0).max(0.9).default(0).describe('dropout of the adapter’s input while training. Default: 0.'),
      targetModules: z
        .array(z.string().min(1).max(64))
        .min(1)
        .max(16)
        .optional()
        .meta({ 'x-kubernetes-list-type': 'set' })
        .describe('targetModules: linear layers that get an adapter, such as q_proj. Default: all of a LLaMA’s decoder layers.'),
      quantization: z
        .enum(['none', 'nf4'])
        .default('none')
        .describe(
          'quantization of the frozen base: nf4 keeps it in 4 bits, whole on each GPU (QLoRA); it needs an image for GPUs. Default: none.',
        ),
      export: z
        .enum(['merged', 'adapter'])
        .default('merged')
        .describe('export the model with the adapter added in, or the adapter alone in PEFT’s form. Default: merged.'),
    })
    .optional()
    .describe('lora: train an adapter and leave the base as it is. Default: the preset’s.'),
  maxSteps: z
    .int()
    .min(1)
    .max(1_000_000_000)
    .optional()
    .describe('maxSteps after which training ends, if the epochs do not end it before. Default: no limit.'),
};

const recipe = z
  .strictObject({
    preset: z
      .enum(['vicuna-7b', 'vicuna-13b', 'vicuna-7b-2023-03', 'vicuna-13b-2023-03', 'vicuna-7b-qlora', 'alpaca-7b', 'alpaca-13b', 'tiny'])
      .default('vicuna-7b')
      .describe('preset of hyper-parameters to start from; docs/reference/presets.md lists their values. Default: vicuna-7b. Immutable.'),
    overrides: z
      .strictObject(recipeFields)
      .default({})
      .describe('overrides of single values of the preset. Default: none. Immutable.')
      .meta({
        'x-kubernetes-validations': [
          {
            rule: "!has(self.packing) || !self.packing || !has(self.attention) || self.attention != 'flash'",
            message: 'packing needs a mask between conversations, which the flash kernel does not take: use attention sdpa',
          },
        ],
      }),
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
      .describe(
        'gpusPerWorker that each worker pod takes; 0 trains on CPUs. Default: 1. It can be changed only while the training is suspended.',
      ),
    min: z
      .int()
      .min(1)
      .max(1_024)
      .default(1)
      .describe('min workers with which training goes on when there is no room for more. Default: 1.'),
    max: z.int().min(1).max(1_024).optional().describe('max workers that are wanted. Default: min, which makes the size fixed.'),
    image: formed(IMAGE, 'image of the worker. Default: the one of the template’s container "trainer".').optional(),
    command: z
      .array(z.string().max(4_096))
      .min(1)
      .max(64)
      .optional()
      .meta({ 'x-kubernetes-list-type': 'atomic' })
      .describe('command to run instead of the built-in recipe: any program that torchrun could start. Default: the recipe’s trainer.'),
    cpu: cpu('cpu that each worker asks for, in cores, such as 8 or 500m. Default: what the template says.').optional(),
    memory: formed(MEMORY, 'memory that each worker asks for, in bytes, such as 64Gi. Default: what the template says.').optional(),
    readyDeadline: duration(
      'readyDeadline: when not all workers run by then, the gang is given up and another pool is tried. Default: 10m.',
    ).default('10m'),
    template: z
      .record(z.string(), z.unknown())
      .optional()
      .meta({ 'x-kubernetes-preserve-unknown-fields': true })
      .describe('template: a PodTemplateSpec under the worker pods; its container named "trainer" is the worker. Default: none.'),
  })
  .describe('workers that train.')
  .meta({
    'x-kubernetes-validations': [
      {
        rule: 'has(self.image) || has(self.template)',
        message: 'names no image: give image, or a template whose container "trainer" has one',
      },
      {
        rule: '!has(self.max) || self.min <= self.max',
        message: 'min is larger than max: give a larger max, or leave max out for a fixed size',
        messageExpression:
          "'min (%d) is larger than max (%d): give max at least %d, or leave max out for a fixed size'.format([self.min, self.max, self.min])",
      },
    ],
  });

const placement = z
  .strictObject({
    pools: z
      .strictObject({
        matchLabels: labels('matchLabels', 'matchLabels that a GpuPool must carry, all of them.'),
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
    deadline: formed(
      DEADLINE,
      'deadline by which training should be done. It cannot be checked against the clock at admission: one that has passed or cannot be met is shown in condition Placed. Default: none.',
    ).optional(),
    maxPricePerHour: dollars('maxPricePerHour of all workers together, in US dollars. Default: no limit.').optional(),
    budget: dollars(
      'budget for the whole training, in US dollars; when it is spent, the workers save and stop until it is raised. Default: no limit.',
    ).optional(),
  })
  .prefault({})
  .describe('placement: where and at what price to run.');

/** The built-in trainer's name of a checkpoint: its step and generation. */
export const CHECKPOINT_NAME: Form = {
  pattern: /^step-(\d{8,12})-g(\d{1,9})$/,
  maxLength: 32,
  sentence: 'no name of a checkpoint: give that of its directory, such as step-00000400-g3',
};

const checkpoint = z
  .strictObject({
    storage: formed(
      STORAGE_URI,
      'storage directory for checkpoints and the final model: s3://, pvc:// (a claim that all workers may mount) or file://. Immutable.',
    ),
    interval: formed(
      INTERVAL,
      'interval between saves: a duration (10m), a number of steps (500steps), or auto, from the nodes’ expected life and the cost of a save. Default: auto.',
      [{ rule: "!self.matches('^[0dhms]+$')", message: 'must be longer than zero, such as 10m' }],
    ).default('auto'),
    keep: z.int().min(1).max(1_000).default(3).describe('keep so many of the newest checkpoints. Default: 3.'),
    finalSaveOnDelete: z
      .boolean()
      .default(false)
      .describe('finalSaveOnDelete: hold a deletion back until a last checkpoint is committed. Default: false.'),
    resumeFrom: formed(
      CHECKPOINT_NAME,
      'resumeFrom: a checkpoint in storage that an earlier training has left, such as step-00000400-g3; this one goes on from it; for the built-in trainer. Immutable. Default: none; then storage must hold no checkpoint.',
    ).optional(),
  })
  .describe('checkpoint: where and how often to save.')
  .meta({
    'x-kubernetes-validations': [
      {
        rule: 'self.storage == oldSelf.storage',
        message: 'spec.checkpoint.storage is fixed once the object exists: create a new object under another name instead',
        fieldPath: '.storage',
      },
      {
        rule: 'has(self.resumeFrom) == has(oldSelf.resumeFrom) && (!has(self.resumeFrom) || self.resumeFrom == oldSelf.resumeFrom)',
        message: 'spec.checkpoint.resumeFrom is fixed once the object exists: create a new object instead',
        fieldPath: '.resumeFrom',
      },
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
      .meta({ 'x-kubernetes-int-or-string': true, maxLength: 16 })
      .describe('limit of retries within the window, or unlimited. Default: unlimited.'),
    for: duration('for so long a cause may go on before the training fails, such as 24h without capacity. Default: for ever.').optional(),
    window: duration('window in which retries are counted. Default: the whole run.').optional(),
  })
  .meta({
    'x-kubernetes-validations': [
      {
        rule: "!has(self.exitCodes) || self.causes.all(c, c == 'error')",
        message: 'exitCodes is for cause error only: put the other causes into a rule of their own',
      },
      {
        rule: "!has(self.limit) || (type(self.limit) == int ? (self.limit >= 0 && self.limit <= 1000000) : string(self.limit) == 'unlimited')",
        message: 'limit must be a number from 0 to 1000000, or unlimited',
      },
      {
        rule: "!has(self.window) || (has(self.limit) && string(self.limit) != 'unlimited')",
        message: 'window says within which time limit counts: give a limit too, or leave window out',
      },
    ],
  })
  .describe('retry rule: how often causes may strike.');

const { cpu: releaseCpu, memory: releaseMemory, placement: releasePlacement } = taskFields('release’s pod', 'the worker’s');

const release = z
  .strictObject({
    delta: z
      .strictObject({
        base: formed(
          SOURCE_URI,
          'base that the delta is to: those who have it can restore the model. Default: spec.model.base.',
        ).optional(),
        mode: z
          .enum(['exact', 'additive'])
          .default('exact')
          .describe('mode: exact restores the model bit for bit; additive is the form of FastChat’s apply_delta. Default: exact.'),
        vocabulary: z
          .enum(['same', 'extend'])
          .default('same')
          .describe('vocabulary: extend lets the model have more tokens than base; their rows are published whole. Default: same.'),
        output: formed(STORAGE_URI, 'output directory of the delta. Default: directory delta in spec.checkpoint.storage.').optional(),
      })
      .prefault({})
      .describe('delta: what is published is the difference to a model that others have already.'),
    gate: z
      .strictObject({
        evaluation: formed(DNS_NAME, 'evaluation: name of a VicunaEvaluation in the same namespace that must be complete first.'),
        baseline: z.string().min(1).max(63).optional().describe('baseline of it that the bounds are for. Default: each of them.'),
        minRelativeQuality: z
          .number()
          .min(0)
          .max(10)
          .optional()
          .describe('minRelativeQuality: score divided by the baseline’s that it must reach, such as 0.9. Default: no bound.'),
        minWinRate: z
          .number()
          .min(0)
          .max(1)
          .optional()
          .describe('minWinRate: share of wins and half of the ties that it must reach. Default: no bound.'),
      })
      .optional()
      .describe('gate that the model must pass before it is released. Default: none.'),
    cpu: releaseCpu,
    memory: releaseMemory,
    placement: releasePlacement,
  })
  .optional()
  .describe('release of the model, once the training is complete; it may be added later. Default: none.');

const spec = z
  .strictObject({
    model,
    dataset,
    recipe,
    workers,
    placement,
    checkpoint,
    release,
    credentials: credentials('workers'),
    retry: z
      .array(retryRule)
      .max(16)
      .default([])
      .meta({ 'x-kubernetes-list-type': 'atomic' })
      .describe(
        'retry rules by cause, the first that fits counts. Default: interruptions and capacity unlimited, 3 errors an hour (none of exit code 64), 5 bad nodes.',
      ),
    suspend: z.boolean().default(false).describe('suspend: save, free all nodes, and wait until it is false again. Default: false.'),
    ttlAfterFinished: duration('ttlAfterFinished after which a finished training is deleted; 0s deletes it at once. Default: never.', {
      zero: true,
    }).optional(),
    priorityClassName: formed(DNS_NAME, 'priorityClassName of the worker pods. Default: the cluster’s default class.').optional(),
    managedBy: formed(
      MANAGER_FORM,
      'managedBy names the controller in charge. Default: vicuna.run/operator; any other value makes this operator leave the object alone. Immutable.',
    ).optional(),
  })
  .describe('spec: what to train, and how to run it.')
  .meta({
    'x-kubernetes-validations': [
      {
        rule: 'has(self.managedBy) == has(oldSelf.managedBy) && (!has(self.managedBy) || self.managedBy == oldSelf.managedBy)',
        message: 'spec.managedBy is fixed once the object exists: create a new object under another name instead',
      },
    ],
  });

const member = z.object({ rank: z.int().min(0).describe('rank of the worker.'), pod: z.string().max(63).describe('pod of that rank.') });
const members = z
  .array(member)
  .max(1_024)
  .meta({ 'x-kubernetes-list-type': 'map', 'x-kubernetes-list-map-keys': ['rank'] })
  .describe('members of the world.');
const generation = z.int().min(0).describe('generation of the world: it grows with every change of members.');

const world = z
  .object({
    generation,
    pool: z.string().max(253).describe('pool that the members run in.'),
    capacity,
    members,
    startedAt: time('startedAt is when the world was published.'),
    stopBy: time('stopBy is when its last save must be committed, once it was told to stop.').optional(),
    restartAfter: time(
      'restartAfter this time it starts again in its next generation: its program failed, and that is charged.',
    ).optional(),
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
    pods: z.array(z.string().max(63)).max(1_024).meta({ 'x-kubernetes-list-type': 'atomic' }).describe('pods that went with it.'),
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
  .describe('interruption and its legs.');

const placementDecision = z
  .object({
    decidedAt: time('decidedAt is when it was decided.'),
    message: z.string().max(1_024).describe('message: why here and why now, or why nowhere, in one sentence.'),
    alternatives: z
      .array(
        z.object({
          pool: z.string().max(253).describe('pool that was weighed.'),
          capacity,
          pricePerHour: z.string().max(32).describe('pricePerHour of the smallest world there, in US dollars.'),
          effectivePricePerHour: z
            .string()
            .max(32)
            .optional()
            .describe('effectivePricePerHour: the price with the change-overs that its losses are expected to cost, in US dollars.'),
          lastsHours: z.number().min(0).optional().describe('lastsHours that spot there is expected to last, in hours.'),
          verdict: z.string().max(256).describe('verdict: chosen, or what spoke against it.'),
        }),
      )
      .max(32)
      .meta({ 'x-kubernetes-list-type': 'atomic' })
      .describe('alternatives that were weighed, the chosen one first, at most 32.'),
    spotSeen: z
      .record(z.string().max(63), z.unknown())
      .optional()
      .meta({ 'x-kubernetes-preserve-unknown-fields': true })
      .describe('spotSeen: how spot came and went in the pools worth waiting for, taken together; for the operator itself.'),
  })
  .describe('placement: the last decision on where to run, and what it was weighed against.');

const releaseStatus = z
  .object({
    ...taskRunSchema.shape,
    uri: z.string().max(1_024).optional().describe('uri of the delta.'),
    base: z.string().max(1_024).optional().describe('base that the delta is to.'),
    mode: z.string().max(63).optional().describe('mode of the delta.'),
    bytes: z.number().min(0).optional().describe('bytes of its weights.'),
    changedElements: z.number().min(0).optional().describe('changedElements: weights that differ from base.'),
    inexactElements: z.number().min(0).optional().describe('inexactElements: weights that the delta restores only nearly.'),
    manifestSha256: z.string().max(64).optional().describe('manifestSha256 identifies the whole release.'),
  })
  .describe('release: its pod, and what was released.');

const estimate = z
  .object({
    parameters: z.string().max(16).describe('parameters of the model that it is made for.'),
    message: z.string().max(1_024).describe('message: what it takes, and what is not known, in one sentence.'),
    pools: z
      .array(
        z.object({
          pool: z.string().max(253).describe('pool that it is for.'),
          fits: z.boolean().optional().describe('fits: whether the smallest world has memory enough there. Default: not known.'),
          neededMemory: z.string().max(16).optional().describe('neededMemory of one GPU in the smallest world.'),
          gpuMemory: z.string().max(16).optional().describe('gpuMemory that one GPU has.'),
          hours: z
            .number()
            .min(0)
            .optional()
            .describe('hours that the whole training takes there with max workers, without interruptions.'),
          cost: z.string().max(32).optional().describe('cost of these hours, in US dollars.'),
        }),
      )
      .max(32)
      .meta({ 'x-kubernetes-list-type': 'map', 'x-kubernetes-list-map-keys': ['pool'] })
      .describe('pools that have the right accelerator, at most 32.'),
  })
  .describe('estimate of memory, time and cost before the run; docs/training.md says how it is made, and how rough it is.');

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
    dataset: z
      .object({
        name: z.string().max(253).describe('name of the VicunaDataset.'),
        uri: z.string().max(1_024).describe('uri that the training reads.'),
        validationUri: z.string().max(1_024).optional().describe('validationUri: uri of the conversations kept for validation.'),
      })
      .optional()
      .describe('dataset as it was when the training first used it; a later change of the VicunaDataset does not concern it.'),
    release: releaseStatus.optional(),
    world: world.optional(),
    next: next.optional(),
    placement: placementDecision.optional(),
    estimate: estimate.optional(),
    progress: z
      .object({
        step: z.int().min(0).describe('step reached.'),
        totalSteps: z.int().min(0).describe('totalSteps of the run; 0 while unknown.'),
        display: z.string().max(32).describe('display of step and total, for printing.'),
        epoch: z.number().min(0).describe('epoch reached, with fraction.'),
        loss: z.number().optional().describe('loss of the last step.'),
        validationLoss: z.number().optional().describe('validationLoss: the last loss on dataset.validation.'),
        validationStep: z.int().min(0).optional().describe('validationStep at which it was measured.'),
        lossDisplay: z.string().max(32).optional().describe('lossDisplay: the loss, for printing.'),
        tokensPerSecond: z.number().min(0).optional().describe('tokensPerSecond of all workers.'),
        stepSeconds: z.number().min(0).optional().describe('stepSeconds that a step takes, in seconds.'),
        eta: z.string().max(32).optional().describe('eta: time left, for printing.'),
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
    retries,
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
        cost: z.string().max(32).optional().describe('cost so far in US dollars.'),
        onDemandCost: z.string().max(32).optional().describe('onDemandCost: what the same GPU hours would have cost on demand.'),
        savedPercent: z.string().max(32).optional().describe('savedPercent against on-demand, for printing.'),
        usefulSeconds: z.number().min(0).optional().describe('usefulSeconds spent in steps that count.'),
      })
      .optional()
      .describe('totals of the run.'),
    accruedUntil: time('accruedUntil this time costs are in the totals.').optional(),
    startedAt: time('startedAt is when the first world was published.').optional(),
    finishedAt: time('finishedAt is when it completed or failed.').optional(),
  })
  .describe('status: what the operator knows of the training.');

export const vicunaTrainingSchema = z.object({ spec, status: status.optional() });
export const vicunaTrainingStatusSchema = status;

/** Rules over the whole object: only here can CEL see the name. */
export const trainingRules: readonly Rule[] = [
  {
    rule: `self.metadata.name.size() <= ${MAX_NAME_LENGTH}`,
    message: `metadata.name is part of pod names: use at most ${MAX_NAME_LENGTH} characters`,
  },
  {
    // Before the phase is Suspended, pods with the old number may still live, and a world must not mix the two.
    rule: "self.spec.workers.gpusPerWorker == oldSelf.spec.workers.gpusPerWorker || (has(oldSelf.status) && has(oldSelf.status.phase) && oldSelf.status.phase == 'Suspended')",
    message:
      'spec.workers.gpusPerWorker can be changed only while the training is suspended: set spec.suspend to true, wait for condition Suspended, then change it',
    fieldPath: '.spec.workers.gpusPerWorker',
  },
];

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

const withSpecDefaults = defaultsOf(() => structuralSchema(spec));

/**
 * Fills in defaults, for objects older than a default; `max` defaults to `min`, which a CRD cannot say. It refuses nothing: what an
 * older or newer API server has let in must still be looked at.
 */
export function withDefaults(training: VicunaTraining): VicunaTraining {
  const full = withSpecDefaults(training.spec) as z.output<typeof spec>;
  const { min, max } = full.workers;
  return {
    ...training,
    apiVersion: API_VERSION,
    kind: 'VicunaTraining',
    spec: { ...full, workers: { ...full.workers, max: Math.max(min, max ?? min) } },
  };
}
