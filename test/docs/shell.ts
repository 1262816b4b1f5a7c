// As much of the shell's grammar as documentation uses: words, quotes, comments, pipes, lists, redirections and substitutions.

/** The commands of a text, each as its words, without assignments before it and redirections; those of substitutions come first. */
export function commandsIn(text: string): string[][] {
  const commands: string[][] = [];
  let words: string[] = [];
  let word: string | null = null;
  let toFile = false;
  const endWord = () => {
    if (word !== null && !toFile) words.push(word);
    if (word !== null) toFile = false;
    word = null;
  };
  const endCommand = () => {
    endWord();
    const first = words.findIndex((w) => !/^[A-Za-z_]\w*=/.test(w));
    if (first >= 0) commands.push(words.slice(first));
    words = [];
  };
  for (let i = 0; i < text.length; i++) {
    const char = text.charAt(i);
    if (char === '\\') {
      const next = text.charAt(++i);
      if (next !== '\n') word = (word ?? '') + next;
    } else if (char === "'") {
      const end = text.indexOf("'", i + 1);
      if (end < 0) throw new Error(`a quote without an end: ${text.slice(i)}`);
      word = (word ?? '') + text.slice(i + 1, end);
      i = end;
    } else if (char === '"' || text.startsWith('$(', i)) {
      const end = char === '"' ? endOfQuote(text, i) : endOfSubstitution(text, i);
      const inner = text.slice(i, end + 1);
      const substitutions = char === '"' ? [...inner.matchAll(/\$\(([^)]*)\)/g)].map(([, s = '']) => s) : [inner.slice(2, -1)];
      for (const substitution of substitutions) commands.push(...commandsIn(substitution));
      word = (word ?? '') + (char === '"' ? inner.slice(1, -1) : inner);
      i = end;
    } else if (char === '#' && word === null) {
      const end = text.indexOf('\n', i);
      i = end < 0 ? text.length : end - 1;
    } else if ('|&;\n'.includes(char)) endCommand();
    else if ('<>'.includes(char)) {
      endWord();
      toFile = true;
    } else if (/\s/.test(char)) endWord();
    else word = (word ?? '') + char;
  }
  endCommand();
  return commands;
}

function endOfQuote(text: string, start: number): number {
  const end = text.indexOf('"', start + 1);
  if (end < 0) throw new Error(`a quote without an end: ${text.slice(start)}`);
  return end;
}

function endOfSubstitution(text: string, start: number): number {
  for (let i = start + 1, depth = 0; i < text.length; i++) {
    if (text[i] === '(') depth++;
    if (text[i] === ')' && --depth === 0) return i;
  }
  throw new Error(`a substitution without an end: ${text.slice(start)}`);
}
