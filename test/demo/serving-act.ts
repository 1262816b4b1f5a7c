import { join } from 'node:path';
import { SERVING, type VicunaServing } from '../../operator/api/vicuna-serving.ts';
import { POD } from '../../operator/kube/types.ts';
import { Prometheus } from '../cluster/prometheus.ts';
import { until } from '../cluster/run.ts';
import { ask, Load } from '../serving/load.ts';
import { demoServing, gatewayUrl, untilReady } from '../serving/stage.ts';
import type { DemoCluster } from './demo-cluster.ts';
import { NAMESPACE } from './stage.ts';

const NAME = 'demo-chat';
const MODEL = 'tiny';
const USERS = 9;
const MAX_TOKENS = 48;
const NOTICE_SECONDS = 10;
const QUESTIONS = ['How can I improve my time management skills?', 'What is the capital of France?', 'Tell me of the sea.'];

export interface ServingSummary {
  readonly answers: number;
  readonly failed: number;
  readonly broken: number;
  readonly different: number;
  readonly continued: number;
  /** Seconds. */
  readonly seconds: { readonly ready: number; readonly scaledOut: number; readonly replaced: number; readonly scaledIn: number };
  readonly cost: number;
  readonly onDemandCost: number;
}

/**
 * The second half of the demo: the model that was just trained is served, talked to, put under load, scaled out by a real Prometheus'
 * numbers, loses a node, and is scaled in. `say` prints a line.
 */
export async function serveTrained(cluster: DemoCluster, weights: string, say: (line: string) => void): Promise<ServingSummary> {
  const { client } = cluster;
  const startedAt = performance.now();
  const since = (from: number) => Number(((performance.now() - from) / 1000).toFixed(1));
  const prometheus = await Prometheus.start({ directory: join(cluster.directory, 'prometheus'), client, scrapeSeconds: 1 });
  try {
    const autoscaling = {
      prometheus: { url: prometheus.url },
      interval: '2s',
      metrics: [{ name: 'requests', target: 3 }],
      behavior: { scaleDown: { stabilization: '6s' } },
    };
    const spec = { replicas: { min: 1, max: 3 }, autoscaling, placement: { spare: 0 } };
    await client.create(SERVING, await demoServing({ name: NAME, weights, spec }));
    await untilReady(client, NAME);
    const url = await gatewayUrl(client, NAME);
    const ready = since(startedAt);
    say(`ready      ${NAME} answers at ${url} after ${ready} s: OpenAI's API, and a chat page`);

    const expected = new Map<string, string>();
    for (const question of QUESTIONS) {
      const answer = await ask(url, MODEL, question, MAX_TOKENS);
      if (answer.problem !== null) throw new Error(`the model did not answer: ${answer.problem}`);
      expected.set(question, answer.text);
    }
    say(`asked      “${QUESTIONS[0]}”`);
    say(
      `answered   “${(expected.get(QUESTIONS[0] ?? '') ?? '').replace(/\s+/g, ' ').slice(0, 90)} …” (a million parameters know no better)`,
    );

    const problems: string[] = [];
    const load = new Load({
      url,
      model: MODEL,
      users: USERS,
      maxTokens: MAX_TOKENS,
      questions: QUESTIONS,
      expected,
      onProblem: (p) => problems.push(p),
    });
    say(`load       ${USERS} users ask one question after the other`);
    let from = performance.now();
    await replicas(cluster, 3);
    const scaledOut = since(from);
    say(`scaled     1 → 3 replicas, all answering ${scaledOut} s after the load began: ${await reason(cluster)}`);

    const node = await spotNodeOfReplica(cluster);
    let replaced = 0;
    if (node) {
      from = performance.now();
      const { gone } = await cluster.interrupt(node, NOTICE_SECONDS);
      say(`notice     ${node.pool} takes node ${node.name} back in ${NOTICE_SECONDS} s: routing stops, a replacement starts`);
      await gone;
      await replicas(cluster, 3);
      replaced = since(from);
      say(`replaced   3 replicas again ${replaced} s after the notice`);
    }
    const figures = await load.stop();
    say(
      `answers    ${figures.answers}: ${figures.failed} failed, ${figures.broken} broken off, ${figures.different} unlike the undisturbed ones; ${figures.continued} went on at another worker`,
    );
    for (const problem of problems.slice(0, 3)) say(`problem    ${problem}`);
    from = performance.now();
    await replicas(cluster, 1);
    const scaledIn = since(from);
    const { totals } = (await found(cluster)).status ?? {};
    say(`scaled     3 → 1 replica ${scaledIn} s after the load ended`);
    const { slowestFirst: _, longestPause: __, ...counts } = figures;
    return {
      ...counts,
      seconds: { ready, scaledOut, replaced, scaledIn },
      cost: Number(totals?.cost ?? 0),
      onDemandCost: Number(totals?.onDemandCost ?? 0),
    };
  } finally {
    await prometheus.stop();
  }
}

function found({ client }: DemoCluster): Promise<VicunaServing> {
  return client.get(SERVING, NAMESPACE, NAME);
}

async function replicas(cluster: DemoCluster, count: number): Promise<void> {
  await until(`${count} replicas that answer`, 300_000, async () => {
    const [model] = (await found(cluster)).status?.models ?? [];
    return model?.desired === count && model.ready === count;
  });
}

async function reason(cluster: DemoCluster): Promise<string> {
  return (await found(cluster)).status?.models?.[0]?.reason ?? '';
}

/** A spot node that carries a replica and no copy of the gateway: that one's connections would be somebody's. */
async function spotNodeOfReplica(cluster: DemoCluster) {
  const { items } = await cluster.client.list(POD, { namespace: NAMESPACE, labelSelector: `vicuna.run/serving=${NAME}` });
  const on = (component: string) =>
    new Set(items.filter((p) => p.metadata?.labels?.['app.kubernetes.io/component'] === component).map((p) => p.spec?.nodeName));
  const gateways = on('gateway');
  const engines = on('engine');
  return (
    cluster.nodes().find((n) => n.isSpot && engines.has(n.name) && !gateways.has(n.name)) ??
    cluster.nodes().find((n) => n.isSpot && engines.has(n.name))
  );
}
