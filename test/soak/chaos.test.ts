import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { TRAINING, type VicunaTraining } from '../../operator/api/vicuna-training.ts';
import { POD } from '../../operator/kube/types.ts';
import type { NodeSpec } from '../cluster/node-profiles.ts';
import { demoTraining, NAMESPACE } from '../demo/stage.ts';
import { isSteady, Stage, seeded } from '../e2e/stage.ts';

/** Interruptions with notice in the chaos run, at moments that the seed decides. */
const ANNOUNCED = 20;
const STEPS = 1_500;
const INTERVAL = 20;
/** On-demand nodes are not taken back: the tests want the training where it can be interrupted. */
const SPOT_ONLY = { placement: { capacity: 'spot' } };

let stage: Stage;
let undisturbed: Promise<number>;

beforeAll(async () => {
  stage = await Stage.start('soak-chaos');
});
afterAll(async () => {
  await stage?.stop();
});

/** Runs a training to its end; resolves to its final loss. */
async function finalLoss(name: string): Promise<number> {
  const done = await stage.until(name, `${name} complete`, (t) => t.status?.phase === 'Complete', 600_000);
  return done.status?.progress?.loss ?? Number.NaN;
}

/** Nodes that have notice or are being replaced. */
const leaving = new Set<string>();

/** Spot nodes without notice that carry workers of the training, also ones that only start. */
async function nodesOf(name: string): Promise<NodeSpec[]> {
  const { items } = await stage.cluster.client.list(POD, { namespace: NAMESPACE, labelSelector: `vicuna.run/training=${name}` });
  const used = new Set(items.filter((p) => p.status?.phase !== 'Failed').map((p) => p.spec?.nodeName));
  return stage.cluster.nodes.filter((n) => n.capacity === 'spot' && used.has(n.name) && !leaving.has(n.name));
}

describe('a training that is interrupted', () => {
  it('runs undisturbed, for comparison', async () => {
    await stage.cluster.client.create(TRAINING, await demoTraining({ name: 'calm', steps: STEPS, interval: `${INTERVAL}steps` }));
    const loss = await finalLoss('calm');
    undisturbed = Promise.resolve(loss);
    expect(loss).toBeGreaterThan(0);
    expect(await stage.provenSteps('calm')).toBe(STEPS);
  });

  it(`loses no step in ${ANNOUNCED} announced interruptions, ends with the same loss, and uses every sample once per epoch`, async () => {
    const random = seeded(20_261_123);
    await stage.cluster.client.create(
      TRAINING,
      await demoTraining({ name: 'chaos', steps: STEPS, interval: `${INTERVAL}steps`, spec: SPOT_ONLY }),
    );
    const restored: Promise<void>[] = [];
    let done = 0;
    let round = 0;
    while (done < ANNOUNCED) {
      await stage.until('chaos', 'a steady training', (t) => isSteady(t) || t.status?.phase === 'Complete', 240_000);
      if (stage.training('chaos')?.status?.phase === 'Complete') break;
      const moment = stage.training('chaos')?.status?.progress?.step ?? 0;
      const ahead = Math.floor(random() * 3);
      await stage.until('chaos', `${ahead} more steps`, (t) => (t.status?.progress?.step ?? 0) >= moment + ahead || !isSteady(t));
      // One in four takes both nodes at once, one in four a replacement's node while it starts.
      const kind = round++ % 4;
      const nodes = (await nodesOf('chaos')).slice(0, kind === 1 ? 2 : 1);
      const since = new Date().toISOString();
      for (const node of nodes) restored.push(...(await takeBack(node)));
      done += nodes.length;
      const names = nodes.map((n) => n.name);
      await stage.until('chaos', `the notice for ${names} seen`, (t) => isNoted(t, names, since) || t.status?.phase === 'Complete');
      if (kind === 3) {
        await stage.until('chaos', 'a replacement starting', (t) => t.status?.next !== undefined || isSteady(t), 120_000);
        const [second] = await nodesOf('chaos');
        if (second) {
          restored.push(...(await takeBack(second)));
          done++;
        }
      }
    }
    const loss = await finalLoss('chaos');
    await Promise.all(restored);
    const { totals, interruptions = [] } = stage.training('chaos')?.status ?? {};
    expect(totals?.interruptions).toBeGreaterThanOrEqual(ANNOUNCED);
    expect(interruptions.filter((i) => !i.notice)).toEqual([]);
    expect(totals?.lostSteps).toBe(0);
    expect(Math.abs(loss - (await undisturbed))).toBeLessThan(1e-5);
    expect(await stage.provenSteps('chaos')).toBe(STEPS);
  });
});

/** Whether the notices are in the status: without that, an old view of a steady training would count as steady. */
function isNoted({ status }: VicunaTraining, nodes: readonly string[], since: string): boolean {
  // Notices are dated by the API server's clock, to the second.
  const from = new Date(Date.parse(since) - 1_000).toISOString();
  return nodes.some((node) => (status?.interruptions ?? []).some((r) => r.node === node && r.noticedAt >= from));
}

/** Gives notice of a node's end; the promise in the list resolves when a new machine has taken its place. */
async function takeBack(node: NodeSpec): Promise<[Promise<void>]> {
  leaving.add(node.name);
  const { gone } = await stage.cluster.interruptNode(node.name, { noticeSeconds: 20 });
  return [gone.then(() => stage.cluster.addNode(node)).then(() => void leaving.delete(node.name))];
}
