import type { DashboardDescription } from './build.ts';
import { quantile } from './queries.ts';

const W = '$__rate_interval';
const latencies = (histogram: string, by: string, labels = '') =>
  [0.5, 0.99].map((q) => ({ expr: quantile(q, histogram, labels, W, by), legend: `{{${by}}} p${100 * q}` }));

export const OPERATOR: DashboardDescription = {
  name: 'operator',
  title: 'Vicuna / Operator',
  description: 'Whether the operator leads, keeps up, and gets on with the API server and its workers.',
  variables: [],
  rows: [
    {
      title: 'Leader',
      panels: [
        {
          title: 'Copies that lead',
          kind: 'number',
          unit: 'short',
          description: 'One, but for some seconds while the lead changes.',
          queries: [{ expr: 'sum(leader_election_master_status{name="vicuna-operator"})', legend: 'leaders' }],
        },
        {
          title: 'Copies',
          kind: 'number',
          unit: 'short',
          queries: [{ expr: 'count(leader_election_master_status{name="vicuna-operator"})', legend: 'copies' }],
        },
        {
          title: 'Events not written',
          kind: 'number',
          unit: 'short',
          description: 'In the last hour.',
          queries: [{ expr: 'sum(increase(vicuna_events_dropped_total[1h]))', legend: 'dropped' }],
        },
        {
          title: 'Who leads',
          kind: 'states',
          min: 0,
          max: 1,
          queries: [{ expr: 'leader_election_master_status{name="vicuna-operator"}', legend: '{{instance}}' }],
        },
      ],
    },
    {
      title: 'Queues and reconciliation',
      panels: [
        {
          title: 'Keys that wait',
          kind: 'lines',
          unit: 'short',
          min: 0,
          queries: [{ expr: 'sum by (name) (workqueue_depth)', legend: '{{name}}' }],
        },
        { title: 'Time that keys wait', kind: 'lines', unit: 's', min: 0, queries: latencies('workqueue_queue_duration_seconds', 'name') },
        {
          title: 'Reconciliations per second by result',
          kind: 'stack',
          unit: 'ops',
          min: 0,
          queries: [
            { expr: `sum by (controller, result) (rate(controller_runtime_reconcile_total[${W}]))`, legend: '{{controller}} {{result}}' },
          ],
        },
        {
          title: 'Time of a reconciliation',
          kind: 'lines',
          unit: 's',
          min: 0,
          queries: latencies('controller_runtime_reconcile_time_seconds', 'controller'),
        },
        {
          title: 'Failures and repeats per second',
          kind: 'lines',
          unit: 'ops',
          min: 0,
          queries: [
            { expr: `sum by (controller) (rate(controller_runtime_reconcile_errors_total[${W}]))`, legend: '{{controller}} failed' },
            { expr: `sum by (name) (rate(workqueue_retries_total[${W}]))`, legend: '{{name}} repeated' },
          ],
        },
        {
          title: 'Longest time on one key',
          kind: 'lines',
          unit: 's',
          min: 0,
          queries: [{ expr: 'max by (name) (workqueue_longest_running_processor_seconds)', legend: '{{name}}' }],
        },
        {
          title: 'Reconciliations under way',
          kind: 'lines',
          unit: 'short',
          min: 0,
          queries: [{ expr: 'sum by (controller) (controller_runtime_active_workers)', legend: '{{controller}}' }],
        },
        {
          title: 'Keys added per second',
          kind: 'lines',
          unit: 'ops',
          min: 0,
          queries: [{ expr: `sum by (name) (rate(workqueue_adds_total[${W}]))`, legend: '{{name}}' }],
        },
      ],
    },
    {
      title: 'API server',
      panels: [
        {
          title: 'Requests per second',
          kind: 'stack',
          unit: 'reqps',
          min: 0,
          queries: [{ expr: `sum by (verb, resource) (rate(vicuna_api_requests_total[${W}]))`, legend: '{{verb}} {{resource}}' }],
        },
        {
          title: 'Requests that failed, per second',
          kind: 'lines',
          unit: 'reqps',
          min: 0,
          description: 'Code 0: no answer came. 404 and 409 belong to daily life.',
          queries: [
            {
              expr: `sum by (verb, resource, code) (rate(vicuna_api_requests_total{code!~"2.."}[${W}]))`,
              legend: '{{verb}} {{resource}} {{code}}',
            },
          ],
        },
        { title: 'Time of requests', kind: 'lines', unit: 's', min: 0, queries: latencies('vicuna_api_request_seconds', 'verb') },
      ],
    },
    {
      title: 'Workers',
      panels: [
        {
          title: 'Calls per second',
          kind: 'stack',
          unit: 'reqps',
          min: 0,
          queries: [{ expr: `sum by (call, code) (rate(vicuna_worker_requests_total[${W}]))`, legend: '{{call}} {{code}}' }],
        },
        {
          title: 'Time of reports',
          kind: 'lines',
          unit: 's',
          min: 0,
          queries: latencies('vicuna_worker_request_seconds', 'call', 'call="report"'),
        },
        {
          title: 'Time until a world reaches its workers',
          kind: 'lines',
          unit: 's',
          min: 0,
          description: 'Since the operator started.',
          queries: [0.5, 0.99].map((q) => ({
            expr: `histogram_quantile(${q}, sum by (le) (vicuna_world_delivery_seconds_bucket))`,
            legend: `p${100 * q}`,
          })),
        },
        {
          title: 'Workers that wait for news',
          kind: 'lines',
          unit: 'short',
          min: 0,
          queries: [{ expr: 'sum(vicuna_world_waiters)', legend: 'workers' }],
        },
      ],
    },
    {
      title: 'Process',
      panels: [
        {
          title: 'Memory',
          kind: 'lines',
          unit: 'bytes',
          min: 0,
          queries: [{ expr: 'process_resident_memory_bytes and on (instance) leader_election_master_status', legend: '{{instance}}' }],
        },
        {
          title: 'CPUs',
          kind: 'lines',
          unit: 'short',
          min: 0,
          queries: [
            { expr: `rate(process_cpu_seconds_total[${W}]) and on (instance) leader_election_master_status`, legend: '{{instance}}' },
          ],
        },
        {
          title: 'Event loop behind, one in a hundred',
          kind: 'lines',
          unit: 's',
          min: 0,
          queries: [{ expr: 'nodejs_eventloop_lag_p99_seconds and on (instance) leader_election_master_status', legend: '{{instance}}' }],
        },
      ],
    },
  ],
};
