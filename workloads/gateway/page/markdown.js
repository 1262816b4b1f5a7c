// Markdown as models write it, made into elements. Text becomes text nodes and nothing else, so that no answer can be a program.

/** @typedef {{ tag: string, text?: string, children?: Node_[], attributes?: Record<string, string>, code?: string }} Node_ */

/**
 * The blocks of a text, as plain data.
 * @param {string} text
 * @returns {Node_[]}
 */
export function parseMarkdown(text) {
  const lines = text.replaceAll('\r', '').split('\n');
  const blocks = [];
  let at = 0;
  while (at < lines.length) {
    const line = lines[at];
    const fence = /^\s*(```+|~~~+)\s*([\w+#.-]*)/.exec(line);
    if (fence) {
      const end = lines.findIndex((l, i) => i > at && l.trim().startsWith(fence[1]));
      const last = end < 0 ? lines.length : end;
      blocks.push({ tag: 'code-block', text: fence[2], code: lines.slice(at + 1, last).join('\n') });
      at = last + 1;
      continue;
    }
    const heading = /^(#{1,6})\s+(.*)$/.exec(line);
    if (heading) {
      blocks.push({ tag: `h${Math.min(5, heading[1].length + 2)}`, children: inline(heading[2]) });
      at++;
      continue;
    }
    const item = /^\s*([-*+]|\d{1,4}[.)])\s+/.exec(line);
    if (item) {
      const ordered = /\d/.test(item[1]);
      const items = [];
      const isItem = (l) => /^\s*([-*+]|\d{1,4}[.)])\s+/.exec(l);
      while (at < lines.length && (isItem(lines[at]) || (/^\s{2,}\S/.test(lines[at]) && items.length > 0))) {
        const found = isItem(lines[at]);
        if (found) items.push(lines[at].slice(found[0].length));
        else items[items.length - 1] += `\n${lines[at].trim()}`;
        at++;
      }
      const start = ordered ? Number.parseInt(item[1], 10) : 1;
      blocks.push({
        tag: ordered ? 'ol' : 'ul',
        ...(start === 1 ? {} : { attributes: { start: String(start) } }),
        children: items.map((i) => ({ tag: 'li', children: inline(i) })),
      });
      continue;
    }
    if (/^\s*>/.test(line)) {
      const quoted = [];
      while (at < lines.length && /^\s*>/.test(lines[at])) quoted.push(lines[at++].replace(/^\s*>\s?/, ''));
      blocks.push({ tag: 'blockquote', children: inline(quoted.join('\n')) });
      continue;
    }
    if (line.trim() === '') {
      at++;
      continue;
    }
    const paragraph = [];
    while (at < lines.length && lines[at].trim() !== '' && !/^\s*(```|~~~|>|#{1,6}\s|([-*+]|\d{1,4}[.)])\s)/.test(lines[at]))
      paragraph.push(lines[at++]);
    if (paragraph.length === 0) paragraph.push(lines[at++]);
    blocks.push({ tag: 'p', children: inline(paragraph.join('\n')) });
  }
  return blocks;
}

const INLINE =
  /(`+)([^`]|[^`].*?[^`])\1(?!`)|\*\*(\S(?:.*?\S)?)\*\*|(?<![\w*])\*([^\s*](?:[^*]*?[^\s*])?)\*(?![\w*])|\[([^\]\n]{1,500})\]\((https?:\/\/[^\s)]{1,2000})\)/s;

/** @param {string} text @returns {Node_[]} */
function inline(text) {
  const nodes = [];
  let rest = text;
  for (let found = INLINE.exec(rest); found; found = INLINE.exec(rest)) {
    if (found.index > 0) nodes.push({ tag: '#text', text: rest.slice(0, found.index) });
    if (found[2] !== undefined) nodes.push({ tag: 'code', text: found[2].trim() });
    else if (found[3] !== undefined) nodes.push({ tag: 'strong', children: inline(found[3]) });
    else if (found[4] !== undefined) nodes.push({ tag: 'em', children: inline(found[4]) });
    else nodes.push({ tag: 'a', text: found[5], attributes: { href: found[6], rel: 'noopener noreferrer', target: '_blank' } });
    rest = rest.slice(found.index + found[0].length);
  }
  if (rest !== '') nodes.push({ tag: '#text', text: rest });
  return nodes;
}

/**
 * Shows a text in an element. Blocks that have not changed keep their elements: a growing answer does not flicker, and what is selected
 * stays selected.
 * @param {HTMLElement} element
 * @param {string} text
 */
export function showMarkdown(element, text) {
  const blocks = parseMarkdown(text);
  blocks.forEach((block, i) => {
    const key = JSON.stringify(block);
    const old = /** @type {HTMLElement | undefined} */ (element.children[i]);
    if (old?.dataset.key === key) return;
    const made = /** @type {HTMLElement} */ (build(block));
    made.dataset.key = key;
    if (old) old.replaceWith(made);
    else element.append(made);
  });
  while (element.children.length > blocks.length) element.lastElementChild?.remove();
}

/** @param {Node_} node @returns {Node} */
function build(node) {
  if (node.tag === '#text') return document.createTextNode(node.text ?? '');
  if (node.tag === 'code-block') return codeBlock(node);
  const element = document.createElement(node.tag);
  for (const [name, value] of Object.entries(node.attributes ?? {})) element.setAttribute(name, value);
  if (node.text !== undefined) element.textContent = node.text;
  for (const child of node.children ?? []) element.append(...withBreaks(build(child)));
  return element;
}

/** A line's end within a paragraph is one. @param {Node} node */
function withBreaks(node) {
  if (node.nodeType !== Node.TEXT_NODE || !node.textContent?.includes('\n')) return [node];
  return node.textContent.split('\n').flatMap((line, i) => (i === 0 ? [line] : [document.createElement('br'), line]));
}

/** @param {Node_} node */
function codeBlock({ text, code = '' }) {
  const block = document.createElement('div');
  block.className = 'code';
  const head = document.createElement('div');
  const language = document.createElement('span');
  language.textContent = text || 'code';
  const copy = document.createElement('button');
  copy.type = 'button';
  copy.textContent = 'Copy';
  copy.addEventListener('click', async () => {
    await navigator.clipboard.writeText(code).catch(() => undefined);
    copy.textContent = 'Copied';
    setTimeout(() => {
      copy.textContent = 'Copy';
    }, 1_500);
  });
  head.append(language, copy);
  const pre = document.createElement('pre');
  const inner = document.createElement('code');
  inner.textContent = code;
  pre.tabIndex = 0;
  pre.append(inner);
  block.append(head, pre);
  return block;
}
