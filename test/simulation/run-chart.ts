import type { RunRecord } from './run-record.ts';
import { bar, COLOURS, document, hours, LANE, LEFT, legend, PLOT, plot, RIGHT, stretches, TOP, text, WIDTH } from './svg.ts';

const GAP = 40;

/** A run as an SVG picture: where it ran and where spot was to be had, its progress against an even pace, and its cost, over time. */
export function runChart(run: RunRecord): string {
  const { ticks, pools, gapSeconds, durationSeconds, deadlineSeconds } = run;
  const end = Math.max(deadlineSeconds, ticks.length * gapSeconds);
  const x = (seconds: number) => LEFT + ((WIDTH - LEFT - RIGHT) * seconds) / end;
  const lanesEnd = TOP + pools.length * LANE;
  const progressTop = lanesEnd + GAP;
  const costTop = progressTop + PLOT + GAP;
  const height = costTop + PLOT + 48;
  const parts = [
    text(16, 22, `${run.policy}: ${run.scenario}`, 'font-size="15" font-weight="600"'),
    text(
      16,
      41,
      `$${run.cost.toFixed(2)}, ${run.launches} launches, done after ${hours(run.finishedAt)} of ${hours(deadlineSeconds)}${run.late ? ': late' : ''}`,
    ),
  ];
  for (const [i, pool] of pools.entries()) {
    const y = TOP + i * LANE;
    parts.push(text(LEFT - 8, y + 13, pool.name, 'text-anchor="end"'));
    for (const [from, to] of stretches(pool.spot, (spot) => spot))
      parts.push(bar(x(from * gapSeconds), x(to * gapSeconds), y + 2, LANE - 4, COLOURS.available));
    for (const kind of ['spot', 'onDemand'] as const)
      for (const [from, to] of stretches(ticks, (t) => t.pool === i && t.capacity === kind))
        parts.push(bar(x(from * gapSeconds), x(to * gapSeconds), y + 4, LANE - 8, COLOURS[kind]));
  }

  const at = (tick: number) => x((tick + 1) * gapSeconds);
  const progress = plot(
    progressTop,
    'progress',
    durationSeconds,
    hours,
    ticks.map((t) => t.doneSeconds),
    at,
  );
  const y = progress.y;
  const spent = plot(
    costTop,
    'cost',
    Math.max(run.cost, 0.01),
    (value) => `$${value.toFixed(0)}`,
    ticks.map((t) => t.cost),
    at,
  );
  parts.push(...progress.parts, ...spent.parts);
  parts.push(
    `<line x1="${LEFT}" y1="${y(0)}" x2="${x(deadlineSeconds).toFixed(1)}" y2="${y(durationSeconds)}" stroke="${COLOURS.due}" stroke-dasharray="4 4"/>`,
  );
  parts.push(
    `<line x1="${x(deadlineSeconds).toFixed(1)}" x2="${x(deadlineSeconds).toFixed(1)}" y1="${TOP}" y2="${costTop + PLOT}" stroke="${COLOURS.limit}" stroke-dasharray="2 3"/>`,
  );
  for (let hour = 0; hour * 3_600 <= end; hour += 6 * Math.max(1, Math.round(end / 3_600 / 60)))
    parts.push(text(x(hour * 3_600), costTop + PLOT + 18, `${hour} h`, 'text-anchor="middle"'));
  parts.push(
    ...legend(costTop + PLOT + 28, [
      [COLOURS.available, 'spot to be had'],
      [COLOURS.spot, 'on spot'],
      [COLOURS.onDemand, 'on on-demand'],
      [COLOURS.due, 'even pace'],
      [COLOURS.limit, 'deadline'],
    ]),
  );
  return document(`${run.policy}: ${run.scenario}`, height, parts);
}
