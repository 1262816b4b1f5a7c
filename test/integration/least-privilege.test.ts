// The operator with no more than the chart's roles: it is refused nothing, and uses all that it may. And what it exports meanwhile is
// what the dashboards ask for, as a real Prometheus answers them.

import { once } from 'node:events';
import { readFileSync } from 'node:fs';
import type { Server } from 'node:http';
import type { AddressInfo } from 'node:net';
import { join } from 'node:path';
import type { V1ClusterRole, V1PolicyRule } from '@kubernetes/client-node';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { ALERT_GROUPS } from '../../charts/alerts.ts';
import { DASHBOARDS } from '../../charts/dashboards/dashboards.ts';
import { GPU_POOL } from '../../operator/api/gpu-pool.ts';
import { DATASET } from '../../operator/api/vicuna-dataset.ts';
import { EVALUATION } from '../../operator/api/vicuna-evaluation.ts';
import { SERVING } from '../../operator/api/vicuna-serving.ts';
import { TRAINING } from '../../operator/api/vicuna-training.ts';
import { isNotFound, KubeClient } from '../../operator/kube/client.ts';
import { DEPLOYMENT, type KubeObject, POD, SECRET } from '../../operator/kube/types.ts';
import { createPrivateServer } from '../../workloads/gateway/private-server.ts';
import { FakeModeration } from '../../workloads/gateway/testing/fake-moderation.ts';
import { GatewayStage } from '../../workloads/gateway/testing/stage.ts';
import { serveHealth } from '../../workloads/notifier/health.ts';
import { metricsText } from '../../workloads/notifier/metrics.ts';
import { accountKubeconfig, RELEASE, RELEASE_NAMESPACE, rendered } from '../cluster/chart.ts';
import type { KwokNodes } from '../cluster/kwok.ts';
import { OperatorProcess } from '../cluster/operator-process.ts';
import { Prometheus } from '../cluster/prometheus.ts';
import { run, until } from '../cluster/run.ts';
import { ensureTools, toolPath } from '../cluster/tools.ts';
import { FakeGang, HELD_AT, startFakePool } from './fake-gang.ts';
import { FakePrices, PRICED_SPEC } from './fake-prices.ts';
import { end, JUDGED, RESULT, reporter, running } from './fake-task.ts';
import { dataset, evaluation, serving } from './objects.ts';

const POOL = 'least';
const NAME = 'least';
/** Of a dataset and an evaluation that stay, so that there is something to see. */
const KEPT = 'least-kept';
const UNDER_WAY = 'least-under-way';
const ON_POOL = { 'spec.placement': { pools: { matchLabels: { least: 'yes' } } }, 'spec.credentials': undefined };
const JUDGED_BY_SECRET = { 'spec.candidate': { name: 'x', answers: 's3://a/x.jsonl' }, 'spec.judge.secret': { name: NAME } };
const AT = new Date().toISOString();
const ACCOUNT = `system:serviceaccount:${RELEASE_NAMESPACE}:${RELEASE}`;
const kubeconfig = process.env.KUBECONFIG ?? '';
const directory = process.env.VICUNA_TEST_DIRECTORY ?? '';

let client: KubeClient;
let nodes: KwokNodes;
let operator: OperatorProcess;
let prometheus: Prometheus;
let gateway: GatewayStage;
let moderation: FakeModeration;
let gatewayMetrics: Server;
let notifierMetrics: Server;
let prices: FakePrices;
let gang: FakeGang;
let roles: V1ClusterRole[];
let objects: KubeObject[];
const kubectl = (args: readonly string[], input?: KubeObject) =>
  run(toolPath('kubectl'), ['--kubeconfig', kubeconfig, ...args], input === undefined ? {} : { input: JSON.stringify(input) });

beforeAll(async () => {
  await ensureTools(['helm']);
  client = await KubeClient.fromKubeconfig(kubeconfig);
  objects = (await rendered()).filter((o) => /^(ServiceAccount|(Cluster)?Role(Binding)?)$/.test(o.kind ?? ''));
  roles = objects.filter((o) => o.kind === 'ClusterRole' || o.kind === 'Role') as V1ClusterRole[];
  await until('the namespace', 60_000, async () => {
    // Another test's namespace of this name may still be going.
    await kubectl(['create', 'namespace', RELEASE_NAMESPACE]);
    return true;
  });
  for (const object of objects) await kubectl(['apply', '-f', '-'], object);
  const own = await accountKubeconfig(kubeconfig, RELEASE_NAMESPACE, RELEASE, join(directory, 'least.kubeconfig'));
  nodes = await startFakePool({ kubeconfig, directory }, client, POOL);
  await client.mergePatch(GPU_POOL, undefined, POOL, { metadata: { labels: { least: 'yes' } }, spec: PRICED_SPEC });
  prices = await FakePrices.start('1.000000');
  const env = { POD_NAMESPACE: RELEASE_NAMESPACE, ...prices.env };
  operator = await OperatorProcess.start({ kubeconfig: own, logFile: join(directory, 'least.log'), env });
  moderation = await FakeModeration.start(['forbidden']);
  gateway = await GatewayStage.start({
    config: { moderation: { url: moderation.url, on: ['input'], whenUnavailable: 'block', timeoutSeconds: 5 } },
  });
  gatewayMetrics = createPrivateServer(gateway.gateway.metrics, () => null).listen(0, '127.0.0.1');
  await once(gatewayMetrics, 'listening');
  notifierMetrics = serveHealth(0, notifierText);
  await once(notifierMetrics, 'listening');
  const target = (server: Server) => `127.0.0.1:${(server.address() as AddressInfo).port}`;
  prometheus = await Prometheus.start({
    directory: join(directory, 'least-prometheus'),
    client,
    scrapeSeconds: 1,
    more: [
      { targets: [new URL(operator.url).host], labels: {} },
      { targets: [target(gatewayMetrics)], labels: { namespace: 'default', vicuna_run_serving: NAME } },
      { targets: [target(notifierMetrics)], labels: { namespace: RELEASE_NAMESPACE, node: 'announced' } },
    ],
  });
}, 300_000);

afterAll(async () => {
  await gang?.remove().catch(() => undefined);
  await client?.delete(SERVING, 'default', NAME).catch(() => undefined);
  for (const name of [KEPT, UNDER_WAY]) await client?.delete(DATASET, 'default', name).catch(() => undefined);
  await client?.delete(EVALUATION, 'default', KEPT).catch(() => undefined);
  await operator?.stop();
  prices?.stop();
  await prometheus?.stop();
  gatewayMetrics?.close();
  notifierMetrics?.close();
  await gateway?.stop();
  await moderation?.stop();
  await nodes?.stop();
  await client?.delete(GPU_POOL, undefined, POOL).catch(() => undefined);
  for (const object of objects ?? []) await kubectl(['delete', '-f', '-'], object).catch(() => undefined);
  await kubectl(['delete', 'namespace', RELEASE_NAMESPACE, '--wait=false']).catch(() => undefined);
  client?.close();
});

/** A notifier whose machine is about to go, and one of whose questions has never been answered. */
function notifierText(): string {
  const now = performance.now();
  const feeds = new Map([
    ['aws-spot', { answeredAt: now - 500, faults: 0 }],
    ['aws-rebalance', { answeredAt: null, faults: 3 }],
  ]);
  return metricsText(feeds, { cause: 'spotPreemption', deadline: Date.now() + 60_000, estimated: false, words: 'goes' }, now);
}

/** Traffic with everything that can happen to it. */
async function talk(): Promise<void> {
  const [first] = gateway.workers;
  if (!first) throw new Error('the stage has workers');
  for (const fault of [{ kind: 'none' }, { kind: 'dies', after: 3 }, { kind: 'dies', after: 0 }] as const) {
    first.fault = fault;
    for (let i = 0; i < 4; i++) await gateway.chat(`question ${fault.kind} ${i}`);
    await gateway.post('/v1/chat/completions', { model: 'tiny', messages: [{ role: 'user', content: 'all at once' }] });
  }
  await gateway.post('/v1/chat/completions', { model: 'tiny', messages: [{ role: 'user', content: 'forbidden' }] });
  first.fault = { kind: 'none' };
}

const autoscaling = (load: number) => ({
  prometheus: { url: prometheus.url },
  interval: '1s',
  metrics: [{ name: 'load', query: `vector(${load})`, target: 2 }],
  behavior: { scaleDown: { stabilization: '0s' } },
});
const status = async () => (await client.get(SERVING, 'default', NAME)).status;
const replicas = (model: string) => async (count: number) =>
  until(`${count} replicas of ${model}`, 60_000, async () => (await status())?.models?.find((m) => m.name === model)?.ready === count);

describe("an operator with the chart's roles", () => {
  it('trains through an interruption', async () => {
    gang = await FakeGang.start(client, kubeconfig, NAME, () => operator.url);
    await until(`step ${HELD_AT}`, 60_000, async () => {
      await gang.attend();
      return gang.isHeld(await operator.metrics());
    });
    await client.mergePatch(TRAINING, 'default', NAME, { spec: { checkpoint: { finalSaveOnDelete: true } } });
    await gang.announce();
    await until('moved and resumed', 60_000, async () => {
      await gang.attend();
      return gang.hasMoved();
    });
  }, 180_000);

  it('serves, scales up and down, and lets models go', async () => {
    await client.create(SECRET, { metadata: { name: 'least', namespace: 'default' }, stringData: { token: 'x' } });
    const model = { engine: 'transformers', weights: 's3://models/tiny', gpus: 0, startSeconds: 1 };
    const models = [
      { name: 'one', ...model, canary: { percent: 10, args: ['--max-num-seqs', '4'] } },
      { name: 'two', ...model },
    ];
    const spec = { models, replicas: { min: 1, max: 3 }, autoscaling: autoscaling(6), credentials: [{ name: 'least' }] };
    const made = serving(NAME, { spec });
    await client.create(SERVING, made);
    await replicas('two')(3);
    // More than once: what happens again is counted in the event of the first time.
    for (const load of [2, 6, 2]) {
      await client.mergePatch(SERVING, 'default', NAME, { spec: { autoscaling: autoscaling(load) } });
      await replicas('two')(load / 2);
    }
    await client.mergePatch(SERVING, 'default', NAME, { spec: { models: [{ name: 'one', ...model }] } });
    await until('only one model', 60_000, async () => {
      const { items } = await client.list(DEPLOYMENT, { namespace: 'default', labelSelector: `vicuna.run/serving=${NAME}` });
      return !items.some((d) => d.metadata?.labels?.['vicuna.run/model'] === 'two') && (await status())?.models?.length === 1;
    });
    await talk();
  }, 180_000);

  it('runs a dataset and an evaluation, and deletes what is not to be kept', async () => {
    const changes = { ...ON_POOL, 'spec.ttlAfterFinished': '0s' };
    await client.create(DATASET, dataset(NAME, changes));
    await client.create(EVALUATION, evaluation(NAME, { ...changes, ...JUDGED_BY_SECRET }));
    for (const kind of ['dataset', 'evaluation']) {
      const pod = `${NAME}-${kind}-1`;
      await until(`${pod} running`, 60_000, async () => (await client.get(POD, 'default', pod)).status?.phase === 'Running');
      const state = { terminated: { exitCode: 64, message: 'the test ends it', reason: 'Error', startedAt: AT, finishedAt: AT } };
      const containerStatuses = [{ name: 'task', image: 'x', imageID: 'x', ready: false, restartCount: 0, started: false, state }];
      await client.mergePatch(POD, 'default', pod, { status: { phase: 'Failed', containerStatuses } }, { subresource: 'status' });
    }
    for (const type of [DATASET, EVALUATION])
      await until(`the ${type.kind} gone`, 60_000, () =>
        client.get<KubeObject>(type, 'default', NAME).then(
          () => false,
          (error) => isNotFound(error),
        ),
      );
  }, 180_000);
});

/** What Prometheus finds; the empty answer and NaN alone are nothing. */
async function ask(expr: string): Promise<number> {
  const response = await fetch(`${prometheus.url}/api/v1/query?query=${encodeURIComponent(expr)}`);
  const {
    status: outcome,
    error,
    data,
  } = (await response.json()) as {
    status: string;
    error?: string;
    data?: { result: { value: [number, string] }[] };
  };
  if (outcome !== 'success') throw new Error(`${expr}: ${error}`);
  return (data?.result ?? []).filter(({ value }) => value[1] !== 'NaN').length;
}

/** Grafana's variables as it fills them in, when all is chosen. */
const filledIn = (expr: string) =>
  expr.replaceAll('$__rate_interval', '2m').replaceAll(/\$(namespace|training|serving|model|pool|kind|name)\b/g, '.*');

/** Queries of panels without an answer here, and why. */
const EMPTY: Readonly<Record<string, string>> = {
  'Requests at the engines': 'the engines’ own; there are none on nodes without machines',
};

/** A dataset and an evaluation with results. */
async function finishTasks(): Promise<void> {
  await client.create(DATASET, dataset(KEPT, ON_POOL));
  await client.create(EVALUATION, evaluation(KEPT, { ...ON_POOL, ...JUDGED_BY_SECRET }));
  for (const [kind, result] of Object.entries({ dataset: RESULT, evaluation: JUDGED })) {
    const pod = `${KEPT}-${kind}-1`;
    await running(client, pod);
    await end(client, pod, 0, result);
  }
  const found = 'vicuna_dataset_records and on (namespace, name) vicuna_evaluation_score';
  await until('results in Prometheus', 30_000, async () => (await ask(found)) > 0);
}

/** A dataset for which something is missing. */
async function waitingDataset(): Promise<void> {
  await client.create(DATASET, dataset('waits', { ...ON_POOL, 'spec.credentials': [{ name: 'not-there' }] }));
  await until('a task that is pending', 30_000, async () => (await ask('vicuna_task_pending{name="waits"}')) > 0);
}

/** A dataset that is half done, and then some more. */
async function startDataset(): Promise<void> {
  await client.create(DATASET, dataset(UNDER_WAY, ON_POOL));
  const pod = `${UNDER_WAY}-dataset-1`;
  await running(client, pod);
  const report = await reporter(operator.url, pod);
  for (const done of [30, 45]) {
    await report({ stage: 'clean', done, total: 60, unit: 'conversations', etaSeconds: null });
    const expr = `vicuna_task_units_done{name="${UNDER_WAY}"} == ${done}`;
    await until(`${done} of 60 conversations in Prometheus`, 30_000, async () => (await ask(expr)) > 0);
  }
}

describe('on the real Prometheus', () => {
  beforeAll(async () => {
    gang.release();
    await finishTasks();
    await startDataset();
    await waitingDataset();
    await until('complete', 60_000, async () => (await gang.status())?.phase === 'Complete');
    await until('a live price', 60_000, async () => (await ask('vicuna_pool_price_read_timestamp_seconds > 0')) > 0);
  }, 240_000);

  it('every query of every panel has an answer', async () => {
    const empty = new Set<string>();
    const queries = DASHBOARDS.flatMap(({ rows }) =>
      rows.flatMap(({ panels }) => panels.flatMap((panel) => panel.queries.map((query) => ({ panel, query })))),
    );
    const key = ({ panel, query }: (typeof queries)[number]) => (panel.kind === 'table' ? `${panel.title}: ${query.legend}` : panel.title);
    // The first scrapes after the traffic: rates need two of them.
    await until('the newest figures', 15_000, async () => (await ask('rate(vicuna_gateway_moderations_total{result="flagged"}[1m])')) > 0);
    const unexpected = () => [...empty].filter((e) => EMPTY[e.split(' | ')[0] ?? ''] === undefined);
    const look = async () => {
      await talk();
      empty.clear();
      for (const entry of queries) if ((await ask(filledIn(entry.query.expr))) === 0) empty.add(`${key(entry)} | ${entry.query.expr}`);
      return unexpected().length === 0;
    };
    // A rate needs two scrapes with something new between them, so the talk goes on meanwhile.
    await until('every panel answered', 20_000, look).catch(() => undefined);
    expect(unexpected()).toEqual([]);
    for (const title of Object.keys(EMPTY))
      expect(
        [...empty].some((e) => e.startsWith(`${title} | `)),
        title,
      ).toBe(true);
    expect(queries.length).toBeGreaterThan(80);
  });

  it('every alert can be evaluated, and every series and label that it speaks of is there', async () => {
    for (const { name, expr } of ALERT_GROUPS.flatMap((g) => g.alerts)) {
      await ask(expr);
      for (const [, metric = '', matchers = ''] of expr.matchAll(
        /\b((?:vicuna|workqueue|controller_runtime|leader)_\w+)(?:\{([^}]*)\})?/g,
      )) {
        if (metric === 'vicuna_run_serving') continue;
        const labels = [...matchers.matchAll(/(\w+)(?==|!)/g)].map(([, label]) => `${label}!=""`);
        expect(await ask(`{__name__="${metric}"${labels.map((l) => `,${l}`).join('')}}`), `${metric} in ${name}`).toBeGreaterThan(0);
      }
    }
  });
});

interface AuditEvent {
  readonly verb: string;
  readonly user: { readonly username: string };
  readonly objectRef?: {
    readonly apiGroup?: string;
    readonly resource: string;
    readonly subresource?: string;
    readonly namespace?: string;
  };
  readonly responseStatus?: { readonly code: number; readonly message?: string };
}

/** "group/resource verb" of all that the operator asked for; a patch that made something counts as a create, too: so the server checks it. */
function asked(): { used: Set<string>; refused: string[] } {
  const used = new Set<string>();
  const refused: string[] = [];
  for (const line of readFileSync(join(directory, 'audit.log'), 'utf8').split('\n')) {
    if (!line.includes(ACCOUNT)) continue;
    const { verb, user, objectRef: ref, responseStatus } = JSON.parse(line) as AuditEvent;
    if (user.username !== ACCOUNT || !ref) continue;
    const what = `${ref.apiGroup ?? ''}/${ref.resource}${ref.subresource ? `/${ref.subresource}` : ''}`;
    used.add(`${what} ${verb}`);
    if (verb === 'patch' && responseStatus?.code === 201) used.add(`${what} create`);
    if (responseStatus?.code === 403) refused.push(`${verb} ${what} in ${ref.namespace ?? 'the cluster'}: ${responseStatus.message ?? ''}`);
  }
  return { used, refused };
}

/** What the roles allow, one by one. */
function allowed(rules: readonly V1PolicyRule[]): string[] {
  return rules.flatMap(({ apiGroups = [], resources = [], verbs }) =>
    apiGroups.flatMap((group) => resources.flatMap((resource) => verbs.map((verb) => `${group}/${resource} ${verb}`))),
  );
}

const ELSEWHERE = 'for pools in other clusters; multi-cluster.test.ts has two';
const TO_GRANT = 'gateways may, and nobody may grant what they may not do themselves';
const TO_OWN = 'asked for by the API server where OwnerReferencesPermissionEnforcement is on, as on OpenShift';
/** What the operator may do and did not do here, and why it may. */
const UNUSED: Readonly<Record<string, string>> = {
  '/configmaps get': TO_GRANT,
  '/configmaps list': TO_GRANT,
  '/configmaps watch': TO_GRANT,
  'discovery.k8s.io/endpointslices get': TO_GRANT,
  'discovery.k8s.io/endpointslices list': TO_GRANT,
  'discovery.k8s.io/endpointslices watch': TO_GRANT,
  'discovery.k8s.io/endpointslices create': ELSEWHERE,
  'discovery.k8s.io/endpointslices patch': ELSEWHERE,
  'discovery.k8s.io/endpointslices delete': ELSEWHERE,
  '/namespaces get': ELSEWHERE,
  'vicuna.run/vicunadatasets/finalizers update': TO_OWN,
  'vicuna.run/vicunaevaluations/finalizers update': TO_OWN,
  'vicuna.run/vicunatrainings/finalizers update': TO_OWN,
  'vicuna.run/vicunaservings/finalizers update': TO_OWN,
};

describe('the roles', () => {
  beforeAll(async () => {
    // A finished training that is not kept: the operator deletes it.
    await client.mergePatch(TRAINING, 'default', NAME, { spec: { ttlAfterFinished: '0s' } });
    await until('the training gone', 60_000, () =>
      gang.status().then(
        () => false,
        (error) => isNotFound(error),
      ),
    );
  }, 180_000);

  it('refuse nothing that the operator asks for', () => {
    expect(asked().refused).toEqual([]);
  });

  it('allow nothing that it does not use, but for a list with reasons', () => {
    const { used } = asked();
    const unused = new Set(roles.flatMap((role) => allowed(role.rules ?? [])).filter((permission) => !used.has(permission)));
    expect([...unused].toSorted()).toEqual(Object.keys(UNUSED).toSorted());
  });

  it('grant nothing by a wildcard', () => {
    expect(JSON.stringify(roles.map((role) => role.rules))).not.toContain('*');
  });
});
