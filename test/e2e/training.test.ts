import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { TRAINING } from '../../operator/api/vicuna-training.ts';
import type { NodeSpec } from '../cluster/node-profiles.ts';
import { demoTraining } from '../demo/stage.ts';
import { isSteady, Stage } from './stage.ts';

const STEPS = 240;
const INTERVAL = 20;
/** On-demand nodes are not taken back: the tests want the training where it can be interrupted. */
const SPOT_ONLY = { placement: { capacity: 'spot' } };

let stage: Stage;

beforeAll(async () => {
  stage = await Stage.start('e2e-training');
});
afterAll(async () => {
  await stage?.stop();
});

/** Runs a training to its end; resolves to its final loss. */
async function finalLoss(name: string): Promise<number> {
  const done = await stage.until(name, `${name} complete`, (t) => t.status?.phase === 'Complete', 600_000);
  return done.status?.progress?.loss ?? Number.NaN;
}

/** A spot node that the training runs on now. */
function nodeOf(name: string): NodeSpec | undefined {
  const pool = stage.training(name)?.status?.pool ?? '';
  return stage.cluster.nodes.filter((n) => n.capacity === 'spot' && pool.includes(n.zone))[0];
}

describe('a training that is interrupted', () => {
  it('trains to its end, every sample once per epoch', async () => {
    await stage.cluster.client.create(TRAINING, await demoTraining({ name: 'calm', steps: STEPS, interval: `${INTERVAL}steps` }));
    const loss = await finalLoss('calm');
    expect(loss).toBeGreaterThan(0);
    expect(await stage.provenSteps('calm')).toBe(STEPS);
  });

  it('loses at most one interval when nodes vanish without notice, and resumes only from complete checkpoints', async () => {
    await stage.cluster.client.create(
      TRAINING,
      await demoTraining({ name: 'sudden', steps: 200, interval: `${INTERVAL}steps`, spec: SPOT_ONLY }),
    );
    for (const share of [0.2, 0.5]) {
      await stage.until(
        'sudden',
        `${share * 200} steps`,
        (t) => isSteady(t) && (t.status?.progress?.step ?? 0) >= share * 200 && nodeOf('sudden') !== undefined,
      );
      const node = nodeOf('sudden');
      if (!node) throw new Error('the training is on no spot node');
      await stage.cluster.killNode(node.name);
      await stage.cluster.addNode(node);
    }
    await finalLoss('sudden');
    const records = stage.training('sudden')?.status?.interruptions ?? [];
    expect(records).toHaveLength(2);
    for (const record of records) expect(record.lostSteps).toBeLessThanOrEqual(INTERVAL);
    expect(await stage.provenSteps('sudden')).toBe(200);
  });
});
