// The alerts, with what to do about each: one source of Prometheus' rules, of the chart's PrometheusRule and of docs/runbooks.md.
import { stringify } from 'yaml';
import { ANSWER_AGE, BLIND_AFTER_SECONDS, once, UNNOTIFIED } from './dashboards/queries.ts';

export interface Alert {
  readonly name: string;
  readonly expr: string;
  /** How long it must be so. */
  readonly for: string;
  readonly severity: 'critical' | 'warning';
  /** One line; Prometheus fills labels and value in. */
  readonly summary: string;
  /** What it means for users. */
  readonly meaning: string;
  /** Where to look, in this order, and what to do. */
  readonly steps: readonly string[];
}

export interface AlertGroup {
  readonly name: string;
  readonly title: string;
  readonly alerts: readonly Alert[];
}

const LEADERS = 'sum(leader_election_master_status{name="vicuna-operator"})';
const TRAINING = '{{ $labels.namespace }}/{{ $labels.training }}';
const SERVING = '{{ $labels.namespace }}/{{ $labels.serving }}';
const GATEWAY = '{{ $labels.namespace }}/{{ $labels.vicuna_run_serving }}';
const phase = (phases: string) => once(`vicuna_training_phase{phase=~"${phases}"}`, 'namespace, training');
const TASK = '{{ $labels.kind }} {{ $labels.namespace }}/{{ $labels.name }}';
const BY_TASK = 'namespace, kind, name';
const taskPhase = (phases: string) => once(`vicuna_task_phase{phase=~"${phases}"}`, BY_TASK);
/** Others of our objects that a task waits for, maybe for days; what goes wrong with those has alerts of its own. */
const COMES_BY_ITSELF = 'ServingNotReady|EvaluationNotReady';
const DESCRIBE_TASK = '`kubectl describe KIND NAME` (Release: `vicunatraining NAME`)';
const served = (metric: string) => once(`vicuna_serving_${metric}`, 'namespace, serving, model');
const ready = `sum by (namespace, serving, model) (${once('vicuna_serving_ready_replicas', 'namespace, serving, model, capacity')})`;
const BY_MODEL = 'namespace, vicuna_run_serving, model';
const UNHEARD =
  'If nothing else marks the node, its interruption comes without notice: trainings lose the steps since their last checkpoint, servings the requests under way there.';
const logs = '`kubectl -n vicuna-system logs deployment/vicuna-operator --all-pods --since=30m`';

export const ALERT_GROUPS: readonly AlertGroup[] = [
  {
    name: 'vicuna-operator',
    title: 'Operator',
    alerts: [
      {
        name: 'VicunaOperatorDown',
        expr: 'absent(leader_election_master_status{name="vicuna-operator"})',
        for: '5m',
        severity: 'critical',
        summary: 'No copy of the Vicuna operator is scraped',
        meaning:
          'Trainings go on and save by themselves, gateways go on answering; but nothing is replaced, moved or scaled while no copy runs.',
        steps: [
          '`kubectl -n vicuna-system get pods -l app.kubernetes.io/component=operator`: are there pods, and do they run?',
          'Pending: `kubectl describe pod` says why. CrashLoopBackOff: the last line of its log says in one sentence what keeps it from starting.',
          'They run: then it is Prometheus that does not see them. Check the ServiceMonitor’s labels (`monitoring.labels`) and the NetworkPolicy (`networkPolicy.metricsFrom`).',
        ],
      },
      {
        name: 'VicunaOperatorNoLeader',
        expr: `${LEADERS} == 0`,
        for: '2m',
        severity: 'critical',
        summary: 'Copies of the Vicuna operator run, but none leads',
        meaning: 'As if none ran. A change of the lead takes 15 s at most.',
        steps: [
          '`kubectl -n vicuna-system get lease vicuna-operator -o yaml`: who holds it, and when was it renewed?',
          `${logs}: “leader election” with a 403 means that the Role is missing; with time-outs, that the API server is slow or away.`,
        ],
      },
      {
        name: 'VicunaOperatorTwoLeaders',
        expr: `${LEADERS} > 1`,
        for: '1m',
        severity: 'critical',
        summary: 'Two copies of the Vicuna operator lead',
        meaning: 'Two operators act on the same objects and undo each other’s work: usually two releases in different namespaces.',
        steps: [
          '`kubectl get leases -A | grep vicuna-operator`: more than one lease means more than one release. Uninstall all but one.',
          'One lease: a node whose clock or network hangs. Delete the pod that the lease does not name.',
        ],
      },
      {
        name: 'VicunaReconcileErrors',
        expr: 'sum by (controller) (rate(controller_runtime_reconcile_errors_total[10m])) / sum by (controller) (rate(controller_runtime_reconcile_total[10m])) > 0.1',
        for: '15m',
        severity: 'warning',
        summary: '{{ $value | humanizePercentage }} of the reconciliations of {{ $labels.controller }} fail',
        meaning: 'Some objects are not brought to what their specs say; each is tried again with growing pauses.',
        steps: [`${logs} and look for “reconcile failed”: each line names the object and the error.`, 'A 403: see VicunaApiForbidden.'],
      },
      {
        name: 'VicunaQueueStuck',
        expr: 'max by (name) (workqueue_longest_running_processor_seconds) > 120',
        for: '5m',
        severity: 'warning',
        summary: 'A reconciliation of {{ $labels.name }} takes {{ $value | humanizeDuration }}',
        meaning: 'One object, and with many of them all, is not looked after.',
        steps: [
          'Dashboard “Vicuna / Operator”, time of requests: is the API server slow?',
          `${logs}. If nothing explains it, delete the leading pod: the other copy takes over with nothing lost.`,
        ],
      },
      {
        name: 'VicunaApiErrors',
        expr: 'sum(rate(vicuna_api_requests_total{code=~"0|429|5.."}[10m])) / sum(rate(vicuna_api_requests_total[10m])) > 0.05',
        for: '10m',
        severity: 'warning',
        summary: '{{ $value | humanizePercentage }} of the operator’s requests to the API server fail',
        meaning: 'Reactions to interruptions are late.',
        steps: [
          'Dashboard “Vicuna / Operator”, requests that failed: 0 and 5xx are the API server’s or the network’s, 429 its flow control.',
          '429: give the operator’s account a PriorityLevelConfiguration of its own.',
        ],
      },
      {
        name: 'VicunaApiForbidden',
        expr: 'sum by (verb, resource) (rate(vicuna_api_requests_total{code="403"}[10m])) > 0',
        for: '10m',
        severity: 'warning',
        summary: 'The operator may not {{ $labels.verb }} {{ $labels.resource }}',
        meaning: 'Roles are older than the operator, or a namespace is not in `rbac.namespaces`, or a quota or policy refuses its objects.',
        steps: [
          `${logs}: the error names the object and who refused it.`,
          '`helm upgrade` with the version that runs renews the roles; `rbac.namespaces` must name each namespace with trainings or servings.',
        ],
      },
      {
        name: 'VicunaEventsDropped',
        expr: 'sum(increase(vicuna_events_dropped_total[15m])) > 0',
        for: '0m',
        severity: 'warning',
        summary: '{{ $value | humanize }} events were not written',
        meaning: '`kubectl describe` does not tell the whole story; nothing else is lost.',
        steps: ['The API server refused or was slow: see VicunaApiErrors and VicunaApiForbidden.'],
      },
    ],
  },
  {
    name: 'vicuna-training',
    title: 'Trainings',
    alerts: [
      {
        name: 'VicunaTrainingFailed',
        expr: `${phase('Failed')} == 1`,
        for: '0m',
        severity: 'warning',
        summary: `Training ${TRAINING} has failed`,
        meaning: 'Its retries are used up; it does not go on by itself. Its last checkpoint is kept.',
        steps: [
          '`kubectl describe vicunatraining NAME`: condition Failed says why, events what happened before.',
          'Repair the cause and apply the training under a new name with the same `checkpoint.storage` and the `checkpoint.resumeFrom` that the condition’s message names: it goes on from there.',
        ],
      },
      {
        name: 'VicunaTrainingNotPlaced',
        expr: `${phase('Pending|Waiting|Starting')} == 1`,
        for: '1h',
        severity: 'warning',
        summary: `Training ${TRAINING} has had no nodes for an hour`,
        meaning: 'No pool gave capacity, or pods do not start.',
        steps: [
          '`kubectl describe vicunatraining NAME`: condition Placed says which pools were tried, and why not others.',
          '`kubectl get gpupools`: which are blocked, and until when? Let it use more pools, or `capacity: auto` for on-demand ones.',
          'Its pods are Pending or cannot pull their image: `kubectl describe pod`.',
        ],
      },
      {
        name: 'VicunaTrainingStalled',
        expr: `(${phase('Running')} == 1) unless on (namespace, training) (${once('changes(vicuna_training_step[30m])', 'namespace, training')} > 0)`,
        for: '30m',
        severity: 'warning',
        summary: `Training ${TRAINING} runs, but makes no steps`,
        meaning: 'GPUs are paid for nothing.',
        steps: [
          '`kubectl logs -l vicuna.run/training=NAME --prefix --tail=50`: where does it wait? A dataset or bucket that does not answer, a collective that hangs.',
          'A step that takes more than half an hour is no fault: silence the alert for this training.',
          'Delete one of its pods: the world forms anew from the last checkpoint.',
        ],
      },
      {
        name: 'VicunaCheckpointOld',
        expr: `${once('vicuna_training_checkpoint_age_seconds', 'namespace, training')} > 7200 and on (namespace, training) ${phase('Running')} == 1`,
        for: '10m',
        severity: 'warning',
        summary: `The last checkpoint of ${TRAINING} is {{ $value | humanizeDuration }} old`,
        meaning: 'An interruption without notice would undo all work since.',
        steps: [
          '`kubectl describe vicunatraining NAME`: condition CheckpointFresh says why.',
          '`kubectl logs` of rank 0, “checkpoint”: storage that refuses, is full or slow.',
          'An interval of more than two hours in `spec.checkpoint.interval`: silence the alert for this training.',
        ],
      },
      {
        name: 'VicunaGoodputLow',
        expr: `${once('vicuna_training_goodput', 'namespace, training')} < 0.7 and on (namespace, training) ${phase('Running')} == 1`,
        for: '1h',
        severity: 'warning',
        summary: `Only {{ $value | humanizePercentage }} of the time that ${TRAINING} pays for makes steps`,
        meaning: 'Interruptions, starts and repeated work eat what spot saves.',
        steps: [
          'Dashboard “Vicuna / Training”: which leg of the interruptions is long? Long replacement: more pools. Long resumption: smaller images, storage nearer to the nodes. Steps lost: a shorter `checkpoint.interval`.',
          'Pools with short lives: dashboard “Vicuna / Fleet”, expected life of a node. Take them out of `placement.pools`, or set `capacity: auto`.',
        ],
      },
    ],
  },
  {
    name: 'vicuna-tasks',
    title: 'Datasets, evaluations and releases',
    alerts: [
      {
        name: 'VicunaTaskFailed',
        expr: `${taskPhase('Failed')} == 1`,
        for: '0m',
        severity: 'warning',
        summary: `${TASK} has failed`,
        meaning: 'It does not go on by itself, and what waits for it waits on. What is done is kept.',
        steps: [
          `${DESCRIBE_TASK}: condition Failed, of a release Released, has the program’s own words.`,
          'Mend the cause and create the object again: it goes on from what is done. Make a release by hand ([training](training.md#release)).',
        ],
      },
      {
        name: 'VicunaTaskPending',
        expr: `${once(`vicuna_task_pending{reason!~"${COMES_BY_ITSELF}"}`, `${BY_TASK}, reason`)} == 1`,
        for: '30m',
        severity: 'warning',
        summary: `${TASK} has waited for half an hour for what does not come by itself: {{ $labels.reason }}`,
        meaning: 'It has not begun, and what waits for it waits on.',
        steps: [
          `${DESCRIBE_TASK}: condition Placed, of a release Released, names what is missing.`,
          'MissingSecret, MissingServing, MissingEvaluation: create it, or correct its name or that of the model; the task then starts by itself.',
          'GateRefused: the model is not as good as `spec.release.gate` asks for. Train anew, or change the gate.',
        ],
      },
      {
        name: 'VicunaTaskNotPlaced',
        expr: `${taskPhase('Waiting|Starting')} == 1`,
        for: '1h',
        severity: 'warning',
        summary: `${TASK} has had no node for an hour`,
        meaning: 'No pool gave capacity, or its pod does not start.',
        steps: [
          `${DESCRIBE_TASK}: conditions Placed and Running, of a release Released, say what it waits for.`,
          '`kubectl get gpupools`: it uses those without accelerators unless `placement.pools` says otherwise. Which are blocked or full, and may they grow (`maxNodes`)?',
          'Its pod is Pending or cannot pull its image: `kubectl describe pod`.',
        ],
      },
      {
        name: 'VicunaTaskStalled',
        expr: `(${taskPhase('Running')} == 1) unless on (${BY_TASK}) (${once('changes(vicuna_task_units_done[1h])', BY_TASK)} > 0)`,
        for: '30m',
        severity: 'warning',
        summary: `${TASK} runs, but comes no further`,
        meaning: 'A node is paid for nothing, and what waits for it waits on.',
        steps: [
          '`kubectl logs` of its pod, which its status names: what does it wait for? A bucket, a serving or a judge that does not answer, or that limits how often it may be asked.',
          'Delete the pod: another one goes on from what is done.',
        ],
      },
    ],
  },
  {
    name: 'vicuna-pools',
    title: 'Pools and nodes',
    alerts: [
      {
        name: 'VicunaAllPoolsBlocked',
        expr: `min(${once('vicuna_pool_blocked', 'pool')}) == 1`,
        for: '30m',
        severity: 'warning',
        summary: 'Every GpuPool is without capacity',
        meaning: 'Nothing new is placed, and what is interrupted waits.',
        steps: [
          '`kubectl get gpupools`: until when are they blocked?',
          'The autoscaler’s log: a quota of the cloud, or no spot capacity. Add pools in other zones, of other types, or on demand.',
        ],
      },
      {
        name: 'VicunaPoolPricesStale',
        expr: `time() - ${once('vicuna_pool_price_read_timestamp_seconds', 'pool')} > 2 * ${once('vicuna_pool_price_refresh_seconds', 'pool')}`,
        for: '15m',
        severity: 'warning',
        summary: 'Prices of pool {{ $labels.pool }} have been due twice and not been read from its cloud',
        meaning:
          'Pools are chosen and costs reckoned by the last prices that were read; after four refreshes, an hour at least, by those written in `spec.price`. They may be wrong by then.',
        steps: [
          '`kubectl describe gpupool NAME`: condition PricesFresh says what the cloud answered.',
          'It refuses: the operator’s account needs `ec2:DescribeSpotPriceHistory`, or the Cloud Billing API switched on ([concepts](concepts.md)).',
          'No answer: the operator must reach the cloud’s API; a proxy is `HTTPS_PROXY` in `extraEnv`.',
          'PricesFresh is True: the operator does not get round to the pool; see VicunaQueueStuck and VicunaReconcileErrors.',
        ],
      },
      {
        name: 'VicunaNotifierMissing',
        expr: UNNOTIFIED,
        for: '15m',
        severity: 'warning',
        summary: 'No notifier answers on spot node {{ $labels.node }}',
        meaning: UNHEARD,
        steps: [
          '`kubectl -n vicuna-system get pods -o wide -l app.kubernetes.io/component=notifier`: is there one on the node, and does it run?',
          'None: `kubectl -n vicuna-system describe daemonset`. The node may have a taint that `notifier.tolerations` lack or not the labels of `notifier.nodeSelector`, or a quota or policy refuses the pod.',
          'Pending, or it cannot start: `kubectl describe pod` and `kubectl logs` say why; on a full node it needs its `notifier.priorityClassName`.',
          'It runs: then it is Prometheus that does not see it. Port 9814 of nodes must let it in (`notifier.port`), and a PodMonitor name it (`monitoring.notifier`).',
          'Notifiers were taken away on purpose: it is silent six hours later. From some nodes only, where something else marks them: silence it for these in Alertmanager.',
        ],
      },
      {
        name: 'VicunaNotifierBlind',
        expr: `max by (node) (${ANSWER_AGE}) > ${BLIND_AFTER_SECONDS}`,
        for: '5m',
        severity: 'warning',
        summary: 'The notifier on {{ $labels.node }} gets no answer from its cloud’s metadata service',
        meaning: UNHEARD,
        steps: [
          'Dashboard “Vicuna / Fleet”, nodes whose notifier gets no answer: one node, or all? To one question, or all?',
          '`kubectl -n vicuna-system get pods -l app.kubernetes.io/component=notifier --field-selector spec.nodeName=NODE` and `kubectl logs` of it: “no answer that can be used” names the reason.',
          'Refused or no answer in time: something between the host’s network and 169.254.169.254, such as a host firewall or a policy for hosts of the network plugin, or the service is switched off for the machine (AWS: `HttpEndpoint` of its metadata options).',
          'Answers that are not understood: the wrong cloud in `notifier.cloud`.',
          'One node, and nothing helps: drain it, it cannot hear its end coming.',
        ],
      },
    ],
  },
  {
    name: 'vicuna-serving',
    title: 'Servings',
    alerts: [
      {
        name: 'VicunaModelDown',
        expr: `${served('desired_replicas')} > 0 and on (namespace, serving, model) ${ready} == 0`,
        for: '5m',
        severity: 'critical',
        summary: `Model {{ $labels.model }} of ${SERVING} has no replica that answers`,
        meaning: 'Requests wait at the gateway up to `limits.queue`, then fail.',
        steps: [
          '`kubectl describe vicunaserving NAME`: conditions Ready and Placed say what is missing.',
          '`kubectl get pods -l vicuna.run/serving=NAME`: Pending is capacity, CrashLoopBackOff the engine (`kubectl logs`), not ready a model that still loads.',
        ],
      },
      {
        name: 'VicunaReplicasMissing',
        expr: `${ready} < on (namespace, serving, model) ${served('desired_replicas')}`,
        for: '15m',
        severity: 'warning',
        summary: `Model {{ $labels.model }} of ${SERVING} has {{ $value }} ready replicas, less than its load needs`,
        meaning: 'Answers are slow, and the next interruption is felt.',
        steps: ['As for VicunaModelDown.', 'No capacity in its pools: add pools, or let `placement.capacity` be `auto`.'],
      },
      {
        name: 'VicunaScalingBlind',
        expr: `${once('vicuna_serving_metrics_available', 'namespace, serving')} == 0`,
        for: '10m',
        severity: 'warning',
        summary: `${SERVING} cannot read the metrics that it scales by`,
        meaning: 'The number of replicas is held: it neither grows with the load nor shrinks.',
        steps: [
          '`kubectl describe vicunaserving NAME`: condition MetricsAvailable says which query fails, and why.',
          'No series: does Prometheus scrape the gateways and engines (`monitoring.servings`)?',
        ],
      },
      {
        name: 'VicunaAtMaxReplicas',
        expr: `${once('vicuna_serving_scaling_limit{reason="TooManyReplicas"}', 'namespace, serving')} == 1`,
        for: '30m',
        severity: 'warning',
        summary: `${SERVING} needs more replicas than spec.replicas.max`,
        meaning: 'Answers are slow.',
        steps: ['Raise `spec.replicas.max`, or lower what clients may send (`gateway.limits`).'],
      },
      {
        name: 'VicunaGatewayDown',
        expr: `${once('vicuna_serving_ready_gateways', 'namespace, serving')} == 0`,
        for: '2m',
        severity: 'critical',
        summary: `No gateway of ${SERVING} takes requests`,
        meaning: 'Clients get no connection.',
        steps: [
          '`kubectl get pods -l vicuna.run/serving=NAME,app.kubernetes.io/component=gateway` and `kubectl describe pod`.',
          'Its log says in one sentence what it waits for, such as a Secret or its configuration.',
        ],
      },
      {
        name: 'VicunaGatewayErrors',
        expr: `sum by (${BY_MODEL}) (rate(vicuna_gateway_requests_total{code=~"5.."}[10m])) / sum by (${BY_MODEL}) (rate(vicuna_gateway_requests_total[10m])) > 0.05`,
        for: '10m',
        severity: 'critical',
        summary: `{{ $value | humanizePercentage }} of the requests for {{ $labels.model }} of ${GATEWAY} fail`,
        meaning: 'Users see errors.',
        steps: [
          'Dashboard “Vicuna / Serving”, requests by outcome: 503 is no worker or a full queue, 502 and 504 workers that fail or hang.',
          'Workers “resting”: `kubectl logs` of the engines.',
        ],
      },
      {
        name: 'VicunaFirstTokenSlow',
        expr: `histogram_quantile(0.95, sum by (le, ${BY_MODEL}) (rate(vicuna_gateway_time_to_first_token_seconds_bucket[10m]))) > 10`,
        for: '15m',
        severity: 'warning',
        summary: `One in twenty answers of {{ $labels.model }} of ${GATEWAY} begins after {{ $value | humanizeDuration }}`,
        meaning: 'Users wait.',
        steps: [
          'Requests wait: see VicunaReplicasMissing and VicunaAtMaxReplicas; a lower target in `autoscaling.metrics` scales earlier.',
          'None wait: long questions, or engines short of memory for their caches.',
        ],
      },
      {
        name: 'VicunaRequestsWait',
        expr: `min_over_time(sum by (${BY_MODEL}) (vicuna_gateway_queued_requests)[10m:30s]) > 0`,
        for: '5m',
        severity: 'warning',
        summary: `Requests for {{ $labels.model }} of ${GATEWAY} have waited for a worker at every moment of ten minutes`,
        meaning: 'There are too few replicas, or none.',
        steps: ['See VicunaModelDown, VicunaReplicasMissing and VicunaAtMaxReplicas.'],
      },
      {
        name: 'VicunaAnswersBroken',
        expr: `sum by (${BY_MODEL}) (increase(vicuna_gateway_continuations_total{result="failed"}[15m])) > 0`,
        for: '0m',
        severity: 'warning',
        summary: `{{ $value | humanize }} answers of {{ $labels.model }} of ${GATEWAY} broke off and could not go on elsewhere`,
        meaning: 'Clients got an error in the midst of an answer.',
        steps: [
          'Was there another worker? With one replica there is none to go on at: `replicas.min: 2`, or `placement.spare`.',
          'Several choices, tool calls and log probabilities cannot be continued: docs/serving.md says what can.',
        ],
      },
    ],
  },
];

const RUNBOOKS = 'https://github.com/vicuna-operator/vicuna-operator/blob/main/docs/runbooks.md';

/** Prometheus' rules file. */
export function alertRules(): string {
  const groups = ALERT_GROUPS.map(({ name, alerts }) => ({
    name,
    rules: alerts.map((alert) => ({
      alert: alert.name,
      expr: alert.expr,
      for: alert.for,
      labels: { severity: alert.severity },
      annotations: { summary: alert.summary, description: alert.meaning, runbook_url: `${RUNBOOKS}#${alert.name.toLowerCase()}` },
    })),
  }));
  return `# Generated from charts/alerts.ts by \`npm run generate\`. Do not edit.\n${stringify({ groups }, { lineWidth: 0 })}`;
}

/** docs/runbooks.md. */
export function runbooks(): string {
  const sections = ALERT_GROUPS.flatMap(({ title, alerts }) => [
    `## ${title}\n`,
    ...alerts.map(({ name, severity, meaning, steps, expr, for: duration }) =>
      [
        `### ${name}\n`,
        `**${severity}.** ${meaning}\n`,
        ...steps.map((step, i) => `${i + 1}. ${step}`),
        '',
        `Fires when, for ${duration}: \`${expr}\`\n`,
      ].join('\n'),
    ),
  ]);
  return [
    '# Runbooks\n',
    '<!-- Generated from charts/alerts.ts by `npm run generate`. Do not edit. -->\n',
    'What each alert means, and what to do. Names of objects are those of a release `vicuna-operator` in namespace `vicuna-system`.\n',
    ...sections,
  ].join('\n');
}
