// Each alert against series made up for it, by Prometheus' own promtool: it fires, with these labels and words, and otherwise is silent.
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { stringify } from 'yaml';
import { ALERT_GROUPS, alertRules } from '../../charts/alerts.ts';
import { ensurePackages } from '../cluster/apt.ts';
import { PROMETHEUS } from '../cluster/remains.ts';
import { run } from '../cluster/run.ts';

type Series = Readonly<Record<string, string>>;

interface Case {
  /** Values of each series, one a minute, in promtool's notation. */
  readonly fires: Series;
  readonly silent: readonly Series[];
  /** Minutes after which the alert fires. */
  readonly after: number;
  readonly labels?: Readonly<Record<string, string>>;
  /** The summary as Prometheus fills it in. */
  readonly summary: string;
}

const training = (metric: string, more = '') => `vicuna_training_${metric}{namespace="team",training="t"${more}}`;
const phase = (name: string) => training('phase', `,phase="${name}"`);
const serving = (metric: string, more = '') => `vicuna_serving_${metric}{namespace="team",serving="s"${more}}`;
const ofModel = (metric: string, more = '') => serving(metric, `,model="m"${more}`);
const gateway = (metric: string, more = '') => `vicuna_gateway_${metric}{namespace="team",vicuna_run_serving="s",model="m"${more}}`;
const task = (metric: string, more = '') => `vicuna_task_${metric}{namespace="team",kind="VicunaDataset",name="d"${more}}`;
const taskPhase = (name: string) => task('phase', `,phase="${name}"`);
const price = (metric: string) => `vicuna_pool_price_${metric}_seconds{pool="a"}`;
const answerAge = (feed: string) => `vicuna_notifier_answer_age_seconds{namespace="vicuna-system",pod="n",node="node-1",feed="${feed}"}`;
const spotNode = (node: string) => `vicuna_pool_spot_node_info{pool="a",node="${node}"}`;
const heard = (node: string) => `vicuna_notifier_deadline_timestamp_seconds{namespace="vicuna-system",pod="n",node="${node}"}`;
const leader = (copy: string) => `leader_election_master_status{name="vicuna-operator",instance="${copy}"}`;
const TRAINING = { namespace: 'team', training: 't' };
const TASK = { namespace: 'team', kind: 'VicunaDataset', name: 'd' };
const SERVING = { namespace: 'team', serving: 's' };
const MODEL = { ...SERVING, model: 'm' };
const GATEWAY = { namespace: 'team', vicuna_run_serving: 's', model: 'm' };
const firstToken = (fast: string, slow: string): Series => ({
  [gateway('time_to_first_token_seconds_bucket', ',le="1"')]: fast,
  [gateway('time_to_first_token_seconds_bucket', ',le="30"')]: slow,
  [gateway('time_to_first_token_seconds_bucket', ',le="+Inf"')]: slow,
});

const CASES: Readonly<Record<string, Case>> = {
  VicunaOperatorDown: {
    fires: { 'up{job="other"}': '1x20' },
    silent: [{ [leader('a')]: '0x20' }],
    after: 6,
    labels: { name: 'vicuna-operator' },
    summary: 'No copy of the Vicuna operator is scraped',
  },
  VicunaOperatorNoLeader: {
    fires: { [leader('a')]: '0x20', [leader('b')]: '0x20' },
    silent: [{ [leader('a')]: '0x20', [leader('b')]: '1x20' }, { [leader('a')]: '1 0 1x18' }],
    after: 3,
    summary: 'Copies of the Vicuna operator run, but none leads',
  },
  VicunaOperatorTwoLeaders: {
    fires: { [leader('a')]: '1x20', [leader('b')]: '1x20' },
    silent: [{ [leader('a')]: '1x20', [leader('b')]: '0x20' }],
    after: 2,
    summary: 'Two copies of the Vicuna operator lead',
  },
  VicunaReconcileErrors: {
    fires: {
      'controller_runtime_reconcile_errors_total{controller="vicunaserving"}': '0+20x60',
      'controller_runtime_reconcile_total{controller="vicunaserving",result="error"}': '0+20x60',
      'controller_runtime_reconcile_total{controller="vicunaserving",result="success"}': '0+60x60',
    },
    silent: [
      {
        'controller_runtime_reconcile_errors_total{controller="vicunaserving"}': '0+1x60',
        'controller_runtime_reconcile_total{controller="vicunaserving",result="success"}': '0+60x60',
      },
    ],
    after: 30,
    labels: { controller: 'vicunaserving' },
    summary: '25% of the reconciliations of vicunaserving fail',
  },
  VicunaQueueStuck: {
    fires: { 'workqueue_longest_running_processor_seconds{name="vicunatraining"}': '0+60x20' },
    silent: [{ 'workqueue_longest_running_processor_seconds{name="vicunatraining"}': '60x20' }],
    after: 10,
    labels: { name: 'vicunatraining' },
    summary: 'A reconciliation of vicunatraining takes 10m 0s',
  },
  VicunaApiErrors: {
    fires: {
      'vicuna_api_requests_total{verb="list",resource="pods",code="503"}': '0+10x60',
      'vicuna_api_requests_total{verb="list",resource="pods",code="200"}': '0+30x60',
    },
    silent: [
      {
        'vicuna_api_requests_total{verb="get",resource="pods",code="404"}': '0+10x60',
        'vicuna_api_requests_total{verb="list",resource="pods",code="200"}': '0+30x60',
      },
    ],
    after: 25,
    summary: '25% of the operator’s requests to the API server fail',
  },
  VicunaApiForbidden: {
    fires: { 'vicuna_api_requests_total{verb="create",resource="pods",code="403"}': '0+1x60' },
    silent: [{ 'vicuna_api_requests_total{verb="create",resource="pods",code="403"}': '5x60' }],
    after: 15,
    labels: { verb: 'create', resource: 'pods' },
    summary: 'The operator may not create pods',
  },
  VicunaEventsDropped: {
    fires: { vicuna_events_dropped_total: '0x10 15x20' },
    silent: [{ vicuna_events_dropped_total: '15x30' }],
    after: 12,
    summary: '15 events were not written',
  },
  VicunaTrainingFailed: {
    fires: { [phase('Failed')]: '1x5' },
    silent: [{ [phase('Complete')]: '1x5' }],
    after: 1,
    labels: TRAINING,
    summary: 'Training team/t has failed',
  },
  VicunaTrainingNotPlaced: {
    fires: { [phase('Waiting')]: '1x30', [phase('Starting')]: '_x29 1x60' },
    silent: [{ [phase('Waiting')]: '1x30', [phase('Running')]: '_x31 1x60' }],
    after: 65,
    labels: TRAINING,
    summary: 'Training team/t has had no nodes for an hour',
  },
  VicunaTrainingStalled: {
    fires: { [phase('Running')]: '1x90', [training('step')]: '7x90' },
    silent: [
      { [phase('Running')]: '1x90', [training('step')]: '0+1x90' },
      { [phase('Suspended')]: '1x90', [training('step')]: '7x90' },
    ],
    after: 65,
    labels: TRAINING,
    summary: 'Training team/t runs, but makes no steps',
  },
  VicunaCheckpointOld: {
    fires: { [phase('Running')]: '1x200', [training('checkpoint_age_seconds')]: '0+60x200' },
    silent: [
      { [phase('Running')]: '1x200', [training('checkpoint_age_seconds')]: '60x200' },
      { [phase('Complete')]: '1x200', [training('checkpoint_age_seconds')]: '0+60x200' },
    ],
    after: 140,
    labels: TRAINING,
    summary: 'The last checkpoint of team/t is 2h 20m 0s old',
  },
  VicunaGoodputLow: {
    fires: { [phase('Running')]: '1x90', [training('goodput')]: '0.5x90' },
    silent: [{ [phase('Running')]: '1x90', [training('goodput')]: '0.9x90' }],
    after: 70,
    labels: TRAINING,
    summary: 'Only 50% of the time that team/t pays for makes steps',
  },
  VicunaTaskFailed: {
    fires: { [taskPhase('Failed')]: '1x5' },
    silent: [{ [taskPhase('Complete')]: '1x5' }],
    after: 1,
    labels: TASK,
    summary: 'VicunaDataset team/d has failed',
  },
  VicunaTaskPending: {
    fires: { [task('pending', ',reason="MissingSecret"')]: '1x40' },
    silent: [
      // Until a training is complete, the serving of its model is not ready, nor is what evaluates it.
      { [task('pending', ',reason="ServingNotReady"')]: '1x40', [task('pending', ',reason="EvaluationNotReady"')]: '1x40' },
      { [task('pending', ',reason="MissingServing"')]: '1x10', [task('pending', ',reason="ServingNotReady"')]: '_x10 1x30' },
    ],
    after: 35,
    labels: { ...TASK, reason: 'MissingSecret' },
    summary: 'VicunaDataset team/d has waited for half an hour for what does not come by itself: MissingSecret',
  },
  VicunaTaskNotPlaced: {
    fires: { [taskPhase('Waiting')]: '1x30', [taskPhase('Starting')]: '_x29 1x60' },
    silent: [{ [taskPhase('Waiting')]: '1x30', [taskPhase('Running')]: '_x31 1x60' }, { [taskPhase('Pending')]: '1x90' }],
    after: 65,
    labels: TASK,
    summary: 'VicunaDataset team/d has had no node for an hour',
  },
  VicunaTaskStalled: {
    fires: { [taskPhase('Running')]: '1x120', [task('units_done')]: '7x120' },
    silent: [
      { [taskPhase('Running')]: '1x120', [task('units_done')]: '0+1x120' },
      { [taskPhase('Running')]: '1x120', [task('units_done')]: '7x40 8x40 9x40' },
      { [taskPhase('Complete')]: '1x120', [task('units_done')]: '7x120' },
    ],
    after: 100,
    labels: TASK,
    summary: 'VicunaDataset team/d runs, but comes no further',
  },
  VicunaPoolPricesStale: {
    // promtool's time begins at 0: read then, and never again.
    fires: { [price('read_timestamp')]: '0x90', [price('refresh')]: '900x90' },
    silent: [
      { [price('read_timestamp')]: '0+60x90', [price('refresh')]: '900x90' },
      { [price('read_timestamp')]: '0x90', [price('refresh')]: '3600x90' },
    ],
    after: 50,
    labels: { pool: 'a' },
    summary: 'Prices of pool a have been due twice and not been read from its cloud',
  },
  VicunaNotifierMissing: {
    // The last that answered did so on a node that is gone.
    fires: { [spotNode('node-1')]: '1x60', [heard('node-2')]: '0x2' },
    silent: [
      { [spotNode('node-1')]: '1x60', [heard('node-1')]: '1790000000x60', [heard('node-2')]: '0x60' },
      // No notifiers are used.
      { [spotNode('node-1')]: '1x60' },
      // A pod that starts again.
      { [spotNode('node-1')]: '1x60', [heard('node-1')]: '0x5 _x15 0x40' },
    ],
    after: 20,
    labels: { node: 'node-1' },
    summary: 'No notifier answers on spot node node-1',
  },
  VicunaNotifierBlind: {
    // Its notation does not repeat infinity.
    fires: { [answerAge('aws-spot')]: Array(21).fill('Inf').join(' '), [answerAge('aws-rebalance')]: '1x20' },
    silent: [
      { [answerAge('gcp-preempted')]: '60x20', [answerAge('gcp-maintenance')]: '65x20' },
      { [answerAge('aws-spot')]: '0+60x4 1x16' },
    ],
    after: 6,
    labels: { node: 'node-1' },
    summary: 'The notifier on node-1 gets no answer from its cloud’s metadata service',
  },
  VicunaAllPoolsBlocked: {
    fires: { 'vicuna_pool_blocked{pool="a"}': '1x60', 'vicuna_pool_blocked{pool="b"}': '1x60' },
    silent: [{ 'vicuna_pool_blocked{pool="a"}': '1x60', 'vicuna_pool_blocked{pool="b"}': '0x60' }],
    after: 35,
    summary: 'Every GpuPool is without capacity',
  },
  VicunaModelDown: {
    fires: {
      [ofModel('desired_replicas')]: '2x20',
      [ofModel('ready_replicas', ',capacity="spot"')]: '0x20',
      [ofModel('ready_replicas', ',capacity="onDemand"')]: '0x20',
    },
    silent: [
      { [ofModel('desired_replicas')]: '0x20', [ofModel('ready_replicas', ',capacity="spot"')]: '0x20' },
      {
        [ofModel('desired_replicas')]: '2x20',
        [ofModel('ready_replicas', ',capacity="spot"')]: '0x20',
        [ofModel('ready_replicas', ',capacity="onDemand"')]: '1x20',
      },
    ],
    after: 6,
    labels: MODEL,
    summary: 'Model m of team/s has no replica that answers',
  },
  VicunaReplicasMissing: {
    fires: { [ofModel('desired_replicas')]: '3x30', [ofModel('ready_replicas', ',capacity="spot"')]: '1x30' },
    silent: [{ [ofModel('desired_replicas')]: '3x30', [ofModel('ready_replicas', ',capacity="spot"')]: '4x30' }],
    after: 20,
    labels: MODEL,
    summary: 'Model m of team/s has 1 ready replicas, less than its load needs',
  },
  VicunaScalingBlind: {
    fires: { [serving('metrics_available')]: '0x20' },
    silent: [{ [serving('metrics_available')]: '1x20' }],
    after: 12,
    labels: SERVING,
    summary: 'team/s cannot read the metrics that it scales by',
  },
  VicunaAtMaxReplicas: {
    fires: { [serving('scaling_limit', ',reason="TooManyReplicas"')]: '1x60' },
    silent: [{ [serving('scaling_limit', ',reason="WithinLimits"')]: '1x60' }],
    after: 35,
    labels: SERVING,
    summary: 'team/s needs more replicas than spec.replicas.max',
  },
  VicunaGatewayDown: {
    fires: { [serving('ready_gateways')]: '0x20' },
    silent: [{ [serving('ready_gateways')]: '1x20' }],
    after: 3,
    labels: SERVING,
    summary: 'No gateway of team/s takes requests',
  },
  VicunaGatewayErrors: {
    fires: { [gateway('requests_total', ',code="503"')]: '0+6x60', [gateway('requests_total', ',code="200"')]: '0+54x60' },
    silent: [{ [gateway('requests_total', ',code="429"')]: '0+30x60', [gateway('requests_total', ',code="200"')]: '0+54x60' }],
    after: 25,
    labels: GATEWAY,
    summary: '10% of the requests for m of team/s fail',
  },
  VicunaFirstTokenSlow: {
    fires: firstToken('0x60', '0+60x60'),
    silent: [firstToken('0+60x60', '0+60x60')],
    after: 30,
    labels: GATEWAY,
    summary: 'One in twenty answers of m of team/s begins after 28.55s',
  },
  VicunaRequestsWait: {
    fires: { [gateway('queued_requests')]: '3x40' },
    silent: [{ [gateway('queued_requests')]: '3x5 0x2 3x5 0x2 3x5 0x2 3x5 0x2 3x10' }],
    after: 20,
    labels: GATEWAY,
    summary: 'Requests for m of team/s have waited for a worker at every moment of ten minutes',
  },
  VicunaAnswersBroken: {
    fires: { [gateway('continuations_total', ',result="failed"')]: '0x10 15x20' },
    silent: [{ [gateway('continuations_total', ',result="done"')]: '0x10 15x20' }],
    after: 12,
    labels: GATEWAY,
    summary: '15 answers of m of team/s broke off and could not go on elsewhere',
  },
};

let directory: string;
beforeAll(async () => {
  await ensurePackages({ prometheus: PROMETHEUS });
  directory = mkdtempSync(join(tmpdir(), 'vicuna-alerts-'));
  writeFileSync(join(directory, 'alerts.yaml'), alertRules());
});
afterAll(() => rmSync(directory, { recursive: true, force: true }));

const alerts = ALERT_GROUPS.flatMap((group) => group.alerts);
const series = (of: Series) => Object.entries(of).map(([name, values]) => ({ series: name, values }));

/** promtool's test of one alert: `fires` with its labels and words, and never in the silent scenes. */
function promtoolTests({ name, severity, meaning }: (typeof alerts)[number], { fires, silent, after, labels, summary }: Case): object[] {
  const annotations = {
    summary,
    description: meaning,
    runbook_url: `https://github.com/vicuna-operator/vicuna-operator/blob/main/docs/runbooks.md#${name.toLowerCase()}`,
  };
  const at = (minutes: number, expected: object[]) => ({ eval_time: `${minutes}m`, alertname: name, exp_alerts: expected });
  const expected = [{ exp_labels: { severity, ...labels }, exp_annotations: annotations }];
  return [
    { interval: '1m', input_series: series(fires), alert_rule_test: [at(0, after > 1 ? [] : expected), at(after, expected)] },
    ...silent.map((scene) => ({ interval: '1m', input_series: series(scene), alert_rule_test: [at(after, [])] })),
  ];
}

describe('alerts', () => {
  it('all have a case here', () => {
    expect(Object.keys(CASES).toSorted()).toEqual(alerts.map((a) => a.name).toSorted());
  });

  it('are rules that promtool takes', async () => {
    expect(await run('promtool', ['check', 'rules', join(directory, 'alerts.yaml')])).toContain(`SUCCESS: ${alerts.length} rules found`);
  });

  it('fire when they should, say what they should, and are silent otherwise', async () => {
    const tests = alerts.flatMap((alert) => {
      const found = CASES[alert.name];
      return found ? promtoolTests(alert, found) : [];
    });
    const file = join(directory, 'test.yaml');
    writeFileSync(file, stringify({ rule_files: ['alerts.yaml'], evaluation_interval: '1m', tests }));
    expect(await run('promtool', ['test', 'rules', file])).toContain('SUCCESS');
  });
});
