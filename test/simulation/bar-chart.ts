export interface Bar {
  readonly name: string;
  readonly value: number;
  /** ours and bounds stand out from the others. */
  readonly kind: 'ours' | 'theirs' | 'bound';
}

const WIDTH = 760;
const LEFT = 230;
const RIGHT = 70;
const TOP = 40;
const LANE = 22;
const COLOURS = { ours: '#1f8a4c', theirs: '#9aa4b2', bound: '#30507a', text: '#222b38' };

/** A picture of one figure for each policy, least first; the bars begin at 0. */
export function barChart(title: string, unit: (value: number) => string, bars: readonly Bar[]): string {
  const sorted = bars.toSorted((a, b) => a.value - b.value);
  const most = Math.max(...bars.map((bar) => bar.value), 1e-9);
  const height = TOP + sorted.length * LANE + 12;
  const parts = sorted.map(({ name, value, kind }, i) => {
    const y = TOP + i * LANE;
    const width = ((WIDTH - LEFT - RIGHT) * value) / most;
    const weight = kind === 'ours' ? ' font-weight="600"' : '';
    return [
      `<text x="${LEFT - 8}" y="${y + 15}" text-anchor="end"${weight}>${escaped(name)}</text>`,
      `<rect x="${LEFT}" y="${y + 3}" width="${width.toFixed(1)}" height="${LANE - 6}" fill="${COLOURS[kind]}"/>`,
      `<text x="${(LEFT + width + 6).toFixed(1)}" y="${y + 15}"${weight}>${escaped(unit(value))}</text>`,
    ].join('');
  });
  return `<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 ${WIDTH} ${height}" font-family="system-ui, sans-serif" font-size="12" fill="${COLOURS.text}"><title>${escaped(title)}</title><rect width="${WIDTH}" height="${height}" fill="#fff"/><text x="16" y="24" font-size="14" font-weight="600">${escaped(title)}</text>${parts.join('')}</svg>\n`;
}

function escaped(words: string): string {
  return words.replaceAll('&', '&amp;').replaceAll('<', '&lt;').replaceAll('>', '&gt;').replaceAll('"', '&quot;');
}
