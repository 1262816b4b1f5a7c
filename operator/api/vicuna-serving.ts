import { z } from 'zod';
import type { ResourceType } from '../kube/types.ts';
import { structuralSchema } from './crd.ts';
import { defaultsOf } from './defaults.ts';
import { cpu, credentials, GPU_MEMORY, HTTP_URL, IMAGE, MEMORY, SOURCE_URI } from './forms.ts';
import { ENGINE_NAMES } from './gateway-config.ts';
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

/** Longest name of a serving: with a model's it must leave room for a pool's in the name of a Deployment, and for a ReplicaSet's hash. */
export const MAX_SERVING_NAME = 30;

const MODEL_NAME: Form = {
  pattern: /^[a-z]([-a-z0-9]*[a-z0-9])?$/,
  maxLength: 24,
  sentence: 'no name of a model: use lower-case letters, digits and "-", such as vicuna-13b; other names go into aliases',
};

const DIRECTORY: Form = {
  pattern: /^\/[^:\s]+$/,
  maxLength: 512,
  sentence: 'no directory: write its whole path, such as /var/cache/vicuna',
};

const TIME_OF_DAY: Form = {
  pattern: /^([01][0-9]|2[0-3]):[0-5][0-9]$/,
  maxLength: 5,
  sentence: 'no time of day: write it as 08:30',
};

const TIME_ZONE: Form = {
  pattern: /^[A-Za-z]+([_+-][A-Za-z0-9]+)*(\/[A-Za-z0-9_+-]+)*$/,
  maxLength: 64,
  sentence: 'no time zone: write it as UTC or Europe/Berlin',
};

const replicaCount = z.int().min(0).max(1_000);
const reference = (description: string) =>
  z.strictObject({ name: formed(DNS_NAME, 'name of a Secret in the same namespace.') }).describe(description);

const startSeconds = z
  .int()
  .min(1)
  .max(7_200)
  .optional()
  .describe('startSeconds that a replica needs from its pod to its first answer, in seconds. Default: as measured, 120 before that.');

const argumentsOf = (whose: string) =>
  z
    .array(z.string().max(4_096))
    .max(128)
    .default([])
    .meta({ 'x-kubernetes-list-type': 'atomic' })
    .describe(`args for ${whose}, after those that the operator gives. Default: none.`);

const delta = (whose: string) =>
  z
    .strictObject({
      uri: formed(
        SOURCE_URI,
        'uri of the delta: a directory that the release tool made (or FastChat’s make_delta), under s3://, hf://, pvc:// or file://.',
      ),
      image: formed(IMAGE, 'image with the release tool. Default: the one of this operator’s own engine.').optional(),
    })
    .optional()
    .describe(
      `delta weights: ${whose} are a base model, to which the delta is added on each node before the engine starts. Default: none.`,
    );

const model = z
  .strictObject({
    name: formed(MODEL_NAME, 'name under which clients ask for the model.'),
    aliases: z
      .array(z.string().min(1).max(128))
      .max(16)
      .default([])
      .meta({ 'x-kubernetes-list-type': 'set' })
      .describe('aliases: other names under which clients may ask for it, such as lmsys/vicuna-13b-v1.5. Default: none.'),
    weights: formed(
      SOURCE_URI,
      'weights: a Hugging Face model directory under s3://, hf://, pvc:// or file://. Default: none, and training is used.',
    ).optional(),
    training: formed(
      DNS_NAME,
      'training: name of a VicunaTraining in the same namespace whose model is served as soon as it is released, or complete where it has no release. Default: none, and weights is used.',
    ).optional(),
    delta: delta('weights'),
    engine: z
      .enum(ENGINE_NAMES)
      .default('vllm')
      .describe(
        'engine that answers: vllm, sglang, transformers (our own, for CPUs and small GPUs), or custom (an image that keeps the contract in docs/serving.md). Default: vllm.',
      ),
    image: formed(IMAGE, 'image of the engine. Default: the version of the engine that this operator was tested with.').optional(),
    command: z
      .array(z.string().max(4_096))
      .min(1)
      .max(64)
      .optional()
      .meta({ 'x-kubernetes-list-type': 'atomic' })
      .describe('command of a custom engine. Default: the image’s own.'),
    args: argumentsOf('the engine'),
    gpus: z.int().min(0).max(64).default(1).describe('gpus that one replica takes; 0 answers on CPUs. Default: 1.'),
    cpu: cpu('cpu that one replica asks for, in cores, such as 8 or 500m. Default: what the template says.').optional(),
    memory: formed(MEMORY, 'memory that one replica asks for, in bytes, such as 64Gi. Default: what the template says.').optional(),
    startSeconds,
    profile: z
      .strictObject({
        latencySeconds: z
          .number()
          .positive()
          .max(3_600)
          .describe('latencySeconds that one request takes on one of the GPUs that has nothing else to do, in seconds.'),
        weightsMemory: formed(GPU_MEMORY, 'weightsMemory that the weights take on the GPU, in bytes, such as 14Gi.'),
        workingMemory: formed(
          GPU_MEMORY,
          'workingMemory that the model needs beside its weights (cache, activations), in bytes. Default: 2Gi.',
        ).default('2Gi'),
        requestsPerSecond: z
          .number()
          .min(0)
          .max(100_000)
          .default(0.1)
          .describe('requestsPerSecond that are expected; counted until the metrics say how many there are. Default: 0.1.'),
      })
      .optional()
      .describe('profile of the model, for multiplexing. Default: none.'),
    canary: z
      .strictObject({
        percent: z.int().min(0).max(100).describe('percent of the requests that the canary answers.'),
        weights: formed(SOURCE_URI, 'weights of the canary. Default: those of the model, and its delta.').optional(),
        delta: delta('weights of the canary, or of the model where it has none of its own,'),
        image: formed(IMAGE, 'image of the canary. Default: the one of the model.').optional(),
        args: argumentsOf('the canary'),
      })
      .optional()
      .describe('canary: another version of the model that answers a share of the requests. Default: none.'),
    template: z
      .record(z.string(), z.unknown())
      .optional()
      .meta({ 'x-kubernetes-preserve-unknown-fields': true })
      .describe('template: a PodTemplateSpec under the replicas’ pods; its container named "engine" is the engine. Default: none.'),
  })
  .describe('model to serve.')
  .meta({
    'x-kubernetes-validations': [
      {
        rule: "self.engine != 'custom' || has(self.image) || has(self.template)",
        message: 'a custom engine needs its image: give image, or a template whose container "engine" has one',
      },
      {
        rule: "self.engine == 'custom' || !has(self.command)",
        message: 'command is for a custom engine: the others are started by the operator; use args',
      },
      {
        rule: 'has(self.weights) != has(self.training)',
        message: 'a model comes from one place: give either weights or training',
      },
      {
        rule: '!has(self.training) || !has(self.delta)',
        message: 'a training’s release says itself whether it is a delta: leave delta out',
      },
    ],
  });

const replicas = z
  .strictObject({
    min: replicaCount.default(1).describe('min replicas of each model that are kept; 0 lets an idle model go to none. Default: 1.'),
    max: replicaCount.min(1).optional().describe('max replicas of each model. Default: min, and at least 1, which makes the number fixed.'),
  })
  .prefault({})
  .describe('replicas of each model. Without autoscaling there are min of them, which kubectl scale and a HorizontalPodAutoscaler set.')
  .meta({
    'x-kubernetes-validations': [
      {
        rule: '!has(self.max) || self.min <= self.max',
        message: 'min is larger than max: give a larger max, or leave max out for a fixed number',
        messageExpression:
          "'min (%d) is larger than max (%d): give max at least %d, or leave max out for a fixed number'.format([self.min, self.max, self.min])",
      },
    ],
  });

const metric = z
  .strictObject({
    name: formed(MODEL_NAME, 'name of the metric, for status and events.'),
    query: z
      .string()
      .min(1)
      .max(4_096)
      .optional()
      .describe(
        'query in PromQL that gives one number; {namespace}, {serving} and {model} in it are replaced. Default: the requests that wait or run, by the engine’s own metrics.',
      ),
    target: z.number().positive().max(1e12).describe('target value of the metric, per replica or in all, as type says.'),
    type: z
      .enum(['perReplica', 'value'])
      .default('perReplica')
      .describe(
        'type of the target: perReplica compares the value divided by the replicas, value compares it as it is. Default: perReplica.',
      ),
    activation: z
      .number()
      .min(0)
      .max(1e12)
      .default(0)
      .describe('activation: a model without replicas gets its first one when the value is above this. Default: 0.'),
  })
  .describe('metric to scale by.');

const scalingRate = (direction: string) =>
  z
    .strictObject({
      stabilization: duration('stabilization window: the most cautious proposal of it counts. Default: 0s up, 300s down.', {
        zero: true,
      }).optional(),
      percent: z.int().min(1).max(10_000).optional().describe('percent of the replicas that one period may add or remove. Default: 100.'),
      replicas: z.int().min(1).max(1_000).optional().describe('replicas that one period may add or remove in any case. Default: 4.'),
      period: duration('period of percent and replicas. Default: 15s.').optional(),
    })
    .prefault({})
    .describe(`${direction}: how fast the number of replicas may change in this direction.`);

const prometheus = z.strictObject({
  url: formed(HTTP_URL, 'url of the Prometheus server, or of anything that speaks its API.'),
  secret: reference('secret whose key token is sent as a bearer token. Default: none.').optional(),
});

const autoscaling = z
  .strictObject({
    prometheus: prometheus.describe('prometheus to ask.'),
    interval: duration('interval between evaluations. Default: 15s.').default('15s'),
    metrics: z
      .array(metric)
      .min(1)
      .max(8)
      .default([{ name: 'requests', target: 8, type: 'perReplica', activation: 0 }])
      .meta({ 'x-kubernetes-list-type': 'map', 'x-kubernetes-list-map-keys': ['name'] })
      .describe('metrics; the one that asks for most replicas counts. Default: 8 requests, waiting or running, per replica.'),
    behavior: z
      .strictObject({
        tolerance: z
          .number()
          .min(0)
          .max(1)
          .default(0.1)
          .describe('tolerance: a smaller relative distance from the target changes nothing. Default: 0.1.'),
        scaleUp: scalingRate('scaleUp'),
        scaleDown: scalingRate('scaleDown'),
        panic: z
          .strictObject({
            window: duration('window in which a burst is looked for. Default: 6s.').default('6s'),
            threshold: z
              .number()
              .min(1)
              .max(100)
              .default(2)
              .describe('threshold: so many times what the replicas are made for is a burst. Default: 2.'),
          })
          .prefault({})
          .describe('panic: during a burst nothing is scaled down.'),
      })
      .prefault({})
      .describe('behavior of the scaling.'),
    schedule: z
      .array(
        z
          .strictObject({
            days: z
              .array(z.enum(['Mon', 'Tue', 'Wed', 'Thu', 'Fri', 'Sat', 'Sun']))
              .min(1)
              .max(7)
              .optional()
              .meta({ 'x-kubernetes-list-type': 'set' })
              .describe('days of the week on which it begins. Default: every day.'),
            start: formed(TIME_OF_DAY, 'start of the time, such as 08:00.'),
            end: formed(TIME_OF_DAY, 'end of the time, such as 18:00; before start it is on the next day.'),
            timeZone: formed(TIME_ZONE, 'timeZone of start and end. Default: UTC.').default('UTC'),
            min: replicaCount.describe('min replicas of each model in that time; they are started early enough to be ready.'),
          })
          .describe('a time in which more replicas are kept.'),
      )
      .max(16)
      .default([])
      .meta({ 'x-kubernetes-list-type': 'atomic' })
      .describe('schedule of times in which more replicas are kept. Default: none.'),
  })
  .optional()
  .describe('autoscaling by metrics. Default: none; there are replicas.min of each model.');

const multiplexing = z
  .strictObject({
    maxGpus: z.int().min(1).max(1_024).describe('maxGpus that all groups may take together.'),
    slo: z
      .strictObject({
        scale: z
          .number()
          .min(1)
          .max(1_000)
          .default(5)
          .describe('scale: a request should be answered within so many times its latency alone on one GPU. Default: 5.'),
      })
      .prefault({})
      .describe('slo of requests.'),
    attainment: z
      .number()
      .min(0.5)
      .max(1)
      .default(0.99)
      .describe('attainment: share of the requests that should meet their SLO; no more GPUs than that needs are used. Default: 0.99.'),
    prometheus: prometheus
      .optional()
      .describe('prometheus that knows the gateway’s metrics. Default: none; the profiles’ requestsPerSecond are planned for.'),
    template: z
      .record(z.string(), z.unknown())
      .optional()
      .meta({ 'x-kubernetes-preserve-unknown-fields': true })
      .describe('template: a PodTemplateSpec under the groups’ pods; its container named "engine" runs the engines. Default: none.'),
  })
  .optional()
  .describe(
    'multiplexing: models share groups of GPUs, placed so that most requests meet their SLO although load comes in bursts. Default: none; each replica has its own GPUs.',
  );

const placement = z
  .strictObject({
    pools: z
      .strictObject({ matchLabels: labels('matchLabels', 'matchLabels that a GpuPool must carry, all of them.') })
      .optional()
      .describe('pools that may be used. Default: all whose nodes have enough accelerators.'),
    accelerator: z.string().min(1).max(63).optional().describe('accelerator type that a pool must have, such as A100. Default: any.'),
    capacity: z
      .enum(['spot', 'onDemand', 'auto'])
      .default('auto')
      .describe('capacity to use; auto takes spot, and on-demand for as long as spot replicas are missing. Default: auto.'),
    onDemandBase: replicaCount.default(0).describe('onDemandBase replicas of each model that always are on-demand. Default: 0.'),
    spare: z
      .union([z.literal('auto'), z.int().min(0).max(100)])
      .default('auto')
      .meta({
        'x-kubernetes-int-or-string': true,
        maxLength: 4,
        'x-kubernetes-validations': [
          {
            rule: "type(self) == int ? (self >= 0 && self <= 100) : string(self) == 'auto'",
            message: 'spare must be a number from 0 to 100, or auto',
          },
        ],
      })
      .describe(
        'spare spot replicas of each model beyond what the load needs; auto, from how likely several are lost at once. Default: auto.',
      ),
    spread: z
      .enum(['zone', 'pool', 'none'])
      .default('zone')
      .describe('spread of the replicas over zones, over pools, or not at all: the cheapest pool first. Default: zone.'),
    maxPricePerHour: dollars('maxPricePerHour of one replica, in US dollars. Default: no limit.').optional(),
    readyDeadline: duration(
      'readyDeadline: a replica whose pod finds no node by then is sought for in another pool. Default: 10m.',
    ).default('10m'),
  })
  .prefault({})
  .describe('placement: where and at what price to run.');

const worker = z
  .strictObject({
    url: formed(HTTP_URL, 'url of a server with OpenAI’s API, outside the cluster.'),
    models: z
      .array(formed(MODEL_NAME, 'name of a model of this serving.'))
      .min(1)
      .max(32)
      .meta({ 'x-kubernetes-list-type': 'set' })
      .describe('models that it answers for.'),
    secret: reference('secret whose key token is sent as a bearer token. Default: none.').optional(),
    engine: z
      .enum(ENGINE_NAMES)
      .default('custom')
      .describe(
        'engine that it runs. Broken answers of vllm and transformers go on by their tokens, others by their text; custom is asked for nothing that OpenAI’s API has not. Default: custom.',
      ),
  })
  .describe('worker plugged in from outside.');

const gateway = z
  .strictObject({
    replicas: z.int().min(1).max(64).default(2).describe('replicas of the gateway. Default: 2.'),
    image: formed(IMAGE, 'image of the gateway. Default: the one of this operator’s version.').optional(),
    apiKeys: reference('apiKeys: a Secret with one API key under each name. Default: none; anybody may ask.').optional(),
    registration: reference(
      'registration: a Secret whose key token lets workers register by FastChat’s protocol. Default: none; they may not.',
    ).optional(),
    template: z
      .record(z.string(), z.unknown())
      .optional()
      .meta({ 'x-kubernetes-preserve-unknown-fields': true })
      .describe('template: a PodTemplateSpec under the gateway’s pods; its container named "gateway" is the gateway. Default: none.'),
    page: z.boolean().default(true).describe('page: serve the chat page. Default: true.'),
    continuation: z.boolean().default(true).describe('continuation: an answer whose worker dies goes on at another worker. Default: true.'),
    moderation: z
      .strictObject({
        url: formed(HTTP_URL, 'url of a server with OpenAI’s moderation API.'),
        model: z.string().min(1).max(128).optional().describe('model to name in its requests. Default: none.'),
        secret: reference('secret whose key token is sent as a bearer token. Default: none.').optional(),
        checks: z
          .array(z.enum(['input', 'output']))
          .min(1)
          .max(2)
          .default(['input', 'output'])
          .meta({ 'x-kubernetes-list-type': 'set' })
          .describe('checks of input, of output, or of both. Default: both.'),
        whenUnavailable: z
          .enum(['block', 'allow'])
          .default('block')
          .describe('whenUnavailable: block refuses what cannot be checked, allow lets it pass. Default: block.'),
        timeout: duration('timeout of one check. Default: 5s.').default('5s'),
      })
      .optional()
      .describe('moderation of questions and answers. Default: none.'),
    limits: z
      .strictObject({
        bodyBytes: z.int().min(1_024).max(67_108_864).default(1_048_576).describe('bodyBytes of a request, in bytes. Default: 1048576.'),
        request: duration('request: longest time until an answer is complete. Default: 10m.').default('10m'),
        idle: duration('idle: longest time between two pieces of an answer. Default: 60s.').default('60s'),
        queue: duration('queue: longest time that a request waits for a worker. Default: 5m.').default('5m'),
        queueLength: z
          .int()
          .min(0)
          .max(100_000)
          .default(1_000)
          .describe('queueLength: requests that may wait in one gateway. Default: 1000.'),
        maxTokens: z.int().min(1).max(10_000_000).optional().describe('maxTokens that one answer may have. Default: the engine’s limit.'),
      })
      .prefault({})
      .describe('limits of requests.'),
  })
  .prefault({})
  .describe('gateway: the endpoint with OpenAI’s API, and the chat page.');

const spec = z
  .strictObject({
    models: z
      .array(model)
      .min(1)
      .max(32)
      .meta({ 'x-kubernetes-list-type': 'map', 'x-kubernetes-list-map-keys': ['name'] })
      .describe('models to serve.'),
    replicas,
    autoscaling,
    multiplexing,
    placement,
    workers: z
      .array(worker)
      .max(64)
      .default([])
      .meta({ 'x-kubernetes-list-type': 'map', 'x-kubernetes-list-map-keys': ['url'] })
      .describe('workers plugged in from outside the cluster. Default: none.'),
    gateway,
    credentials: credentials('engines'),
    weightsCache: z
      .strictObject({
        hostPath: formed(DIRECTORY, 'hostPath: a directory of each node; it is made, and given to the engine’s user, where it is missing.'),
      })
      .optional()
      .describe(
        'weightsCache on the nodes: a replica that starts where the model was before needs no download. Pod Security Standards call hostPath volumes privileged. Default: none.',
      ),
    suspend: z.boolean().default(false).describe('suspend: take all replicas of all models away until it is false again. Default: false.'),
    priorityClassName: formed(DNS_NAME, 'priorityClassName of the replicas’ pods. Default: the cluster’s default class.').optional(),
  })
  .describe('spec: what to serve, and how.')
  .meta({
    'x-kubernetes-validations': [
      {
        rule: '!has(self.workers) || self.workers.all(w, w.models.all(m, self.models.exists(n, n.name == m)))',
        message: 'workers name a model that spec.models has not: add it there, or correct the name',
      },
      {
        rule: '!has(self.multiplexing) || self.models.all(m, has(m.profile))',
        message: 'multiplexing places models by their profile: give every model its profile, latencySeconds and weightsMemory at least',
      },
      {
        rule: "!has(self.multiplexing) || self.models.all(m, m.engine != 'custom' && m.engine == self.models[0].engine && (has(m.image) ? m.image : '') == (has(self.models[0].image) ? self.models[0].image : ''))",
        message: 'models that share GPUs run in one container: give all of them the same engine and image, and not engine custom',
      },
      {
        rule: '!has(self.multiplexing) || self.models.all(m, !has(m.canary) && !has(m.cpu) && !has(m.memory) && !has(m.template))',
        message:
          'with multiplexing pods belong to several models: leave canary, cpu, memory and template of the models out, and use multiplexing.template',
      },
      {
        rule: '!has(self.multiplexing) || !has(self.autoscaling)',
        message: 'multiplexing decides how many GPUs there are: leave autoscaling out, and give multiplexing.prometheus',
      },
    ],
  });

const count = (description: string) => z.int().min(0).describe(description);

const modelStatus = z
  .object({
    name: z.string().max(63).describe('name of the model.'),
    desired: count('desired replicas, as the load needs them.'),
    target: count('target: replicas that are aimed at, with spares and those that replace lost ones.'),
    ready: count('ready replicas that answer.'),
    updated: count('updated replicas of the newest version.').optional(),
    spotReady: count('spotReady: spot replicas among the ready ones.'),
    onDemandReady: count('onDemandReady: on-demand replicas among the ready ones.'),
    leaving: count('leaving replicas whose nodes are being taken away.').optional(),
    queue: z.number().min(0).optional().describe('queue: requests that wait or run, as last measured.'),
    ttftP99: z
      .number()
      .min(0)
      .optional()
      .describe(
        'ttftP99: seconds to the first piece of a streamed answer that one in a hundred exceeded in the last 5 minutes, by Prometheus.',
      ),
    startSeconds: z.number().min(0).optional().describe('startSeconds that a replica needed lately, in seconds.'),
    pools: z
      .record(z.string().max(253), z.int().min(0))
      .optional()
      .meta({ maxProperties: 256 })
      .describe('pools and the replicas aimed at in each.'),
    reason: z.string().max(1_024).optional().describe('reason for the number of replicas, in one sentence.'),
  })
  .describe('a model’s replicas.');

const status = z
  .object({
    conditions: conditionsSchema.optional(),
    observedGeneration: z.int().min(0).optional().describe('observedGeneration is the metadata.generation that the status speaks of.'),
    replicas: count('replicas of all models that exist.').optional(),
    selector: z.string().max(1_024).optional().describe('selector of the replicas’ pods, for the scale subresource.'),
    ready: z.string().max(32).optional().describe('ready of desired replicas of all models, such as 3/4.'),
    modelNames: z.string().max(1_024).optional().describe('modelNames in one line, for printing.'),
    url: z.string().max(1_024).optional().describe('url of the endpoint within the cluster.'),
    sources: z
      .array(
        z.object({
          model: z.string().max(63).describe('model that it is.'),
          training: z.string().max(253).describe('training that it comes from.'),
          trainingUid: z.string().max(64).optional().describe('trainingUid tells that training from a later one of its name.'),
          weights: z.string().max(1_024).describe('weights that are served, or to which the delta is added.'),
          delta: z.string().max(1_024).optional().describe('delta that is added to them.'),
        }),
      )
      .max(32)
      .optional()
      .meta({ 'x-kubernetes-list-type': 'map', 'x-kubernetes-list-map-keys': ['model'] })
      .describe('sources of models that come from trainings, as they were when they were first served.'),
    models: z
      .array(modelStatus)
      .max(32)
      .optional()
      .meta({ 'x-kubernetes-list-type': 'map', 'x-kubernetes-list-map-keys': ['name'] })
      .describe('models and their replicas.'),
    multiplexing: z
      .object({
        groups: z
          .array(
            z.object({
              name: z.string().max(63).describe('name of the group.'),
              models: z.array(z.string().max(63)).max(32).meta({ 'x-kubernetes-list-type': 'set' }).describe('models that share its GPUs.'),
              pipeline: z.int().min(1).describe('pipeline stages, one GPU or several each.'),
              tensor: z.int().min(1).describe('tensor: GPUs of a stage.'),
              replicas: count('replicas of the group.'),
            }),
          )
          .max(256)
          .meta({ 'x-kubernetes-list-type': 'map', 'x-kubernetes-list-map-keys': ['name'] })
          .describe('groups of GPUs and their models.'),
        gpus: count('gpus that the groups take together.'),
        attainment: z.number().min(0).max(1).describe('attainment that the requests of the last half hour would have had in these groups.'),
        changedAt: time('changedAt is when the groups became these.'),
        reason: z.string().max(1_024).describe('reason for these groups, in one sentence.'),
      })
      .optional()
      .describe('multiplexing: who shares GPUs with whom.'),
    totals: z
      .object({
        interruptions: count('interruptions of replicas since the serving was made.'),
        cost: dollars('cost of all replicas so far, in US dollars.'),
        onDemandCost: dollars('onDemandCost: what on-demand nodes would have cost, in US dollars.'),
        saved: dollars('saved against on-demand, in US dollars.'),
        savedPercent: z.string().max(8).optional().describe('savedPercent against on-demand.'),
        gpuHours: z.number().min(0).describe('gpuHours used.'),
      })
      .optional()
      .describe('totals since the serving was made.'),
    accruedUntil: time('accruedUntil this time the totals are counted.').optional(),
  })
  .describe('status: what the operator sees and does.');

export const vicunaServingSchema = z.object({ spec, status: status.optional() });

export const servingRules: readonly Rule[] = [
  {
    rule: `self.metadata.name.size() <= ${MAX_SERVING_NAME}`,
    message: `metadata.name is too long: give it at most ${MAX_SERVING_NAME} characters, since Deployments are named after it`,
  },
  {
    rule: "self.metadata.name.matches('^[a-z]([-a-z0-9]*[a-z0-9])?$')",
    message: 'metadata.name must begin with a letter and have no ".": Services are named after it',
  },
];

/** With weights also where a training is named: they are filled in when it is released. */
export type ServedModel = Omit<z.output<typeof model>, 'weights'> & { weights: string };
export type VicunaServingSpec = Omit<z.output<typeof spec>, 'models'> & { models: ServedModel[] };
export type VicunaServingStatus = z.output<typeof status>;
export type ModelStatus = z.output<typeof modelStatus>;

export interface VicunaServing {
  apiVersion?: string;
  kind?: string;
  metadata: ObjectMeta;
  spec: VicunaServingSpec;
  status?: VicunaServingStatus;
}

export const SERVING: ResourceType<VicunaServing> = {
  group: GROUP,
  version: VERSION,
  kind: 'VicunaServing',
  plural: 'vicunaservings',
  namespaced: true,
};

const withSpecDefaults = defaultsOf(() => structuralSchema(spec));

/** Fills in defaults, for objects older than a default. It refuses nothing. */
export function servingWithDefaults(serving: VicunaServing): VicunaServing {
  return { ...serving, apiVersion: API_VERSION, kind: 'VicunaServing', spec: withSpecDefaults(serving.spec) as VicunaServingSpec };
}
