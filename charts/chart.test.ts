// What of the chart must agree with the code, as far as that shows without Helm or Prometheus.
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, expect, it } from 'vitest';
import { KINDS } from '../operator/api/kinds.ts';
import { METRICS } from '../operator/server/metrics-table.ts';
import { gatewayMetricDefinitions } from '../workloads/gateway/metrics.ts';
import { NOTIFIER_METRICS, type NotifierMetric } from '../workloads/notifier/metrics.ts';
import { ALERT_GROUPS } from './alerts.ts';
import { DASHBOARDS } from './dashboards/dashboards.ts';
import { FLEET } from './dashboards/fleet.ts';

const template = (name: string) => readFileSync(join(import.meta.dirname, 'vicuna-operator', 'templates', name), 'utf8');

describe('the roles', () => {
  it.each(KINDS)('let the operator see $kind and write its status', ({ plural }) => {
    const rules = template('rbac.yaml');
    const resources = (verbs: string) =>
      [...rules.matchAll(/- apiGroups: \[vicuna\.run\]\n\s+resources: \[([^\]]+)\]\n\s+verbs: \[([^\]]+)\]/g)]
        .filter(([, , allowed]) => allowed === verbs)
        .flatMap(([, names = '']) => names.split(', '));
    expect(resources('list, watch')).toContain(plural);
    expect(resources('update')).toContain(`${plural}/status`);
  });
});

/** Labels that a scrape adds to the series of a serving's pods. */
const OF_TARGETS = ['instance', 'namespace', 'vicuna_run_serving', 'vicuna_run_model'];
/** Exported by prom-client and by engines. */
const OF_OTHERS = /^(process_|nodejs_|vllm:)/;
const DEFINITIONS = [...Object.values(METRICS), ...gatewayMetricDefinitions(), ...Object.values<NotifierMetric>(NOTIFIER_METRICS)];
const KNOWN = new Map(DEFINITIONS.map((m) => [m.name, m]));
/** A series, with its matchers if there are any. Functions have a parenthesis instead, words of the language and labels no underscore. */
const SERIES = /(?<![\w:$"])((?:vicuna|workqueue|controller_runtime|leader_election|process|nodejs)_\w+|vllm:\w+)(?:\{([^}]*)\})?/g;

/** Metrics that neither a panel nor an alert speaks of, and why. */
const UNSHOWN: Readonly<Record<string, string>> = {
  vicuna_lost_steps_total: 'shown by training',
  workqueue_unfinished_work_seconds: 'the longest of what it adds up is shown',
  workqueue_work_duration_seconds: 'as long as a reconciliation, which is shown',
};

describe('dashboards and alerts', () => {
  const queries = [
    ...ALERT_GROUPS.flatMap(({ alerts }) => alerts.map(({ name, expr }) => [name, expr] as const)),
    ...DASHBOARDS.flatMap(({ name, rows }) =>
      rows.flatMap(({ panels }) => panels.flatMap((p) => p.queries.map((q) => [`${name}: ${p.title}`, q.expr] as const))),
    ),
    ...DASHBOARDS.flatMap(({ name, variables }) => variables.map((v) => [`${name}: ${v.label}`, v.series] as const)),
  ];

  it.each(queries)('%s speaks of series and labels that there are', (_, expr) => {
    const series = [...expr.matchAll(SERIES)].filter(([, name = '']) => !OF_TARGETS.includes(name));
    expect(series.length).toBeGreaterThan(0);
    for (const [, name = '', matchers = ''] of series) {
      if (OF_OTHERS.test(name)) continue;
      const definition = KNOWN.get(name.replace(/_(bucket|sum|count)$/, '')) ?? KNOWN.get(name);
      expect(definition, name).toBeDefined();
      const known = [...(definition?.labels ?? []), ...OF_TARGETS];
      for (const [, label = ''] of matchers.matchAll(/(\w+)(?=!?[=~])/g)) expect(known, `${label} of ${name}`).toContain(label);
    }
  });

  it('leave nothing out that is exported', () => {
    const used = new Set(queries.flatMap(([, expr]) => [...expr.matchAll(SERIES)].map(([, name = '']) => name)));
    const isUsed = (name: string) => ['', '_bucket', '_sum', '_count'].some((suffix) => used.has(name + suffix));
    const unused = DEFINITIONS.map((m) => m.name).filter((name) => !isUsed(name));
    expect(unused.toSorted()).toEqual(Object.keys(UNSHOWN).toSorted());
  });

  it.each([
    ['Cost', /(?<!on_demand)_cost_dollars_total$/],
    ['On demand it would be', /_on_demand_cost_dollars_total$/],
    ['Saved', /_cost_dollars_total$/],
    ['Cost per hour now', /(?<!on_demand)_cost_dollars_total$/],
  ])('of the fleet count everything that costs: %s', (title, costs) => {
    const panel = FLEET.rows.flatMap((row) => row.panels).find((p) => p.title === title);
    const counted = [...(panel?.queries[0]?.expr ?? '').matchAll(SERIES)].map(([, name]) => name);
    const costing = DEFINITIONS.map((m) => m.name).filter((name) => costs.test(name));
    expect(new Set(counted)).toEqual(new Set(costing));
  });

  it('have titles that tell them apart', () => {
    for (const { rows, name } of DASHBOARDS) {
      const titles = rows.flatMap((row) => row.panels.map((panel) => `${row.title}: ${panel.title}`));
      expect(new Set(titles).size, name).toBe(titles.length);
    }
  });
});
