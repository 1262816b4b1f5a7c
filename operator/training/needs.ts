import type { VicunaDataset } from '../api/vicuna-dataset.ts';
import type { VicunaTraining } from '../api/vicuna-training.ts';
import type { DatasetUse, TrainingState } from './state.ts';

/** What a training that names a VicunaDataset would train on, or why it cannot yet. */
export function datasetFor(
  { metadata, spec, status }: VicunaTraining,
  dataset: VicunaDataset | undefined,
): { readonly use: DatasetUse | null; readonly problem: TrainingState['problem'] } {
  const { name } = spec.dataset;
  if (spec.dataset.uri !== undefined || name === undefined) return { use: null, problem: null };
  if (status?.dataset !== undefined) return { use: status.dataset, problem: null };
  const subject = `spec.dataset: VicunaDataset "${name}"`;
  const namespace = metadata.namespace ?? 'default';
  const not = (reason: string, words: string) => ({ use: null, problem: { reason, message: `${subject} ${words}` } });
  if (dataset === undefined) return not('MissingDataset', `does not exist in namespace ${namespace}: create it, or give dataset.uri`);
  const { phase, progress, result, conditions } = dataset.status ?? {};
  if (phase === 'Failed') {
    const why = conditions?.find((c) => c.type === 'Failed')?.message ?? 'its status says why';
    return not('DatasetFailed', `has failed (${why}): mend it and create it again`);
  }
  if (phase !== 'Complete' || result === undefined) {
    const eta = progress?.eta === undefined ? '' : `, about ${progress.eta} left`;
    const far = progress === undefined ? '' : `: ${progress.stage} ${progress.display} ${progress.unit}${eta}`;
    return not('DatasetNotReady', `is not complete${far}; the training starts by itself`);
  }
  const validationUri = result.validation?.uri;
  return { use: { name, uri: result.train.uri, ...(validationUri === undefined ? {} : { validationUri }) }, problem: null };
}
