import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { DATASET } from '../../operator/api/vicuna-dataset.ts';
import { EVALUATION } from '../../operator/api/vicuna-evaluation.ts';
import { TRAINING } from '../../operator/api/vicuna-training.ts';
import type { FakeEndpoint } from '../../workloads/judge/testing/fake-endpoint.ts';
import { DEMO_NODES } from '../cluster/demo-nodes.ts';
import { ROOT } from '../cluster/paths.ts';
import { run, until } from '../cluster/run.ts';
import { toolPath } from '../cluster/tools.ts';
import { CPU_NODES, PIPELINE_POOLS, startJudge } from '../demo/pipeline-stage.ts';
import { NAMESPACE } from '../demo/stage.ts';
import { Stage } from './stage.ts';

let stage: Stage;
let judge: FakeEndpoint;

beforeAll(async () => {
  const nodes = [...DEMO_NODES.filter((n) => n.name.startsWith('aws-a')), ...CPU_NODES];
  stage = await Stage.start('e2e-pipeline', nodes, PIPELINE_POOLS);
  judge = await startJudge(stage.cluster.client, stage.cluster.address);
});
afterAll(async () => {
  await judge?.stop();
  await stage?.stop();
});

const kubectl = (...args: string[]) => run(toolPath('kubectl'), ['--kubeconfig', stage.cluster.kubeconfig, ...args]);

describe('examples/pipeline', () => {
  it('goes from conversations to an evaluated model by one kubectl apply, though the dataset’s node is taken away', async () => {
    const { client } = stage.cluster;
    await kubectl('apply', '-f', join(ROOT, 'examples', 'pipeline'));

    await until('the dataset’s pod running', 120_000, async () => {
      const { status } = await client.get(DATASET, NAMESPACE, 'conversations');
      if (status?.phase === 'Failed') throw new Error(JSON.stringify(status.conditions));
      return status?.phase === 'Running' || status?.phase === 'Complete';
    });
    await until('the dataset', 180_000, async () => {
      const { status } = await client.get(DATASET, NAMESPACE, 'conversations');
      return status?.phase === 'Complete';
    });
    const { status: dataset } = await client.get(DATASET, NAMESPACE, 'conversations');
    const { kept = 0, rejectedTotal = 0, read = 0 } = dataset?.result ?? {};
    expect(kept).toBeGreaterThan(100);
    expect(kept + rejectedTotal).toBe(read);

    await until('the release', 300_000, async () => {
      const { status } = await client.get(TRAINING, NAMESPACE, 'vicuna-tiny');
      return status?.conditions?.some((c) => c.type === 'Released' && c.status === 'True') ?? false;
    });
    const { status: training } = await client.get(TRAINING, NAMESPACE, 'vicuna-tiny');
    expect(training?.dataset?.uri).toBe(dataset?.result?.train.uri);
    expect(training?.release?.changedElements).toBeGreaterThan(0);

    await until(
      'the evaluation',
      300_000,
      async () => (await client.get(EVALUATION, NAMESPACE, 'vicuna-tiny')).status?.phase === 'Complete',
    );
    const { status: evaluation } = await client.get(EVALUATION, NAMESPACE, 'vicuna-tiny');
    const [comparison] = evaluation?.comparisons ?? [];
    expect(comparison).toMatchObject({ baseline: 'baseline', judged: 6, failed: 0 });
    expect((comparison?.wins ?? 0) + (comparison?.ties ?? 0) + (comparison?.losses ?? 0)).toBe(6);
    expect(Number(evaluation?.cost?.total)).toBeGreaterThan(0);
    expect(judge.answered.length).toBe(6 + 12);
    console.log(await kubectl('get', 'vd,vt,vs,ve'));
  });
});
