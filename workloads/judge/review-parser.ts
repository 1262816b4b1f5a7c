// What a judge's words say, read strictly: a text that does not clearly say it has no verdict, and is counted as such.

export type Scores = readonly [number, number];

/** Where the scores were found; see SCORE_RULES. */
export type ScoreRule = 'first line' | 'tuple on a line' | 'named scores' | 'tuple in a sentence';

export type ParsedScores = { readonly scores: Scores; readonly rule: ScoreRule } | { readonly problem: string };

/** The answer in the first place is better, the one in the second, or neither. */
export type Choice = 'A' | 'B' | 'C';

/** The prompts say 1 to 10; GPT-4 gave 0 to an answer that is empty. */
export const LOWEST = 0;
export const HIGHEST = 10;

const NUMBER = String.raw`(\d{1,3}(?:\.\d{1,3})?)`;
const PAIR_ON_FIRST_LINE = new RegExp(String.raw`^\s*${NUMBER}(?:\s*,\s*|\s+)${NUMBER}\s*$`);
const TUPLE = String.raw`\(\s*${NUMBER}\s*,\s*${NUMBER}\s*\)`;
/** A tuple with nothing around it but a label such as "Output:". */
const TUPLE_ON_A_LINE = new RegExp(String.raw`^\s*(?:\*\*)?(?:(?:final\s+)?(?:output|scores?|tuple)\s*:\s*)?${TUPLE}\.?(?:\*\*)?\s*$`, 'i');
const NAMED = (which: 1 | 2) =>
  new RegExp(String.raw`^\s*(?:[-*]\s+)?\**Assistant ${which}\**\s*:\**\s*${NUMBER}(?:\s*/\s*10)?(?![\d.]*\d)\s*(?:$|[-–(,.;])`, 'i');
const NAMED_FIRST = NAMED(1);
const NAMED_SECOND = NAMED(2);
/** A sentence that speaks of scores: the point (10, 4) of a geometry question is no verdict. */
const TUPLE_IN_A_SENTENCE = new RegExp(String.raw`\b(?:scores?|tuple|output)\b[^.\n(]{0,80}${TUPLE}`, 'gi');

type Rule = (lines: readonly string[], text: string) => readonly [string, string] | null;

/**
 * In this order. The blog's general and coding prompts ask for the scores on line 1, its maths prompt for a Python tuple at the end; GPT-4
 * often wrote "Assistant 1: 10" and "Assistant 2: 4" instead.
 */
const SCORE_RULES: readonly (readonly [ScoreRule, Rule])[] = [
  ['first line', ([first = '']) => pairOf(PAIR_ON_FIRST_LINE.exec(first))],
  ['tuple on a line', (lines) => pairOf(lines.map((line) => TUPLE_ON_A_LINE.exec(line)).findLast((found) => found !== null))],
  ['named scores', namedScores],
  ['tuple in a sentence', (_, text) => pairOf([...text.matchAll(TUPLE_IN_A_SENTENCE)].at(-1))],
];

/** Two scores. */
export function parseScores(text: string): ParsedScores {
  const lines = text.split('\n');
  for (const [rule, find] of SCORE_RULES) {
    const found = find(lines, text);
    if (found === null) continue;
    const scores: Scores = [Number(found[0]), Number(found[1])];
    if (scores.every((s) => s >= LOWEST && s <= HIGHEST)) return { scores, rule };
    return { problem: `scores ${found.join(' and ')} are not from ${LOWEST} to ${HIGHEST}` };
  }
  return { problem: 'no two scores in it' };
}

/** The last line for Assistant 1 that a line for Assistant 2 follows. */
function namedScores(lines: readonly string[]): readonly [string, string] | null {
  let first: string | null = null;
  let pair: readonly [string, string] | null = null;
  for (const line of lines) {
    first = NAMED_FIRST.exec(line)?.[1] ?? first;
    const second = NAMED_SECOND.exec(line)?.[1];
    if (second === undefined || first === null) continue;
    pair = [first, second];
    first = null;
  }
  return pair;
}

function pairOf(found: RegExpExecArray | RegExpMatchArray | null | undefined): readonly [string, string] | null {
  const [, first, second] = found ?? [];
  return first === undefined || second === undefined ? null : [first, second];
}

/** "[[A]]", "[[B]]" or "[[C]]". A text with two of them has no verdict (FastChat takes the first of the alphabet). */
export function parseChoice(text: string): { readonly choice: Choice } | { readonly problem: string } {
  const [only, ...more] = new Set([...text.matchAll(/\[\[([ABC])\]\]/g)].map((found) => found[1] as Choice));
  if (only === undefined) return { problem: 'no [[A]], [[B]] or [[C]] in it' };
  return more.length > 0 ? { problem: `both [[${only}]] and [[${more[0]}]] in it` } : { choice: only };
}

/** "[[7]]" or, where there is none, "Rating: [7]"; a text with two different ones has no verdict. */
export function parseRating(text: string): { readonly rating: number } | { readonly problem: string } {
  const double = [...text.matchAll(/\[\[(\d{1,3}(?:\.\d{1,3})?)\]\]/g)];
  const found = double.length > 0 ? double : [...text.matchAll(/\brating\s*:\s*\[(\d{1,3}(?:\.\d{1,3})?)\]/gi)];
  const [only, ...more] = new Set(found.map((f) => Number(f[1])));
  if (only === undefined) return { problem: 'no [[rating]] in it' };
  if (more.length > 0) return { problem: `ratings ${[only, ...more].join(' and ')} in it` };
  return only >= LOWEST && only <= HIGHEST ? { rating: only } : { problem: `the rating ${only} is not from ${LOWEST} to ${HIGHEST}` };
}
