import type { V1EnvVar } from '@kubernetes/client-node';
import { durationSeconds } from '../api/duration.ts';
import type { Contestant, VicunaEvaluation } from '../api/vicuna-evaluation.ts';
import { workerUri } from '../pods/claims.ts';

type Judge = VicunaEvaluation['spec']['judge'];
type Secret = Judge['secret'];
type Serving = NonNullable<Contestant['serving']>;
type Endpoint = NonNullable<Contestant['endpoint']>;

/** Where a model of a serving in the evaluation's namespace answers (null: nowhere yet), and what tells its weights from others. */
export type ServedAt = (serving: Serving) => { readonly url: string | null; readonly revision: string };

/** The configuration of workloads/judge/config.ts, and the environment that carries the API keys to it. */
export function evaluationConfig({ spec }: VicunaEvaluation, servedAt: ServedAt): { config: object; env: V1EnvVar[] } {
  const env: V1EnvVar[] = [];
  const keyFrom = (secret: Secret, name: string) => {
    if (secret === undefined) return {};
    env.push({ name, valueFrom: { secretKeyRef: { name: secret.name, key: secret.key } } });
    return { apiKeyEnv: name };
  };
  const requests = (server: Judge | Serving | Endpoint, keyName: string) => ({
    model: server.model,
    ...keyFrom(server.secret, keyName),
    ...(server.requestsPerMinute === undefined ? {} : { requestsPerMinute: server.requestsPerMinute }),
    concurrency: server.concurrency,
    timeoutSeconds: durationSeconds(server.timeout),
    ...(server.temperature === undefined ? {} : { temperature: server.temperature }),
    ...(server.maxTokens === undefined ? {} : { maxTokens: server.maxTokens }),
  });
  const price = (of: Endpoint['price']) => (of === undefined ? {} : { price: { input: Number(of.input), output: Number(of.output) } });
  const contestant = ({ name, serving, endpoint, answers }: Contestant, keyName: string) => {
    if (answers !== undefined) return { name, answers: workerUri(answers) };
    if (endpoint !== undefined) return { name, endpoint: { url: endpoint.url, ...requests(endpoint, keyName), ...price(endpoint.price) } };
    if (serving === undefined) return { name };
    // Its nodes are paid for by the serving: a request costs nothing more.
    return { name, endpoint: { ...servedAt(serving), ...requests(serving, keyName), price: { input: 0, output: 0 } } };
  };
  const { questions } = spec;
  const config = {
    questions: { ...questions, ...(questions.uri === undefined ? {} : { uri: workerUri(questions.uri) }) },
    candidate: contestant(spec.candidate, 'CANDIDATE_API_KEY'),
    baselines: spec.baselines.map((b, i) => contestant(b, `BASELINE_${i}_API_KEY`)),
    judge: { url: spec.judge.url, ...requests(spec.judge, 'JUDGE_API_KEY'), ...price(spec.judge.price) },
    mode: spec.mode,
    ...(spec.prompts === undefined ? {} : { prompts: spec.prompts }),
    bothOrders: spec.bothOrders,
    ...(spec.budget === undefined ? {} : { budget: Number(spec.budget) }),
    output: workerUri(spec.output),
  };
  return { config, env };
}

export function contestantsOf({ spec }: VicunaEvaluation): { readonly field: string; readonly contestant: Contestant }[] {
  return [
    { field: 'spec.candidate', contestant: spec.candidate },
    ...spec.baselines.map((contestant, i) => ({ field: `spec.baselines[${i}]`, contestant })),
  ];
}
