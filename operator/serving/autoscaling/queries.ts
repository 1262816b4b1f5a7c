import type { ServedModel } from '../../api/vicuna-serving.ts';

/** What an engine calls requests that wait, and requests that it works on. Ours has vLLM's names; a custom one must have them, too. */
const NAMES: Readonly<Record<ServedModel['engine'], readonly [waiting: string, running: string]>> = {
  vllm: ['vllm:num_requests_waiting', 'vllm:num_requests_running'],
  transformers: ['vllm:num_requests_waiting', 'vllm:num_requests_running'],
  custom: ['vllm:num_requests_waiting', 'vllm:num_requests_running'],
  sglang: ['sglang:num_queue_reqs', 'sglang:num_running_reqs'],
};

export interface QueryContext {
  readonly namespace: string;
  readonly serving: string;
  readonly model: string;
}

/**
 * Requests that wait for a model or are being answered, at its engines and at the gateway. Scrapes must carry the pods' namespace and
 * labels, as Prometheus' usual Kubernetes configuration gives them (`__meta_kubernetes_pod_label_…` by labelmap). A model without
 * replicas has no series of its engines; the gateway's, which are always there, say that it is Prometheus that works and the model that
 * is idle. Without the gateway's, the result is empty, which holds.
 */
export function defaultQuery(engine: ServedModel['engine']): string {
  const ofEngine = '{namespace="{namespace}",vicuna_run_serving="{serving}",vicuna_run_model="{model}"}';
  const ofGateway = '{namespace="{namespace}",vicuna_run_serving="{serving}",model="{model}"}';
  const engines = NAMES[engine].map((name) => `sum(${name}${ofEngine})`).join(' + ');
  const gateway = `sum(vicuna_gateway_queued_requests${ofGateway})`;
  // "or" keeps its left side where there is one: no series of engines count as 0 only where the gateway's are there.
  return `(${engines} or 0 * ${gateway}) + ${gateway}`;
}

/** Seconds to the first piece of a streamed answer that one in a hundred exceeds, at the gateway; no number while nobody asks. */
export const FIRST_TOKEN_P99 =
  'histogram_quantile(0.99, sum by (le) (rate(vicuna_gateway_time_to_first_token_seconds_bucket{namespace="{namespace}",vicuna_run_serving="{serving}",model="{model}"}[5m])))';

/** The query with the names of what it is about; values are escaped as PromQL's strings are. */
export function fillIn(query: string, context: QueryContext): string {
  return query.replace(/\{(namespace|serving|model)\}/g, (_, name: keyof QueryContext) => context[name].replace(/["\\]/g, '\\$&'));
}
