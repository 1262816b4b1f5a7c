import type { DashboardDescription } from './build.ts';
import { COST, ON_DEMAND, once } from './queries.ts';

const ofPools = (metric: string, labels = 'pool') => once(`${metric}{pool=~"$pool"}`, labels);
const trainings = (metric: string) => once(metric, 'namespace, training');
const servings = (metric: string) => once(metric, 'namespace, serving');

export const FLEET: DashboardDescription = {
  name: 'fleet',
  title: 'Vicuna / Fleet',
  description: 'What the GPUs cost, what spot saves, who has them, and how often they go.',
  variables: [{ name: 'pool', label: 'Pool', series: 'vicuna_pool_nodes' }],
  rows: [
    {
      title: 'Money',
      panels: [
        {
          title: 'Cost',
          kind: 'number',
          unit: 'currencyUSD',
          description: 'Of trainings and servings that exist.',
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
          queries: [
            {
              expr: `3600 * ((sum(rate(vicuna_training_cost_dollars_total[10m])) or vector(0)) + (sum(rate(vicuna_serving_cost_dollars_total[10m])) or vector(0)))`,
              legend: 'per hour',
            },
          ],
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
          unit: 'currencyUSD',
          queries: [{ expr: trainings('vicuna_training_cost_dollars_total'), legend: '{{namespace}}/{{training}}' }],
        },
        {
          title: 'Cost of servings',
          kind: 'lines',
          unit: 'currencyUSD',
          queries: [{ expr: servings('vicuna_serving_cost_dollars_total'), legend: '{{namespace}}/{{serving}}' }],
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
          ],
        },
      ],
    },
  ],
};
