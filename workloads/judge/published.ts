// What is known of the Vicuna blog post's evaluation (examples/evaluation): names, its Table 2, and two scores that were typed in wrong.

/** Names of the blog's figures. */
export const TITLES: ReadonlyMap<string, string> = new Map(
  Object.entries({
    'llama-13b:v1': 'LLaMA-13B',
    'alpaca-13b:v1': 'Alpaca-13B',
    'bard:20230327': 'Bard',
    'gpt-3.5-turbo:20230327': 'ChatGPT',
    'vicuna-13b:20230322-clean-lang': 'Vicuna-13B',
    'vicuna-13b:20230322-new-hp-fp16': 'Vicuna-13B (new-hp-fp16)',
    'vicuna-7b:20230322-fp16': 'Vicuna-7B',
  }),
);

const CANDIDATE = 'vicuna-13b:20230322-clean-lang';

/** Table 2, "Total Scores Assessed by GPT-4", as [baseline, Vicuna]: https://lmsys.org/blog/2023-03-30-vicuna/. */
const TABLE_2: ReadonlyMap<string, readonly [number, number]> = new Map(
  Object.entries({
    'llama-13b:v1': [513, 694],
    'alpaca-13b:v1': [583, 704],
    'bard:20230327': [664, 655.5],
    'gpt-3.5-turbo:20230327': [693, 638],
  }),
);

export function publishedTotals(baseline: string, candidate: string): { readonly baseline: number; readonly candidate: number } | null {
  const row = candidate === CANDIDATE ? TABLE_2.get(baseline) : undefined;
  return row === undefined ? null : { baseline: row[0], candidate: row[1] };
}

const TYPED_IN =
  'The review ends in "Assistant 1: 10" and "Assistant 2: 4", but 10 and 2 were stored. The blog’s program read scores from line 1 only; the ' +
  'maths reviews have theirs at the end and were typed in by hand. The published total has the stored 2.';

/** Stored scores that differ from their text, by review_id, with the reason. */
export const KNOWN_DIFFERENCES: ReadonlyMap<string, string> = new Map(
  Object.entries({
    '57H8uDw5kYEX2wFgvY8BN8': TYPED_IN,
    ZgNXGB9wziYPnGFjqLzqVH: TYPED_IN,
  }),
);
