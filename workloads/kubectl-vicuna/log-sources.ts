import { DATASET } from '../../operator/api/vicuna-dataset.ts';
import { EVALUATION } from '../../operator/api/vicuna-evaluation.ts';
import { TRAINING, type VicunaTraining } from '../../operator/api/vicuna-training.ts';
import type { KubeObject, ResourceType } from '../../operator/kube/types.ts';
import { DATASET_LABEL, EVALUATION_LABEL, RELEASE_LABEL, SERVING_LABEL, TRAINING_LABEL } from '../../operator/pods/labels.ts';
import { CONTAINER as TASK_CONTAINER } from '../../operator/tasks/observe.ts';
import { CONTAINER as TRAINER } from '../../operator/training/pods.ts';
import { UsageError } from './command.ts';
import { type ObjectKind, objectNamed } from './kinds.ts';

interface Phased extends KubeObject {
  status?: { phase?: string | undefined };
}

/** How to find pods of one sort, and what they print. */
export interface LoggingPods {
  /** On them, with the object's name. */
  readonly label: string;
  readonly container: string;
  /** Before the number of a pod, of which there is one at a time; null: of workers, which have generation and rank. */
  readonly mark: string | null;
}

/** What has pods that come and go until it is over. */
export interface LogSource {
  readonly kind: string;
  readonly type: ResourceType<Phased>;
  readonly pods: readonly LoggingPods[];
  /** In one sentence why no more lines will come, or null. */
  readonly over: (object: Phased) => string | null;
}

const task = (label: string, mark: string): LoggingPods => ({ label, container: TASK_CONTAINER, mark });
const over =
  (kind: string) =>
  ({ status }: Phased) =>
    status?.phase === 'Complete' ? `The ${kind} is complete.` : status?.phase === 'Failed' ? `The ${kind} has failed.` : null;

/** A training's workers alone. */
export const WORKERS: LogSource = {
  kind: 'training',
  type: TRAINING,
  pods: [{ label: TRAINING_LABEL, container: TRAINER, mark: null }],
  over: over('training'),
};

export const LOG_SOURCES: Readonly<Partial<Record<ObjectKind, LogSource>>> = {
  training: { ...WORKERS, pods: [...WORKERS.pods, task(RELEASE_LABEL, 'r')], over: (object) => releaseOver(object as VicunaTraining) },
  dataset: { kind: 'dataset', type: DATASET, pods: [task(DATASET_LABEL, 'a')], over: over('dataset') },
  evaluation: { kind: 'evaluation', type: EVALUATION, pods: [task(EVALUATION_LABEL, 'a')], over: over('evaluation') },
};

/** A release follows the training that is complete; it may wait for its gate for days. */
function releaseOver(training: VicunaTraining): string | null {
  const { spec, status } = training;
  if (status?.phase !== 'Complete' || spec.release === undefined) return WORKERS.over(training);
  switch (status.release?.phase) {
    case 'Complete':
      return 'The training is complete and released.';
    case 'Failed':
      return 'The training is complete, but its release has failed.';
    case 'Pending':
      return `The training is complete, and its release waits: ${status.conditions?.find((c) => c.type === 'Released')?.message ?? ''}.`;
    default:
      return null;
  }
}

/** RUN, or KIND/NAME as for explain. */
export function logSourceNamed(said: string): { readonly source: LogSource; readonly name: string } {
  const { kind, name } = objectNamed([said.includes('/') ? said : `vt/${said}`]);
  const source = LOG_SOURCES[kind];
  if (source !== undefined) return { source, name };
  const instead = kind === 'serving' ? `: see kubectl logs -l ${SERVING_LABEL}=${name} --prefix` : '';
  throw new UsageError(`only trainings, datasets and evaluations have logs here, "${said}" is a ${kind}${instead}`);
}
