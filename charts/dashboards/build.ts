// Dashboards as plain descriptions, and Grafana's JSON of them by its Foundation SDK.
import type { Builder } from '@grafana/grafana-foundation-sdk/cog';
import * as common from '@grafana/grafana-foundation-sdk/common';
import * as dashboard from '@grafana/grafana-foundation-sdk/dashboard';
import * as prometheus from '@grafana/grafana-foundation-sdk/prometheus';
import * as stat from '@grafana/grafana-foundation-sdk/stat';
import * as statetimeline from '@grafana/grafana-foundation-sdk/statetimeline';
import * as table from '@grafana/grafana-foundation-sdk/table';
import * as timeseries from '@grafana/grafana-foundation-sdk/timeseries';

export interface Query {
  readonly expr: string;
  /** Name of its series; in a table, of its column. */
  readonly legend: string;
}

export interface PanelDescription {
  readonly title: string;
  /** lines: over time; stack: the same on top of each other; states: which of several, over time; number: now; table: now, by labels. */
  readonly kind: 'lines' | 'stack' | 'states' | 'number' | 'table';
  /** One of Grafana's units. */
  readonly unit?: string;
  readonly description?: string;
  readonly queries: readonly Query[];
  /** Of 24 columns. */
  readonly width?: number;
  readonly min?: number;
  readonly max?: number;
}

export interface VariableDescription {
  readonly name: string;
  readonly label: string;
  /** Series whose label of the variable's name are the choices. */
  readonly series: string;
}

export interface DashboardDescription {
  /** Also the file's name. */
  readonly name: string;
  readonly title: string;
  readonly description: string;
  readonly variables: readonly VariableDescription[];
  readonly rows: readonly { readonly title: string; readonly panels: readonly PanelDescription[] }[];
}

const HEIGHT = 8;
const SMALL = 4;
// biome-ignore lint/suspicious/noTemplateCurlyInString: Grafana's variable
const DATASOURCE = { type: 'prometheus', uid: '${datasource}' };

/** Grafana's JSON, with a line end. */
export function dashboardJson(description: DashboardDescription): string {
  return `${JSON.stringify(build(description), null, 2)}\n`;
}

function build({ name, title, description, variables, rows }: DashboardDescription): dashboard.Dashboard {
  const builder = new dashboard.DashboardBuilder(title)
    .uid(`vicuna-${name}`)
    .description(description)
    .tags(['vicuna'])
    .timezone('browser')
    .time({ from: 'now-6h', to: 'now' })
    .refresh('30s')
    .tooltip(dashboard.DashboardCursorSync.Crosshair)
    .link(new dashboard.DashboardLinkBuilder('Vicuna').type(dashboard.DashboardLinkType.Dashboards).tags(['vicuna']).asDropdown(true))
    .withVariable(new dashboard.DatasourceVariableBuilder('datasource').label('Data source').type('prometheus'));
  for (const variable of variables) builder.withVariable(choice(variable));
  for (const row of rows) {
    builder.withRow(new dashboard.RowBuilder(row.title));
    for (const panel of row.panels) builder.withPanel(panelOf(panel));
  }
  return builder.build();
}

/** A choice among a label's values; all of them at first. */
function choice({ name, label, series }: VariableDescription): Builder<dashboard.VariableModel> {
  return new dashboard.QueryVariableBuilder(name)
    .label(label)
    .datasource(DATASOURCE)
    .query({ qryType: 1, query: `label_values(${series}, ${name})`, refId: name })
    .refresh(dashboard.VariableRefresh.OnTimeRangeChanged)
    .sort(dashboard.VariableSort.AlphabeticalAsc)
    .multi(true)
    .includeAll(true)
    .allValue('.*')
    .current({ selected: true, text: 'All', value: '$__all' });
}

function panelOf(panel: PanelDescription): Builder<dashboard.Panel> {
  switch (panel.kind) {
    case 'number':
      return shared(new stat.PanelBuilder(), panel, 4, SMALL)
        .graphMode(common.BigValueGraphMode.None)
        .colorMode(common.BigValueColorMode.None)
        .reduceOptions(new common.ReduceDataOptionsBuilder().calcs(['lastNotNull']));
    case 'states':
      return shared(new statetimeline.PanelBuilder(), panel, 12, HEIGHT).mergeValues(true).showValue(common.VisibilityMode.Never);
    case 'table':
      return tableOf(panel);
    default:
      return shared(new timeseries.PanelBuilder(), panel, 12, HEIGHT)
        .fillOpacity(panel.kind === 'stack' ? 40 : 5)
        .showPoints(common.VisibilityMode.Never)
        .stacking(new common.StackingConfigBuilder().mode(panel.kind === 'stack' ? common.StackingMode.Normal : common.StackingMode.None))
        .legend(
          new common.VizLegendOptionsBuilder()
            .displayMode(common.LegendDisplayMode.List)
            .placement(common.LegendPlacement.Bottom)
            .showLegend(true),
        )
        .tooltip(new common.VizTooltipOptionsBuilder().mode(common.TooltipDisplayMode.Multi).sort(common.SortOrder.Descending));
  }
}

/** One row for each value of the labels, one column for each query. */
function tableOf(panel: PanelDescription): Builder<dashboard.Panel> {
  const names = panel.queries.map(({ legend }, i) => [`Value #${refId(i)}`, legend] as const);
  return shared(new table.PanelBuilder(), panel, 24, HEIGHT)
    .withTransformation({ id: 'merge', options: {} })
    .withTransformation({
      id: 'organize',
      options: { excludeByName: { Time: true }, renameByName: Object.fromEntries(names) },
    });
}

type AnyPanel = timeseries.PanelBuilder | stat.PanelBuilder | statetimeline.PanelBuilder | table.PanelBuilder;

/** What all kinds of panels have. */
function shared<P extends AnyPanel>(builder: P, panel: PanelDescription, width: number, height: number): P {
  const { title, description, queries, unit, min, max } = panel;
  builder
    .title(title)
    .datasource(DATASOURCE)
    .span(panel.width ?? width)
    .height(height);
  if (description) builder.description(description);
  if (unit) builder.unit(unit);
  if (min !== undefined) builder.min(min);
  if (max !== undefined) builder.max(max);
  for (const [i, query] of queries.entries()) builder.withTarget(target(panel, query, refId(i)));
  return builder;
}

function target({ kind }: PanelDescription, { expr, legend }: Query, ref: string): prometheus.DataqueryBuilder {
  const query = new prometheus.DataqueryBuilder().refId(ref).expr(expr).legendFormat(legend).datasource(DATASOURCE);
  if (kind === 'table') return query.instant().format(prometheus.PromQueryFormat.Table);
  return kind === 'number' ? query.instant() : query.range();
}

function refId(index: number): string {
  return String.fromCharCode('A'.charCodeAt(0) + index);
}
