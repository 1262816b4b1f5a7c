import type { RunRecord } from './run-record.ts';

const WIDTH = 960;
const LEFT = 150;
const RIGHT = 24;
const TOP = 56;
const LANE = 18;
const PLOT = 120;
const GAP = 40;
const COLOURS = { spot: '#1f8a4c', onDemand: '#d9730d', available: '#cfe8d8', line: '#30507a', due: '#9aa4b2', text: '#222b38' };

/** A run as an SVG picture: where it ran and where spot was to be had, its progress against an even pace, and its cost, over time. */
export function runChart(run: RunRecord): string {
  const { ticks, pools, gapSeconds, durationSeconds, deadlineSeconds } = run;
  const end = Math.max(deadlineSeconds, ticks.length * gapSeconds);
  const x = (seconds: number) => LEFT + ((WIDTH - LEFT - RIGHT) * seconds) / end;
  const lanesEnd = TOP + pools.length * LANE;
  const progressTop = lanesEnd + GAP;
  const costTop = progressTop + PLOT + GAP;
  const height = costTop + PLOT + 48;
  const parts: string[] = [];
  const text = (at: number, y: number, words: string, more = '') =>
    parts.push(`<text x="${at.toFixed(1)}" y="${y}" ${more}>${escaped(words)}</text>`);
  text(16, 22, `${run.policy}: ${run.scenario}`, 'font-size="15" font-weight="600"');
  text(
    16,
    41,
    `$${run.cost.toFixed(2)}, ${run.launches} launches, done after ${hours(run.finishedAt)} of ${hours(deadlineSeconds)}${run.late ? ': late' : ''}`,
  );

  for (const [i, pool] of pools.entries()) {
    const y = TOP + i * LANE;
    text(LEFT - 8, y + 13, pool.name, 'text-anchor="end"');
    for (const [from, to] of stretches(pool.spot, (spot) => spot))
      parts.push(bar(x(from * gapSeconds), x(to * gapSeconds), y + 2, LANE - 4, COLOURS.available));
    for (const kind of ['spot', 'onDemand'] as const)
      for (const [from, to] of stretches(ticks, (t) => t.pool === i && t.capacity === kind))
        parts.push(bar(x(from * gapSeconds), x(to * gapSeconds), y + 4, LANE - 8, COLOURS[kind]));
  }

  const plot = (top: number, title: string, most: number, unit: (value: number) => string, values: readonly number[]) => {
    const y = (value: number) => top + PLOT - (PLOT * value) / most;
    parts.push(`<line x1="${LEFT}" x2="${WIDTH - RIGHT}" y1="${top + PLOT}" y2="${top + PLOT}" stroke="${COLOURS.due}"/>`);
    text(LEFT - 8, top + 10, unit(most), 'text-anchor="end"');
    text(LEFT - 8, top + PLOT, '0', 'text-anchor="end"');
    text(16, top + 10, title, 'font-weight="600"');
    const points = values.map((value, tick) => `${x((tick + 1) * gapSeconds).toFixed(1)},${y(value).toFixed(1)}`);
    parts.push(`<polyline fill="none" stroke="${COLOURS.line}" stroke-width="2" points="${LEFT},${y(0)} ${points.join(' ')}"/>`);
    return y;
  };
  const y = plot(
    progressTop,
    'progress',
    durationSeconds,
    hours,
    ticks.map((t) => t.doneSeconds),
  );
  parts.push(
    `<line x1="${LEFT}" y1="${y(0)}" x2="${x(deadlineSeconds).toFixed(1)}" y2="${y(durationSeconds)}" stroke="${COLOURS.due}" stroke-dasharray="4 4"/>`,
  );
  plot(
    costTop,
    'cost',
    Math.max(run.cost, 0.01),
    (value) => `$${value.toFixed(0)}`,
    ticks.map((t) => t.cost),
  );
  parts.push(
    `<line x1="${x(deadlineSeconds).toFixed(1)}" x2="${x(deadlineSeconds).toFixed(1)}" y1="${TOP}" y2="${costTop + PLOT}" stroke="#b3261e" stroke-dasharray="2 3"/>`,
  );
  for (let hour = 0; hour * 3_600 <= end; hour += 6 * Math.max(1, Math.round(end / 3_600 / 60)))
    text(x(hour * 3_600), costTop + PLOT + 18, `${hour} h`, 'text-anchor="middle"');
  const legend = [
    [COLOURS.available, 'spot to be had'],
    [COLOURS.spot, 'on spot'],
    [COLOURS.onDemand, 'on on-demand'],
    [COLOURS.due, 'even pace'],
    ['#b3261e', 'deadline'],
  ] as const;
  for (const [i, [colour, words]] of legend.entries()) {
    parts.push(bar(LEFT + i * 150, LEFT + i * 150 + 12, costTop + PLOT + 28, 12, colour));
    text(LEFT + i * 150 + 18, costTop + PLOT + 38, words);
  }
  return `<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 ${WIDTH} ${height}" font-family="system-ui, sans-serif" font-size="12" fill="${COLOURS.text}"><title>${escaped(`${run.policy}: ${run.scenario}`)}</title><rect width="${WIDTH}" height="${height}" fill="#fff"/>${parts.join('')}</svg>\n`;
}

/** The stretches, [first, after the last], of what has the property. */
function stretches<T>(list: readonly T[], has: (one: T) => boolean): [number, number][] {
  const found: [number, number][] = [];
  for (const [i, one] of list.entries()) {
    if (!has(one)) continue;
    const last = found.at(-1);
    if (last?.[1] === i) last[1] = i + 1;
    else found.push([i, i + 1]);
  }
  return found;
}

function bar(from: number, to: number, y: number, height: number, colour: string): string {
  return `<rect x="${from.toFixed(1)}" y="${y}" width="${Math.max(0.5, to - from).toFixed(1)}" height="${height}" fill="${colour}"/>`;
}

function hours(seconds: number): string {
  return `${(seconds / 3_600).toFixed(1)} h`;
}

function escaped(words: string): string {
  return words.replaceAll('&', '&amp;').replaceAll('<', '&lt;').replaceAll('>', '&gt;').replaceAll('"', '&quot;');
}
