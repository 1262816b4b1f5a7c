import type { DashboardDescription } from './build.ts';
import { once } from './queries.ts';

const of = (metric: string, more = '') =>
  once(`vicuna_training_${metric}{namespace=~"$namespace",training=~"$training"}`, `namespace, training${more}`);
const NAME = '{{namespace}}/{{training}}';
const lines = (title: string, metric: string, unit: string, more: object = {}) => ({
  title,
  kind: 'lines' as const,
  unit,
  queries: [{ expr: of(metric), legend: NAME }],
  ...more,
});
const leg = (q: number) => `histogram_quantile(${q}, sum by (le, leg) (vicuna_interruption_leg_seconds_bucket))`;

export const TRAINING: DashboardDescription = {
  name: 'training',
  title: 'Vicuna / Training',
  description: 'How far trainings are, what part of the time they pay for counts, and what interruptions cost them.',
  variables: [
    { name: 'namespace', label: 'Namespace', series: 'vicuna_training_phase' },
    { name: 'training', label: 'Training', series: 'vicuna_training_phase{namespace=~"$namespace"}' },
  ],
  rows: [
    {
      title: 'Now',
      panels: [
        {
          title: 'Done',
          kind: 'number',
          unit: 'percentunit',
          queries: [{ expr: `${of('step')} / (${of('total_steps')} > 0)`, legend: NAME }],
        },
        {
          title: 'Time left',
          kind: 'number',
          unit: 's',
          description: 'At the pace of the last 15 minutes.',
          queries: [
            {
              expr: `(${of('total_steps')} - ${of('step')}) / (max by (namespace, training) (deriv(vicuna_training_step{namespace=~"$namespace",training=~"$training"}[15m])) > 0)`,
              legend: NAME,
            },
          ],
        },
        {
          title: 'Goodput',
          kind: 'number',
          unit: 'percentunit',
          description: 'Part of the paid time spent on steps that were kept.',
          queries: [{ expr: of('goodput'), legend: NAME }],
        },
        { title: 'Interruptions', kind: 'number', unit: 'short', queries: [{ expr: of('interruptions_total'), legend: NAME }] },
        { title: 'Steps lost', kind: 'number', unit: 'short', queries: [{ expr: of('lost_steps_total'), legend: NAME }] },
        {
          title: 'Saved',
          kind: 'number',
          unit: 'percentunit',
          description: 'Against the same time on demand.',
          queries: [{ expr: `1 - ${of('cost_dollars_total')} / (${of('on_demand_cost_dollars_total')} > 0)`, legend: NAME }],
        },
        {
          title: 'Trainings',
          kind: 'table',
          queries: [
            { expr: of('info', ', pool, capacity'), legend: 'runs' },
            { expr: of('generation'), legend: 'generation' },
            { expr: of('world_size'), legend: 'workers' },
            { expr: of('gpu_hours_total'), legend: 'GPU hours' },
            { expr: of('cost_dollars_total'), legend: 'cost, $' },
          ],
        },
      ],
    },
    {
      title: 'Progress',
      panels: [
        {
          title: 'Step, and step of the last checkpoint',
          kind: 'lines',
          unit: 'short',
          queries: [
            { expr: of('step'), legend: NAME },
            { expr: of('checkpoint_step'), legend: `${NAME}, saved` },
          ],
        },
        {
          title: 'Loss, and on the conversations for validation',
          kind: 'lines',
          unit: 'short',
          queries: [
            { expr: of('loss'), legend: NAME },
            { expr: of('validation_loss'), legend: `${NAME}, validation` },
          ],
        },
        lines('Tokens per second', 'tokens_per_second', 'short', { min: 0 }),
        lines('Epoch', 'epoch', 'short'),
        { title: 'Phase', kind: 'states', queries: [{ expr: of('phase', ', phase'), legend: `${NAME} {{phase}}` }] },
        {
          title: 'Where it runs',
          kind: 'states',
          queries: [{ expr: of('info', ', pool, capacity'), legend: `${NAME} {{pool}} {{capacity}}` }],
        },
      ],
    },
    {
      title: 'Interruptions and lost work',
      panels: [
        {
          title: 'Legs of an interruption, median',
          kind: 'lines',
          unit: 's',
          description: 'Of all trainings, since the operator started. A leg that never happened is not there.',
          queries: [{ expr: leg(0.5), legend: '{{leg}}' }],
        },
        {
          title: 'Legs of an interruption, one in ten takes longer',
          kind: 'lines',
          unit: 's',
          queries: [{ expr: leg(0.9), legend: '{{leg}}' }],
        },
        lines('Goodput', 'goodput', 'percentunit', { min: 0, max: 1 }),
        {
          title: 'Interruptions and steps lost in an hour',
          kind: 'lines',
          unit: 'short',
          min: 0,
          queries: [
            {
              expr: 'sum by (namespace, training) (increase(vicuna_training_interruptions_total{namespace=~"$namespace",training=~"$training"}[1h]))',
              legend: `${NAME}, interruptions`,
            },
            {
              expr: 'sum by (namespace, training) (increase(vicuna_training_lost_steps_total{namespace=~"$namespace",training=~"$training"}[1h]))',
              legend: `${NAME}, steps lost`,
            },
          ],
        },
        lines('Generation of the world', 'generation', 'short'),
        lines('Workers', 'world_size', 'short', { min: 0 }),
      ],
    },
    {
      title: 'Checkpoints',
      panels: [
        lines('Age of the last checkpoint', 'checkpoint_age_seconds', 's', { min: 0 }),
        lines('Size', 'checkpoint_bytes', 'bytes'),
        lines('Time to save', 'checkpoint_seconds', 's', { min: 0 }),
        lines('Time that saving holds up training', 'checkpoint_stall_seconds', 's', { min: 0 }),
      ],
    },
    {
      title: 'Money',
      panels: [
        {
          title: 'Cost, and on demand',
          kind: 'lines',
          unit: 'currencyUSD',
          queries: [
            { expr: of('cost_dollars_total'), legend: NAME },
            { expr: of('on_demand_cost_dollars_total'), legend: `${NAME}, on demand` },
          ],
        },
        lines('GPU hours', 'gpu_hours_total', 'short'),
      ],
    },
  ],
};
