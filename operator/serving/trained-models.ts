import type { VicunaServing, VicunaServingStatus } from '../api/vicuna-serving.ts';
import type { VicunaTraining } from '../api/vicuna-training.ts';

type Source = NonNullable<VicunaServingStatus['sources']>[number];

/**
 * The serving with the weights of models that come from trainings; `waiting` says for what, where one is not there yet. What was served
 * once stays, whatever becomes of the training.
 */
export function withTrainings(
  serving: VicunaServing,
  trainingOf: (name: string) => VicunaTraining | undefined,
): { readonly serving: VicunaServing; readonly waiting: string | null } {
  const sources: Source[] = [];
  const models: VicunaServing['spec']['models'] = [];
  for (const model of serving.spec.models) {
    const { name, training } = model;
    if (training === undefined) {
      models.push(model);
      continue;
    }
    const known = serving.status?.sources?.find((s) => s.model === name && s.training === training);
    const source = known ?? sourceIn(name, training, trainingOf(training));
    if (typeof source === 'string')
      return { serving, waiting: `spec.models: ${name} comes from VicunaTraining "${training}", which ${source}` };
    sources.push(source);
    models.push({ ...model, weights: source.weights, ...(source.delta === undefined ? {} : { delta: { uri: source.delta } }) });
  }
  if (sources.length === 0) return { serving, waiting: null };
  return { serving: { ...serving, spec: { ...serving.spec, models }, status: { ...serving.status, sources } }, waiting: null };
}

/** What the training has made, or what is still to come, in words. */
function sourceIn(model: string, name: string, training: VicunaTraining | undefined): Source | string {
  if (training === undefined) return 'does not exist: create it, and the model is served as soon as it is released';
  const { phase, progress, release, conditions } = training.status ?? {};
  const origin = { model, training: name, ...(training.metadata.uid === undefined ? {} : { trainingUid: training.metadata.uid }) };
  const condition = (type: string) => conditions?.find((c) => c.type === type);
  if (phase === 'Failed') return `has failed (${condition('Failed')?.message ?? ''})`;
  if (condition('Complete')?.status !== 'True') return `is not complete${progress ? `: step ${progress.display}` : ''}`;
  const storage = training.spec.checkpoint.storage.replace(/\/+$/, '');
  if (training.spec.release === undefined) return { ...origin, weights: `${storage}/model` };
  if (release?.uri === undefined || release.base === undefined)
    return `is not released: ${condition('Released')?.message ?? 'its release is on the way'}`;
  return { ...origin, weights: release.base, delta: release.uri };
}

/** The status of a serving that has nothing to serve yet. */
export function waitingStatus({ metadata, status = {} }: VicunaServing, message: string, now: number): VicunaServingStatus {
  const observedGeneration = metadata.generation ?? 0;
  const before = status.conditions?.find((c) => c.type === 'Ready');
  const lastTransitionTime = before?.status === 'False' ? before.lastTransitionTime : new Date(now).toISOString();
  const ready = { type: 'Ready', status: 'False' as const, reason: 'TrainingNotReady', message, lastTransitionTime, observedGeneration };
  return { ...status, observedGeneration, conditions: [...(status.conditions ?? []).filter((c) => c.type !== 'Ready'), ready] };
}
