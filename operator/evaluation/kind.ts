import { createHash } from 'node:crypto';
import { judgeResultSchema } from '../api/judge-result.ts';
import { EVALUATION, evaluationWithDefaults, type VicunaEvaluation } from '../api/vicuna-evaluation.ts';
import type { VicunaServing } from '../api/vicuna-serving.ts';
import { EVALUATION_LABEL } from '../pods/labels.ts';
import type { TaskKind } from '../tasks/kind.ts';
import { readResult } from '../tasks/result.ts';
import type { Problem } from '../tasks/state.ts';
import { contestantsOf, evaluationConfig, type ServedAt } from './config.ts';
import { resultFigures, resultStatus, settleCost } from './status.ts';

export interface EvaluationKindOptions {
  /** Default image. */
  readonly image: string;
  readonly servingOf: (namespace: string, name: string) => VicunaServing | undefined;
}

/** How evaluations run: one pod of workloads/judge. */
export function evaluationKind({ image, servingOf }: EvaluationKindOptions): TaskKind<VicunaEvaluation> {
  return {
    type: EVALUATION,
    label: EVALUATION_LABEL,
    suffix: 'evaluation',
    withDefaults: evaluationWithDefaults,
    secretsOf,
    missing: (evaluation) => missingServing(evaluation, servingOf),
    program(evaluation) {
      const { spec, metadata } = evaluation;
      const servedAt: ServedAt = ({ name, model }) => {
        const serving = servingOf(metadata.namespace ?? 'default', name);
        const url = serving?.status?.url;
        return { url: url === undefined ? null : `${url}/v1`, revision: revisionOf(serving, model) };
      };
      const files = contestantsOf(evaluation).flatMap(({ contestant }) => contestant.answers ?? []);
      return {
        image: spec.image ?? image,
        ...evaluationConfig(evaluation, servedAt),
        uris: [spec.questions.uri ?? '', ...files, spec.output],
        cpu: spec.cpu,
        memory: spec.memory,
        credentials: spec.credentials,
        template: spec.template,
      };
    },
    conclude({ spec }, text) {
      const { value, problem } = readResult(text, judgeResultSchema);
      if (value === null) return { status: {}, problem };
      const message = `the next request might have exceeded spec.budget ($${spec.budget}): create the evaluation again with a larger one and the same output, and what is judged already is not paid for again`;
      return { status: resultStatus(value), problem: value.state === 'complete' ? null : { reason: 'BudgetReached', message } };
    },
    derive({ status }) {
      if (status) settleCost(status);
    },
    results: ({ status }) => resultFigures(status ?? {}),
  };
}

/** Changes with the weights that a model is served from: answers that lie in the output from before are then asked for anew. */
function revisionOf(serving: VicunaServing | undefined, model: string): string {
  const served = serving?.spec.models.find((m) => namesOf(m).includes(model));
  const source = serving?.status?.sources?.find((s) => s.model === served?.name);
  const weights = [served?.weights, served?.delta?.uri, served?.canary?.weights, served?.canary?.delta?.uri, source];
  return createHash('sha256').update(JSON.stringify(weights)).digest('hex').slice(0, 16);
}

const namesOf = ({ name, aliases = [] }: VicunaServing['spec']['models'][number]) => [name, ...aliases];

function secretsOf(evaluation: VicunaEvaluation): { field: string; name: string }[] {
  const { credentials, judge } = evaluation.spec;
  const ofContestants = contestantsOf(evaluation).flatMap(({ field, contestant }) => {
    const secret = contestant.serving?.secret ?? contestant.endpoint?.secret;
    return secret === undefined ? [] : [{ field: `${field}.${contestant.serving ? 'serving' : 'endpoint'}.secret`, name: secret.name }];
  });
  return [
    ...credentials.map(({ name }) => ({ field: 'spec.credentials', name })),
    ...(judge.secret === undefined ? [] : [{ field: 'spec.judge.secret', name: judge.secret.name }]),
    ...ofContestants,
  ];
}

/** The first serving that is not there or does not answer yet, in one sentence, or null. */
function missingServing(evaluation: VicunaEvaluation, servingOf: EvaluationKindOptions['servingOf']): Problem | null {
  const { namespace = 'default' } = evaluation.metadata;
  for (const { field, contestant } of contestantsOf(evaluation)) {
    const wanted = contestant.serving;
    if (wanted === undefined) continue;
    const serving = servingOf(namespace, wanted.name);
    const where = `${field}.serving: VicunaServing "${wanted.name}"`;
    if (serving === undefined)
      return {
        reason: 'MissingServing',
        message: `${where} does not exist in namespace ${namespace}: create it, and the evaluation starts by itself`,
      };
    const names = serving.spec.models.flatMap(namesOf);
    if (!names.includes(wanted.model))
      return { reason: 'MissingServing', message: `${where} has no model "${wanted.model}": it has ${names.join(', ')}` };
    const ready = serving.status?.conditions?.find((c) => c.type === 'Ready');
    if (ready?.status !== 'True' || serving.status?.url === undefined)
      return { reason: 'ServingNotReady', message: `${where} is not ready: ${ready?.message ?? 'it was just created'}` };
  }
  return null;
}
