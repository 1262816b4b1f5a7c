// What of the chart follows from the code: values, dashboards, alerts. The definitions of the kinds are a link to crds/.
import { alertRules, runbooks } from './alerts.ts';
import { dashboardJson } from './dashboards/build.ts';
import { DASHBOARDS } from './dashboards/dashboards.ts';
import { chartReadme } from './readme.ts';
import { valuesJsonSchema, valuesYaml } from './values.ts';

const CHART = 'charts/vicuna-operator';

/** Every generated file of the chart by its path from the project's root. */
export function chartFiles(): [path: string, text: string][] {
  return [
    [`${CHART}/values.yaml`, valuesYaml()],
    [`${CHART}/values.schema.json`, `${JSON.stringify(valuesJsonSchema(), null, 2)}\n`],
    [`${CHART}/README.md`, chartReadme()],
    [`${CHART}/alerts.yaml`, alertRules()],
    ['docs/runbooks.md', runbooks()],
    ...DASHBOARDS.map((d): [string, string] => [`${CHART}/dashboards/${d.name}.json`, dashboardJson(d)]),
  ];
}
