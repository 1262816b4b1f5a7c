import { readdirSync, statSync } from 'node:fs';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { SERVING, type VicunaServing } from '../../operator/api/vicuna-serving.ts';
import { DEPLOYMENT, POD, SECRET } from '../../operator/kube/types.ts';
import { gatewayName } from '../../operator/serving/names.ts';
import { Prometheus } from '../cluster/prometheus.ts';
import { until } from '../cluster/run.ts';
import { NAMESPACE } from '../demo/stage.ts';
import { ask, Load } from '../serving/load.ts';
import { demoServing, gatewayUrl, untilReady } from '../serving/stage.ts';
import { Stage } from './stage.ts';

const NAME = 'chat';
const MAX_TOKENS = 60;
const QUESTIONS = ['What is the capital of France?', 'How do I write a good letter?', 'Tell me of the sea.', 'Why is the sky blue?'];

let stage: Stage;
let url: string;
const expected = new Map<string, string>();

beforeAll(async () => {
  stage = await Stage.start('e2e-serving');
  const { client } = stage.cluster;
  await client.create(SERVING, await demoServing({ name: NAME, spec: { replicas: { min: 3 }, placement: { spare: 0 } } }));
  await untilReady(client, NAME);
  url = await gatewayUrl(client, NAME);
  for (const question of QUESTIONS) {
    const answer = await ask(url, 'tiny', question, MAX_TOKENS);
    expect(answer).toMatchObject({ status: 200, done: true, problem: null });
    expect(answer.text.length).toBeGreaterThan(20);
    expected.set(question, answer.text);
  }
});
afterAll(() => stage?.stop());

async function status() {
  return (await stage.cluster.client.get(SERVING, NAMESPACE, NAME)).status;
}

/** Nodes that carry a replica now. */
async function nodesOfReplicas(): Promise<string[]> {
  const { items } = await stage.cluster.client.list(POD, { namespace: NAMESPACE, labelSelector: 'app.kubernetes.io/component=engine' });
  return items.flatMap((p) => (p.spec?.nodeName && !p.metadata?.deletionTimestamp ? [p.spec.nodeName] : []));
}

async function nodesOfGateways(): Promise<string[]> {
  const { items } = await stage.cluster.client.list(POD, { namespace: NAMESPACE, labelSelector: 'app.kubernetes.io/component=gateway' });
  return items.map((p) => p.spec?.nodeName ?? '');
}

describe('a serving on nodes that come and go', () => {
  it('loses no answer while workers are taken with and without notice and the gateway is rolled', async () => {
    const { cluster } = stage;
    const problems: string[] = [];
    const load = new Load({
      url,
      model: 'tiny',
      users: 4,
      maxTokens: MAX_TOKENS,
      questions: QUESTIONS,
      expected,
      onProblem: (p) => problems.push(p),
    });
    const restored = async (node: string) => {
      await cluster.restoreNode(node);
      await untilReady(cluster.client, NAME);
    };
    // A gateway that goes without notice takes its connections with it: only nodes without one are killed.
    const gateways = new Set(await nodesOfGateways());
    const victims = (await nodesOfReplicas()).filter((node) => !gateways.has(node));

    const [first = '', second = first] = victims;
    const { gone } = await cluster.interruptNode(first, { noticeSeconds: 8 });
    await gone;
    await restored(first);
    await cluster.killNode(second);
    await untilReady(cluster.client, NAME);
    await restored(second);
    const restart = { spec: { template: { metadata: { annotations: { 'vicuna.test/restarted': 'once' } } } } };
    await cluster.client.mergePatch(DEPLOYMENT, NAMESPACE, gatewayName(NAME), restart);
    await until('the gateway rolled', 90_000, async () => {
      const { status, metadata } = await cluster.client.get(DEPLOYMENT, NAMESPACE, gatewayName(NAME));
      return status?.observedGeneration === metadata?.generation && status?.updatedReplicas === 2 && status?.replicas === 2;
    });

    const figures = await load.stop();
    expect(problems).toEqual([]);
    expect(figures).toMatchObject({ failed: 0, broken: 0, different: 0 });
    expect(figures.answers).toBeGreaterThan(20);
    const { status } = await cluster.client.get(SERVING, NAMESPACE, NAME);
    expect(status?.totals?.interruptions).toBeGreaterThanOrEqual(2);
  });

  it('rolls a new version out without a failed request', async () => {
    const { client } = stage.cluster;
    const problems: string[] = [];
    const load = new Load({
      url,
      model: 'tiny',
      users: 2,
      maxTokens: MAX_TOKENS,
      questions: QUESTIONS,
      expected,
      onProblem: (p) => problems.push(p),
    });
    const before = await client.get(SERVING, NAMESPACE, NAME);
    const models = before.spec.models.map((m) => ({ ...m, args: ['--max-num-seqs', '8'] }));
    await client.mergePatch(SERVING, NAMESPACE, NAME, { spec: { models } });
    await until('every replica of the new version', 180_000, async () => {
      const { items } = await client.list(POD, { namespace: NAMESPACE, labelSelector: 'app.kubernetes.io/component=engine' });
      const ready = items.filter((p) => p.status?.conditions?.some((c) => c.type === 'Ready' && c.status === 'True'));
      return ready.length === 3 && items.length === 3 && items.every((p) => p.spec?.containers[0]?.args?.includes('--max-num-seqs'));
    });
    const figures = await load.stop();
    expect(problems).toEqual([]);
    expect(figures).toMatchObject({ failed: 0, broken: 0, different: 0 });
  });
});

describe('a serving that follows its load', () => {
  let prometheus: Prometheus;
  const follow = (spec: object) => stage.cluster.client.mergePatch(SERVING, NAMESPACE, NAME, { spec });
  const desired = (replicas: number, what: string) => until(what, 90_000, async () => (await status())?.models?.[0]?.desired === replicas);
  const condition = async (type: string) => (await status())?.conditions?.find((c) => c.type === type);

  beforeAll(async () => {
    const { directory, client } = stage.cluster;
    prometheus = await Prometheus.start({ directory: `${directory}/prometheus`, client, scrapeSeconds: 1 });
  });
  afterAll(() => prometheus?.stop());

  it('grows with it as a real Prometheus tells, holds while Prometheus is away, and shrinks when it is over', async () => {
    const autoscaling = {
      prometheus: { url: prometheus.url },
      interval: '2s',
      metrics: [{ name: 'requests', target: 3 }],
      behavior: { scaleDown: { stabilization: '10s' } },
    };
    await follow({ replicas: { min: 1, max: 3 }, autoscaling });
    await desired(1, 'one replica for an idle model');
    expect(await condition('MetricsAvailable')).toMatchObject({ status: 'True', reason: 'Fresh' });

    const problems: string[] = [];
    const load = new Load({
      url,
      model: 'tiny',
      users: 9,
      maxTokens: MAX_TOKENS,
      questions: QUESTIONS,
      expected,
      onProblem: (p) => problems.push(p),
    });
    await desired(3, 'three replicas under load');
    await until('the time to the first token', 60_000, async () => ((await status())?.models?.[0]?.ttftP99 ?? 0) > 0);
    await prometheus.pause();
    await until('the metrics known to be away', 30_000, async () => (await condition('MetricsAvailable'))?.status === 'False');
    expect(await condition('MetricsAvailable')).toMatchObject({
      reason: 'Unavailable',
      message: expect.stringContaining('Prometheus cannot be reached'),
    });
    const figures = await load.stop();
    // Idle, and nobody can know: nothing is taken away, though the window passes.
    const since = Date.now();
    await until('more than the window', 30_000, () => Date.now() - since > 15_000);
    expect((await status())?.models?.[0]).toMatchObject({ desired: 3, reason: expect.stringContaining('held at 3') });
    await prometheus.resume();
    await desired(1, 'one replica when the load is over');
    expect(problems).toEqual([]);
    expect(figures).toMatchObject({ failed: 0, broken: 0, different: 0 });
  });

  it('goes to none when nobody asks, and starts when somebody does, who gets the answer', async () => {
    await follow({ replicas: { min: 0, max: 3 } });
    await desired(0, 'no replica for an idle model');
    await until('no pod', 90_000, async () => {
      const { items } = await stage.cluster.client.list(POD, { namespace: NAMESPACE, labelSelector: 'app.kubernetes.io/component=engine' });
      return items.length === 0;
    });
    const [question = ''] = QUESTIONS;
    const answer = await ask(url, 'tiny', question, MAX_TOKENS);
    expect(answer).toMatchObject({ status: 200, done: true, problem: null, text: expected.get(question) });
    // The operator hears of it at once; what takes time is the engine's start.
    expect(answer.firstSeconds).toBeLessThan(45);
  });
});

describe('a serving with a canary, keys, and weights kept on the nodes', () => {
  const TRIAL = 'trial';
  const KEY = 'a-key-of-the-test';
  const pods = async () => {
    const { items } = await stage.cluster.client.list(POD, {
      namespace: NAMESPACE,
      labelSelector: `vicuna.run/serving=${TRIAL},app.kubernetes.io/component=engine`,
    });
    return items;
  };

  it('waits for its Secret and says so, then shares its requests between the versions', async () => {
    const { client, directory } = stage.cluster;
    const serving = await demoServing({
      name: TRIAL,
      spec: { placement: { capacity: 'onDemand', spare: 0 }, weightsCache: { hostPath: join(directory, 'weights') } },
    });
    const [model] = serving.spec.models;
    const canary = { percent: 50, args: ['--max-num-seqs', '4'] };
    await client.create(SERVING, {
      ...serving,
      spec: { ...serving.spec, models: [{ ...model, canary }], gateway: { ...serving.spec.gateway, apiKeys: { name: 'trial-keys' } } },
    } as unknown as VicunaServing);
    await until('the missing Secret told', 30_000, async () => {
      const { status } = await client.get(SERVING, NAMESPACE, TRIAL);
      return (
        status?.conditions?.some((c) => c.type === 'Ready' && c.reason === 'MissingSecret' && c.message.includes('trial-keys')) ?? false
      );
    });
    await client.create(SECRET, { metadata: { name: 'trial-keys', namespace: NAMESPACE }, stringData: { team: KEY } });
    await untilReady(client, TRIAL);

    const trialUrl = await gatewayUrl(client, TRIAL);
    const body = JSON.stringify({ model: 'tiny', messages: [{ role: 'user', content: 'hello' }], max_tokens: 1 });
    const post = (key: string) =>
      fetch(`${trialUrl}/v1/chat/completions`, { method: 'POST', headers: { authorization: `Bearer ${key}` }, body });
    expect((await post('another-key')).status).toBe(401);
    const trackOf = new Map((await pods()).map((p) => [p.metadata?.name ?? '', p.metadata?.labels?.['vicuna.run/track']]));
    const answered: Record<string, number> = {};
    for (let i = 0; i < 40; i++) {
      const response = await post(KEY);
      expect(response.status).toBe(200);
      const track = trackOf.get(response.headers.get('x-vicuna-worker') ?? '') ?? 'unknown';
      answered[track] = (answered[track] ?? 0) + 1;
    }
    expect(Object.keys(answered).sort()).toEqual(['canary', 'stable']);
    // Of 40 coins, less than 8 or more than 32 heads come once in 25,000 times.
    expect(answered.canary).toBeGreaterThanOrEqual(8);
    expect(answered.canary).toBeLessThanOrEqual(32);
  });

  it('starts a replica again from what is on the node', async () => {
    const { client, directory } = stage.cluster;
    const [home = ''] = readdirSync(join(directory, 'weights'));
    const version = () => {
      const [name = ''] = readdirSync(join(directory, 'weights', home)).filter((n) => !n.startsWith('.') && n !== 'lock');
      return statSync(join(directory, 'weights', home, name));
    };
    const before = version();
    const known = await pods();
    const stable = known.find((p) => p.metadata?.labels?.['vicuna.run/track'] === 'stable')?.metadata?.name ?? '';
    await client.delete(POD, NAMESPACE, stable, { gracePeriodSeconds: 1 });
    await until('a new stable replica that answers', 120_000, async () =>
      (await pods()).some(
        (p) =>
          !known.some((k) => k.metadata?.name === p.metadata?.name) &&
          p.status?.conditions?.some((c) => c.type === 'Ready' && c.status === 'True'),
      ),
    );
    // The same directory, only used anew: nothing was downloaded.
    expect(version().ino).toBe(before.ino);
    expect(version().mtimeMs).toBeGreaterThan(before.mtimeMs);
  });
});

describe('models that share GPUs', () => {
  const SHARED = 'shared';

  it('answer from one pod, and go on answering while another model joins them', async () => {
    const { client } = stage.cluster;
    for (const other of (await client.list(SERVING, { namespace: NAMESPACE })).items)
      await client.delete(SERVING, NAMESPACE, other.metadata.name ?? '');
    const spec = { placement: { spare: 0 } };
    await client.create(SERVING, await demoServing({ name: SHARED, shared: ['one', 'two'], spec }));
    await untilReady(client, SHARED);
    const sharedUrl = await gatewayUrl(client, SHARED);
    const post = async (model: string) => {
      const body = JSON.stringify({ model, messages: [{ role: 'user', content: 'hello' }], max_tokens: 5, temperature: 0 });
      const response = await fetch(`${sharedUrl}/v1/chat/completions`, { method: 'POST', body });
      const { model: answered } = (await response.json()) as { model?: string };
      return { status: response.status, worker: response.headers.get('x-vicuna-worker'), answered };
    };
    const [one, two] = [await post('one'), await post('two')];
    expect([one.status, two.status]).toEqual([200, 200]);
    expect(one.worker).toBe(two.worker);
    expect([one.answered, two.answered]).toEqual(['one', 'two']);

    const load = new Load({ url: sharedUrl, model: 'one', users: 1, maxTokens: MAX_TOKENS, questions: QUESTIONS, expected });
    const more = await demoServing({ name: SHARED, shared: ['one', 'two', 'three'], spec });
    const found = await client.get(SERVING, NAMESPACE, SHARED);
    await client.replace(SERVING, { ...found, spec: more.spec });
    await until('three models in a group', 120_000, async () => {
      const { status } = await client.get(SERVING, NAMESPACE, SHARED);
      return status?.models?.length === 3 && status.models.every((m) => m.desired > 0 && m.ready === m.desired);
    });
    expect((await post('three')).status).toBe(200);
    await until('the old group gone', 90_000, async () => {
      const { items } = await client.list(POD, {
        namespace: NAMESPACE,
        labelSelector: `vicuna.run/serving=${SHARED},app.kubernetes.io/component=engine`,
      });
      return items.every((p) => p.metadata?.labels?.['holds.vicuna.run/three'] === 'true');
    });
    const figures = await load.stop();
    expect(figures).toMatchObject({ failed: 0, broken: 0, different: 0 });
    expect(figures.answers).toBeGreaterThan(3);
    await client.delete(SERVING, NAMESPACE, SHARED);
  });
});
