import { join } from 'node:path';
import { afterAll, afterEach, beforeAll, describe, expect, it } from 'vitest';
import type { TaskObject } from '../../operator/api/task.ts';
import { DATASET } from '../../operator/api/vicuna-dataset.ts';
import { EVALUATION } from '../../operator/api/vicuna-evaluation.ts';
import { TRAINING } from '../../operator/api/vicuna-training.ts';
import { POD, type ResourceType } from '../../operator/kube/types.ts';
import type { FakeEndpoint } from '../../workloads/judge/testing/fake-endpoint.ts';
import { DEMO_NODES } from '../cluster/demo-nodes.ts';
import { ROOT } from '../cluster/paths.ts';
import { Fatal, run, until } from '../cluster/run.ts';
import { toolPath } from '../cluster/tools.ts';
import { CPU_NODES, PIPELINE_POOLS, startJudge } from '../demo/pipeline-stage.ts';
import { NAMESPACE } from '../demo/stage.ts';
import { Stage } from './stage.ts';

/** Of examples/pipeline/evaluation.yaml: a baseline's answers, then each pair in both orders. */
const QUESTIONS = 6;
const JUDGE_REQUESTS = 3 * QUESTIONS;
const CONCURRENCY = 4;

let stage: Stage;
let judge: FakeEndpoint;

beforeAll(async () => {
  const nodes = [...DEMO_NODES.filter((n) => n.name.startsWith('aws-a')), ...CPU_NODES];
  stage = await Stage.start('e2e-pipeline', nodes, PIPELINE_POOLS);
  // Slow enough that its node can be taken away in the middle of it.
  judge = await startJudge(stage.cluster.client, stage.cluster.address, 1_500);
});
afterAll(async () => {
  await judge?.stop();
  await stage?.stop();
});

/** Waits for a phase; gives up when the object has failed. */
async function untilPhase<T extends TaskObject>(type: ResourceType<T>, name: string, phase: string, timeoutMs: number): Promise<void> {
  await until(`${type.kind} ${name} ${phase}`, timeoutMs, async () => {
    const { status } = await stage.cluster.client.get(type, NAMESPACE, name);
    if (status?.phase === 'Failed') throw new Fatal(`${type.kind} ${name} failed: ${JSON.stringify(status.conditions)}`);
    return status?.phase === phase;
  });
}

/** What the objects and their pods say, for whoever must find out why a stage did not come to its end. */
async function lastWords(): Promise<string> {
  const { kubeconfig } = stage.cluster;
  const conditions =
    'jsonpath={range .items[*]}{.kind}{" "}{.metadata.name}{": "}{range .status.conditions[*]}{.type}={.status} {.message}{"; "}{end}{"\\n"}{end}';
  const words = await Promise.all([
    run(toolPath('kubectl'), ['--kubeconfig', kubeconfig, 'get', 'vd,vt,vs,ve', '-o', conditions]),
    run(toolPath('kubectl'), ['--kubeconfig', kubeconfig, 'get', 'pods', '-o', 'wide']),
  ]);
  return words.join('\n');
}

describe('examples/pipeline', () => {
  afterEach(async ({ task }) => {
    if (task.result?.state === 'fail') console.error(await lastWords());
  });

  it('goes from conversations to an evaluated model by one kubectl apply, also when the evaluation’s node is taken away', async () => {
    const { client, kubeconfig } = stage.cluster;
    await run(toolPath('kubectl'), ['--kubeconfig', kubeconfig, 'apply', '-f', join(ROOT, 'examples', 'pipeline')]);

    await untilPhase(DATASET, 'conversations', 'Complete', 240_000);
    const { status: dataset } = await client.get(DATASET, NAMESPACE, 'conversations');
    const { kept = 0, rejectedTotal, read } = dataset?.result ?? {};
    expect(kept).toBeGreaterThan(100);
    expect(kept + (rejectedTotal ?? 0)).toBe(read);

    await until('the release', 300_000, async () => {
      const { status } = await client.get(TRAINING, NAMESPACE, 'vicuna-tiny');
      const failed = status?.conditions?.find((c) => c.reason === 'ReleaseFailed' || (c.type === 'Failed' && c.status === 'True'));
      if (failed) throw new Fatal(failed.message);
      return status?.conditions?.some((c) => c.type === 'Released' && c.status === 'True') ?? false;
    });
    const { status: training } = await client.get(TRAINING, NAMESPACE, 'vicuna-tiny');
    expect(training?.dataset?.uri).toBe(dataset?.result?.train.uri);
    expect(training?.release?.changedElements).toBeGreaterThan(0);

    await until('the first reviews', 480_000, async () => judge.answered.some((asked) => asked.model === 'judge'));
    const pod = await client.get(POD, NAMESPACE, 'vicuna-tiny-evaluation-1');
    const { gone } = await stage.cluster.interruptNode(pod.spec?.nodeName ?? '', { noticeSeconds: 20 });
    await untilPhase(EVALUATION, 'vicuna-tiny', 'Complete', 240_000);
    await gone;

    const { status: evaluation } = await client.get(EVALUATION, NAMESPACE, 'vicuna-tiny');
    expect(evaluation).toMatchObject({ attempt: 2, totals: { interruptions: 1 }, summary: { wins: expect.stringMatching(/^\d+$/) } });
    expect(evaluation?.retries).toBeUndefined();
    const [comparison] = evaluation?.comparisons ?? [];
    expect(comparison).toMatchObject({ baseline: 'baseline', judged: QUESTIONS, failed: 0 });
    expect((comparison?.wins ?? 0) + (comparison?.ties ?? 0) + (comparison?.losses ?? 0)).toBe(QUESTIONS);
    expect(Number(evaluation?.cost?.total)).toBeGreaterThan(0);
    // What was answered before is not asked again; only what was under way is.
    expect(judge.answered.length).toBeGreaterThanOrEqual(JUDGE_REQUESTS);
    expect(judge.answered.length).toBeLessThanOrEqual(JUDGE_REQUESTS + CONCURRENCY);
  }, 1_500_000);
});
