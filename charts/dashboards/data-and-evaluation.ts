import type { DashboardDescription, PanelDescription } from './build.ts';
import { once } from './queries.ts';

const OF = 'namespace, kind, name';
const CHOSEN = 'namespace=~"$namespace",kind=~"$kind",name=~"$name"';
const series = (metric: string, more = '') => `vicuna_task_${metric}{${CHOSEN}${more}}`;
const result = (metric: string, { labels = OF, more = '' } = {}) => once(`vicuna_${metric}{${CHOSEN}${more}}`, labels);
const BY_BASELINE = { labels: `${OF}, baseline` };
const of = (metric: string, labels = OF) => once(series(metric), labels);
const NAME = '{{kind}} {{namespace}}/{{name}}';
const inPhase = (phases: string) => once(series('phase', `,phase=~"${phases}"`), OF);
/** Progress of what is over says nothing of the time left, nor of speed. */
const RUNS = `on (${OF}) ${inPhase('Running')}`;

const count = (title: string, phases: string, description?: string): PanelDescription => ({
  title,
  kind: 'number',
  unit: 'short',
  ...(description === undefined ? {} : { description }),
  queries: [{ expr: `count(${inPhase(phases)}) or vector(0)`, legend: title.toLowerCase() }],
});
const inAnHour = (title: string, metric: string, description: string): PanelDescription => ({
  title,
  kind: 'stack',
  unit: 'short',
  min: 0,
  description,
  queries: [{ expr: `sum by (${OF}) (increase(${series(metric)}[1h]))`, legend: NAME }],
});

export const DATA_AND_EVALUATION: DashboardDescription = {
  name: 'data-and-evaluation',
  title: 'Vicuna / Data and evaluation',
  description: 'How far datasets, evaluations and releases are, what came of them, and what the loss of nodes cost them.',
  variables: [
    { name: 'namespace', label: 'Namespace', series: 'vicuna_task_phase' },
    { name: 'kind', label: 'Kind', series: 'vicuna_task_phase{namespace=~"$namespace"}' },
    { name: 'name', label: 'Name', series: 'vicuna_task_phase{namespace=~"$namespace",kind=~"$kind"}' },
  ],
  rows: [
    {
      title: 'Now',
      panels: [
        count('Running', 'Running'),
        count('Waiting', 'Pending|Waiting|Starting', 'For what they need, for a node, or for their pod to start.'),
        count('Complete', 'Complete'),
        count('Failed', 'Failed'),
        {
          title: 'Restarts by loss of a node',
          kind: 'number',
          unit: 'short',
          description: 'Each goes on from what was done.',
          queries: [{ expr: `sum(${of('interruptions_total')}) or vector(0)`, legend: 'restarts' }],
        },
        {
          title: 'Saved',
          kind: 'number',
          unit: 'percentunit',
          description: 'Against the same time on demand.',
          queries: [{ expr: `1 - sum(${of('cost_dollars_total')}) / (sum(${of('on_demand_cost_dollars_total')}) > 0)`, legend: 'saved' }],
        },
        {
          title: 'Datasets, evaluations and releases',
          kind: 'table',
          queries: [
            { expr: of('phase', `${OF}, phase`), legend: 'is so' },
            { expr: of('units_done'), legend: 'units done in this stage' },
            { expr: of('units'), legend: 'units of this stage' },
            { expr: of('interruptions_total'), legend: 'restarts by loss of a node' },
            { expr: of('errors_total'), legend: 'failures of the program' },
            { expr: of('cost_dollars_total'), legend: 'cost, $' },
          ],
        },
      ],
    },
    {
      title: 'Progress',
      panels: [
        {
          title: 'Done of the present stage',
          kind: 'lines',
          unit: 'percentunit',
          min: 0,
          max: 1,
          queries: [{ expr: `${of('units_done')} / (${of('units')} > 0)`, legend: NAME }],
        },
        {
          title: 'Time left in the present stage',
          kind: 'lines',
          unit: 's',
          min: 0,
          description: 'At the pace of the last 15 minutes.',
          queries: [
            {
              expr: `(${of('units')} - ${of('units_done')}) / (max by (${OF}) (deriv(${series('units_done')}[15m])) > 0) and ${RUNS}`,
              legend: NAME,
            },
          ],
        },
        {
          title: 'Units per second',
          kind: 'lines',
          unit: 'short',
          min: 0,
          description: 'Of the last 5 minutes. A stage that has just begun shows nothing.',
          queries: [{ expr: `max by (${OF}) (deriv(${series('units_done')}[5m])) >= 0 and ${RUNS}`, legend: NAME }],
        },
        { title: 'Phase', kind: 'states', queries: [{ expr: of('phase', `${OF}, phase`), legend: `${NAME} {{phase}}` }] },
      ],
    },
    {
      title: 'Results',
      panels: [
        {
          title: 'Records of datasets',
          kind: 'table',
          width: 10,
          description: 'Why records were rejected is in the dataset’s status and on its data card.',
          queries: [
            { expr: result('dataset_records', { more: ',outcome="kept"' }), legend: 'kept' },
            { expr: result('dataset_records', { more: ',outcome="rejected"' }), legend: 'rejected' },
          ],
        },
        {
          title: 'Candidates against baselines',
          kind: 'table',
          width: 10,
          unit: 'percentunit',
          description: 'As judged. Confidence intervals, and the page with questions, answers and reviews, are in the evaluation’s status.',
          queries: [
            { expr: result('evaluation_win_rate', BY_BASELINE), legend: 'win rate' },
            { expr: result('evaluation_relative_quality', BY_BASELINE), legend: 'relative quality' },
          ],
        },
        {
          title: 'Mean score of candidates',
          kind: 'number',
          unit: 'short',
          description: 'From 1 to 10.',
          queries: [{ expr: result('evaluation_score'), legend: '{{namespace}}/{{name}}' }],
        },
      ],
    },
    {
      title: 'Restarts and failures',
      panels: [
        inAnHour('Restarts by loss of a node, in an hour', 'interruptions_total', 'Pods that were replaced through no fault of their own.'),
        inAnHour('Failures of the program, in an hour', 'errors_total', 'Each is tried again until the retries are used up.'),
        {
          title: 'By kind and phase',
          kind: 'stack',
          unit: 'short',
          min: 0,
          queries: [{ expr: `count by (kind, phase) (${of('phase', `${OF}, phase`)})`, legend: '{{kind}} {{phase}}' }],
        },
      ],
    },
    {
      title: 'Money',
      panels: [
        {
          title: 'Cost, and on demand',
          kind: 'lines',
          unit: 'currencyUSD',
          description: 'Of the pods; what servers outside the cluster charge for answers and reviews is in the evaluation’s status.',
          queries: [
            { expr: of('cost_dollars_total'), legend: NAME },
            { expr: of('on_demand_cost_dollars_total'), legend: `${NAME}, on demand` },
          ],
        },
      ],
    },
  ],
};
