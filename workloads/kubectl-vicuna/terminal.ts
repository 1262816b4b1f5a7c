import { stripVTControlCharacters, styleText } from 'node:util';

/** Where a command writes to. */
export interface Screen {
  readonly isTTY: boolean;
  /** Characters in a line; Infinity where lines may be of any length. */
  readonly columns: number;
  readonly rows: number;
  write(text: string): void;
}

type Style = (text: string) => string;
export interface Paint {
  readonly bold: Style;
  readonly dim: Style;
  readonly red: Style;
  readonly green: Style;
  readonly yellow: Style;
  readonly cyan: Style;
}

const PLAIN: Style = (text) => text;
export const NO_PAINT: Paint = { bold: PLAIN, dim: PLAIN, red: PLAIN, green: PLAIN, yellow: PLAIN, cyan: PLAIN };

/** Colours only on a terminal that has them, and where NO_COLOR does not forbid them (no-color.org). */
export function paintFor({ isTTY }: Pick<Screen, 'isTTY'>, env: NodeJS.ProcessEnv): Paint {
  if (!isTTY || env.NO_COLOR || env.TERM === 'dumb') return NO_PAINT;
  const style =
    (name: 'bold' | 'dim' | 'red' | 'green' | 'yellow' | 'cyan'): Style =>
    (text) =>
      styleText(name, text, { validateStream: false });
  return {
    bold: style('bold'),
    dim: style('dim'),
    red: style('red'),
    green: style('green'),
    yellow: style('yellow'),
    cyan: style('cyan'),
  };
}

/** Words of programs and servers, which could say anything, without what a terminal would act on. */
export function plain(text: string): string {
  return stripVTControlCharacters(text).replaceAll(/\p{Cc}+/gu, ' ');
}

export function width(text: string): number {
  return stripVTControlCharacters(text).length;
}

/** Columns as wide as their widest cell, three spaces apart, as kubectl's; the last one is not padded. */
export function table(header: readonly string[], rows: readonly (readonly string[])[], indent = ''): string[] {
  const lines = [header, ...rows];
  const widths = header.map((_, i) => Math.max(...lines.map((line) => width(line[i] ?? ''))));
  return lines.map((line) => `${indent}${line.map((cell, i) => cell + ' '.repeat((widths[i] ?? 0) - width(cell))).join('   ')}`.trimEnd());
}

/** A line that fits; what is cut off loses its colours. */
export function fitted(line: string, columns: number): string {
  return width(line) <= columns ? line : `${stripVTControlCharacters(line).slice(0, Math.max(0, columns - 1))}…`;
}

/** Text in lines of so many characters, broken between words. */
export function wrapped(text: string, columns: number, indent: string): string[] {
  const lines: string[] = [];
  let line = '';
  for (const word of text.split(/\s+/).filter((w) => w !== '')) {
    if (line !== '' && indent.length + line.length + 1 + word.length > columns) {
      lines.push(indent + line);
      line = word;
    } else line = line === '' ? word : `${line} ${word}`;
  }
  return line === '' ? lines : [...lines, indent + line];
}
