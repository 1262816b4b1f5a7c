import { SERVING } from '../../operator/api/vicuna-serving.ts';
import { isNotFound } from '../../operator/kube/api-error.ts';
import { DEPLOYMENT, NODE, POD } from '../../operator/kube/types.ts';
import { gatewayName } from '../../operator/serving/names.ts';
import { until } from '../cluster/run.ts';
import { NAMESPACE } from '../demo/stage.ts';
import { Stage, seeded } from '../e2e/stage.ts';
import { ask, Load, type LoadFigures } from '../serving/load.ts';
import { demoServing, gatewayUrl, untilReady } from '../serving/stage.ts';

export const CHAOS_SETTINGS = {
  minutes: 20,
  faultEverySeconds: 30,
  workers: 3,
  users: 6,
  /** A user asks again this long after the last question, or when it is answered: the load stays what two cores can carry. */
  questionEverySeconds: 5.3,
  maxTokens: 300,
  noticeSeconds: 10,
  seed: 20_261_124,
};

const NAME = 'chaos';
const QUESTIONS = ['What is the capital of France?', 'How do I write a good letter?', 'Tell me of the sea.', 'Why is the sky blue?'];
const KINDS = ['notice', 'killed', 'removed', 'gateway'] as const;
type Kind = (typeof KINDS)[number];

interface ChaosRun extends LoadFigures {
  readonly faults: Readonly<Record<Kind, number>>;
  readonly problems: readonly string[];
}

/**
 * Steady streaming load while, again and again, a worker's node is taken with notice, is killed, or is removed, or the gateway is
 * rolled; once as it is and once with mid-answer continuation off, which says how many answers that saves.
 */
export async function benchChaosServing(minutes: number, say: (line: string) => void): Promise<Record<string, unknown>> {
  const stage = await Stage.start('chaos-serving');
  try {
    const { client } = stage.cluster;
    const serving = await demoServing({ name: NAME, spec: { replicas: { min: CHAOS_SETTINGS.workers }, placement: { spare: 0 } } });
    await client.create(SERVING, serving);
    // A gateway that is killed takes its clients' connections with it: like everybody's, these copies are not on spot nodes.
    const template = { spec: { tolerations: [{ operator: 'Exists' }], nodeSelector: { 'karpenter.sh/capacity-type': 'on-demand' } } };
    await client.mergePatch(SERVING, NAMESPACE, NAME, { spec: { gateway: { template } } });
    await untilReady(client, NAME);
    const url = await gatewayUrl(client, NAME);
    const expected = new Map<string, string>();
    for (const question of QUESTIONS) {
      const answer = await ask(url, 'tiny', question, CHAOS_SETTINGS.maxTokens);
      if (answer.problem !== null) throw new Error(`the undisturbed model did not answer: ${answer.problem}`);
      expected.set(question, answer.text);
    }
    const { faults, problems, ...kept } = await chaos(stage, url, expected, minutes, (line) => say(`continuation on   ${line}`));
    await client.mergePatch(SERVING, NAMESPACE, NAME, { spec: { gateway: { continuation: false } } });
    await untilReady(client, NAME);
    const off = await chaos(stage, url, expected, minutes, (line) => say(`continuation off  ${line}`));
    return {
      ...kept,
      faults,
      problems: problems.slice(0, 10),
      continuationOff: { answers: off.answers, failed: off.failed, broken: off.broken, different: off.different, faults: off.faults },
    };
  } finally {
    await stage.stop();
  }
}

async function chaos(
  stage: Stage,
  url: string,
  expected: ReadonlyMap<string, string>,
  minutes: number,
  say: (line: string) => void,
): Promise<ChaosRun> {
  const problems: string[] = [];
  const { users, maxTokens, questionEverySeconds: everySeconds } = CHAOS_SETTINGS;
  const onProblem = (problem: string) => {
    problems.push(problem);
    say(`problem: ${problem}`);
  };
  const load = new Load({ url, model: 'tiny', users, maxTokens, everySeconds, questions: QUESTIONS, expected, onProblem });
  const faults: Record<Kind, number> = { notice: 0, killed: 0, removed: 0, gateway: 0 };
  const random = seeded(CHAOS_SETTINGS.seed);
  const restored: Promise<void>[] = [];
  const startedAt = performance.now();
  const rounds = Math.floor((minutes * 60) / CHAOS_SETTINGS.faultEverySeconds);
  for (let round = 0; round < rounds; round++) {
    await new Promise((resolve) =>
      setTimeout(resolve, Math.max(0, startedAt + round * CHAOS_SETTINGS.faultEverySeconds * 1_000 - performance.now())),
    );
    const kind = KINDS[round % KINDS.length] as Kind;
    const victim = kind === 'gateway' ? 'gateway' : await pick(stage, random);
    faults[kind]++;
    const { answers, failed, broken, different, continued } = load.figures;
    const left = Math.round((rounds - round) * CHAOS_SETTINGS.faultEverySeconds);
    say(
      `${round + 1}/${rounds} ${kind} ${victim}: ${answers} answers, ${failed} failed, ${broken} broken, ${different} different, ${continued} continued; ${left} s left`,
    );
    restored.push(inflict(stage, kind, victim).catch((error: Error) => say(`${victim} did not come back: ${error.message}`)));
  }
  await Promise.all(restored);
  await untilReady(stage.cluster.client, NAME);
  return { ...(await load.stop()), faults, problems };
}

/** A spot node that carries a replica which answers, by the seed's choice. */
async function pick(stage: Stage, random: () => number): Promise<string> {
  let nodes: string[] = [];
  await until('a worker on a spot node', 120_000, async () => {
    const { items } = await stage.cluster.client.list(POD, { namespace: NAMESPACE, labelSelector: 'app.kubernetes.io/component=engine' });
    const spot = new Set(stage.cluster.nodes.filter((n) => n.capacity === 'spot' && !leaving.has(n.name)).map((n) => n.name));
    const answering = items.filter((p) => p.status?.conditions?.some((c) => c.type === 'Ready' && c.status === 'True'));
    nodes = [...new Set(answering.map((p) => p.spec?.nodeName ?? ''))].filter((n) => spot.has(n)).sort();
    return nodes.length > 0;
  });
  return nodes[Math.floor(random() * nodes.length)] as string;
}

const leaving = new Set<string>();

/** Does it, and gives the machine back when it is over. */
async function inflict(stage: Stage, kind: Kind, victim: string): Promise<void> {
  const { cluster } = stage;
  if (kind === 'gateway') {
    const annotations = { 'vicuna.test/restarted': new Date().toISOString() };
    await cluster.client.mergePatch(DEPLOYMENT, NAMESPACE, gatewayName(NAME), { spec: { template: { metadata: { annotations } } } });
    return;
  }
  leaving.add(victim);
  if (kind === 'notice') await (await cluster.interruptNode(victim, { noticeSeconds: CHAOS_SETTINGS.noticeSeconds })).gone;
  if (kind === 'removed') await cluster.killNode(victim);
  if (kind === 'killed') {
    await cluster.killNode(victim, { deleteNode: false });
    await until(`${victim} known to be dead`, 60_000, async () => {
      const node = await cluster.client.get(NODE, undefined, victim);
      return node.status?.conditions?.some((c) => c.type === 'Ready' && c.status !== 'True') ?? false;
    });
    await cluster.client.delete(NODE, undefined, victim).catch((error: unknown) => {
      if (!isNotFound(error)) throw error;
    });
  }
  await cluster.restoreNode(victim);
  leaving.delete(victim);
}
