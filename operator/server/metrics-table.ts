/** One metric of the operator: what Prometheus sees and what the reference page says. */
export type MetricDefinition = {
  name: string;
  type: 'gauge' | 'counter' | 'histogram';
  labels: readonly string[];
  help: string;
  /** Upper bounds of a histogram's buckets. */
  buckets?: readonly number[];
};

const TRAINING = ['namespace', 'training'] as const;
const SERVING = ['namespace', 'serving'] as const;
const TASK = ['namespace', 'kind', 'name'] as const;
const POOL = ['pool'] as const;

const INTERRUPTION_SECONDS = [0.05, 0.1, 0.2, 0.5, 1, 2, 5, 10, 20, 30, 60, 120, 300, 600, 1800, 3600];
const REQUEST_SECONDS = [0.001, 0.005, 0.01, 0.025, 0.05, 0.1, 0.2, 0.5, 1, 5, 10, 20, 30, 35];
const DELIVERY_SECONDS = [0.001, 0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1, 2, 5];
const QUEUE_SECONDS = [0.0001, 0.001, 0.005, 0.01, 0.05, 0.1, 0.5, 1, 5, 10, 30, 60];

/**
 * Every metric of the operator besides those of the process (process_* and nodejs_*). Metrics whose labels begin with namespace and
 * training, or with pool, lose that training's or pool's series when it is deleted.
 */
export const METRICS = {
  trainingInfo: {
    name: 'vicuna_training_info',
    type: 'gauge',
    labels: [...TRAINING, 'pool', 'capacity'],
    help: 'Always 1; its labels tell the GpuPool and the kind of capacity (spot, onDemand) the training runs on, empty while on none.',
  },
  trainingPhase: {
    name: 'vicuna_training_phase',
    type: 'gauge',
    labels: [...TRAINING, 'phase'],
    help: 'Always 1; its label is the present phase, as in status.phase.',
  },
  trainingGeneration: {
    name: 'vicuna_training_generation',
    type: 'gauge',
    labels: TRAINING,
    help: 'Generation of the published world; it grows by one with every change of members.',
  },
  trainingWorldSize: {
    name: 'vicuna_training_world_size',
    type: 'gauge',
    labels: TRAINING,
    help: 'Worker pods in the published world; 0 while there is none.',
  },
  trainingStep: {
    name: 'vicuna_training_step',
    type: 'gauge',
    labels: TRAINING,
    help: 'Optimizer steps done, as rank 0 last reported.',
  },
  trainingTotalSteps: {
    name: 'vicuna_training_total_steps',
    type: 'gauge',
    labels: TRAINING,
    help: 'Optimizer steps of the whole training.',
  },
  trainingEpoch: {
    name: 'vicuna_training_epoch',
    type: 'gauge',
    labels: TRAINING,
    help: 'Passes over the dataset done, with the fraction of the present one.',
  },
  trainingLoss: {
    name: 'vicuna_training_loss',
    type: 'gauge',
    labels: TRAINING,
    help: 'Training loss of the last reported step.',
  },
  trainingValidationLoss: {
    name: 'vicuna_training_validation_loss',
    type: 'gauge',
    labels: TRAINING,
    help: 'Loss on the conversations of spec.dataset.validation, as last measured.',
  },
  trainingTokensPerSecond: {
    name: 'vicuna_training_tokens_per_second',
    type: 'gauge',
    labels: TRAINING,
    help: 'Tokens per second of the whole world, as rank 0 last reported; 0 while it does not run.',
  },
  trainingCheckpointAge: {
    name: 'vicuna_training_checkpoint_age_seconds',
    type: 'gauge',
    labels: TRAINING,
    help: 'Seconds since the last committed checkpoint was saved, at the time of the scrape.',
  },
  trainingCheckpointStep: {
    name: 'vicuna_training_checkpoint_step',
    type: 'gauge',
    labels: TRAINING,
    help: 'Step of the last committed checkpoint.',
  },
  trainingCheckpointBytes: {
    name: 'vicuna_training_checkpoint_bytes',
    type: 'gauge',
    labels: TRAINING,
    help: 'Size of the last committed checkpoint in bytes.',
  },
  trainingCheckpointSeconds: {
    name: 'vicuna_training_checkpoint_seconds',
    type: 'gauge',
    labels: TRAINING,
    help: 'Seconds from the start of the last committed save to its commit.',
  },
  trainingCheckpointStall: {
    name: 'vicuna_training_checkpoint_stall_seconds',
    type: 'gauge',
    labels: TRAINING,
    help: 'Seconds for which the last committed save held up training.',
  },
  trainingGoodput: {
    name: 'vicuna_training_goodput',
    type: 'gauge',
    labels: TRAINING,
    help: 'Part of the paid time spent on steps that were kept, from 0 to 1.',
  },
  trainingGpuHours: {
    name: 'vicuna_training_gpu_hours_total',
    type: 'counter',
    labels: TRAINING,
    help: 'GPU hours the training has occupied, from status.totals: it goes on over restarts of the operator.',
  },
  trainingCost: {
    name: 'vicuna_training_cost_dollars_total',
    type: 'counter',
    labels: TRAINING,
    help: 'What the training has cost, in USD.',
  },
  trainingOnDemandCost: {
    name: 'vicuna_training_on_demand_cost_dollars_total',
    type: 'counter',
    labels: TRAINING,
    help: 'What the same time would have cost on demand, in USD.',
  },
  trainingInterruptions: {
    name: 'vicuna_training_interruptions_total',
    type: 'counter',
    labels: TRAINING,
    help: 'Interruptions of the training, from status.totals.',
  },
  trainingLostSteps: {
    name: 'vicuna_training_lost_steps_total',
    type: 'counter',
    labels: TRAINING,
    help: 'Steps of the training that interruptions undid and that were done again, from status.totals.',
  },
  interruptions: {
    name: 'vicuna_interruptions_total',
    type: 'counter',
    labels: ['cause', 'notice'],
    help: 'Interruptions that have been dealt with, by cause, and by whether they were announced (notice is true or false).',
  },
  interruptionLeg: {
    name: 'vicuna_interruption_leg_seconds',
    type: 'histogram',
    labels: ['leg'],
    help: 'Seconds of each leg of an interruption: notice_to_directive, notice_to_checkpoint, notice_to_replaced, replaced_to_resumed, total.',
    buckets: INTERRUPTION_SECONDS,
  },
  lostSteps: {
    name: 'vicuna_lost_steps_total',
    type: 'counter',
    labels: [],
    help: 'Steps that interruptions undid and that were done again, over all trainings since the operator started.',
  },
  servingDesired: {
    name: 'vicuna_serving_desired_replicas',
    type: 'gauge',
    labels: [...SERVING, 'model'],
    help: 'Replicas that the load needs, as last decided.',
  },
  servingTarget: {
    name: 'vicuna_serving_target_replicas',
    type: 'gauge',
    labels: [...SERVING, 'model'],
    help: 'Replicas that are aimed at, with spares and those that stand in for spot.',
  },
  servingReady: {
    name: 'vicuna_serving_ready_replicas',
    type: 'gauge',
    labels: [...SERVING, 'model', 'capacity'],
    help: 'Replicas that answer and are sent requests.',
  },
  servingPoolReplicas: {
    name: 'vicuna_serving_pool_replicas',
    type: 'gauge',
    labels: [...SERVING, 'model', 'pool'],
    help: 'Replicas that are aimed at in each GpuPool.',
  },
  servingLeaving: {
    name: 'vicuna_serving_leaving_replicas',
    type: 'gauge',
    labels: [...SERVING, 'model'],
    help: 'Replicas whose nodes are being taken away: they finish what they have begun.',
  },
  servingGateways: {
    name: 'vicuna_serving_ready_gateways',
    type: 'gauge',
    labels: SERVING,
    help: 'Copies of the gateway that take requests.',
  },
  servingMetricsAvailable: {
    name: 'vicuna_serving_metrics_available',
    type: 'gauge',
    labels: SERVING,
    help: '1 while every metric that the number of replicas follows can be read, else 0: then that number is held. Absent where it follows none.',
  },
  servingScaled: {
    name: 'vicuna_serving_scaling_decisions_total',
    type: 'counter',
    labels: [...SERVING, 'decision'],
    help: 'Decisions to change the number of replicas: ScaledUp or ScaledDown; events give the reason of each.',
  },
  servingScalingLimit: {
    name: 'vicuna_serving_scaling_limit',
    type: 'gauge',
    labels: [...SERVING, 'reason'],
    help: 'Always 1; its label is the reason of condition ScalingLimited: WithinLimits, TooFewReplicas, TooManyReplicas or RateLimited.',
  },
  servingInterruptions: {
    name: 'vicuna_serving_interruptions_total',
    type: 'counter',
    labels: SERVING,
    help: 'Replicas whose nodes were taken away.',
  },
  servingCost: {
    name: 'vicuna_serving_cost_dollars_total',
    type: 'counter',
    labels: SERVING,
    help: 'US dollars paid for replicas.',
  },
  servingOnDemandCost: {
    name: 'vicuna_serving_on_demand_cost_dollars_total',
    type: 'counter',
    labels: SERVING,
    help: 'US dollars that the same replicas would have cost on demand.',
  },
  servingGpuHours: {
    name: 'vicuna_serving_gpu_hours_total',
    type: 'counter',
    labels: SERVING,
    help: 'GPU hours used by replicas.',
  },
  taskPhase: {
    name: 'vicuna_task_phase',
    type: 'gauge',
    labels: [...TASK, 'phase'],
    help: 'Always 1; its label is the present phase of the VicunaDataset, VicunaEvaluation or (kind Release) release of a VicunaTraining, as in its status.',
  },
  taskPending: {
    name: 'vicuna_task_pending',
    type: 'gauge',
    labels: [...TASK, 'reason'],
    help: 'Always 1, while the phase is Pending; its label tells what is missing, as the reason of condition Placed, or of a release of condition Released.',
  },
  taskDone: {
    name: 'vicuna_task_units_done',
    type: 'gauge',
    labels: TASK,
    help: 'Units done in the present stage, as in status.progress.',
  },
  taskTotal: {
    name: 'vicuna_task_units',
    type: 'gauge',
    labels: TASK,
    help: 'Units of the present stage, as in status.progress; absent while unknown.',
  },
  taskInterruptions: {
    name: 'vicuna_task_interruptions_total',
    type: 'counter',
    labels: TASK,
    help: 'Pods that were replaced through no fault of their own, from status.totals.',
  },
  taskErrors: {
    name: 'vicuna_task_errors_total',
    type: 'counter',
    labels: TASK,
    help: 'Pods whose program failed, from status.retries.',
  },
  taskCost: {
    name: 'vicuna_task_cost_dollars_total',
    type: 'counter',
    labels: TASK,
    help: 'What the pods have cost, in USD; requests to paid servers are not in it.',
  },
  taskOnDemandCost: {
    name: 'vicuna_task_on_demand_cost_dollars_total',
    type: 'counter',
    labels: TASK,
    help: 'What the same time would have cost on demand, in USD.',
  },
  datasetRecords: {
    name: 'vicuna_dataset_records',
    type: 'gauge',
    labels: [...TASK, 'outcome'],
    help: 'Records of the sources of a complete VicunaDataset; outcome is kept or rejected.',
  },
  evaluationWinRate: {
    name: 'vicuna_evaluation_win_rate',
    type: 'gauge',
    labels: [...TASK, 'baseline'],
    help: 'Wins of a VicunaEvaluation’s candidate and half of the ties, as a share of those judged, from 0 to 1.',
  },
  evaluationQuality: {
    name: 'vicuna_evaluation_relative_quality',
    type: 'gauge',
    labels: [...TASK, 'baseline'],
    help: 'Score of a VicunaEvaluation’s candidate divided by the baseline’s.',
  },
  evaluationScore: {
    name: 'vicuna_evaluation_score',
    type: 'gauge',
    labels: TASK,
    help: 'Mean score of a VicunaEvaluation’s candidate over all that was judged, from 1 to 10.',
  },
  poolNodes: {
    name: 'vicuna_pool_nodes',
    type: 'gauge',
    labels: POOL,
    help: 'Ready nodes of the GpuPool.',
  },
  poolSpotNode: {
    name: 'vicuna_pool_spot_node_info',
    type: 'gauge',
    labels: [...POOL, 'node'],
    help: 'Always 1; one for each node of a GpuPool of spot capacity in the operator’s own cluster on which workers may be put.',
  },
  poolGpus: {
    name: 'vicuna_pool_gpus',
    type: 'gauge',
    labels: [...POOL, 'state'],
    help: 'GPUs on the ready nodes of the GpuPool; state is used or free.',
  },
  poolPrice: {
    name: 'vicuna_pool_price_dollars_per_hour',
    type: 'gauge',
    labels: POOL,
    help: 'Present price of one node of the GpuPool in USD an hour.',
  },
  poolPriceReadAt: {
    name: 'vicuna_pool_price_read_timestamp_seconds',
    type: 'gauge',
    labels: POOL,
    help: 'When the prices of the GpuPool were last read from its cloud, in seconds since the epoch; 0 = never. Absent where spec.price has no source.',
  },
  poolPriceRefresh: {
    name: 'vicuna_pool_price_refresh_seconds',
    type: 'gauge',
    labels: POOL,
    help: 'How often the prices of the GpuPool are to be read from its cloud, as in spec.price.source. Absent where spec.price has no source.',
  },
  poolBlocked: {
    name: 'vicuna_pool_blocked',
    type: 'gauge',
    labels: POOL,
    help: '1 while the GpuPool is passed over because it had no capacity, else 0.',
  },
  poolRemainingLife: {
    name: 'vicuna_pool_remaining_life_seconds',
    type: 'gauge',
    labels: POOL,
    help: 'Expected time until a node of the GpuPool is interrupted, in seconds; absent where nothing is known.',
  },
  poolInterruptions: {
    name: 'vicuna_pool_interruptions_total',
    type: 'counter',
    labels: POOL,
    help: 'Interruptions of nodes of the GpuPool.',
  },
  poolLaunches: {
    name: 'vicuna_pool_launches_total',
    type: 'counter',
    labels: [...POOL, 'result'],
    help: 'Gangs that asked the GpuPool for capacity; result is placed or noCapacity.',
  },
  workerRequests: {
    name: 'vicuna_worker_requests_total',
    type: 'counter',
    labels: ['call', 'code'],
    help: 'Requests of the worker protocol; call is world, report or task, code the HTTP status, or aborted when the worker went away.',
  },
  workerRequestSeconds: {
    name: 'vicuna_worker_request_seconds',
    type: 'histogram',
    labels: ['call', 'code'],
    help: 'Duration of requests of the worker protocol; those for a world wait up to 30 s for one by design.',
    buckets: REQUEST_SECONDS,
  },
  worldDelivery: {
    name: 'vicuna_world_delivery_seconds',
    type: 'histogram',
    labels: [],
    help: 'Seconds from publishing a world to having it sent to a worker that was waiting for it.',
    buckets: DELIVERY_SECONDS,
  },
  worldWaiters: {
    name: 'vicuna_world_waiters',
    type: 'gauge',
    labels: [],
    help: 'Workers that wait for a world at the time of the scrape.',
  },
  queueDepth: {
    name: 'workqueue_depth',
    type: 'gauge',
    labels: ['name'],
    help: 'Keys that wait in the work queue.',
  },
  queueUnfinished: {
    name: 'workqueue_unfinished_work_seconds',
    type: 'gauge',
    labels: ['name'],
    help: 'Seconds spent so far on all keys being worked on; a growing value means that workers are stuck.',
  },
  queueLongest: {
    name: 'workqueue_longest_running_processor_seconds',
    type: 'gauge',
    labels: ['name'],
    help: 'Seconds spent so far on the key that has been worked on longest.',
  },
  queueAdds: {
    name: 'workqueue_adds_total',
    type: 'counter',
    labels: ['name'],
    help: 'Keys added to the work queue.',
  },
  queueRetries: {
    name: 'workqueue_retries_total',
    type: 'counter',
    labels: ['name'],
    help: 'Keys put back into the work queue after a failure.',
  },
  queueSeconds: {
    name: 'workqueue_queue_duration_seconds',
    type: 'histogram',
    labels: ['name'],
    help: 'Seconds a key waited in the work queue before it was taken up.',
    buckets: QUEUE_SECONDS,
  },
  workSeconds: {
    name: 'workqueue_work_duration_seconds',
    type: 'histogram',
    labels: ['name'],
    help: 'Seconds that working on a key took.',
    buckets: QUEUE_SECONDS,
  },
  reconciles: {
    name: 'controller_runtime_reconcile_total',
    type: 'counter',
    labels: ['controller', 'result'],
    help: 'Reconciliations by controller; result is success, error or requeue_after.',
  },
  reconcileErrors: {
    name: 'controller_runtime_reconcile_errors_total',
    type: 'counter',
    labels: ['controller'],
    help: 'Reconciliations that failed.',
  },
  reconcileSeconds: {
    name: 'controller_runtime_reconcile_time_seconds',
    type: 'histogram',
    labels: ['controller'],
    help: 'Duration of reconciliations.',
    buckets: QUEUE_SECONDS,
  },
  activeWorkers: {
    name: 'controller_runtime_active_workers',
    type: 'gauge',
    labels: ['controller'],
    help: 'Reconciliations under way.',
  },
  eventsDropped: {
    name: 'vicuna_events_dropped_total',
    type: 'counter',
    labels: [],
    help: 'Kubernetes events that were not written: the buffer was full, or the API server refused.',
  },
  leader: {
    name: 'leader_election_master_status',
    type: 'gauge',
    labels: ['name'],
    help: '1 while this copy of the operator leads, else 0.',
  },
  apiRequests: {
    name: 'vicuna_api_requests_total',
    type: 'counter',
    labels: ['verb', 'resource', 'code'],
    help: 'Requests to the Kubernetes API by verb, resource (plural, with /status for the subresource) and HTTP status; code is 0 when none came.',
  },
  apiRequestSeconds: {
    name: 'vicuna_api_request_seconds',
    type: 'histogram',
    labels: ['verb', 'resource'],
    help: 'Duration of requests to the Kubernetes API, watches excepted.',
    buckets: REQUEST_SECONDS,
  },
} as const satisfies Record<string, MetricDefinition>;

type Described = Pick<MetricDefinition, 'name' | 'type' | 'labels' | 'help'>;

/** The metrics as a Markdown page for docs/reference: the operator's, and those that gateways and notifiers have. */
export function metricsReference(gateway: readonly Described[], notifier: readonly Described[]): string {
  const row = ({ name, type, labels, help }: Described) =>
    `| \`${name}\` | ${type} | ${labels.map((label) => `\`${label}\``).join(', ')} | ${help} |`;
  const definitions: MetricDefinition[] = Object.values(METRICS);
  return [
    '# Metrics',
    '',
    'What the operator serves on `/metrics`, in Prometheus text format. Series of a training or GpuPool vanish when it is deleted.',
    'Set `honorLabels: true` in the scrape configuration, so that `namespace` stays that of the training.',
    '',
    '| name | type | labels | meaning |',
    '|---|---|---|---|',
    ...definitions.map(row),
    '',
    "Besides these, `process_*` and `nodejs_*` describe the operator's process.",
    '',
    '## The gateway’s',
    '',
    'What each copy of a serving’s gateway serves on port 9090. The labels of its pod tell the serving.',
    '',
    '| name | type | labels | meaning |',
    '|---|---|---|---|',
    ...gateway.map(row),
    '',
    '## The notifier’s',
    '',
    'What the notifier of each node serves on port 9814 (`notifier.port` of the chart). The chart’s PodMonitor adds `node`.',
    '',
    '| name | type | labels | meaning |',
    '|---|---|---|---|',
    ...notifier.map(row),
    '',
  ].join('\n');
}
