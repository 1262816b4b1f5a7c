import { DATASET } from '../../operator/api/vicuna-dataset.ts';
import { EVALUATION } from '../../operator/api/vicuna-evaluation.ts';
import { TRAINING } from '../../operator/api/vicuna-training.ts';
import type { KubeObject, ResourceType } from '../../operator/kube/types.ts';
import { DATASET_LABEL, EVALUATION_LABEL, SERVING_LABEL, TRAINING_LABEL } from '../../operator/pods/labels.ts';
import { CONTAINER as TASK_CONTAINER } from '../../operator/tasks/observe.ts';
import { CONTAINER as TRAINER } from '../../operator/training/pods.ts';
import { UsageError } from './command.ts';
import { type ObjectKind, objectNamed } from './kinds.ts';

interface Phased extends KubeObject {
  status?: { phase?: string | undefined };
}

/** What has pods that come and go until it is over, and how to find their logs. */
export interface LogSource {
  readonly kind: string;
  readonly type: ResourceType<Phased>;
  /** On its pods, with its name. */
  readonly label: string;
  readonly container: string;
}

export const LOG_SOURCES: Readonly<Partial<Record<ObjectKind, LogSource>>> = {
  training: { kind: 'training', type: TRAINING, label: TRAINING_LABEL, container: TRAINER },
  dataset: { kind: 'dataset', type: DATASET, label: DATASET_LABEL, container: TASK_CONTAINER },
  evaluation: { kind: 'evaluation', type: EVALUATION, label: EVALUATION_LABEL, container: TASK_CONTAINER },
};

/** RUN, or KIND/NAME as for explain. */
export function logSourceNamed(said: string): { readonly source: LogSource; readonly name: string } {
  const { kind, name } = objectNamed([said.includes('/') ? said : `vt/${said}`]);
  const source = LOG_SOURCES[kind];
  if (source !== undefined) return { source, name };
  const instead = kind === 'serving' ? `: see kubectl logs -l ${SERVING_LABEL}=${name} --prefix` : '';
  throw new UsageError(`only trainings, datasets and evaluations have logs here, "${said}" is a ${kind}${instead}`);
}
