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

/** Older samples do not count: what writes remotely leaves no mark when it stops, and Prometheus gives its last word for 5 minutes. */
const FRESH_SECONDS = 120;

/**
 * Requests that wait for a model or are being answered, at its engines and at the gateway. Scrapes must carry the pods' namespace and
 * labels, as Prometheus' usual Kubernetes configuration gives them (`__meta_kubernetes_pod_label_…` by labelmap).
 *
 * A sum over no series is empty, not 0, and that keeps a model alive whose metrics are gone: an empty answer holds. The engines' part
 * may be 0 for want of series only while none of them answers (`replicasAnswer` is false); then what waits at the gateway is all the
 * load there is. The gateway's part is never made up: it shows 0 for an idle model.
 */
export function defaultQuery(engine: ServedModel['engine'], replicasAnswer: boolean): string {
  const here = 'namespace="{namespace}",vicuna_run_serving="{serving}"';
  const engines = NAMES[engine].map((name) => total(name, `${here},vicuna_run_model="{model}"`)).join(' + ');
  return `(${engines}${replicasAnswer ? '' : ' or vector(0)'}) + ${total('vicuna_gateway_queued_requests', `${here},model="{model}"`)}`;
}

function total(metric: string, labels: string): string {
  const series = `${metric}{${labels}}`;
  return `sum(${series} and timestamp(${series}) > time() - ${FRESH_SECONDS})`;
}

/** Seconds to the first piece of a streamed answer that one in a hundred exceeds, at the gateway; no number while nobody asks. */
export const FIRST_TOKEN_P99 =
  'histogram_quantile(0.99, sum by (le) (rate(vicuna_gateway_time_to_first_token_seconds_bucket{namespace="{namespace}",vicuna_run_serving="{serving}",model="{model}"}[5m])))';

/** The query with the names of what it is about; values are escaped as PromQL's strings are. */
export function fillIn(query: string, context: QueryContext): string {
  return query.replace(/\{(namespace|serving|model)\}/g, (_, name: keyof QueryContext) => context[name].replace(/["\\]/g, '\\$&'));
}

/** Requests for a model that came within each window of so many seconds, at the gateway; 0 for one that was never asked, if there is a gateway. */
export function arrivalsQuery(windowSeconds: number): string {
  const labels = '{namespace="{namespace}",vicuna_run_serving="{serving}",model="{model}"}';
  return `sum(increase(vicuna_gateway_requests_total${labels}[${windowSeconds}s])) or 0 * sum(vicuna_gateway_queued_requests${labels})`;
}
