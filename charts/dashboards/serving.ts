import type { DashboardDescription } from './build.ts';
import { once, quantile } from './queries.ts';

const of = (metric: string, labels: string, more = '') =>
  once(`vicuna_serving_${metric}{namespace=~"$namespace",serving=~"$serving"${more}}`, labels);
const ofModel = (metric: string, labels = '') => of(metric, `namespace, serving, model${labels}`, ',model=~"$model"');
/** Gateways' series carry the serving as a label of their pod. */
const GATEWAY = 'namespace=~"$namespace",vicuna_run_serving=~"$serving"';
const MODEL = `${GATEWAY},model=~"$model"`;
const rate = (metric: string, by: string, labels = MODEL) => `sum by (${by}) (rate(vicuna_gateway_${metric}{${labels}}[$__rate_interval]))`;
const quantiles = (histogram: string) =>
  [0.5, 0.95, 0.99].map((q) => ({
    expr: quantile(q, `vicuna_gateway_${histogram}`, MODEL, '$__rate_interval', 'model'),
    legend: `{{model}} p${100 * q}`,
  }));

export const SERVING: DashboardDescription = {
  name: 'serving',
  title: 'Vicuna / Serving',
  description: 'How fast answers come, how many replicas there are, where and why, and what becomes of answers whose workers go.',
  variables: [
    { name: 'namespace', label: 'Namespace', series: 'vicuna_serving_ready_gateways' },
    { name: 'serving', label: 'Serving', series: 'vicuna_serving_ready_gateways{namespace=~"$namespace"}' },
    { name: 'model', label: 'Model', series: 'vicuna_serving_target_replicas{namespace=~"$namespace",serving=~"$serving"}' },
  ],
  rows: [
    {
      title: 'Answers',
      panels: [
        {
          title: 'Requests per second by outcome',
          kind: 'stack',
          unit: 'reqps',
          min: 0,
          queries: [{ expr: rate('requests_total', 'model, code'), legend: '{{model}} {{code}}' }],
        },
        { title: 'Time to the first token', kind: 'lines', unit: 's', min: 0, queries: quantiles('time_to_first_token_seconds') },
        { title: 'Time between tokens', kind: 'lines', unit: 's', min: 0, queries: quantiles('inter_token_seconds') },
        { title: 'Time of a whole answer', kind: 'lines', unit: 's', min: 0, queries: quantiles('request_seconds') },
        {
          title: 'Tokens per second',
          kind: 'lines',
          unit: 'short',
          min: 0,
          queries: [
            { expr: rate('completion_tokens_total', 'model'), legend: '{{model}} answers' },
            { expr: rate('prompt_tokens_total', 'model'), legend: '{{model}} questions' },
          ],
        },
        {
          title: 'Queue',
          kind: 'lines',
          unit: 'short',
          min: 0,
          queries: [
            { expr: `sum by (model) (vicuna_gateway_queued_requests{${MODEL}})`, legend: '{{model}} waiting' },
            { expr: `sum by (model) (vicuna_gateway_running_requests{${MODEL}})`, legend: '{{model}} running' },
          ],
        },
      ],
    },
    {
      title: 'When workers go',
      panels: [
        {
          title: 'Answers that broke off and went on elsewhere, or could not',
          kind: 'stack',
          unit: 'short',
          min: 0,
          description: 'In the last hour.',
          queries: [
            { expr: `sum by (model, result) (increase(vicuna_gateway_continuations_total{${MODEL}}[1h]))`, legend: '{{model}} {{result}}' },
          ],
        },
        {
          title: 'Requests that were sent to another worker',
          kind: 'lines',
          unit: 'short',
          min: 0,
          description: 'In the last hour, before the client had seen anything.',
          queries: [{ expr: `sum by (model) (increase(vicuna_gateway_retries_total{${MODEL}}[1h]))`, legend: '{{model}}' }],
        },
        {
          title: 'Workers as the gateways see them',
          kind: 'lines',
          unit: 'short',
          min: 0,
          queries: [
            {
              expr: `max by (namespace, vicuna_run_serving, state) (vicuna_gateway_workers{${GATEWAY}})`,
              legend: '{{vicuna_run_serving}} {{state}}',
            },
          ],
        },
        {
          title: 'Replicas whose nodes were taken away, in an hour',
          kind: 'lines',
          unit: 'short',
          min: 0,
          queries: [
            {
              expr: 'sum by (namespace, serving) (increase(vicuna_serving_interruptions_total{namespace=~"$namespace",serving=~"$serving"}[1h]))',
              legend: '{{namespace}}/{{serving}}',
            },
          ],
        },
      ],
    },
    {
      title: 'Replicas',
      panels: [
        {
          title: 'Replicas',
          kind: 'lines',
          unit: 'short',
          min: 0,
          queries: [
            { expr: ofModel('desired_replicas'), legend: '{{serving}} {{model}} the load needs' },
            { expr: ofModel('target_replicas'), legend: '{{serving}} {{model}} aimed at, with spares' },
            {
              expr: `sum by (namespace, serving, model) (${ofModel('ready_replicas', ', capacity')})`,
              legend: '{{serving}} {{model}} ready',
            },
            { expr: ofModel('leaving_replicas'), legend: '{{serving}} {{model}} leaving' },
          ],
        },
        {
          title: 'Replicas by pool',
          kind: 'stack',
          unit: 'short',
          min: 0,
          queries: [{ expr: ofModel('pool_replicas', ', pool'), legend: '{{model}} {{pool}}' }],
        },
        {
          title: 'Ready replicas by capacity',
          kind: 'stack',
          unit: 'short',
          min: 0,
          queries: [{ expr: ofModel('ready_replicas', ', capacity'), legend: '{{model}} {{capacity}}' }],
        },
        {
          title: 'Decisions to scale, in an hour',
          kind: 'stack',
          unit: 'short',
          min: 0,
          description: 'The reason of each is in the serving’s events and status: kubectl describe vicunaserving.',
          queries: [
            {
              expr: 'sum by (serving, decision) (increase(vicuna_serving_scaling_decisions_total{namespace=~"$namespace",serving=~"$serving"}[1h]))',
              legend: '{{serving}} {{decision}}',
            },
          ],
        },
        {
          title: 'What limits the number of replicas',
          kind: 'states',
          queries: [{ expr: of('scaling_limit', 'namespace, serving, reason'), legend: '{{serving}} {{reason}}' }],
        },
        {
          title: 'Whether the metrics to scale by can be read',
          kind: 'states',
          min: 0,
          max: 1,
          queries: [{ expr: of('metrics_available', 'namespace, serving'), legend: '{{serving}}' }],
        },
        {
          title: 'Gateways that take requests',
          kind: 'lines',
          unit: 'short',
          min: 0,
          queries: [{ expr: of('ready_gateways', 'namespace, serving'), legend: '{{serving}}' }],
        },
        {
          title: 'Requests at the engines',
          kind: 'lines',
          unit: 'short',
          min: 0,
          queries: [
            {
              expr: `sum by (vicuna_run_model) (vllm:num_requests_running{${GATEWAY},vicuna_run_model=~"$model"})`,
              legend: '{{vicuna_run_model}} running',
            },
            {
              expr: `sum by (vicuna_run_model) (vllm:num_requests_waiting{${GATEWAY},vicuna_run_model=~"$model"})`,
              legend: '{{vicuna_run_model}} waiting',
            },
          ],
        },
      ],
    },
    {
      title: 'Money and moderation',
      panels: [
        {
          title: 'Cost, and on demand',
          kind: 'lines',
          unit: 'currencyUSD',
          queries: [
            { expr: of('cost_dollars_total', 'namespace, serving'), legend: '{{serving}}' },
            { expr: of('on_demand_cost_dollars_total', 'namespace, serving'), legend: '{{serving}}, on demand' },
          ],
        },
        {
          title: 'Moderation, in an hour',
          kind: 'stack',
          unit: 'short',
          min: 0,
          queries: [{ expr: `sum by (result) (increase(vicuna_gateway_moderations_total{${GATEWAY}}[1h]))`, legend: '{{result}}' }],
        },
      ],
    },
  ],
};
