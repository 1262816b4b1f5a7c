import { join } from 'node:path';
import { DATASET, type VicunaDataset } from '../../operator/api/vicuna-dataset.ts';
import { EVALUATION, type VicunaEvaluation } from '../../operator/api/vicuna-evaluation.ts';
import { SERVING, type VicunaServing } from '../../operator/api/vicuna-serving.ts';
import { TRAINING, type VicunaTraining } from '../../operator/api/vicuna-training.ts';
import { isNotFound } from '../../operator/kube/client.ts';
import type { KubeObject, ResourceType } from '../../operator/kube/types.ts';
import { ROOT } from '../cluster/paths.ts';
import { Fatal, run, until } from '../cluster/run.ts';
import { toolPath } from '../cluster/tools.ts';
import type { DemoCluster } from './demo-cluster.ts';
import { startJudge } from './pipeline-stage.ts';
import { NAMESPACE } from './stage.ts';

const DIRECTORY = join('examples', 'pipeline');
const LIMIT_MS = 10 * 60_000;

export interface PipelineSummary {
  readonly dataset: { readonly read: number; readonly kept: number; readonly rejected: number };
  readonly training: { readonly steps: number; readonly loss: number | null };
  readonly release: { readonly uri: string; readonly bytes: number };
  readonly evaluation: {
    readonly baseline: string;
    readonly wins: number;
    readonly ties: number;
    readonly losses: number;
    readonly report: string;
  };
  /** From the apply until each was done. */
  readonly seconds: { readonly [stage: string]: number };
}

interface Objects {
  readonly dataset: VicunaDataset | null;
  readonly training: VicunaTraining | null;
  readonly serving: VicunaServing | null;
  readonly evaluation: VicunaEvaluation | null;
}

/** A stage's name, what it is at, and what it has come to once it is done. */
interface StageView {
  readonly name: string;
  readonly now: string;
  readonly done: string | null;
}

/** Applies examples/pipeline and tells of its way through the five stages. `say` prints a line. */
export async function runPipeline(cluster: DemoCluster, say: (line: string) => void): Promise<PipelineSummary> {
  const judge = await startJudge(cluster.client, cluster.address);
  try {
    const startedAt = performance.now();
    say(`apply      kubectl apply -f ${DIRECTORY}`);
    await run(toolPath('kubectl'), ['--kubeconfig', cluster.kubeconfig, 'apply', '-f', join(ROOT, DIRECTORY)]);
    const seconds: Record<string, number> = {};
    const told = new Map<string, string>();
    let objects: Objects = { dataset: null, training: null, serving: null, evaluation: null };
    await until('the evaluation', LIMIT_MS, async () => {
      objects = await look(cluster);
      for (const { name, now, done } of stagesOf(objects)) {
        const words = done ?? now;
        if (words !== '' && told.get(name) !== words && seconds[name] === undefined) say(`${name.padEnd(11)}${words}`);
        told.set(name, words);
        if (done !== null) seconds[name] ??= Number(((performance.now() - startedAt) / 1000).toFixed(1));
      }
      return seconds.evaluation !== undefined;
    });
    return summaryOf(objects, seconds);
  } finally {
    await judge.stop();
  }
}

async function look({ client }: DemoCluster): Promise<Objects> {
  const get = async <T extends KubeObject>(type: ResourceType<T>, name: string): Promise<T | null> => {
    try {
      return await client.get(type, NAMESPACE, name);
    } catch (error) {
      if (isNotFound(error)) return null;
      throw error;
    }
  };
  const [dataset, training, serving, evaluation] = await Promise.all([
    get(DATASET, 'conversations'),
    get(TRAINING, 'vicuna-tiny'),
    get(SERVING, 'chat'),
    get(EVALUATION, 'vicuna-tiny'),
  ]);
  for (const object of [dataset, training, evaluation]) {
    const failed = object?.status?.conditions?.find((c) => (c.type === 'Failed' && c.status === 'True') || c.reason === 'ReleaseFailed');
    if (failed) throw new Fatal(`${object?.kind} ${object?.metadata.name} failed: ${failed.message}`);
  }
  return { dataset, training, serving, evaluation };
}

function stagesOf({ dataset, training, serving, evaluation }: Objects): StageView[] {
  const { result, phase: datasetPhase, progress: cleaning } = dataset?.status ?? {};
  const { phase: trainingPhase, progress: steps, release, conditions = [] } = training?.status ?? {};
  const ready = serving?.status?.conditions?.find((c) => c.type === 'Ready');
  const { phase: judging, progress: reviews, comparisons, cost, report } = evaluation?.status ?? {};
  const [first] = comparisons ?? [];
  return [
    {
      name: 'dataset',
      now: cleaning ? `${datasetPhase}, ${cleaning.stage} ${cleaning.display} ${cleaning.unit}` : (datasetPhase ?? ''),
      done: result ? `${result.kept} of ${result.read} conversations kept, ${result.train.tokens} tokens at ${result.train.uri}` : null,
    },
    {
      name: 'training',
      now: trainingPhase === undefined ? '' : `${trainingPhase}${steps ? `, step ${steps.display}` : ''}`,
      done: trainingPhase === 'Complete' ? `step ${steps?.display}, loss ${steps?.lossDisplay} on ${training?.status?.pool}` : null,
    },
    {
      name: 'release',
      now: release?.phase ?? '',
      done: conditions.find((c) => c.type === 'Released' && c.status === 'True')?.message ?? null,
    },
    {
      name: 'serving',
      now: ready === undefined || ready.reason === 'TrainingNotReady' ? '' : ready.message,
      done: ready?.status === 'True' ? `${serving?.status?.url} answers with the model restored from base and delta` : null,
    },
    {
      name: 'evaluation',
      now: reviews ? `${judging}, ${reviews.stage} ${reviews.display} ${reviews.unit}` : '',
      done:
        judging === 'Complete' && first
          ? `${first.wins} won, ${first.ties} drawn, ${first.losses} lost against ${first.baseline}; $${cost?.total} in all; ${report}`
          : null,
    },
  ];
}

function summaryOf({ dataset, training, evaluation }: Objects, seconds: PipelineSummary['seconds']): PipelineSummary {
  const { read = 0, kept = 0, rejectedTotal = 0 } = dataset?.status?.result ?? {};
  const { progress, release } = training?.status ?? {};
  const [first] = evaluation?.status?.comparisons ?? [];
  return {
    dataset: { read, kept, rejected: rejectedTotal },
    training: { steps: progress?.step ?? 0, loss: progress?.loss ?? null },
    release: { uri: release?.uri ?? '', bytes: release?.bytes ?? 0 },
    evaluation: {
      baseline: first?.baseline ?? '',
      wins: first?.wins ?? 0,
      ties: first?.ties ?? 0,
      losses: first?.losses ?? 0,
      report: evaluation?.status?.report ?? '',
    },
    seconds,
  };
}
