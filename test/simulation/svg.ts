// What the pictures of runs are drawn with.

export const WIDTH = 960;
export const LEFT = 150;
export const RIGHT = 24;
export const TOP = 56;
export const LANE = 18;
export const PLOT = 120;
export const COLOURS = {
  spot: '#1f8a4c',
  onDemand: '#d9730d',
  available: '#cfe8d8',
  line: '#30507a',
  due: '#9aa4b2',
  limit: '#b3261e',
  text: '#222b38',
};

export function text(x: number, y: number, words: string, more = ''): string {
  return `<text x="${x.toFixed(1)}" y="${y}" ${more}>${escaped(words)}</text>`;
}

/** A line of values by tick with its axis and title; `y` is where a value lies. */
export function plot(
  top: number,
  title: string,
  most: number,
  unit: (value: number) => string,
  values: readonly number[],
  x: (tick: number) => number,
): { readonly parts: string[]; readonly y: (value: number) => number } {
  const y = (value: number) => top + PLOT - (PLOT * value) / most;
  const points = values.map((value, tick) => `${x(tick).toFixed(1)},${y(value).toFixed(1)}`);
  const parts = [
    `<line x1="${LEFT}" x2="${WIDTH - RIGHT}" y1="${top + PLOT}" y2="${top + PLOT}" stroke="${COLOURS.due}"/>`,
    text(LEFT - 8, top + 10, unit(most), 'text-anchor="end"'),
    text(LEFT - 8, top + PLOT, '0', 'text-anchor="end"'),
    text(16, top + 10, title, 'font-weight="600"'),
    `<polyline fill="none" stroke="${COLOURS.line}" stroke-width="2" points="${LEFT},${y(0)} ${points.join(' ')}"/>`,
  ];
  return { parts, y };
}

export function legend(y: number, entries: readonly (readonly [colour: string, words: string])[]): string[] {
  return entries.flatMap(([colour, words], i) => [
    bar(LEFT + i * 150, LEFT + i * 150 + 12, y, 12, colour),
    text(LEFT + i * 150 + 18, y + 10, words),
  ]);
}

/** The whole picture. */
export function document(title: string, height: number, parts: readonly string[]): string {
  return `<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 ${WIDTH} ${height}" font-family="system-ui, sans-serif" font-size="12" fill="${COLOURS.text}"><title>${escaped(title)}</title><rect width="${WIDTH}" height="${height}" fill="#fff"/>${parts.join('')}</svg>\n`;
}

/** The stretches, [first, after the last], of what has the property. */
export function stretches<T>(list: readonly T[], has: (one: T, index: number) => boolean): [number, number][] {
  const found: [number, number][] = [];
  for (const [i, one] of list.entries()) {
    if (!has(one, i)) continue;
    const last = found.at(-1);
    if (last?.[1] === i) last[1] = i + 1;
    else found.push([i, i + 1]);
  }
  return found;
}

export function bar(from: number, to: number, y: number, height: number, colour: string): string {
  return `<rect x="${from.toFixed(1)}" y="${y}" width="${Math.max(0.5, to - from).toFixed(1)}" height="${height}" fill="${colour}"/>`;
}

export function hours(seconds: number): string {
  return `${(seconds / 3_600).toFixed(1)} h`;
}

function escaped(words: string): string {
  return words.replaceAll('&', '&amp;').replaceAll('<', '&lt;').replaceAll('>', '&gt;').replaceAll('"', '&quot;');
}
