// Pods of tasks as kwok runs them: this process says how their programs end.
import type { V1Pod } from '@kubernetes/client-node';
import type { JudgeResult } from '../../operator/api/judge-result.ts';
import type { TaskReport } from '../../operator/api/protocol.ts';
import { isNotFound, type KubeClient } from '../../operator/kube/client.ts';
import { POD } from '../../operator/kube/types.ts';
import { run, until } from '../cluster/run.ts';
import { toolPath } from '../cluster/tools.ts';

/** The pod, once kwok has started it. */
export async function running(client: KubeClient, name: string): Promise<V1Pod> {
  let pod: V1Pod | null = null;
  await until(`pod ${name} running`, 30_000, async () => {
    pod = await client.get(POD, 'default', name).catch((error) => {
      if (isNotFound(error)) return null;
      throw error;
    });
    return pod?.status?.phase === 'Running';
  });
  return pod as unknown as V1Pod;
}

/** Reports to the operator with the token of this pod, of itself unless another pod is named. */
export async function reporter(url: string, pod: string): Promise<(report: TaskReport, of?: string) => Promise<Response>> {
  const bound = ['--bound-object-kind', 'Pod', '--bound-object-name', pod];
  const token = (await run(toolPath('kubectl'), ['create', 'token', 'default', '--audience', 'vicuna.run', ...bound])).trim();
  const headers = { authorization: `Bearer ${token}`, 'content-type': 'application/json' };
  return (report, of = pod) => fetch(`${url}/v1/tasks/default/${of}/report`, { method: 'POST', headers, body: JSON.stringify(report) });
}

/** The program in the pod has ended. */
export async function end(client: KubeClient, name: string, exitCode: number, message: string): Promise<void> {
  const now = new Date().toISOString();
  const state = { terminated: { exitCode, message, reason: exitCode === 0 ? 'Completed' : 'Error', startedAt: now, finishedAt: now } };
  const status = {
    phase: exitCode === 0 ? 'Succeeded' : 'Failed',
    containerStatuses: [{ name: 'task', image: 'x', imageID: 'x', ready: false, restartCount: 0, started: false, state }],
  };
  await client.mergePatch(POD, 'default', name, { status }, { subresource: 'status' });
}

const part = (name: string) => ({ uri: `s3://data/sharegpt/${name}`, conversations: 60, pieces: 80, tokens: 9_000 });
/** What a dataset's program leaves behind. */
export const RESULT = JSON.stringify({
  train: part('train'),
  validation: part('validation'),
  read: 70,
  kept: 62,
  rejected: { tooShort: 8 },
  edited: { html: 40 },
  identity: 0,
  card: 's3://data/sharegpt/card.md',
});

/** What an evaluation's program leaves behind. */
export const JUDGED = JSON.stringify({
  state: 'complete',
  questions: 80,
  candidateScore: 7.9,
  baselines: [
    {
      name: 'alpaca-13b',
      judged: 80,
      failed: 0,
      candidateTotal: 638,
      baselineTotal: 567,
      wins: 60,
      ties: 8,
      losses: 12,
      winRate: 0.8,
      winRateInterval: [0.7, 0.87],
      relativeQuality: 1.125,
      relativeQualityInterval: [1.09, 1.16],
      orderAgreement: 0.8,
    },
  ],
  reviews: { done: 160, total: 160, failed: 0 },
  tokens: { input: 140_000, output: 24_000 },
  cost: { estimated: null, answers: null, judge: null, total: null },
  report: 's3://evaluations/vicuna-80/report.json',
  viewer: 's3://evaluations/vicuna-80/viewer/index.html',
} satisfies JudgeResult);
