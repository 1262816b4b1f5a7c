/** A condition type: what it says, and the reasons it may give. Tests hold the controllers to it; docs/reference is made from it. */
export interface ConditionDoc {
  readonly meaning: string;
  readonly reasons: Readonly<Record<string, string>>;
}

/** Conditions of a VicunaTraining. */
export const TRAINING_CONDITIONS = {
  Placed: {
    meaning: 'a pool has been chosen that can hold the workers',
    reasons: {
      Placed: 'the message names the pool, what it costs and how long it is expected to last',
      NoMatchingPool: 'no GpuPool has the accelerator, capacity type and labels that spec.placement asks for: add a pool or change it',
      NoCapacity: 'pools match, but none has room now: it is tried again by itself',
      DoesNotFit: 'the model is too large for the GPUs of every pool: take more workers, larger GPUs or an adapter',
      TooExpensive: 'pools have room, but not below spec.placement.maxPricePerHour',
      BudgetSpent: 'spec.placement.budget is spent: raise it to go on from the last checkpoint',
      MissingSecret: 'a Secret of spec.credentials does not exist: create it, and the training starts by itself',
      MissingDataset: 'the VicunaDataset of spec.dataset does not exist: create it, and the training starts by itself',
      DatasetNotReady:
        'the VicunaDataset of spec.dataset is not complete; the message says how far it is, and the training starts by itself',
      DatasetFailed: 'the VicunaDataset of spec.dataset has failed: mend it and create it again, and the training starts by itself',
    },
  },
  Running: {
    meaning: 'workers train',
    reasons: {
      Training: 'the published world trains; the message says which',
      Interrupted: 'nodes are about to go; training goes on while their replacement starts',
      Starting: 'workers have been created and are not all there yet',
      Waiting: 'there is no place to run: see condition Placed',
      Suspending: 'a last checkpoint is being saved before the nodes are freed',
      Suspended: 'spec.suspend is true and no worker is left',
      Finished: 'the training is complete',
      Failed: 'the training has failed: see condition Failed',
    },
  },
  CheckpointFresh: {
    meaning: 'a committed checkpoint exists from which training would resume',
    reasons: { Saved: 'the message names its step and where it lies' },
  },
  Suspended: {
    meaning: 'the training holds no nodes because spec.suspend asks for it',
    reasons: {
      Suspended: 'the last checkpoint is saved and all workers are gone',
      Resumed: 'spec.suspend is false again',
    },
  },
  Complete: {
    meaning: 'all steps are done and the model is exported; this is final',
    reasons: { Finished: 'rank 0 has reported success' },
  },
  Released: {
    meaning: 'what spec.release asks for has been published',
    reasons: {
      Released: 'the message names what lies where',
      Releasing: 'the release is being made; status.release says how far it is',
      Waiting: 'the release has no place to run: it is tried again by itself',
      MissingEvaluation: 'the VicunaEvaluation of spec.release.gate does not exist',
      EvaluationNotReady: 'the VicunaEvaluation of spec.release.gate is not complete; the release goes on by itself when it is',
      GateRefused: 'the evaluation’s result does not pass spec.release.gate; the message has the figures',
      ReleaseFailed: 'the release could not be made; the message says why',
    },
  },
  Failed: {
    meaning: 'the training was given up; this is final',
    reasons: { RetriesExhausted: 'a cause struck more often than spec.retry allows; the message has the last words of the program' },
  },
} as const satisfies Readonly<Record<string, ConditionDoc>>;

export type TrainingCondition = keyof typeof TRAINING_CONDITIONS;

/** Of what runs as one pod. */
const TASK_CONDITIONS = {
  Placed: {
    meaning: 'the pod has a place',
    reasons: {
      Placed: 'the message names the pool, what it costs and how long it is expected to last',
      AnyNode: 'no pool is named and there is none of CPU nodes: the scheduler may take any node',
      NoMatchingPool: 'no GpuPool has the capacity type and labels that spec.placement asks for: add a pool or change it',
      NoCapacity: 'pools match, but none has room now: it is tried again by itself',
      MissingSecret: 'a Secret that the spec names does not exist: create it, and the pod starts by itself',
    },
  },
  Running: {
    meaning: 'the pod is at work',
    reasons: {
      Working: 'the message names the pod; status.progress says how far it is',
      Starting: 'the pod is on its way; the message says what holds it up, if anything does',
      Waiting: 'there is no place to run, something is missing, or the pod before is still ending',
      BackingOff: 'the program failed and starts again at the time in the message',
      Finished: 'it is complete',
      Failed: 'it has failed: see condition Failed',
    },
  },
  Complete: { meaning: 'the work is done; this is final', reasons: { Finished: 'the message names the pod that did it' } },
  Failed: {
    meaning: 'it was given up; this is final',
    reasons: {
      ConfigurationRefused: 'the program says that the configuration cannot work (exit code 64); the message has its words',
      InputUnusable: 'the program says that its input is missing or damaged (exit code 66); the message has its words',
      RetriesExhausted: 'the program failed more than three times within an hour; the message has its last words',
      ResultUnreadable: 'the program ended well, but left no result that can be read: use an image of this operator’s version',
    },
  },
} as const satisfies Readonly<Record<string, ConditionDoc>>;

/** Conditions of a VicunaDataset. */
export const DATASET_CONDITIONS: Readonly<Record<string, ConditionDoc>> = TASK_CONDITIONS;

/** Conditions of a VicunaEvaluation. */
export const EVALUATION_CONDITIONS = {
  ...TASK_CONDITIONS,
  Placed: {
    ...TASK_CONDITIONS.Placed,
    reasons: {
      ...TASK_CONDITIONS.Placed.reasons,
      MissingServing: 'a VicunaServing that the spec names does not exist, or has no such model',
      ServingNotReady: 'a VicunaServing that the spec names is not ready yet: the evaluation starts by itself',
    },
  },
  Failed: {
    ...TASK_CONDITIONS.Failed,
    reasons: {
      ...TASK_CONDITIONS.Failed.reasons,
      BudgetReached: 'the next request might have exceeded spec.budget: what was judged so far is in the status, and is not paid for again',
    },
  },
} as const satisfies Readonly<Record<string, ConditionDoc>>;

/** Conditions of a GpuPool. */
export const POOL_CONDITIONS = {
  Reachable: {
    meaning: 'the API server of spec.cluster answers; a pool of the operator’s own cluster has no such condition',
    reasons: {
      Connected: 'it answers',
      Slow: 'it answers, but takes long: what happens there is seen late',
      Connecting: 'it has not been asked yet',
      MissingSecret: 'the Secret of spec.cluster.kubeconfigSecret, or its key kubeconfig, does not exist in the operator’s namespace',
      BadKubeconfig: 'the kubeconfig cannot be used: the message says why',
      CredentialsRefused: 'the API server refuses the kubeconfig’s token or certificate: put a new one into the Secret',
      ConnectionFailed: 'it does not answer; after 50 s what runs there is taken for lost, and trainings go on in other pools',
    },
  },
  Ready: {
    meaning: 'the pool has nodes, or may get some',
    reasons: {
      NodesReady: 'the message says how many nodes match spec.nodeSelector',
      MayGrow: 'there is no node yet, and spec.maxNodes lets an autoscaler add some',
      NoNodes: 'no node matches spec.nodeSelector, and none is expected: correct it, add nodes, or set spec.maxNodes',
    },
  },
  CapacityAvailable: {
    meaning: 'new workers may be placed in the pool',
    reasons: {
      NotBlocked: 'the last launch worked, or enough time has passed since one that did not',
      LaunchesFail: 'the last launches found no capacity: the pool is tried again when a node joins, or at the time in the message',
    },
  },
  PricesFresh: {
    meaning: 'the prices that spec.price.source names were read lately; only there with a source',
    reasons: {
      Read: 'the message has the prices and when they were read',
      Waiting: 'they have not been read yet: the prices in spec.price are used',
      Stale: 'they could not be read again, for the reason in the message: the last ones are used for a while yet',
      Unreadable: 'they cannot be read, for the reason in the message: the prices in spec.price are used',
    },
  },
} as const satisfies Readonly<Record<string, ConditionDoc>>;

/** Conditions of a VicunaServing. */
export const SERVING_CONDITIONS = {
  Ready: {
    meaning: 'every model has as many replicas that answer as the load needs, and so has the gateway',
    reasons: {
      AllReady: 'the message says how many replicas answer',
      Starting: 'replicas are on their way; the message says which models wait for them, and for what',
      GatewayStarting: 'the gateway is on its way',
      Suspended: 'spec.suspend is true',
      MissingSecret: 'a Secret that the spec names does not exist: create it, and it is found by itself',
      TrainingNotReady: 'a VicunaTraining that a model comes from is not released yet; the message says how far it is',
      Refused: 'the API server refuses what the operator makes for it; the message has its words, and it is tried again by itself',
    },
  },
  Placed: {
    meaning: 'pools have room for all the replicas',
    reasons: {
      Placed: 'the message says how many replicas are in which pools',
      NoMatchingPool: 'no GpuPool has the accelerator, capacity type and labels that spec.placement asks for: add a pool or change it',
      NoCapacity: 'pools match, but none has room for all replicas now: it is tried again by itself',
      NoPlan: 'no grouping of the models on shared GPUs was found; the message says why',
    },
  },
  MetricsAvailable: {
    meaning: 'the metrics that the number of replicas follows can be read',
    reasons: {
      Fresh: 'every query gave a number',
      Unavailable: 'the message says which query gave none, and why: the number of replicas is held until it does',
      NotUsed: 'spec.autoscaling is not set: the number of replicas is spec.replicas.min',
    },
  },
  ScalingLimited: {
    meaning: 'more or fewer replicas were wanted than a limit allows',
    reasons: {
      WithinLimits: 'no limit holds the number of replicas',
      TooManyReplicas: 'the load asks for more than spec.replicas.max',
      TooFewReplicas: 'the load asks for fewer than spec.replicas.min, or than a time in the schedule keeps',
      RateLimited: 'the number of replicas is on its way at the pace that the behavior allows',
    },
  },
} as const satisfies Readonly<Record<string, ConditionDoc>>;
