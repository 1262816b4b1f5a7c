import type { SpotProcess } from '../../operator/spot/availability.ts';
import { barChart } from './bar-chart.ts';
import type { Split } from './generalize.ts';
import type { Variation } from './sensitivity.ts';
import { average, type Row } from './table.ts';

/** All that docs/policies.md is made from; kept beside it, so that the page can be written anew without measuring anew. */
export interface Figures {
  readonly rows: readonly Row[];
  readonly splits: readonly Split[];
  readonly fits: readonly { readonly without: string; readonly process: SpotProcess }[];
  readonly variations: readonly Variation[];
}

const OURS = 'vicuna';
const BOUNDS = ['omniscient-optimum', 'lower-bound'];
/** Ours with other checkpoint intervals: a table of their own. */
const INTERVALS = [OURS, 'vicuna, by remaining life', "vicuna, Young's interval", "vicuna, Daly's interval", 'vicuna, best fixed interval'];

/** The page and its pictures, by path under docs. */
export function policyDocs(figures: Figures): Map<string, string> {
  const { rows } = figures;
  const of = (table: string) => rows.filter((row) => row.table === table);
  const files = new Map<string, string>();
  const chart = (name: string, title: string, own: readonly Row[], unit: (value: number) => string) => {
    const bars = [...Map.groupBy(own, (row) => row.policy)].map(([policy, all]) => ({
      name: policy,
      value: average(all.map((row) => row.mean)),
      kind: policy === OURS ? ('ours' as const) : BOUNDS.includes(policy) ? ('bound' as const) : ('theirs' as const),
    }));
    files.set(`policies/${name}.svg`, barChart(title, unit, bars));
    return `![${title}](policies/${name}.svg)`;
  };
  const dollars = (value: number) => `$${value.toFixed(2)}`;
  const t1 = of('T1').filter((row) => row.setting === 'all');
  const t6 = of('T6').filter((row) => !row.policy.startsWith('vicuna,'));

  files.set(
    'policies.md',
    `# Spot policies, measured

When to run on spot and when on-demand, where, with how many spares, and how often to save is decided by pure functions in
[\`operator/spot\`](../operator/spot). The simulator runs **the same functions** over public traces, beside the policies that others have
published. Everything below is made by one command, and can be made again on other traces of the same form:

\`\`\`sh
npm run policies -- --data DIR                                    # all tables, all policies; --json FILE for machines
npm run policies -- --data DIR --table T4 --policy vicuna --policy SkyNomad
npm run policies -- --data DIR --fit                              # the usual process, and with each series left out
npm run policies -- --data DIR --docs                             # this page
npm run simulate -- --data DIR --table T4 --scenario 2 --svg run.svg   # one run: pools, progress, cost over time
npm run simulate -- --data DIR --table T5 --scenario 12 --svg fleet.svg # a fleet: replicas by zone, and how its users fare
\`\`\`

The traces themselves are not part of this project, since most have no licence that allows it: they come from the benchmarks of Can't Be
Late (NSDI'24) in the ADRS leaderboard (T1, T2), SkyNomad (NSDI'27; T3, T4) and SkyServe (EuroSys'25; T5). \`vicuna\` is what the
operator runs. Costs are US dollars a job; *published* is the authors' figure, or what the authors' own program gives on these inputs;
the omniscient optimum knows the whole trace (exact, by dynamic programming; for T5 a proven lower bound).

## In short

${summary(rows)}

Nothing of ours was late in any table. A property test runs 10,000 random traces against the single-pool and the multi-pool policy
without any guard, and none misses a deadline that on-demand alone could still meet.

## T1: one training with a deadline, one spot pool

48 h of work in 52 h or 70 h, 1,080 scenarios. The leaderboard's programs (openevolve 104.30, shinkaevolve 101.18, gepa 95.35, levi 95.07) are
not run here; gepa and levi finish late in 66 and 64 scenarios. \`up-knows-next-spot-length\` is an oracle: it is told how long spot will last.

${chart('t1', 'T1: mean cost of a job', t1, dollars)}

${pivot(of('T1'), ['all', '52 h', '70 h'], { published: true, late: true, launches: true })}

The 1,080 scenarios take ours ${seconds(t1)} s on one core of the machine that wrote this page, with others at work on it.

## T2: several regions, free moves

48 h in 52 h over six sets of two to nine zones. Spot is billed at the price of the zone in which the run ends, as the published scorer
does. Published: openevolve 80.06, shinkaevolve 79.02, gepa 78.03; levi, an unpublished program, 74.41.

${pivot(of('T2'), ['all', ...settings(of('T2')).filter((s) => s !== 'all')], { published: true, late: true })}

## T3: six H100 zones, by deadline over duration

${chart(
  't3',
  'T3: mean cost of a job, ratios 1.05 to 2.00',
  of('T3').filter((row) => Number(row.setting) <= 2),
  dollars,
)}

${pivot(of('T3'), settings(of('T3')), { late: true })}

Published for the same: ${published(of('T3'), 'SkyNomad')}. The published optimum rounds change-overs up to whole ticks; ours does not.

## T4: three V100 zones whose prices change

${chart('t4', 'T4: mean cost of a job', of('T4'), dollars)}

${pivot(of('T4'), ['all'], { published: true, late: true, launches: true })}

## T5: a fleet of three replicas over three zones

Percent of the cost of on-demand alone, and share of time with all three answering (a start takes two minutes).

${fleets(of('T5'))}

## T6: what the published simulators leave out

A save stalls training for 60 s; what was not saved is lost with spot; notice is 0, 30 or 120 s, and a save that fits into it is made in
it, for every policy. Ours also starts the successor at the notice. Each baseline has the fixed interval that suits it best of 5, 10, 20,
30, 60 and 120 minutes, known only afterwards; ours chooses its own. Every policy is shown as done only what could not be lost any more,
and none is late. Gangs of 16 need all 16 nodes: the H100 and one V100 trace count nodes, the others do not, so that they have no gangs. The V100
gang trace has no prices: it is given T4's.

${settings6(t6)
  .map(
    ({ group, own }, i) =>
      `### ${group[0]?.toUpperCase()}${group.slice(1)}\n\n${i === 1 ? `${chart('t6', `T6: ${group}, mean over notices`, own, dollars)}\n\n` : ''}${pivot(shorter(own), ['notice 0 s', 'notice 30 s', 'notice 120 s'], { late: true, lost: true })}`,
  )
  .join('\n\n')}

### How often to save

The same policy with different intervals; *best fixed* is chosen afterwards. Ours takes the inverse hazard at the present age of spot as the
life to reckon with; *by remaining life* takes the mean of what is left, which is longer, since the hazard falls with age; Young (1974) and
Daly (2006) take the mean life at any age. With a notice in which a save fits twice, ours saves every half hour only.

${intervals(of('T6'))}

## Windows that nothing was chosen by

Ours against the best baseline of the table without an oracle: the cheapest one, of all that the table has (T5: SpotHedge with one spare, by share of time).
The parameters below were chosen on published windows of T1 and on shifted windows of T3 and T4; T5's on its published offsets. That a dry
pool is waited for only as far as it is expected back was decided on all windows of T3 and T4, gangs included: it costs T3 up to 0.5 % and
T4's five windows 2 %, and saves gangs of 16 up to half.

${splitTable(figures.splits)}

## Parameters, and what hangs on them

Seven numbers, the same everywhere. The first three are beliefs that each pool's own history replaces; the usual process was fitted by maximum
likelihood to the series of T1, and hardly changes when one of them is left out:

| without | spot ends, per hour at the age of 1 h | declines | spot comes back | declines |
| --- | --: | --: | --: | --: |
${figures.fits.map(({ without, process: { up, down } }) => `| ${without} | ${up.perHour} | ${up.decline} | ${down.perHour} | ${down.decline} |`).join('\n')}

Mean cost over all of a table's scenarios (T3: over all ratios); for T5 availability at cost, AWS1 and AWS2:

| parameter | value | T1 | T3 | T4 | T5 |
| --- | --- | --: | --: | --: | --- |
${figures.variations.map((v) => `| ${v.parameter} | ${v.value} | ${['T1', 'T3', 'T4', 'T5'].map((t) => v.figures[t] ?? '').join(' | ')} |`).join('\n')}

## What is reproduced, and what is not

- T1: every policy to the cent but \`time-sliced-1h\`, whose rounding at the end of a slice is not described (109.78, published 109.72).
- T2: \`greedy-switch\` to the cent. T3: UP, UP(S), UP(A), UP(AP) and SkyNomad to the cent at every ratio; T4: UP and its variants to the cent, SkyNomad to the cent in
  three of five windows and ${difference(rows)} over all, since its program takes other turns when it is ahead of its pace: its published figure, 41.73, is the one to beat.
- SkyPilot's two recovery strategies know no deadline: the table's guard buys on-demand for them in the end. EAGER_NEXT_REGION is as it
  really behaves: the region just lost is not left out (https://github.com/skypilot-org/skypilot/issues/10021).
- T5: SpotHedge chooses zones at random, so that figures agree within what that changes (0.2 points; with the safety net, which lets chance decide for hours, two).

## Limits

- Traces of GPUs are few and old (2022 to 2025, AWS V100 and K80, GCP H100), and windows of one series overlap: spreads are not those of
  independent samples.
- In windows with one volatile zone and little slack, nobody who does not know the trace comes near the optimum: T6's first table.
- Whole gangs at a tight deadline (ratio 1.2) with a long notice are the one place where a published policy, SkyNomad, is cheaper than ours; without
  notice, and with more slack, ours is.
- A launch that finds no spot is free in all tables. Real ones take minutes; the operator's back-off for dry pools is not simulated.
- Shrinking a gang to what is left, which the operator can do, is in no table.
- T5's fleet has a constant target. The operator's autoscaling is tested elsewhere.
`,
  );
  return files;
}

function settings(rows: readonly Row[]): string[] {
  return [...new Set(rows.map((row) => row.setting))];
}

const figure = (rows: readonly Row[], table: string, policy: string, setting: string) =>
  rows.find((row) => row.table === table && row.policy === policy && row.setting === setting);

function summary(rows: readonly Row[]): string {
  const mean = (table: string, setting: string, policy = OURS) => figure(rows, table, policy, setting)?.mean.toFixed(2) ?? '';
  const fleet = (trace: string, policy: string) => {
    const row = figure(rows, 'T5', policy, trace);
    return row ? `${row.availability?.toFixed(2)} % at ${row.mean.toFixed(1)} %` : '';
  };
  const published = ['1.05', '1.20', '1.50', '2.00'].map((ratio) => figure(rows, 'T3', 'SkyNomad', ratio)?.published?.toFixed(1) ?? '');
  const lines = [
    ['T1 one pool', '97.24 (uniform progress 101.68; 95.07 with late finishes)', mean('T1', 'all'), mean('T1', 'all', BOUNDS[0])],
    ['T2 several regions', '78.03', mean('T2', 'all'), mean('T2', 'all', BOUNDS[0])],
    ...['1.05', '1.20', '1.50', '2.00'].map((ratio, i) => [
      `T3 H100, deadline ${ratio} × work`,
      published[i] ?? '',
      mean('T3', ratio),
      mean('T3', ratio, BOUNDS[0]),
    ]),
    ['T4 V100 with prices', '41.73', mean('T4', 'all'), mean('T4', 'all', BOUNDS[0])],
    ['T5 AWS1', '99.27 % at 51.4 %', fleet('AWS1', OURS), fleet('AWS1', 'omniscient-optimum')],
    ['T5 AWS2', '97.57 % at 57.3 %', fleet('AWS2', OURS), fleet('AWS2', 'omniscient-optimum')],
  ];
  return [
    '| table | best published | vicuna | who knows the trace |',
    '| --- | --: | --: | --: |',
    ...lines.map((line) => `| ${line.join(' | ')} |`),
  ].join('\n');
}

interface Columns {
  readonly published?: true;
  readonly late?: true;
  readonly launches?: true;
  readonly lost?: true;
}

/** A line for each policy, a column for each setting; what else is shown is of the first setting. */
function pivot(rows: readonly Row[], columns: readonly string[], also: Columns): string {
  const head = ['policy', ...columns];
  if (also.published) head.push('published');
  if (also.lost) head.push('saves every', 'work lost');
  if (also.launches) head.push('launches');
  if (also.late) head.push('late');
  const lines = [...Map.groupBy(rows, (row) => row.policy)].map(([policy, own]) => {
    const at = (setting: string) => own.find((row) => row.setting === setting);
    const first = at(columns[0] ?? '');
    const name = policy === OURS ? `**${policy}**` : policy;
    const cells = [name, ...columns.map((setting) => at(setting)?.mean.toFixed(2) ?? '')];
    if (also.published) cells.push(first?.published?.toFixed(2) ?? '');
    if (also.lost)
      cells.push(
        first?.saveEveryMinutes === undefined ? '' : `${first.saveEveryMinutes} min`,
        first?.lostHours === undefined ? '' : `${first.lostHours.toFixed(2)} h`,
      );
    if (also.launches) cells.push(first && !BOUNDS.includes(policy) ? first.launches.toFixed(1) : '');
    if (also.late) cells.push(`${own.reduce((sum, row) => sum + row.late, 0)}`);
    return cells;
  });
  return [head, head.map((_, i) => (i === 0 ? '---' : '--:')), ...lines].map((cells) => `| ${cells.join(' | ')} |`).join('\n');
}

function published(rows: readonly Row[], policy: string): string {
  const own = rows.filter((row) => row.policy === policy && row.published !== null);
  return `${policy} ${own.map((row) => `${row.setting}: ${row.published?.toFixed(2)}`).join(', ')}`;
}

function fleets(rows: readonly Row[]): string {
  const traces = settings(rows);
  const head = ['policy', ...traces.flatMap((trace) => [`${trace}: available`, 'cost', 'published'])];
  const lines = [...Map.groupBy(rows, (row) => row.policy)].map(([policy, own]) => [
    policy === OURS ? `**${policy}**` : policy,
    ...traces.flatMap((trace) => {
      const row = own.find((r) => r.setting === trace);
      const theirs = row?.published == null ? '' : `${row.publishedAvailability?.toFixed(2)} % at ${row.published.toFixed(1)} %`;
      return [`${row?.availability?.toFixed(2) ?? ''} %`, `${row?.mean.toFixed(1) ?? ''} %`, theirs];
    }),
  ]);
  return [head, head.map((_, i) => (i === 0 ? '---' : '--:')), ...lines].map((cells) => `| ${cells.join(' | ')} |`).join('\n');
}

function settings6(rows: readonly Row[]): { group: string; own: Row[] }[] {
  return [...Map.groupBy(rows, (row) => row.setting.split('; ')[0] ?? '')].map(([group, own]) => ({ group, own }));
}

function shorter(rows: readonly Row[]): Row[] {
  return rows.map((row) => ({ ...row, setting: row.setting.split('; ')[1] ?? '' }));
}

function intervals(rows: readonly Row[]): string {
  const head = ['', ...INTERVALS.map((name) => name.replace('vicuna, ', '').replace(OURS, '**ours**'))];
  const lines = settings(rows).map((setting) => [
    setting,
    ...INTERVALS.map((policy) => rows.find((row) => row.setting === setting && row.policy === policy)?.mean.toFixed(2) ?? ''),
  ]);
  return [head, head.map((_, i) => (i === 0 ? '---' : '--:')), ...lines].map((cells) => `| ${cells.join(' | ')} |`).join('\n');
}

function splitTable(splits: readonly Split[]): string {
  const head = ['table', 'windows', 'how many', 'ours', 'best baseline', '', 'ours is'];
  const lines = splits.map((s) => {
    const change = s.table === 'T5' ? `${(s.ours - s.theirs).toFixed(2)} points more available` : better(s.ours / s.theirs - 1);
    return [
      s.table,
      s.part,
      `${s.scenarios}`,
      s.ours.toFixed(2),
      s.baseline,
      s.theirs.toFixed(2),
      `${change}${s.late > 0 ? `, ${s.late} late` : ''}`,
    ];
  });
  return [head, ['---', '---', '--:', '--:', '---', '--:', '---'], ...lines].map((cells) => `| ${cells.join(' | ')} |`).join('\n');
}

function better(change: number): string {
  return `${Math.abs(100 * change).toFixed(1)} % ${change < 0 ? 'cheaper' : 'dearer'}`;
}

function seconds(rows: readonly Row[]): string {
  return rows.find((row) => row.policy === OURS)?.seconds.toFixed(1) ?? '';
}

function difference(rows: readonly Row[]): string {
  const row = figure(rows, 'T4', 'SkyNomad', 'all');
  return row?.published ? `${(100 * (row.mean / row.published - 1)).toFixed(1)} % off` : '';
}
