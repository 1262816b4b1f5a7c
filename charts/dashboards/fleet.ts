import type { DashboardDescription } from './build.ts';
import { ANSWER_AGE, BLIND_AFTER_SECONDS, COST, COST_PER_HOUR, ON_DEMAND, once, priceAge, UNNOTIFIED } from './queries.ts';

const ofPools = (metric: string, labels = 'pool') => once(`${metric}{pool=~"$pool"}`, labels);
const trainings = (metric: string) => once(metric, 'namespace, training');
/** When nodes go, by what their clouds have announced. */
const deadline = (series: string) => `${once(series, 'node')} > 0`;
const servings = (metric: string) => once(metric, 'namespace, serving');
const tasks = (metric: string) => once(metric, 'namespace, kind, name');

export const FLEET: DashboardDescription = {
  name: 'fleet',
  title: 'Vicuna / Fleet',
  description: 'What trainings, servings and tasks cost, what spot saves, who has the GPUs, and how often they go.',
  variables: [{ name: 'pool', label: 'Pool', series: 'vicuna_pool_nodes' }],
  rows: [
    {
      title: 'Money',
      panels: [
        {
          title: 'Cost',
          kind: 'number',
          unit: 'currencyUSD',
          description: 'Of the pods of trainings, servings, datasets, evaluations and releases that exist.',
          queries: [{ expr: COST, legend: 'cost' }],
        },
        { title: 'On demand it would be', kind: 'number', unit: 'currencyUSD', queries: [{ expr: ON_DEMAND, legend: 'on demand' }] },
        {
          title: 'Saved',
          kind: 'number',
          unit: 'percentunit',
          queries: [{ expr: `1 - (${COST}) / ((${ON_DEMAND}) > 0)`, legend: 'saved' }],
        },
        {
          title: 'Cost per hour now',
          kind: 'number',
          unit: 'currencyUSD',
          queries: [{ expr: COST_PER_HOUR, legend: 'per hour' }],
        },
        {
          title: 'GPU hours',
          kind: 'number',
          unit: 'short',
          queries: [
            {
              expr: `(sum(${trainings('vicuna_training_gpu_hours_total')}) or vector(0)) + (sum(${servings('vicuna_serving_gpu_hours_total')}) or vector(0))`,
              legend: 'GPU hours',
            },
          ],
        },
        {
          title: 'GPUs in use',
          kind: 'number',
          unit: 'percentunit',
          queries: [
            {
              expr: `sum(${once('vicuna_pool_gpus{state="used",pool=~"$pool"}', 'pool')}) / (sum(${ofPools('vicuna_pool_gpus', 'pool, state')}) > 0)`,
              legend: 'in use',
            },
          ],
        },
        {
          title: 'Cost of trainings',
          kind: 'lines',
          width: 8,
          unit: 'currencyUSD',
          queries: [{ expr: trainings('vicuna_training_cost_dollars_total'), legend: '{{namespace}}/{{training}}' }],
        },
        {
          title: 'Cost of servings',
          kind: 'lines',
          width: 8,
          unit: 'currencyUSD',
          queries: [{ expr: servings('vicuna_serving_cost_dollars_total'), legend: '{{namespace}}/{{serving}}' }],
        },
        {
          title: 'Cost of datasets, evaluations and releases',
          kind: 'lines',
          width: 8,
          unit: 'currencyUSD',
          queries: [{ expr: tasks('vicuna_task_cost_dollars_total'), legend: '{{kind}} {{namespace}}/{{name}}' }],
        },
      ],
    },
    {
      title: 'GPUs',
      panels: [
        {
          title: 'GPUs by what they do',
          kind: 'stack',
          unit: 'short',
          min: 0,
          queries: [{ expr: `sum by (state) (${ofPools('vicuna_pool_gpus', 'pool, state')})`, legend: '{{state}}' }],
        },
        {
          title: 'GPUs in use by pool',
          kind: 'stack',
          unit: 'short',
          min: 0,
          queries: [{ expr: once('vicuna_pool_gpus{state="used",pool=~"$pool"}', 'pool'), legend: '{{pool}}' }],
        },
        {
          title: 'Pools',
          kind: 'table',
          queries: [
            { expr: ofPools('vicuna_pool_nodes'), legend: 'nodes' },
            { expr: once('vicuna_pool_gpus{state="free",pool=~"$pool"}', 'pool'), legend: 'free GPUs' },
            { expr: ofPools('vicuna_pool_price_dollars_per_hour'), legend: '$ per node and hour' },
            { expr: priceAge('{pool=~"$pool"}'), legend: 'price read, s ago' },
            { expr: ofPools('vicuna_pool_blocked'), legend: 'blocked' },
            { expr: ofPools('vicuna_pool_interruptions_total'), legend: 'interruptions' },
            { expr: ofPools('vicuna_pool_remaining_life_seconds'), legend: 'expected life of a node, s' },
          ],
        },
        {
          title: 'Price of a node',
          kind: 'lines',
          unit: 'currencyUSD',
          queries: [{ expr: ofPools('vicuna_pool_price_dollars_per_hour'), legend: '{{pool}}' }],
        },
        {
          title: 'Age of live prices',
          kind: 'lines',
          unit: 's',
          min: 0,
          description: 'Since they were last read from the cloud. A pool without spec.price.source has none.',
          queries: [{ expr: priceAge('{pool=~"$pool"}'), legend: '{{pool}}' }],
        },
        {
          title: 'Trainings by phase',
          kind: 'stack',
          unit: 'short',
          min: 0,
          queries: [{ expr: `count by (phase) (${once('vicuna_training_phase', 'namespace, training, phase')})`, legend: '{{phase}}' }],
        },
      ],
    },
    {
      title: 'Interruptions',
      panels: [
        {
          title: 'Interruptions in an hour, by pool',
          kind: 'stack',
          unit: 'short',
          min: 0,
          queries: [{ expr: 'sum by (pool) (increase(vicuna_pool_interruptions_total{pool=~"$pool"}[1h]))', legend: '{{pool}}' }],
        },
        {
          title: 'Interruptions of trainings by cause',
          kind: 'lines',
          unit: 'short',
          description: 'Dealt with since the operator started.',
          queries: [{ expr: 'sum by (cause, notice) (vicuna_interruptions_total)', legend: '{{cause}}, notice {{notice}}' }],
        },
        {
          title: 'Expected life of a node',
          kind: 'lines',
          unit: 's',
          queries: [{ expr: ofPools('vicuna_pool_remaining_life_seconds'), legend: '{{pool}}' }],
        },
        {
          title: 'Requests for capacity in an hour',
          kind: 'stack',
          unit: 'short',
          min: 0,
          queries: [
            { expr: 'sum by (pool, result) (increase(vicuna_pool_launches_total{pool=~"$pool"}[1h]))', legend: '{{pool}}: {{result}}' },
          ],
        },
        {
          title: 'Pools that are passed over for want of capacity',
          kind: 'states',
          min: 0,
          max: 1,
          queries: [{ expr: ofPools('vicuna_pool_blocked'), legend: '{{pool}}' }],
        },
        {
          title: 'Interruptions in an hour, of what',
          kind: 'lines',
          unit: 'short',
          min: 0,
          queries: [
            { expr: 'sum(increase(vicuna_training_interruptions_total[1h]))', legend: 'trainings' },
            { expr: 'sum(increase(vicuna_serving_interruptions_total[1h]))', legend: 'replicas of servings' },
            { expr: 'sum(increase(vicuna_task_interruptions_total[1h]))', legend: 'datasets, evaluations and releases' },
          ],
        },
      ],
    },
    {
      title: 'Notices from metadata services',
      panels: [
        {
          title: 'Nodes whose clouds have announced that they go',
          kind: 'lines',
          unit: 'short',
          min: 0,
          description: 'As notifiers hear it. Advice without a deadline does not count.',
          queries: [
            { expr: `count(${deadline('vicuna_notifier_deadline_timestamp_seconds')}) or vector(0)`, legend: 'now' },
            {
              expr: `count(${deadline('max_over_time(vicuna_notifier_deadline_timestamp_seconds[1h])')}) or vector(0)`,
              legend: 'in the last hour',
            },
          ],
        },
        {
          title: 'Time that announced nodes have left',
          kind: 'lines',
          unit: 's',
          queries: [{ expr: `(${deadline('vicuna_notifier_deadline_timestamp_seconds')}) - time()`, legend: '{{node}}' }],
        },
        {
          title: 'Notifiers that get no answer, by what they ask',
          kind: 'lines',
          unit: 'short',
          min: 0,
          description: `For ${BLIND_AFTER_SECONDS} s or since they started: an interruption of their nodes would come without notice.`,
          queries: [{ expr: `sum by (feed) (${ANSWER_AGE} > bool ${BLIND_AFTER_SECONDS})`, legend: '{{feed}}' }],
        },
        {
          title: 'Questions without an answer, per second',
          kind: 'lines',
          unit: 'ops',
          min: 0,
          queries: [{ expr: 'sum by (feed) (rate(vicuna_notifier_faults_total[$__rate_interval]))', legend: '{{feed}}' }],
        },
        {
          title: 'Nodes whose notifier gets no answer',
          kind: 'table',
          width: 12,
          description: 'There is none in good times.',
          queries: [{ expr: `${ANSWER_AGE} > ${BLIND_AFTER_SECONDS}`, legend: 'seconds since the last answer' }],
        },
        {
          title: 'Spot nodes without a notifier that answers',
          kind: 'table',
          width: 12,
          description: 'There is none in good times. Empty, too, where no notifiers are used.',
          queries: [{ expr: UNNOTIFIED, legend: 'is so' }],
        },
      ],
    },
  ],
};
