import type { FleetRecord } from './fleet-record.ts';
import { bar, COLOURS, document, LEFT, legend, PLOT, plot, RIGHT, stretches, TOP, text, WIDTH } from './svg.ts';

const LANE = 44;
const GAP = 40;

/** A fleet's run as an SVG picture: replicas by zone over the room there was, on-demand ones, how many answered, and the cost. */
export function fleetChart(run: FleetRecord): string {
  const { ticks, room, target, tickSeconds } = run;
  const x = (tick: number) => LEFT + ((WIDTH - LEFT - RIGHT) * tick) / ticks.length;
  const most = Math.max(target, ...ticks.map((t) => Math.max(t.onDemand, ...t.spot)));
  const title = `${run.policy}: ${run.scenario}`;
  const share = `${(100 * run.availability).toFixed(2)} % of the time all ${target} answer`;
  const parts = [
    text(16, 22, title, 'font-size="15" font-weight="600"'),
    text(16, 41, `${share}, at ${((100 * run.cost) / run.reference).toFixed(1)} % of on-demand's cost, ${run.launches} launches`),
  ];
  const lane = (index: number, name: string, colour: string, count: (tick: number) => number) => {
    const bottom = TOP + (index + 1) * LANE - 6;
    parts.push(text(LEFT - 8, bottom - 12, name, 'text-anchor="end"'));
    for (let level = 1; level <= most; level++)
      for (const [from, to] of stretches(ticks, (_, tick) => count(tick) >= level)) {
        const height = (LANE - 10) / most;
        parts.push(bar(x(from), x(to), Number((bottom - level * height).toFixed(1)), height, colour));
      }
  };
  for (const [zone, there] of room.entries()) {
    lane(zone, '', COLOURS.available, (tick) => Math.min(most, there[tick] ?? 0));
    lane(zone, `zone ${zone + 1}`, COLOURS.spot, (tick) => ticks[tick]?.spot[zone] ?? 0);
  }
  lane(room.length, 'on-demand', COLOURS.onDemand, (tick) => ticks[tick]?.onDemand ?? 0);
  const readyTop = TOP + (room.length + 1) * LANE + GAP;
  const costTop = readyTop + PLOT + GAP;
  const at = (tick: number) => x(tick + 1);
  const answering = plot(
    readyTop,
    'answer',
    most * room.length,
    String,
    ticks.map((t) => t.ready),
    at,
  );
  const spent = plot(
    costTop,
    'cost',
    run.reference,
    (value) => value.toFixed(0),
    ticks.map((t) => t.cost),
    at,
  );
  const line = (y1: number, y2: number, colour: string) =>
    `<line x1="${LEFT}" x2="${WIDTH - RIGHT}" y1="${y1.toFixed(1)}" y2="${y2.toFixed(1)}" stroke="${colour}" stroke-dasharray="4 4"/>`;
  parts.push(...answering.parts, ...spent.parts, line(answering.y(target), answering.y(target), COLOURS.limit));
  parts.push(line(spent.y(0), spent.y(run.reference), COLOURS.due));
  const hours = (ticks.length * tickSeconds) / 3_600;
  for (let hour = 0; hour <= hours; hour += Math.max(1, Math.round(hours / 12)))
    parts.push(text(x((hour * 3_600) / tickSeconds), costTop + PLOT + 18, `${hour} h`, 'text-anchor="middle"'));
  const height = costTop + PLOT + 48;
  parts.push(
    ...legend(costTop + PLOT + 28, [
      [COLOURS.available, 'room for spot'],
      [COLOURS.spot, 'spot replicas'],
      [COLOURS.onDemand, 'on-demand'],
      [COLOURS.limit, 'wanted'],
      [COLOURS.due, 'on-demand alone'],
    ]),
  );
  return document(title, height, parts);
}
