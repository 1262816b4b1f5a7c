import type { Difference, PairReport, Report } from './report.ts';
import type { Interval } from './statistics/bootstrap.ts';
import type { Comparison } from './statistics/outcomes.ts';

/** A report for people. */
export function reportMarkdown(report: Report): string {
  const sections = [
    head(report),
    ...[...Map.groupBy(report.pairs, (p) => p.set)].map(([set, pairs]) => totals(set, pairs, report)),
    published(report),
    differences(report),
    ratings(report),
    ranking(report),
    categories(report),
    bias(report),
  ];
  return `${sections.filter((s) => s !== '').join('\n\n')}\n`;
}

const nameOf = ({ names }: Report, id: string) => names[id] ?? id;
/** At most two digits after the point. */
export const figure = (value: number | null) => (value === null ? '–' : String(Math.round(value * 100) / 100));
const percent = (value: number | null) => (value === null ? '–' : `${(value * 100).toFixed(1)} %`);
const range = (interval: Interval | null, show: (value: number) => string) =>
  interval === null ? '–' : `${show(interval[0])} to ${show(interval[1])}`;

function table(columns: readonly string[], rows: readonly (readonly string[])[]): string {
  const line = (cells: readonly string[]) => `| ${cells.map((c) => c.replaceAll('|', '\\|')).join(' | ')} |`;
  const align = columns.map((_, i) => (i === 0 ? '---' : '---:'));
  return [line(columns), line(align), ...rows.map(line)].join('\n');
}

function head({ questions, judge, reviews, candidate, ...report }: Report): string {
  const about = [
    `${questions} questions, ${reviews.total} reviews${judge === null ? '' : ` by ${judge}`}.`,
    reviews.scoresStored === 0 ? '' : `Stored scores that are those of their text: ${reviews.scoresAgree} of ${reviews.scoresStored}.`,
    reviews.unreadable === 0 ? '' : `Reviews without a verdict that can be read: ${reviews.unreadable}.`,
    'Intervals are 95 %, by bootstrap over the questions.',
  ];
  return `# Evaluation${candidate === null ? '' : ` of ${report.names[candidate] ?? candidate}`}\n\n${about.filter((a) => a !== '').join(' ')}`;
}

function totals(set: string, pairs: readonly PairReport[], report: Report): string {
  const [{ candidate = '' } = {}] = pairs;
  const name = nameOf(report, candidate);
  const differ = pairs.some((p) => p.differences.length > 0);
  const row = (pair: PairReport, source: string, c: Comparison) => [
    nameOf(report, pair.baseline),
    ...(differ ? [source] : []),
    figure(c.baselineTotal),
    figure(c.candidateTotal),
    percent(c.relativeQuality),
    range(c.relativeQualityInterval, percent),
    `${c.wins} / ${c.ties} / ${c.losses}`,
    percent(c.winRate),
    range(c.winRateInterval, percent),
    String(pair.failed),
  ];
  const rows = pairs.flatMap((p) =>
    p.differences.length > 0 ? [row(p, 'stored', p.stored), row(p, 'text', p.parsed)] : [row(p, 'both', p.parsed)],
  );
  const columns = [
    'Baseline',
    ...(differ ? ['Scores'] : []),
    'Baseline total',
    `${name} total`,
    'Relative quality',
    '95 %',
    'Win / tie / loss',
    'Win rate',
    '95 %',
    'No verdict',
  ];
  return `## ${name}${set === '' ? '' : ` (${set})`}\n\n${table(columns, rows)}`;
}

function published(report: Report): string {
  const known = report.pairs.flatMap((p) => (p.published === null ? [] : [{ ...p, published: p.published }]));
  if (known.length === 0) return '';
  const rows = known.map((p) => [
    nameOf(report, p.baseline),
    `${figure(p.published.baseline)} / ${figure(p.published.candidate)}`,
    `${figure(p.stored.baselineTotal)} / ${figure(p.stored.candidateTotal)}`,
    p.published.equal ? 'yes' : 'no',
    `${figure(p.parsed.baselineTotal)} / ${figure(p.parsed.candidateTotal)}`,
  ]);
  const columns = ['Baseline', 'Published', 'From the stored scores', 'Equal', 'From the reviews’ text'];
  return `## Table 2 of the blog post\n\nBaseline / ${nameOf(report, known[0]?.candidate ?? '')}.\n\n${table(columns, rows)}`;
}

function differences(report: Report): string {
  const all = report.pairs.flatMap((p) => p.differences);
  if (all.length === 0) return '';
  const item = (d: Difference) => {
    const text = d.parsed === null ? `nothing that can be read (${d.rule})` : `${d.parsed.join(' and ')} (${d.rule})`;
    const who = d.models.map((m) => nameOf(report, m)).join(' and ');
    return `- Question ${d.question} (${d.category}), ${who}: stored ${d.stored.join(' and ')}, the text says ${text}. ${d.explanation ?? ''}`.trimEnd();
  };
  return `## Where stored scores and text differ\n\n${all.map(item).join('\n')}`;
}

function ratings(report: Report): string {
  if (report.ratings === null) return '';
  const rows = Object.entries(report.ratings).toSorted(([, a], [, b]) => b.mean - a.mean);
  return `## Ratings\n\n${table(
    ['Model', 'Mean', 'Rated', 'No rating'],
    rows.map(([model, r]) => [nameOf(report, model), figure(r.mean), String(r.rated), String(r.failed)]),
  )}`;
}

function ranking(report: Report): string {
  if (report.ranking.length < 2) return '';
  const rows = report.ranking.map((r) => [
    nameOf(report, r.model),
    String(Math.round(r.bradleyTerry)),
    range(r.bradleyTerryInterval, (v) => String(Math.round(v))),
    String(Math.round(r.elo)),
    String(r.battles),
  ]);
  const groups = new Set(report.ranking.map((r) => r.group)).size;
  const warning = groups > 1 ? `\n\n${groups} groups of models never met: compare ratings within a group only.` : '';
  return `## One scale\n\n${table(['Model', 'Bradley–Terry', '95 %', 'Elo (K = 4)', 'Verdicts'], rows)}${warning}`;
}

function categories(report: Report): string {
  const all = [...new Set(report.pairs.flatMap((p) => Object.keys(p.parsed.byCategory)))];
  if (all.length < 2) return '';
  const cell = (p: PairReport, category: string) => {
    const c = p.parsed.byCategory[category];
    if (c === undefined) return '–';
    return c.relativeQuality === null
      ? `${c.wins}/${c.ties}/${c.losses}`
      : `${percent(c.relativeQuality)} (${c.wins}/${c.ties}/${c.losses})`;
  };
  const rows = report.pairs.map((p) => [`${nameOf(report, p.candidate)} : ${nameOf(report, p.baseline)}`, ...all.map((c) => cell(p, c))]);
  return `## By category\n\nRelative quality and wins / ties / losses, from the reviews’ text.\n\n${table(['Pair', ...all], rows)}`;
}

function bias(report: Report): string {
  const rows = report.pairs.map((p) => [
    `${nameOf(report, p.candidate)} : ${nameOf(report, p.baseline)}`,
    percent(p.positionBias?.agreement ?? null),
    figure(p.positionBias?.kappa ?? null),
    percent(p.positionBias?.prefersFirst ?? null),
    percent(p.positionBias?.prefersSecond ?? null),
    figure(p.positionBias?.firstPlaceAdvantage ?? null),
    p.length === null ? '–' : `${p.length.longerWins} of ${p.length.decided}`,
  ]);
  if (rows.length === 0) return '';
  const once = report.pairs.every((p) => p.positionBias === null);
  const note =
    report.ratings !== null
      ? 'Each answer was judged alone: there is no order.\n\n'
      : once
        ? 'Each pair was judged in one order only: how much a verdict owes to the order cannot be known.\n\n'
        : '';
  const columns = [
    'Pair',
    'Both orders agree',
    'Kappa',
    'Prefers the first',
    'Prefers the second',
    'Points for standing first',
    'Longer answer won',
  ];
  return `## Bias\n\n${note}${table(columns, rows)}`;
}
