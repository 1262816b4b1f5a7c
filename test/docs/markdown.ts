// What in a page of documentation is code.

/** A fenced block. */
export interface Block {
  /** "path:line" of its first line of text. */
  readonly at: string;
  /** What stands behind the fence; empty when nothing does. */
  readonly language: string;
  readonly text: string;
  /** Why its commands are not tested, by the comment before it. */
  readonly notTested: string | null;
}

/** Code within a sentence or a table. */
export interface Span {
  readonly at: string;
  readonly text: string;
}

const MARK = /^<!-- not tested: (.+?) -->$/;
const FENCE = /^( *)```(\S*)$/;

/** The fenced blocks and the code spans of a page. */
export function codeOf(file: string, markdown: string): { blocks: Block[]; spans: Span[] } {
  const blocks: Block[] = [];
  const spans: Span[] = [];
  let open: { at: string; language: string; indent: number; lines: string[]; notTested: string | null } | null = null;
  let before = '';
  for (const [i, line] of markdown.split('\n').entries()) {
    const [, indent = '', language = ''] = FENCE.exec(line) ?? [];
    const isFence = FENCE.test(line);
    if (open !== null && isFence) {
      const { at, lines, notTested } = open;
      blocks.push({ at, language: open.language, text: lines.join('\n'), notTested });
      open = null;
      before = '';
    } else if (open !== null) open.lines.push(line.slice(Math.min(open.indent, line.length - line.trimStart().length)));
    else if (isFence) {
      const notTested = MARK.exec(before)?.[1] ?? null;
      open = { at: `${file}:${i + 2}`, language, indent: indent.length, lines: [], notTested };
    } else {
      for (const [, text = ''] of line.matchAll(/`([^`]+)`/g)) spans.push({ at: `${file}:${i + 1}`, text });
      if (line.trim() !== '') before = line.trim();
    }
  }
  if (open !== null) throw new Error(`${open.at}: the block has no end`);
  return { blocks, spans };
}

/** Links to other places of the repository, outside of code. */
export function linksOf(markdown: string): string[] {
  const prose = markdown.replaceAll(/^ *```[\s\S]*?^ *```$/gm, '').replaceAll(/`[^`\n]*`/g, '');
  return [...prose.matchAll(/\]\(([^)\s]+)\)/g)].map(([, link = '']) => link).filter((link) => !/^(https?|mailto):/.test(link));
}

/** What a page's headings are called in links, as GitHub makes it of them. */
export function anchorsOf(markdown: string): string[] {
  return [...markdown.matchAll(/^#{1,6} (.+)$/gm)].map(([, title = '']) =>
    title
      .toLowerCase()
      .replaceAll(/[^\p{L}\p{N} _-]/gu, '')
      .replaceAll(' ', '-'),
  );
}
