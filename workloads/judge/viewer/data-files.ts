import type { EvaluationData, Review } from '../data.ts';
import { ratingOf, scoresOf } from '../pairs.ts';
import type { Report } from '../report.ts';
import { parseChoice } from '../review-parser.ts';
import { verdictOf } from '../statistics/outcomes.ts';

// What the page shows, as data: one file for the overview, one for each question.

export interface Overview {
  readonly report: Report;
  readonly models: readonly { readonly id: string; readonly name: string }[];
  readonly questions: readonly { readonly id: string; readonly category: string; readonly text: string }[];
}

export interface ShownReview {
  readonly turn: number;
  readonly first: string;
  readonly second: string | null;
  /** What its text calls the first and the second: Assistant 1 and 2, or A and B. */
  readonly called: readonly [string, string];
  readonly text: string;
  /** As the text says: scores of first and second, one rating, or null. */
  readonly scores: readonly number[] | null;
  /** As stored beside it, where that differs. */
  readonly stored: readonly number[] | null;
  /** The better one's model, "tie", or null where there is no verdict. */
  readonly better: string | null;
}

export interface QuestionFile {
  readonly turns: readonly string[];
  readonly reference: readonly string[];
  /** By model. */
  readonly answers: Readonly<Record<string, readonly string[]>>;
  readonly reviews: readonly ShownReview[];
}

/** Longest text of a question in the list. */
const LIST_CHARACTERS = 120;

export function overviewOf({ questions, titles, answers }: EvaluationData, report: Report): Overview {
  const models = [...titles].filter(([id]) => answers.has(id) || report.pairs.some((p) => p.baseline === id || p.candidate === id));
  return {
    report,
    models: models.map(([id, name]) => ({ id, name })),
    questions: questions.map(({ id, category, turns: [text = ''] }) => ({
      id,
      category,
      text: text.length > LIST_CHARACTERS ? `${text.slice(0, LIST_CHARACTERS - 1)}…` : text,
    })),
  };
}

/** In the order of the questions. */
export function questionFilesOf({ questions, answers, reviews }: EvaluationData): QuestionFile[] {
  const byQuestion = Map.groupBy(reviews, (r) => r.question);
  return questions.map(({ id, turns, reference }) => ({
    turns,
    reference,
    answers: Object.fromEntries([...answers].flatMap(([model, own]) => [[model, own.get(id)?.turns ?? []]])),
    reviews: (byQuestion.get(id) ?? []).map(shown),
  }));
}

function shown(review: Review): ShownReview {
  const { turn, first, second, text, stored } = review;
  const called = review.prompts === 'vicuna' ? (['1', '2'] as const) : (['A', 'B'] as const);
  const said = { turn, first, second, called, text, stored: null };
  if (second === null) {
    const rating = ratingOf(review, 'parsed');
    return { ...said, scores: rating === null ? null : [rating], better: null };
  }
  if (review.prompts === 'mt-bench') {
    const parsed = parseChoice(text);
    const better = 'problem' in parsed ? null : { A: first, B: second, C: 'tie' }[parsed.choice];
    return { ...said, scores: null, better };
  }
  const scores = scoresOf(review, 'parsed');
  const better = scores === null ? null : { win: first, tie: 'tie', loss: second }[verdictOf(scores)];
  const differs = stored?.some((score, i) => score !== scores?.[i]);
  return { ...said, scores, better, stored: differs ? stored : null };
}

/**
 * A value as a script that hands it to the page. JSON is JavaScript; "<" is escaped so that the text stays data wherever it is put.
 * `target`: a property of globalThis.
 */
export const asScript = (target: string, value: unknown) => `globalThis.${target} = ${JSON.stringify(value).replaceAll('<', '\\u003c')};\n`;
